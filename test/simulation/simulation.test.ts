/** A few simulated worlds with every run of the tests; `npm run simulate` runs as many as you like. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as ToxCryptoNative from "../../src/layers/ToxCryptoNative.ts"
import * as ToxCryptoWasm from "../../src/layers/ToxCryptoWasm.ts"
import * as Simulation from "../../src/testing/simulation/Simulation.ts"
import seeds from "./seeds.json" with { type: "json" }

/** Runs these worlds and returns what did not hold, with the seed. */
const violationsOf = (numbers: ReadonlyArray<number>) =>
  Effect.map(
    Effect.forEach(numbers, (seed) => Simulation.run(seed)),
    (reports) => reports.flatMap(({ seed, violations }) => violations.map((violation) => `seed ${seed}: ${violation}`))
  ).pipe(Effect.provide(ToxCryptoNative.layer))

describe("Simulation", () => {
  const first = Array.from({ length: 40 }, (_, i) => 1_001 + i)
  it.live(
    "T03, T30, C03, I12, I13, I24: I1 to I5 hold in forty worlds, also while peers sleep and where sessions outlive their links, " +
      "and all of them are well again within 30 s",
    () => Effect.map(violationsOf(first), (violations) => assert.deepStrictEqual(violations, [])),
    60_000
  )

  it.live(
    "seeds that once failed",
    () =>
      Effect.map(violationsOf(seeds.map(({ seed }) => seed)), (violations) => assert.deepStrictEqual(violations, [])),
    30_000
  )

  it.live.each([{ seed: 7, next: 8, of: "packets" }, { seed: 11, next: 13, of: "sessions" }])(
    "a seed of $of gives the same trace again, also with the other cryptography; another seed another one",
    ({ next, seed }) =>
      Effect.gen(function*() {
        const lines: Array<string> = []
        const once = yield* Effect.provide(Simulation.run(seed, (line) => lines.push(line)), ToxCryptoNative.layer)
        const again = yield* Effect.provide(Simulation.run(seed), ToxCryptoWasm.layer)
        const other = yield* Effect.provide(Simulation.run(next), ToxCryptoNative.layer)
        assert.strictEqual(again.hash, once.hash)
        assert.deepStrictEqual(again.counts, once.counts)
        assert.notStrictEqual(other.hash, once.hash)
        assert.isAbove(lines.length, 100)
      }),
    30_000
  )
})
