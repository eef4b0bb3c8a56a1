/** The library example of the README, run as it stands there. */
import { assert, describe, it } from "@effect/vitest"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { onTestFinished } from "vitest"
import { Causeway } from "../utils/causeway.ts"

const root = new URL("../../", import.meta.url)
const example = new URL(`.tmp/readme-example-${process.pid}.ts`, root)

describe("README", () => {
  it("its library example delivers a line to `causeway listen`", { timeout: 90_000 }, async () => {
    const shown = /```ts\n([^]*?)```/.exec(readFileSync(new URL("README.md", root), "utf8"))![1]!
    mkdirSync(new URL(".tmp/", root), { recursive: true })
    writeFileSync(
      example,
      shown
        .replace("\"effect-causeway\"", "\"../src/index.ts\"")
        .replace("\"effect-causeway/node\"", "\"../src/node.ts\"")
    )
    onTestFinished(() => rmSync(example, { force: true }))
    using causeway = new Causeway()
    const { address } = await causeway.relay()
    await causeway.run("keygen", "--out", "me.json")
    const listener = causeway.start(["listen", "--json", "--once", "--identity", "me.json", "--relay", address])
    listener.child.stdin?.end()
    const { ticket } = await listener.event("ticket", "stderr")
    const child = spawn(process.execPath, [fileURLToPath(example), String(ticket)], {
      stdio: ["ignore", "pipe", "inherit"]
    })
    const printed: Array<Buffer> = []
    child.stdout.on("data", (chunk: Buffer) => printed.push(chunk))
    // Not "exit", which may come before the last of what was printed.
    const [code] = await once(child, "close")
    assert.deepStrictEqual([code, Buffer.concat(printed).toString()], [0, "delivered\n"])
    assert.strictEqual((await listener.ended).code, 0)
    assert.strictEqual(listener.stdout, "hello\n")
  })
})
