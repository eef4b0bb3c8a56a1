/** The relay client against tox-bootstrapd, the stock relay. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { parseRelayAddress } from "../../src/schema/RelayAddress.ts"
import * as LoopTime from "../utils/loopTime.ts"
import { echo, flood, relayPair } from "../utils/relayPair.ts"
import * as Reference from "./referencePrograms.ts"

describe("the relay client on tox-bootstrapd", () => {
  it.live("F1: 28 MB in one go do not wedge it, and its kill is noticed at once", () =>
    Effect.gen(function*() {
      const now = yield* LoopTime.make
      const relay = yield* Reference.relay(21_111)
      const { a, b } = yield* relayPair(Result.getOrThrow(parseRelayAddress(relay.address)))
      assert.isFalse(a.link.isCauseway)
      yield* echo(a, b, now)
      assert.strictEqual(b.packets, 1)
      yield* flood(a, 20_000)
      assert.isBelow(yield* echo(a, b, now), 1_000)
      assert.isAbove(b.bytes, 1_000_000)

      const killed = now()
      yield* relay.kill
      const lost = yield* Deferred.await(a.lost)
      assert.strictEqual(lost.reason._tag, "RelayClosed")
      assert.isTrue(lost.wasConfirmed)
      assert.isBelow(now() - killed, 500)
      // The fixture kills its relay when the test ends, and expects it to run.
      yield* relay.restart
    }))
})
