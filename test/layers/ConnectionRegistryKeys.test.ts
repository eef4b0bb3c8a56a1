/** A peer whose identity is reached by another DHT key than before: whole nodes over real relays, and calls under a key that is stale. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { equalBytes } from "../../src/schema/Bytes.ts"
import type { RelayAddress } from "../../src/schema/RelayAddress.ts"
import { ConnectionRegistry, type RegistryEvent } from "../../src/services/ConnectionRegistry.ts"
import { NetCrypto } from "../../src/services/NetCrypto.ts"
import { MemoryNetwork } from "../../src/testing/MemoryNetwork.ts"
import * as RelayTransportMemory from "../../src/testing/RelayTransportMemory.ts"
import { collect, forkNow, join, node, numbered, numberOf, within } from "../utils/cryptoNode.ts"
import * as FakeWire from "../utils/FakeWire.ts"
import { buildNodeOf } from "../utils/memoryNodes.ts"
import { keyPairFrom } from "../utils/plainCrypto.ts"
import { startRelay } from "../utils/registryNodes.ts"

const port = 33_445

/** A whole node whose secret keys are 32 consecutive values from these two. */
const wholeNode = Effect.fnUntraced(
  function*(name: string, identity: number, dht: number, own: ReadonlyArray<RelayAddress>) {
    const keys = { identity: keyPairFrom(identity), dht: keyPairFrom(dht) }
    const context = yield* buildNodeOf(keys, name, identity * 256 + dht)
    const registry = Context.get(context, ConnectionRegistry)
    const events: Array<RegistryEvent> = []
    yield* Effect.forkScoped(Stream.runForEach(registry.events, (event) => Effect.sync(() => events.push(event))))
    yield* TestClock.adjust(0)
    const netCrypto = Context.get(context, NetCrypto)
    yield* netCrypto.setAcceptPolicy(() => true)
    for (const relay of own) yield* registry.addRelay(relay)
    return {
      registry,
      events,
      netCrypto,
      keys,
      address: (relays: ReadonlyArray<RelayAddress>) => ({
        identityKey: keys.identity.publicKey,
        dhtKey: keys.dht.publicKey,
        relays
      })
    }
  }
)

describe("a peer that comes back with another DHT key", () => {
  it.effect("F8, T06: the relays of its old path serve the new one, and nothing of the old one is left", () =>
    Effect.gen(function*() {
      const network = yield* MemoryNetwork
      const relays = yield* Effect.forEach(
        [1, 2, 3],
        (n) => startRelay(network.transport(`relay-${n}.test`), n, `relay-${n}.test`, port)
      )
      const [one, two, three] = relays.map(({ address }) => address)
      const a = yield* wholeNode("a", 1, 65, [three!])
      const b = yield* wholeNode("b", 33, 97, [one!, two!])
      yield* TestClock.adjust(1_000)
      const accepting = yield* forkNow(b.netCrypto.accept)
      const calling = yield* forkNow(a.netCrypto.connect(b.address([one!, two!])))
      const old = collect(yield* within(calling, 9_000))
      yield* within(accepting, 9_000)
      yield* TestClock.adjust(15_000)

      const again = yield* wholeNode("again", 33, 129, [one!, two!])
      yield* TestClock.adjust(1_000)
      const answering = yield* forkNow(a.netCrypto.accept)
      const recalling = yield* forkNow(again.netCrypto.connect(a.address([three!])))
      const from = collect(yield* within(recalling, 9_000))
      const to = collect(yield* within(answering, 9_000))
      assert.deepStrictEqual(old.errors.map(({ reason }) => reason._tag), ["PeerRestarted"])
      assert.deepStrictEqual(to.connection.dhtKey, again.keys.dht.publicKey)
      from.connection.trySend(numbered(1))
      yield* TestClock.adjust(2_000)
      assert.deepStrictEqual(to.lossless.map(numberOf), [1])
      const statuses = yield* a.registry.relays
      assert.deepStrictEqual(
        statuses.map(({ relay, tied }) => `${relay.host} ${tied}`).toSorted(),
        ["relay-1.test 1", "relay-2.test 1", "relay-3.test 1"]
      )
      const spells = (tag: RegistryEvent["_tag"]) =>
        a.events.filter((event) =>
          event._tag === tag && "peer" in event && equalBytes(event.peer, b.keys.dht.publicKey)
        ).length
      assert.isAbove(spells("PeerOnline"), 0)
      assert.strictEqual(spells("PeerOffline"), spells("PeerOnline"))
    }).pipe(Effect.scoped, Effect.provide(RelayTransportMemory.layer)))

  it.effect("T05: a call under a stale key is made anew under the one that the application has learned, for all who wait", () =>
    Effect.gen(function*() {
      const wire = yield* FakeWire.make()
      const a = yield* node(wire, 1, 65)
      const gone = yield* node(wire, 33, 97)
      yield* gone.crash
      const b = yield* node(wire, 33, 98, { seed: 2 })
      const first = yield* forkNow(a.netCrypto.connect(gone.address))
      yield* TestClock.adjust(1_500)
      assert.isUndefined(first.pollUnsafe())
      const second = yield* forkNow(a.netCrypto.connect(b.address))
      const [one, two] = yield* within(yield* forkNow(Effect.all([Fiber.join(first), Fiber.join(second)])), 1_000)
      assert.strictEqual(one, two)
      assert.deepStrictEqual(one.dhtKey, b.address.dhtKey)
      assert.strictEqual(a.at.paths.size, 1)
    }).pipe(Effect.scoped))

  it.effect("T05: such a call is given up when the last who waits for it is gone, whatever key that one had", () =>
    Effect.gen(function*() {
      const wire = yield* FakeWire.make()
      const a = yield* node(wire, 1, 65)
      const gone = yield* node(wire, 33, 97)
      yield* gone.crash
      const other = yield* node(wire, 33, 98, { seed: 2 })
      yield* other.crash
      const first = yield* forkNow(a.netCrypto.connect(gone.address))
      yield* TestClock.adjust(500)
      const second = yield* forkNow(a.netCrypto.connect(other.address))
      yield* TestClock.adjust(500)
      yield* Fiber.interrupt(second)
      assert.strictEqual(a.at.paths.size, 1)
      yield* Fiber.interrupt(first)
      assert.strictEqual(a.at.paths.size, 0)
    }).pipe(Effect.scoped))

  it.effect("F8: a stale key does not disturb a session that works", () =>
    Effect.gen(function*() {
      const wire = yield* FakeWire.make()
      const a = yield* node(wire, 1, 65)
      const b = yield* node(wire, 33, 98)
      const { a: end } = yield* join(a, b, 500)
      const stale = { ...b.address, dhtKey: keyPairFrom(97).publicKey }
      const same = yield* within(yield* forkNow(a.netCrypto.connect(stale)), 100)
      assert.strictEqual(same, end.connection)
      yield* TestClock.adjust(2_000)
      assert.deepStrictEqual([end.errors.length, a.at.paths.size], [0, 1])
    }).pipe(Effect.scoped))
})
