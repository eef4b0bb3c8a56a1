import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8")

/** The imports in alphabetical order, and the rest: the formatter breaks and sorts by the length and the names of modules. */
const parts = (code: string) => {
  const dense = code.replaceAll(/\s/g, "")
  const statement = /import[^"]*from"[^"]*"/g
  return { imports: dense.match(statement)?.sort(), rest: dense.replaceAll(statement, "") }
}

describe("docs/testing.md", () => {
  it("shows the example that is compiled and run", () => {
    const shown = /```ts\n([^]*?)```/.exec(read("docs/testing.md"))![1]!
    const run = read("test/testing/applicationExample.test.ts")
      .replace("../../src/index.ts", "effect-causeway")
      .replace("../../src/testing/index.ts", "effect-causeway/testing")
    assert.deepStrictEqual(parts(shown), parts(run))
    assert.isAbove(parts(run).rest.length, 1_000)
  })
})
