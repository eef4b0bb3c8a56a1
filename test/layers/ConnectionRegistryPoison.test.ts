/** The layer's part against hostile relays and peers: dials that fail, floods of events, settings; and relays that move. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as ConnectionRegistryLive from "../../src/layers/ConnectionRegistryLive.ts"
import type { PeerPathEvents } from "../../src/protocol/registry/PeerPath.ts"
import { ConnectionRegistry, type RegistryEvent } from "../../src/services/ConnectionRegistry.ts"
import { type RegistryNumbers, RegistrySettings } from "../../src/services/RegistrySettings.ts"
import { MemoryNetwork } from "../../src/testing/MemoryNetwork.ts"
import * as RelayTransportMemory from "../../src/testing/RelayTransportMemory.ts"
import { node } from "../utils/cryptoNode.ts"
import { fakeRelayClient, FakeRelays, key, relayAt } from "../utils/FakeLinks.ts"
import * as FakeWire from "../utils/FakeWire.ts"
import { openPath, send, startNode, startRelay } from "../utils/registryNodes.ts"

const settle = TestClock.adjust(0)
const silent: PeerPathEvents = { onPacket: () => {}, onCarrierChange: () => {}, onWritable: () => {} }
const port = 33_445

/** A registry over scripted relays. */
const start = Effect.fnUntraced(function*(numbers: Partial<RegistryNumbers> = {}) {
  const relays = new FakeRelays()
  const scope = yield* Scope.make()
  yield* Effect.addFinalizer(() => Scope.close(scope, Exit.void))
  const context = yield* Layer.buildWithScope(
    ConnectionRegistryLive.layer.pipe(
      Layer.provide(fakeRelayClient(relays)),
      Layer.provide(Layer.succeed(RegistrySettings)({ ...(yield* RegistrySettings), ...numbers }))
    ),
    scope
  )
  return { registry: Context.get(context, ConnectionRegistry), relays, close: Scope.close(scope, Exit.void) }
})

/** A registry over real relay clients, and how often each of its addresses is dialled. */
const startReal = Effect.gen(function*() {
  const network = yield* MemoryNetwork
  const transport = network.transport("node")
  const dials = new Map<string, number>()
  const registryNode = yield* startNode({
    ...transport,
    connect: (relay) => {
      dials.set(relay.host, (dials.get(relay.host) ?? 0) + 1)
      return transport.connect(relay)
    }
  }, 1)
  return { node: registryNode, dials, network }
})

const provide = Effect.provide(RelayTransportMemory.layer)

describe("ConnectionRegistryLive against poisoned lists", () => {
  it.effect("poisoned lists: an address where nobody listens is dialled once a minute, one that the user named without end", () =>
    Effect.gen(function*() {
      const { dials, node: { registry } } = yield* startReal
      const told = { ...relayAt(1), host: "8.8.8.8" }
      const typed = { ...relayAt(2), host: "127.0.0.1" }
      const path = registry.openPeer(key(1), silent)
      path.tie(typed)
      yield* registry.addPeerRelays(key(1), [told])
      yield* TestClock.adjust(59_000)
      assert.strictEqual(dials.get(told.host), 1)
      assert.isAbove(dials.get(typed.host)!, 10)
      const states = (yield* registry.relays).map(({ relay, state }) => `${relay.host} ${state._tag}`)
      assert.include(states, `${told.host} Sleeping`)
      yield* TestClock.adjust(2_000)
      assert.strictEqual(dials.get(told.host), 2)
    }).pipe(Effect.scoped, provide))

  it.effect("poisoned lists: private addresses are refused and counted; the setting lets them in", () =>
    Effect.gen(function*() {
      for (const allowPrivate of [false, true]) {
        const { registry, relays } = yield* start({ allowPrivate })
        registry.openPeer(key(1), silent)
        yield* registry.addPeerRelays(key(1), [relayAt(1), { ...relayAt(2), host: "::ffff:10.0.0.1" }])
        yield* settle
        assert.strictEqual(relays.kept.length, allowPrivate ? 2 : 0)
        assert.strictEqual((yield* registry.counts).refusedRelays, allowPrivate ? 0 : 2)
      }
    }).pipe(Effect.scoped))

  it.effect("T10, poisoned lists: of relays that were removed nothing is left in the snapshot, and one that returns begins anew", () =>
    Effect.gen(function*() {
      const { registry, relays } = yield* start({ allowPrivate: true, minimumRelays: 0 })
      for (let round = 0; round < 10; round++) {
        const path = registry.openPeer(key(1), silent)
        yield* registry.addPeerRelays(key(1), Array.from({ length: 50 }, (_, i) => relayAt(1 + i + 5 * round)))
        path.tie(relayAt(150))
        yield* settle
        const status = (yield* registry.relays).find(({ relay }) => relay.host === relayAt(150).host)
        assert.strictEqual(status?.state._tag, "Connecting")
        relays.confirm(150)
        yield* TestClock.adjust(11_000)
        path.close()
        yield* TestClock.adjust(90_000)
        assert.deepStrictEqual(yield* registry.relays, [])
      }
    }).pipe(Effect.scoped))
})

describe("ConnectionRegistryLive and a flood of events", () => {
  it.effect("C13: strangers' packets push out only each other, for each reader, and what is missed is counted", () =>
    Effect.gen(function*() {
      const { registry, relays } = yield* start()
      yield* registry.addRelay(relayAt(1))
      yield* settle
      // Nobody listens yet: nothing is kept, nothing is missed.
      const link = relays.confirm(1)
      for (let i = 0; i < 1_000; i++) link.receiveOnion(1)
      assert.strictEqual((yield* registry.counts).missedEvents, 0)
      const seen: Array<RegistryEvent> = []
      const slow: Array<RegistryEvent> = []
      yield* Effect.forkScoped(Stream.runForEach(registry.events, (event) => Effect.sync(() => seen.push(event))))
      yield* Effect.forkScoped(
        Stream.runForEach(
          registry.events,
          (event) => Effect.andThen(Effect.sync(() => slow.push(event)), Effect.sleep("1 second"))
        )
      )
      yield* settle
      const path = registry.openPeer(key(1), silent)
      path.tie(relayAt(1))
      link.bring(1)
      for (let i = 0; i < 5_000; i++) {
        link.receiveOnion(i % 250)
        link.receiveForwarded(i % 250)
      }
      link.lose()
      yield* settle
      const tags = seen.map(({ _tag }) => _tag)
      const own = ["PeerOnline", "CarrierChanged", "RelayLost", "PeerOffline", "CarrierChanged"]
      assert.deepStrictEqual(tags.filter((tag) => tag !== "OnionResponse" && tag !== "Forwarded"), own)
      assert.strictEqual(tags.length, own.length + 64)
      assert.strictEqual((yield* registry.counts).missedEvents, 2 * (10_000 - 64))
      yield* TestClock.adjust(200_000)
      assert.deepStrictEqual(slow, seen)
    }).pipe(Effect.scoped))

  it.effect("C13: a reader that sleeps costs 256 events, and a reader that has gone costs nothing", () =>
    Effect.gen(function*() {
      const { registry, relays } = yield* start()
      const reader = yield* Effect.forkScoped(
        Stream.runForEach(registry.events, () => Effect.never)
      )
      yield* settle
      yield* registry.addRelay(relayAt(1))
      yield* settle
      relays.confirm(1).lose()
      yield* settle
      for (let i = 0; i < 500; i++) relays.confirm(1).lose()
      assert.strictEqual((yield* registry.counts).missedEvents, 1_000 - 256)
      yield* Fiber.interrupt(reader)
      for (let i = 0; i < 500; i++) relays.confirm(1).lose()
      assert.strictEqual((yield* registry.counts).missedEvents, 1_000 - 256)
    }).pipe(Effect.scoped))

  it.effect("C13: every reader gets what happens while it reads, and its stream ends with the registry", () =>
    Effect.gen(function*() {
      const { close, registry, relays } = yield* start()
      yield* registry.addRelay(relayAt(1))
      yield* settle
      const early = yield* Effect.forkScoped(Stream.runCollect(registry.events))
      yield* settle
      const link = relays.confirm(1)
      const late = yield* Effect.forkScoped(Stream.runCollect(registry.events))
      yield* settle
      link.receiveForwarded(1)
      yield* settle
      yield* close
      const tags = Effect.map(
        Effect.all([Fiber.join(early), Fiber.join(late)]),
        (all) => all.map((events) => Array.from(events, ({ _tag }) => _tag))
      )
      assert.deepStrictEqual(yield* tags, [["RelayConnected", "Forwarded", "RelayLost"], ["Forwarded", "RelayLost"]])
    }).pipe(Effect.scoped))
})

describe("ConnectionRegistryLive and settings", () => {
  it.effect("T14: any setting out of its range is a typed error that names it, of the registry and of net_crypto", () =>
    Effect.gen(function*() {
      const registry = yield* Effect.flip(Effect.scoped(start({ blockedTimeout: -1 })))
      assert.strictEqual(registry._tag, "RegistrySettingsInvalid")
      assert.include(registry.message, "blockedTimeout is -1")
      const wire = yield* FakeWire.make()
      const netCrypto = yield* Effect.flip(Effect.scoped(node(wire, 1, 65, { handshakeTries: 0 })))
      assert.strictEqual(netCrypto._tag, "NetCryptoSettingsInvalid")
      assert.include(netCrypto.message, "handshakeTries is 0")
    }))
})

describe("ConnectionRegistryLive and relays that move", () => {
  it.effect("T35, T36: a relay that stops and is back at another address serves its peers again, by the same ties", () =>
    Effect.gen(function*() {
      const network = yield* MemoryNetwork
      const at = (host: string) => startRelay(network.transport(host), 1, host, port)
      const old = yield* at("old.test")
      const [a, b] = [
        yield* startNode(network.transport("node-1"), 1),
        yield* startNode(network.transport("node-2"), 2)
      ]
      const toB = openPath(a, b.key, [old.address])
      const toA = openPath(b, a.key, [old.address])
      yield* TestClock.adjust(100)
      assert.strictEqual(send(toB, 1), "sent")
      yield* TestClock.adjust(100)
      yield* old.stop
      yield* TestClock.adjust(2_000)
      assert.strictEqual(toB.path.carrier(), 0)
      const fresh = yield* at("new.test")
      for (const each of [a, b]) yield* each.registry.addRelay(fresh.address)
      yield* TestClock.adjust(10_000)
      assert.strictEqual(send(toB, 2), "sent")
      yield* TestClock.adjust(100)
      assert.deepStrictEqual(toA.packets.map(({ bytes, relay }) => [bytes, relay.host]), [[[1], "old.test"], [
        [2],
        "new.test"
      ]])
      const statuses = yield* a.registry.relays
      assert.deepStrictEqual(
        statuses.map(({ online, relay, state, tied }) => [relay.host, state._tag, tied, online]),
        [["new.test", "Confirmed", 1, 1]]
      )
      assert.strictEqual((yield* fresh.stats).clients, 2)
    }).pipe(Effect.scoped, provide))
})
