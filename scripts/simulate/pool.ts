/** Spreads seeds over several processes. A process that dies or hangs is a failed world and is replaced. */
import { type ChildProcess, fork } from "node:child_process"
import { fileURLToPath } from "node:url"
import * as Simulation from "../../src/testing/simulation/Simulation.ts"

const worker = fileURLToPath(new URL("worker.ts", import.meta.url))
/** A world takes a second at most, milliseconds. */
const hangTimeout = 60_000

export interface PoolOptions {
  readonly seeds: Iterable<number>
  readonly jobs: number
  readonly bug: string | undefined
  /** Called for each world; true ends the whole run. */
  readonly onReport: (report: Simulation.WorldReport) => boolean
}

/** Resolves when every seed has been run, or `onReport` has had enough. */
export const run = async ({ bug, jobs, onReport, seeds }: PoolOptions): Promise<void> => {
  const left = seeds[Symbol.iterator]()
  let isOver = false
  const children = new Set<ChildProcess>()

  /** One process from its start to its end; whether another must take its place. */
  const serve = (): Promise<boolean> =>
    new Promise((resolve) => {
      const child = fork(worker, bug === undefined ? [] : [bug])
      children.add(child)
      let seed: number | undefined
      let watch: NodeJS.Timeout | undefined
      const give = () => {
        const next = left.next()
        seed = next.done === true || isOver ? undefined : next.value
        if (seed === undefined) return child.kill()
        watch = setTimeout(() => child.kill("SIGKILL"), hangTimeout)
        return child.send({ seed })
      }
      const take = (report: Simulation.WorldReport) => {
        clearTimeout(watch)
        seed = undefined
        if (isOver || !onReport(report)) return
        isOver = true
        for (const other of children) other.kill()
      }
      child.on("message", (message: Simulation.WorldReport | "ready") => {
        if (message !== "ready") take(message)
        give()
      })
      child.once("exit", () => {
        children.delete(child)
        clearTimeout(watch)
        const lost = seed
        if (lost !== undefined && !isOver) take(Simulation.failed(lost, "I5 its process died or hung"))
        resolve(lost !== undefined && !isOver)
      })
    })

  const keepServing = async (): Promise<void> => {
    while (await serve());
  }
  await Promise.all(Array.from({ length: jobs }, keepServing))
}
