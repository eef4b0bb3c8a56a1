/**
 * `node scripts/fuzz.ts`: feeds valid, damaged and random bytes to what reads the bytes of a peer, and looks for exceptions, for inputs that
 * take long, and for answers that contradict each other. An input that fails is printed as hex; `--input` runs it again. Exit code 1 when
 * one failed, 2 for wrong usage.
 */
import { Dice } from "../src/testing/simulation/Dice.ts"
import { hex, unhex } from "../test/vectors/vectors.ts"
import * as Options from "./fuzz/options.ts"
import { loadTarget, type Target, type Verdict } from "./fuzz/targets.ts"

const options = Options.parse(process.argv.slice(2))
if (typeof options === "string") {
  process.stderr.write(`${options}\n${Options.usage}`)
  process.exit(2)
}
const { input, runs, seed, targets } = options

/** A target that fails so often has said enough. */
const maxFailures = 10
/** Milliseconds one input may take. The inputs are short; on a busy machine this still only happens to a loop. */
const slow = 2_000

const judge = (target: Target, bytes: Uint8Array): Verdict => {
  try {
    return target.judge(bytes)
  } catch (error) {
    return { refused: false, wrong: `threw ${error instanceof Error ? error.stack : String(error)}` }
  }
}

/** Whether nothing was wrong. */
const fuzz = (name: string, target: Target): boolean => {
  const dice = new Dice(seed)
  const started = performance.now()
  let run = 0
  let refused = 0
  let failures = 0
  let slowest = 0
  while (run < runs && failures < maxFailures) {
    const bytes = target.generate(dice)
    const begun = performance.now()
    const verdict = judge(target, bytes)
    const taken = performance.now() - begun
    const wrong = verdict.wrong ?? (taken > slow ? `took ${Math.round(taken)} ms` : undefined)
    slowest = Math.max(slowest, taken)
    run++
    if (verdict.refused) refused++
    if (wrong === undefined) continue
    failures++
    console.log(`${name}: input ${run}: ${wrong}\n  node scripts/fuzz.ts ${name} --input ${hex(bytes)}`)
  }
  const seconds = (performance.now() - started) / 1_000
  console.log(
    `${name}: ${run} inputs, ${run - refused} taken, ${refused} refused, ${failures} failed; ` +
      `${seconds.toFixed(1)} s, slowest ${slowest.toFixed(1)} ms`
  )
  return failures === 0
}

/** One input that failed before. */
const replay = (name: string, target: Target, text: string): boolean => {
  const { refused, wrong } = judge(target, unhex(text))
  console.log(`${name}: ${wrong ?? (refused ? "refused" : "taken")}`)
  return wrong === undefined
}

let isWell = true
for (const name of targets) {
  const target = await loadTarget[name]()
  const passed = input === undefined ? fuzz(name, target) : replay(name, target, input)
  isWell &&= passed
}
process.exitCode = isWell ? 0 : 1
