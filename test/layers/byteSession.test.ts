import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { peerPair } from "../utils/sessionPair.ts"

describe("a session of bytes", () => {
  it.effect("I25: a peer that has used up its credit with frames without bytes gets it back", () =>
    Effect.gen(function*() {
      const { a, b } = yield* peerPair()
      const [atA, atB] = yield* Effect.all(
        [a.peer.openValues("empty"), Effect.flatMap(b.peer.accept, (offer) => offer.bytes)],
        { concurrency: "unbounded" }
      )
      const empty = { _tag: "Bytes", bytes: new Uint8Array(0) } as const
      yield* atA.sendAll(Array.from({ length: 8_000 }, () => empty))
      yield* atA.sendAll([{ _tag: "Bytes", bytes: Uint8Array.of(7) }])
      // What was received has been told of before anybody reads.
      for (let i = 0; i < 10; i++) yield* TestClock.adjust(100)
      const reading = yield* Effect.forkChild(atB.read)
      for (let i = 0; i < 10; i++) yield* TestClock.adjust(100)
      assert.deepStrictEqual(yield* Fiber.join(reading), [Uint8Array.of(7)])
    }))
})
