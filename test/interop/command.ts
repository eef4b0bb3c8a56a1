/**
 * Runs the `causeway` command from source in a process of its own, for tests against other programs. A process belongs to the scope it
 * was started in and never outlives it. Every wait has a deadline and, when it passes, a defect that shows what was printed.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import { execFileSync, spawn } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as Path from "node:path"
import * as Readline from "node:readline"
import type { Readable } from "node:stream"

const main = Path.resolve(import.meta.dirname, "../../src/main.ts")

/** One JSON line of the command's output. */
export type CommandEvent = { readonly event: string } & Readonly<Record<string, unknown>>

/** How a process ended. */
export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface RunningCommand {
  readonly pid: number
  /** The next event of that name; those before it are passed over. */
  readonly next: (event: string, within?: Duration.Input) => Effect.Effect<CommandEvent>
  /** The names of all events so far. */
  readonly seen: () => ReadonlyArray<string>
  readonly signal: (signal: NodeJS.Signals) => Effect.Effect<void>
  /** Waits for the end of the process. */
  readonly ended: (within?: Duration.Input) => Effect.Effect<Ended>
}

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
export const start = Effect.fnUntraced(function*(args: ReadonlyArray<string>, streams: Streams = {}) {
  const events = yield* Queue.unbounded<CommandEvent>()
  const printed: Array<string> = []
  const names: Array<string> = []
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn(process.execPath, [main, ...args, "--json"], {
        stdio: [streams.stdin ?? "ignore", streams.stdout ?? "pipe", "pipe"]
      })
    ),
    (running) =>
      Effect.callback<void>((resume) => {
        if (running.exitCode !== null || running.signalCode !== null) return resume(Effect.void)
        running.once("exit", () => resume(Effect.void))
        running.kill("SIGKILL")
      })
  )
  const exited = Effect.callback<Ended>((resume) => {
    const tell = () => resume(Effect.succeed({ code: child.exitCode, signal: child.signalCode }))
    if (child.exitCode !== null || child.signalCode !== null) return tell()
    child.once("exit", tell)
    return Effect.sync(() => child.off("exit", tell))
  })
  const read = (stream: Readable) =>
    Readline.createInterface({ input: stream }).on("line", (line) => {
      printed.push(line)
      if (!line.startsWith("{")) return
      const event = JSON.parse(line) as CommandEvent
      names.push(event.event)
      Queue.offerUnsafe(events, event)
    })
  if (child.stdout !== null) read(child.stdout)
  if (child.stderr !== null) read(child.stderr)
  const orDie = (what: string, within: Duration.Input) =>
    Effect.timeoutOrElse({
      duration: within,
      orElse: () =>
        Effect.die(
          new Error(
            `causeway ${args[0] ?? ""}: no ${what} within ${
              Duration.format(Duration.fromInputUnsafe(within))
            }. It printed:\n${printed.join("\n")}`
          )
        )
    })
  return {
    pid: child.pid ?? 0,
    next: (name, within = "20 seconds") =>
      Queue.take(events).pipe(
        Effect.repeat({ until: ({ event }) => event === name }),
        orDie(`event ${name}`, within)
      ),
    seen: () => names,
    signal: (signal) => Effect.sync(() => void child.kill(signal)),
    ended: (within = "20 seconds") => exited.pipe(orDie("end", within))
  } satisfies RunningCommand
})

/** The most memory a process has used so far, megabytes; undefined when it is gone. */
export const peakMemory = (pid: number): number | undefined => {
  try {
    const [, kilobytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? []
    return kilobytes === undefined ? undefined : Number(kilobytes) * 1024 / 1e6
  } catch {
    return undefined
  }
}
