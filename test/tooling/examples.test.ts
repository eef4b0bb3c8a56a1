/** What the documents and the docstrings show is compiled against the sources. */
import { assert, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { onTestFinished } from "vitest"

const root = Path.resolve(import.meta.dirname, "../..")

const below = (folder: string, ending: string): ReadonlyArray<string> =>
  Fs.readdirSync(Path.join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(ending))
    .map((name) => Path.join(folder, name))

/** Every block of TypeScript, with the file that shows it. */
const blocks = [
  ...["README.md", ...below("docs", ".md")].flatMap((file) =>
    Array.from(
      Fs.readFileSync(Path.join(root, file), "utf8").matchAll(/```ts\n([^]*?)```/g),
      ([, code]) => ({ file, code: code! })
    )
  ),
  ...below("src", ".ts").flatMap((file) =>
    Array.from(
      Fs.readFileSync(Path.join(root, file), "utf8").matchAll(/ \* ```ts\n([^]*?) \* ```/g),
      ([, code]) => ({ file, code: code!.replaceAll(/^ \* ?/gm, "") })
    )
  )
]

describe("examples", () => {
  it("compile", { timeout: 120_000 }, () => {
    assert.isAbove(blocks.length, 15)
    const folder = Path.join(root, `.tmp/examples-${process.pid}`)
    onTestFinished(() => Fs.rmSync(folder, { recursive: true, force: true }))
    Fs.mkdirSync(folder, { recursive: true })
    for (const [at, { code, file }] of blocks.entries()) {
      Fs.writeFileSync(Path.join(folder, `example${at}.ts`), `// ${file}\n${code}\nexport {}\n`)
    }
    const paths = {
      "effect-causeway": ["../../src/index.ts"],
      "effect-causeway/node": ["../../src/node.ts"],
      "effect-causeway/testing": ["../../src/testing/index.ts"]
    }
    const config = {
      extends: "../../tsconfig.json",
      compilerOptions: { noUnusedLocals: false, paths },
      include: ["*.ts"]
    }
    Fs.writeFileSync(Path.join(folder, "tsconfig.json"), JSON.stringify(config))
    const { status, stdout } = spawnSync(Path.join(root, "node_modules/.bin/tsc"), ["--noEmit", "-p", folder], {
      encoding: "utf8"
    })
    assert.strictEqual(stdout, "")
    assert.strictEqual(status, 0)
  })
})
