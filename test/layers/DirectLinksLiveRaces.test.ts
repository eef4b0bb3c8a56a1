import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import * as FastCheck from "fast-check"
import { MemoryNetwork } from "../../src/testing/MemoryNetwork.ts"
import { assertJoined, attemptOf, expectBoth, inNetwork, meet, meetAndBegin, pair } from "../utils/directNodes.ts"

const attempt = attemptOf(7)

describe("DirectLinksLive: both dial at once", () => {
  /** How long a piece takes from each machine to the other, and when the lower dials. */
  const timing = FastCheck.record({
    toLower: FastCheck.nat(400),
    toGreater: FastCheck.nat(400),
    jitter: FastCheck.nat(300),
    delay: FastCheck.nat(900),
    late: FastCheck.nat(500),
    streams: FastCheck.integer({ min: 1, max: 3 })
  })

  const meetings = FastCheck.sample(timing, { numRuns: 150, seed: 4 })
  it.effect("M15: whatever the delays, exactly one connection a stream survives, the same on both sides", () =>
    Effect.gen(function*() {
      const winners = new Set<string>()
      for (const { delay, jitter, late, streams, toGreater, toLower } of meetings) {
        yield* inNetwork(Effect.gen(function*() {
          const numbers = { parallelism: streams, lowerDialDelay: delay }
          const { greater, lower } = yield* pair({ greater: { numbers }, lower: { numbers } })
          const network = yield* MemoryNetwork
          network.conditions(lower.endpoint, { latency: toLower, jitter })
          network.conditions(greater.endpoint, { latency: toGreater, jitter })
          yield* expectBoth(greater, lower, attempt)
          const theirs = yield* meet(lower, greater, attempt, "peer")
          yield* TestClock.adjust(late)
          const mine = yield* meetAndBegin(greater, lower, attempt)
          yield* TestClock.adjust(9_000)
          const [one, other] = [yield* Fiber.join(mine), yield* Fiber.join(theirs)]
          winners.add(one.roles.join())
          assert.strictEqual(one.streams.length, streams)
          yield* assertJoined(one, other)
          assert.strictEqual(network.connections().length, streams)
        }))
      }
      assert.includeMembers([...winners], ["dialled", "accepted"])
    }))
})
