/** What net_crypto says of relays that work, over ways with loss and latency (row T33): nothing bad, however long. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { join, node, numbered, numberOf } from "../utils/cryptoNode.ts"
import * as FakeWire from "../utils/FakeWire.ts"

describe("healthy relays", () => {
  for (const seed of [1, 2]) {
    it.effect(
      `T33: with 300 ms and 1 % loss none is suspected in an hour (seed ${seed})`,
      () =>
        Effect.gen(function*() {
          const wire = yield* FakeWire.make({ relays: 4, seed })
          wire.records = false
          wire.conditions.latency = 150
          const a = yield* node(wire, 1, 65)
          const b = yield* node(wire, 33, 97)
          const ends = yield* join(a, b)
          wire.conditions.loss = 0.01
          for (const [from, to] of [[a, b], [b, a]] as const) wire.direction(from.at, to.at).loss = 0.01
          let sent = 0
          for (let passed = 0; passed < 3_600_000; passed += 2_000) {
            const burst = passed % 60_000 === 0 ? 100 : 1
            for (let i = 0; i < burst; i++) if (ends.a.connection.trySend(numbered(sent))) sent++
            yield* TestClock.adjust(2_000)
          }
          yield* TestClock.adjust(10_000)
          assert.deepStrictEqual(ends.b.lossless.map(numberOf), Array.from({ length: sent }, (_, i) => i))
          for (const { at } of [a, b]) {
            const [path] = [...at.paths.values()]
            assert.strictEqual(path!.moves, 0)
            // Each of the three standbys has been asked in each of 120 half minutes.
            assert.isAbove(path!.verdicts.length, 350)
            assert.deepStrictEqual(path!.verdicts.filter(({ delivered }) => !delivered), [])
          }
        }),
      30_000
    )
  }
})
