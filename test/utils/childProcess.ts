/**
 * A program in a process of its own that prints JSON lines: its events, its signals, its end, and what it uses. A process belongs to
 * the scope it was started in and never outlives it. Every wait has a deadline and, when it passes, a defect that shows what was printed.
 * It knows no program; see `processes.ts` for relays and peers.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import { spawn, type StdioOptions } from "node:child_process"
import { readFileSync } from "node:fs"
import * as Readline from "node:readline"

/** One JSON line. */
export type ProcessEvent = { readonly event: string } & Readonly<Record<string, unknown>>

/** How a process ended. */
export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** What a process has used: memory now and at most in megabytes, CPU time of user and system in seconds. */
export interface Usage {
  readonly rss: number
  readonly peakRss: number
  readonly cpu: number
}

export interface RunningProcess {
  readonly pid: number
  /** The next event of that name; those before it are passed over. */
  readonly next: (event: string, within?: Duration.Input) => Effect.Effect<ProcessEvent>
  /** The names of all events so far. */
  readonly seen: () => ReadonlyArray<string>
  /** Everything it printed so far, line by line, as far as its streams are pipes. */
  readonly printed: () => ReadonlyArray<string>
  /** SIGSTOP and SIGCONT freeze and thaw it. */
  readonly signal: (signal: NodeJS.Signals) => Effect.Effect<void>
  /** Waits for the end of the process. */
  readonly ended: (within?: Duration.Input) => Effect.Effect<Ended>
  /** Writes a line to its standard input, which must be a pipe. */
  readonly write: (line: string) => void
  /** Ends its standard input, which must be a pipe. */
  readonly endInput: () => void
  /** Undefined when it is gone. */
  readonly usage: () => Usage | undefined
}

export interface ProcessOptions {
  /** How messages name it. */
  readonly name: string
  readonly command: string
  readonly args: ReadonlyArray<string>
  /** Events are read from its output and error streams, whichever of them are pipes. */
  readonly stdio: StdioOptions
  /** How the scope ends it: a signal that it may act upon is followed by SIGKILL five seconds later. */
  readonly farewell: "SIGTERM" | "SIGINT" | "SIGKILL"
}

/** Ticks of /proc: 100 a second on every Linux. */
const ticksPerSecond = 100

/** What any process has used; undefined when it is gone. Linux only. */
export const usageOf = (pid: number): Usage | undefined => {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8")
    const megabytes = (field: string): number =>
      Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(status)?.[1] ?? Number.NaN) * 1024 / 1e6
    const rss = megabytes("VmRSS")
    // A process that has ended and is not yet waited for has no memory.
    if (Number.isNaN(rss)) return undefined
    // The name in parentheses may hold anything.
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\) /s, "").split(" ")
    return { rss, peakRss: megabytes("VmHWM"), cpu: (Number(fields[11]) + Number(fields[12])) / ticksPerSecond }
  } catch {
    return undefined
  }
}

export const start = Effect.fnUntraced(function*({ args, command, farewell, name, stdio }: ProcessOptions) {
  const events = yield* Queue.unbounded<ProcessEvent>()
  const printed: Array<string> = []
  const names: Array<string> = []
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => spawn(command, args, { stdio })),
    (running) =>
      Effect.callback<void>((resume) => {
        if (running.exitCode !== null || running.signalCode !== null) return resume(Effect.void)
        running.once("exit", () => resume(Effect.void))
        running.kill(farewell)
      }).pipe(
        Effect.timeoutOrElse({ duration: "5 seconds", orElse: () => Effect.sync(() => void running.kill("SIGKILL")) })
      )
  )
  const exited = Effect.callback<Ended>((resume) => {
    const tell = () => resume(Effect.succeed({ code: child.exitCode, signal: child.signalCode }))
    if (child.exitCode !== null || child.signalCode !== null) return tell()
    child.once("exit", tell)
    return Effect.sync(() => child.off("exit", tell))
  })
  // A process that ends before it has read everything is not the writer's failure.
  child.stdin?.on("error", () => undefined)
  for (const stream of [child.stdout, child.stderr]) {
    if (stream === null) continue
    Readline.createInterface({ input: stream }).on("line", (line) => {
      printed.push(line)
      if (!line.startsWith("{")) return
      const event = JSON.parse(line) as ProcessEvent
      names.push(event.event)
      Queue.offerUnsafe(events, event)
    })
  }
  const orDie = (what: string, within: Duration.Input) =>
    Effect.timeoutOrElse({
      duration: within,
      orElse: () => {
        const limit = Duration.format(Duration.fromInputUnsafe(within))
        return Effect.die(new Error(`${name}: no ${what} within ${limit}. It printed:\n${printed.join("\n")}`))
      }
    })
  const pid = child.pid ?? 0
  return {
    pid,
    next: (event, within = "20 seconds") =>
      Queue.take(events).pipe(
        Effect.repeat({ until: (taken) => taken.event === event }),
        orDie(`event ${event}`, within)
      ),
    seen: () => names,
    printed: () => printed,
    signal: (signal) => Effect.sync(() => void child.kill(signal)),
    ended: (within = "20 seconds") => exited.pipe(orDie("end", within)),
    write: (line) => void child.stdin?.write(`${line}\n`),
    endInput: () => void child.stdin?.end(),
    usage: () => usageOf(pid)
  } satisfies RunningProcess
})
