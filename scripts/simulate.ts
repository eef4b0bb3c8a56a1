/**
 * `npm run simulate`: worlds of several relays and nodes, in memory and in virtual time, with random faults, one for each seed; what must hold
 * is in docs/testing.md. Exit code 1 when something did not hold, or when many worlds have not seen everything; 2 for wrong usage.
 */
import * as Effect from "effect/Effect"
import { readFileSync } from "node:fs"
import * as ToxCryptoAuto from "../src/layers/ToxCryptoAuto.ts"
import * as Simulation from "../src/testing/simulation/Simulation.ts"
import * as Options from "./simulate/options.ts"
import * as Pool from "./simulate/pool.ts"
import { failure, Totals } from "./simulate/report.ts"

const options = Options.parse(process.argv.slice(2))
if (typeof options === "string") {
  process.stderr.write(`${options}\n${Options.usage}`)
  process.exit(2)
}
const { bugs, jobs, seed, seeds, trace, withRegressions } = options

/** Seeds from the first on, as many as asked for. */
const numbers = Array.from({ length: seeds }, (_, i) => seed + i)
const regressions: ReadonlyArray<{ readonly seed: number }> = JSON.parse(
  readFileSync(new URL("../test/simulation/seeds.json", import.meta.url), "utf8")
)

/** One world in this process, with everything that happens in it. */
const replay = async (): Promise<void> => {
  const report = await Effect.runPromise(
    Effect.provide(Simulation.run(seed, (line) => console.log(line)), ToxCryptoAuto.layer)
  )
  console.log(report.violations.length === 0 ? `nothing is wrong, ${report.hash}` : failure(report))
  process.exitCode = report.violations.length === 0 ? 0 : 1
}

const simulate = async (): Promise<void> => {
  const started = performance.now()
  const totals = new Totals()
  const all = withRegressions ? new Set([...regressions.map((known) => known.seed), ...numbers]) : numbers
  await Pool.run({
    seeds: all,
    jobs,
    bug: undefined,
    onReport: (report) => {
      totals.add(report)
      if (report.violations.length > 0) console.log(failure(report))
      else if (seeds === 1) console.log(`seed ${report.seed}: nothing is wrong, ${report.hash}`)
      return false
    }
  })
  const seconds = (performance.now() - started) / 1_000
  const { failed, slowestSettling, unseen, virtualMillis, worlds } = totals
  console.log(`\n${totals.table()}\n`)
  console.log(
    `${worlds} worlds and ${Math.round(virtualMillis / 60_000)} virtual minutes in ${seconds.toFixed(1)} s: ` +
      `${(worlds / seconds).toFixed(1)} worlds/s; well again after ${
        slowestSettling / 1_000
      } s at most; ${failed.length} failed`
  )
  for (const name of unseen) console.log(`NEVER SEEN: ${name}`)
  process.exitCode = failed.length > 0 || unseen.length > 0 ? 1 : 0
}

/** Whether the seed fails without any planted mistake: then it proves nothing about one. */
const failsAnyway = async (suspect: number): Promise<boolean> => {
  const report = await Effect.runPromise(Effect.provide(Simulation.run(suspect), ToxCryptoAuto.layer))
  return report.violations.length > 0
}

/** Plants one mistake and looks for it; whether it was found. */
const hunt = async (bug: string): Promise<boolean> => {
  let left: ReadonlyArray<number> = numbers
  while (left.length > 0) {
    let found: Simulation.WorldReport | undefined
    const clean = new Set<number>()
    await Pool.run({
      seeds: left,
      jobs,
      bug,
      onReport: (report) => {
        if (report.violations.length === 0) clean.add(report.seed)
        else found ??= report
        return found !== undefined
      }
    })
    const { seed: suspect, violations } = found ?? {}
    if (suspect === undefined) break
    if (!await failsAnyway(suspect)) {
      console.log(`${bug}: found with seed ${suspect}\n  ${violations?.[0]}`)
      return true
    }
    console.log(`${bug}: seed ${suspect} fails without it as well`)
    left = left.filter((number) => number !== suspect && !clean.has(number))
  }
  console.log(`${bug}: NOT FOUND in ${seeds} worlds`)
  return false
}

if (trace) await replay()
else if (bugs.length === 0) await simulate()
else {
  let missed = 0
  for (const bug of bugs) if (!await hunt(bug)) missed++
  process.exitCode = missed > 0 ? 1 : 0
}
