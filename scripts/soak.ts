/**
 * `npm run soak`: many sessions at once over three relays, while the relay that carries them is killed again and again and the whole link is
 * torn down. Exit code 1 when a stream did not arrive as it was written, a session failed or something was left; 2 for wrong usage.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { parseArgs } from "node:util"
import * as Soak from "./soak/soak.ts"

const usage = `usage: npm run soak -- [options]
  --seed S       the same sessions for the same seed (default 1)
  --sessions N   how many (default 1000)
  --seconds T    how long there are faults (default 30)
  --kill MS      the relay that carries is killed so often (default 1000)
  --tears N      how often the link is torn down (default 5)
`

/** Undefined: not a number, or too small. */
const number = (text: string): number | undefined => /^[0-9]{1,9}$/.test(text) ? Number(text) : undefined

const parse = (args: ReadonlyArray<string>): Soak.SoakOptions | string => {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        seed: { type: "string", default: "1" },
        sessions: { type: "string", default: "1000" },
        seconds: { type: "string", default: "30" },
        kill: { type: "string", default: "1000" },
        tears: { type: "string", default: "5" }
      }
    })
    const [seed, sessions, seconds, killInterval, tears] = [
      number(values.seed),
      number(values.sessions),
      number(values.seconds),
      number(values.kill),
      number(values.tears)
    ]
    if (seed === undefined || tears === undefined) return "a seed and a number of tears are whole numbers"
    if (!sessions || !seconds || !killInterval) return "sessions, seconds and the time between kills are counted from 1"
    return { seed, sessions, duration: seconds * 1_000, killInterval, tears, patience: 90_000 }
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

const options = parse(process.argv.slice(2))
if (typeof options === "string") {
  process.stderr.write(`${options}\n${usage}`)
  process.exit(2)
}

// An interrupted run still ends its relays.
const interruption = new AbortController()
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => interruption.abort())

const exit = await Effect.runPromiseExit(Soak.run(options, (line) => console.log(line)), {
  signal: interruption.signal
})
if (Exit.isFailure(exit)) {
  process.stderr.write(`${Cause.pretty(exit.cause)}\n`)
  process.exit(interruption.signal.aborted ? 130 : 1)
}
const { bytes, kills, links, tears, took, wrong } = exit.value
for (const line of wrong.slice(0, 50)) console.log(`WRONG: ${line}`)
console.log(
  `${options.sessions} sessions, ${(bytes / 1e6).toFixed(1)} MB in ${
    (took / 1_000).toFixed(1)
  } s; ${kills} relays killed, ` +
    `${tears} links torn, ${links} links in all; ` +
    (wrong.length === 0 ? "every stream arrived as it was written" : `${wrong.length} things are wrong`)
)
process.exitCode = wrong.length === 0 ? 0 : 1
