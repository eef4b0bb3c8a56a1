/** The relay client over real TCP against our own relay. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as EntropyLive from "../../src/layers/EntropyLive.ts"
import * as RelayServerLive from "../../src/layers/RelayServerLive.ts"
import * as RelayTransportNode from "../../src/layers/RelayTransportNode.ts"
import * as ToxCryptoAuto from "../../src/layers/ToxCryptoAuto.ts"
import { RelayServer } from "../../src/services/RelayServer.ts"
import * as LoopTime from "../utils/loopTime.ts"
import { keyPairFrom } from "../utils/plainCrypto.ts"
import { echo, flood, relayPair } from "../utils/relayPair.ts"

const server = RelayServerLive.layer({ host: "127.0.0.1", port: 0, keyPair: keyPairFrom(0x01) }).pipe(
  Layer.provide([RelayTransportNode.layer, EntropyLive.layer, ToxCryptoAuto.layer])
)

describe("the relay client over TCP", () => {
  it.live("recognises our relay, carries a burst of 28 MB through it, and stays responsive", () =>
    Effect.gen(function*() {
      const now = yield* LoopTime.make
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(server, scope)
      const { a, b } = yield* relayPair(Context.get(context, RelayServer).address)
      assert.isTrue(a.link.isCauseway)
      yield* echo(a, b, now)
      assert.strictEqual(b.packets, 1)
      yield* flood(a, 20_000)
      assert.isBelow(yield* echo(a, b, now), 1_000)
      assert.isAbove(b.bytes, 1_000_000)
      assert.isUndefined(a.link.stuckSince())
      const roundTrip = a.link.roundTrip()
      assert.isTrue(roundTrip !== undefined && roundTrip < 1_000)

      const stopped = now()
      yield* Effect.forkChild(Scope.close(scope, Exit.void))
      const lost = yield* Deferred.await(a.lost)
      assert.strictEqual(lost.reason._tag, "RelayClosed")
      assert.isBelow(now() - stopped, 500)
    }))
})
