/** What the simulation prints. */
import * as Coverage from "../../src/testing/simulation/coverage.ts"
import type { WorldReport } from "../../src/testing/simulation/Simulation.ts"

/** From so many worlds on every fault, transition and recovery must have been seen. */
const enoughWorlds = 400

export class Totals {
  readonly #counts: Record<string, number> = {}
  readonly failed: Array<WorldReport> = []
  worlds = 0
  virtualMillis = 0
  slowestSettling = 0

  add(report: WorldReport): void {
    this.worlds++
    this.virtualMillis += report.virtualMillis
    this.slowestSettling = Math.max(this.slowestSettling, report.settledAfter)
    for (const [name, count] of Object.entries(report.counts)) this.#counts[name] = (this.#counts[name] ?? 0) + count
    if (report.violations.length > 0) this.failed.push(report)
  }

  /** What no world has seen although there were enough of them. */
  get unseen(): ReadonlyArray<string> {
    if (this.worlds < enoughWorlds) return []
    return [...Coverage.faults, ...Coverage.transitions, ...Coverage.recoveries].filter((name) =>
      this.#counts[name] === undefined || this.#counts[name] === 0
    )
  }

  /** Three columns of counts. */
  table(): string {
    const columns = [["fault", Coverage.faults], ["transition", Coverage.transitions], [
      "recovery",
      Coverage.recoveries
    ]] as const
    const cell = (name: string, count: string | number) => `${name.padEnd(28)}${String(count).padStart(9)}   `
    const lines = [columns.map(([title]) => cell(title, "count")).join("")]
    for (let i = 0; i < Math.max(...columns.map(([, names]) => names.length)); i++) {
      lines.push(
        columns.map(([, names]) => {
          const name = names[i]
          return name === undefined ? cell("", "") : cell(name, this.#counts[name] ?? 0)
        }).join("").trimEnd()
      )
    }
    return lines.join("\n")
  }
}

/** A failed world: the line that replays it, and what did not hold. */
export const failure = ({ seed, violations }: WorldReport): string =>
  [`npm run simulate -- --seed ${seed}`, ...violations.slice(0, 5).map((violation) => `  ${violation}`)].join("\n")
