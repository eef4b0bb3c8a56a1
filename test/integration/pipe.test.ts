/** `pipe` on a real process's standard input and output. */
import { assert, describe, it } from "@effect/vitest"
import { type ChildProcess, spawn, type StdioOptions } from "node:child_process"
import { createHash } from "node:crypto"
import { mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Readable } from "node:stream"
import { fileURLToPath } from "node:url"
import { timeToEnd } from "../utils/timeToEnd.ts"

const script = fileURLToPath(new URL("pipeChild.ts", import.meta.url))

const start = (stdio: StdioOptions, ...args: ReadonlyArray<string>): ChildProcess =>
  spawn(process.execPath, [script, ...args], { stdio })

const read = async (stream: Readable | null): Promise<Buffer> => {
  const chunks: Array<Buffer> = []
  for await (const chunk of stream ?? []) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

const ended = (child: ChildProcess): Promise<readonly [number | null, NodeJS.Signals | null]> =>
  new Promise((resolve) => child.once("exit", (code, signal) => resolve([code, signal])))

/** Resolves when the child has written its first line to stderr. */
const ready = (child: ChildProcess): Promise<void> =>
  new Promise((resolve) => child.stderr?.once("data", () => resolve()))

const bytes = Buffer.from(Uint8Array.from({ length: 5_000_001 }, (_, i) => Math.imul(i, 2_654_435_761) >>> 24))
const hash = (data: Buffer): string => createHash("sha256").update(data).digest("hex")

describe("pipe on real standard streams", { timeout: 60_000 }, () => {
  it("passes a pipe through unchanged and lets the process end", async () => {
    const child = start(["pipe", "pipe", "pipe"])
    child.stdin?.end(bytes)
    const [out, log, [code]] = await Promise.all([read(child.stdout), read(child.stderr), ended(child)])
    assert.strictEqual(hash(out), hash(bytes))
    assert.strictEqual(log.toString(), `ready\n${bytes.length} ${bytes.length}\n`)
    assert.strictEqual(code, 0)
  })

  it("passes a file through unchanged", async () => {
    const directory = mkdtempSync(join(tmpdir(), "causeway-pipe-"))
    try {
      writeFileSync(join(directory, "in"), bytes)
      const child = start([openSync(join(directory, "in"), "r"), "pipe", "pipe"])
      const [out, [code]] = await Promise.all([read(child.stdout), ended(child)])
      assert.strictEqual(hash(out), hash(bytes))
      assert.strictEqual(code, 0)
    } finally {
      rmSync(directory, { recursive: true })
    }
  })

  it("ends at once when input is the null device", async () => {
    const child = start(["ignore", "pipe", "pipe"])
    const [log, [code]] = await Promise.all([read(child.stderr), ended(child)])
    assert.strictEqual(log.toString(), "ready\n0 0\n")
    assert.strictEqual(code, 0)
  })

  it("a signal ends it within a second, also in the middle of a transfer to a reader that has stopped", async () => {
    for (const input of [Buffer.alloc(0), bytes]) {
      const child = start(["pipe", "pipe", "pipe"])
      child.stdin?.on("error", () => undefined)
      await ready(child)
      child.stdin?.write(input)
      const exit = ended(child)
      child.kill("SIGTERM")
      assert.isBelow((await timeToEnd(child.pid!, exit)).lived, 1_000)
      child.stdin?.destroy()
      child.stdout?.destroy()
    }
  })

  it("fails with one line and no stack when nobody reads its output any more", async () => {
    const child = start(["pipe", "pipe", "pipe"])
    child.stdin?.on("error", () => undefined)
    const log = read(child.stderr)
    child.stdout?.destroy()
    child.stdin?.write(bytes)
    const [code] = await ended(child)
    assert.strictEqual(code, 1)
    assert.match((await log).toString(), /^ready\nnobody reads standard output any more \(EPIPE\)[^\n]*\n$/)
  })
})
