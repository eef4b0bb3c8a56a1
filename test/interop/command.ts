/** Runs the `causeway` command from source in a process of its own, for tests against other programs. */
import * as Effect from "effect/Effect"
import { execFileSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as Path from "node:path"
import * as ChildProcess from "../utils/childProcess.ts"

const main = Path.resolve(import.meta.dirname, "../../src/main.ts")

/** One JSON line of the command's output. */
export type CommandEvent = ChildProcess.ProcessEvent

export type RunningCommand = ChildProcess.RunningProcess

/** Where a process reads and writes; descriptors, or `pipe`, which is read for events. */
export interface Streams {
  readonly stdin?: number
  readonly stdout?: number
}

/** A folder that is removed with the scope. */
export const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(Path.join(tmpdir(), "causeway-interop-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

/** Makes an identity file. `peer` is what `--peer` takes. */
export const identity = Effect.fnUntraced(function*(name: string) {
  const file = Path.join(yield* folder, `${name}.json`)
  const printed = execFileSync(process.execPath, [main, "keygen", "--json", "--out", file], { encoding: "utf8" })
  const { dhtKey, identityKey } = JSON.parse(printed) as { readonly identityKey: string; readonly dhtKey: string }
  return { file, identityKey, dhtKey, peer: `${identityKey}:${dhtKey}` }
})

/** Starts `causeway ARGS --json`. Events are read from stdout and stderr, whichever of them is not redirected. */
export const start = (args: ReadonlyArray<string>, streams: Streams = {}) =>
  ChildProcess.start({
    name: `causeway ${args[0] ?? ""}`,
    command: process.execPath,
    args: [main, ...args, "--json"],
    stdio: [streams.stdin ?? "ignore", streams.stdout ?? "pipe", "pipe"],
    farewell: "SIGKILL"
  })

/** The most memory a process has used so far, megabytes; undefined when it is gone. */
export const peakMemory = (pid: number): number | undefined => ChildProcess.usageOf(pid)?.peakRss
