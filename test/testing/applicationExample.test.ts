import { assert, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import {
  ConnectionRegistry,
  ConnectionRegistryLive,
  generateKeyPair,
  Identity,
  IdentityFresh,
  NetCrypto,
  NetCryptoBridgeLive,
  NetCryptoLive,
  type RelayAddress,
  RelayClientLive,
  RelayServer,
  RelayServerLive,
  ToxCryptoWasm
} from "../../src/index.ts"
import { EntropySeeded, MemoryNetwork, RelayTransportMemory } from "../../src/testing/index.ts"

// A relay at `host`, and a node on a machine of its own. The seed makes their keys.
const startRelay = Effect.fnUntraced(function*(host: string, seed: number) {
  const relay = Layer.unwrap(
    Effect.map(generateKeyPair, (keyPair) => RelayServerLive.layer({ host, port: 443, keyPair }))
  )
  const context = yield* relay.pipe(
    Layer.provide(RelayTransportMemory.transportOf(host)),
    Layer.provide(EntropySeeded.layer(seed)),
    Layer.fresh,
    Layer.build
  )
  return Context.get(context, RelayServer).address
})
const startNode = Effect.fnUntraced(function*(machine: string, seed: number, relays: ReadonlyArray<RelayAddress>) {
  const context = yield* NetCryptoLive.layer.pipe(
    Layer.provide(NetCryptoBridgeLive.layer),
    Layer.provideMerge(ConnectionRegistryLive.layer),
    Layer.provide(RelayClientLive.layer),
    Layer.provideMerge(IdentityFresh.layer),
    Layer.provide(RelayTransportMemory.transportOf(machine)),
    Layer.provide(EntropySeeded.layer(seed)),
    Layer.fresh,
    Layer.build
  )
  for (const relay of relays) yield* Context.get(context, ConnectionRegistry).addRelay(relay)
  const { dht, identity } = Context.get(context, Identity)
  const address = { identityKey: identity.publicKey, dhtKey: dht.publicKey, relays }
  return { netCrypto: Context.get(context, NetCrypto), address }
})

const cutCable = Effect.gen(function*() {
  const network = yield* MemoryNetwork
  const relays = [yield* startRelay("one.test", 1), yield* startRelay("two.test", 2)]
  for (const relay of relays) network.conditions(relay, { latency: "20 millis", jitter: "5 millis" })
  const alice = yield* startNode("alice", 3, relays)
  const bob = yield* startNode("bob", 4, relays)
  yield* bob.netCrypto.setAcceptPolicy(() => true)

  const accepting = yield* Effect.forkScoped(bob.netCrypto.accept)
  const calling = yield* Effect.forkScoped(alice.netCrypto.connect(bob.address))
  // Nothing moves unless the test moves the clock.
  yield* TestClock.adjust("3 seconds")
  const [atAlice, atBob] = [yield* Fiber.join(calling), yield* Fiber.join(accepting)]
  const received: Array<number> = []
  atBob.handle({
    onLossless: (payload) => received.push(payload[1]!),
    onLossy: () => {},
    onWritable: () => {},
    onClosed: () => {}
  })
  atAlice.trySend(Uint8Array.of(160, 1))
  yield* TestClock.adjust("100 millis")
  assert.deepStrictEqual(received, [1])

  // Both cables are cut, and one of them is mended.
  for (const relay of relays) network.conditions(relay, { frozen: true })
  atAlice.trySend(Uint8Array.of(160, 2))
  yield* TestClock.adjust("5 seconds")
  assert.deepStrictEqual(received, [1])
  network.conditions(relays[1]!, { frozen: false })
  yield* TestClock.adjust("5 seconds")
  assert.deepStrictEqual(received, [1, 2])
})

it.effect("a message waits for the first relay that can be reached again", () =>
  // The scope is closed before the layers: relays and nodes end while they still have a network.
  Effect.scoped(cutCable).pipe(
    Effect.provide(Layer.merge(RelayTransportMemory.network({ seed: 7 }), ToxCryptoWasm.layer))
  ))
