/** Which relays a call is made over, and on which the callee looks for its caller: whole nodes over real registries and relays. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import * as RelayTransportMemory from "../../src/testing/RelayTransportMemory.ts"
import { type End, numbered, numberOf } from "../utils/cryptoNode.ts"
import { hostOf } from "../utils/memoryNodes.ts"
import { connect, startNode, startRelay } from "../utils/relayedNodes.ts"

const hosts = (...numbers: ReadonlyArray<number>) => numbers.map(hostOf)
const tied = ({ connection }: End) => connection.paths().map(({ relay }) => relay.host).toSorted()
const online = ({ connection }: End) =>
  connection.paths().filter((path) => path.online).map(({ relay }) => relay.host).toSorted()

/** The caller's own relay is 5, the callee's are 1 to 3. */
const stage = Effect.gen(function*() {
  const relays = yield* Effect.forEach([1, 2, 3, 4, 5], startRelay)
  const a = yield* startNode(1, relays.slice(4))
  const b = yield* startNode(2, relays.slice(0, 3))
  yield* TestClock.adjust(1_000)
  return { a, b, relays }
})

const provide = Effect.provide(RelayTransportMemory.layer)

describe("NetCryptoLive and the relays of a call", () => {
  it.effect("T07: the relays of the ticket, which are none of our own, lead to the peer, and it is online on all of them", () =>
    Effect.gen(function*() {
      const { a, b, relays } = yield* stage
      assert.deepStrictEqual(yield* a.connectedTo, hosts(5))
      const { far, near } = yield* connect(a, b, relays.slice(0, 3))
      assert.deepStrictEqual(tied(near), hosts(1, 2, 3))
      near.connection.trySend(numbered(0))
      yield* TestClock.adjust(5_000)
      assert.deepStrictEqual(online(near), hosts(1, 2, 3))
      assert.deepStrictEqual(far.lossless.map(numberOf), [0])
    }).pipe(provide))

  it.effect("T08: the callee looks for its caller on all relays of its own, whichever of them the call came by", () =>
    Effect.gen(function*() {
      const { a, b, relays } = yield* stage
      const { far, near } = yield* connect(a, b, relays.slice(0, 1))
      yield* TestClock.adjust(5_000)
      assert.deepStrictEqual([tied(far), online(far), online(near)], [hosts(1, 2, 3), hosts(1), hosts(1)])
      // The caller learns of another one: the callee is there for it already.
      const { dht, identity } = b.keys
      yield* a.netCrypto.connect({
        identityKey: identity.publicKey,
        dhtKey: dht.publicKey,
        relays: [relays[1]!.address]
      })
      yield* TestClock.adjust(5_000)
      assert.deepStrictEqual([online(near), online(far)], [hosts(1, 2), hosts(1, 2)])
    }).pipe(provide))
})
