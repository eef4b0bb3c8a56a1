/** The far side of `children.ts`: serves operations over the IPC channel, and ends the process when the channel closes. */
import { readFileSync } from "node:fs"

export interface Request {
  readonly id: number
  readonly operation: string
  readonly input: unknown
}

export type Response =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: string }

export type Operations = Readonly<Record<string, (input: never) => unknown>>

/** Answers every call with the result of the operation of that name. */
export const serve = (operations: Operations): void => {
  const reply = (response: Response) => process.send?.(response)
  process.on("disconnect", () => process.exit(0))
  process.on("message", async ({ id, operation, input }: Request) => {
    try {
      const run = operations[operation]
      if (run === undefined) throw new Error(`there is no operation ${operation}`)
      reply({ id, value: await run(input as never) })
    } catch (error) {
      reply({ id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
    }
  })
}

/** What a process has used so far, and when that was. */
export interface Usage {
  /** Seconds of CPU time, user and system. */
  readonly cpu: number
  /** Milliseconds of CLOCK_MONOTONIC, the same clock in every process. */
  readonly at: number
  /** Megabytes of memory in use now, and at most so far. */
  readonly rss: number
  readonly peakRss: number
}

export const nowMs = (): number => Number(process.hrtime.bigint()) / 1e6

const peakRss = (): number => {
  const [, kilobytes = "0"] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8")) ?? []
  return Number(kilobytes) * 1024 / 1e6
}

export const usage = (): Usage => {
  const { system, user } = process.cpuUsage()
  return { cpu: (user + system) / 1e6, at: nowMs(), rss: process.memoryUsage.rss() / 1e6, peakRss: peakRss() }
}
