/** The layer's part in choosing relays: it tends the table when something changed and when time alone changes the picture. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
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
import { fakeRelayClient, FakeRelays, key, relayAt } from "../utils/FakeLinks.ts"
import { onlineRelays, openPath, send, startNode, startRelay } from "../utils/registryNodes.ts"

const settle = TestClock.adjust(0)
const silent: PeerPathEvents = { onPacket: () => {}, onCarrierChange: () => {}, onWritable: () => {} }

/** A registry over scripted relays, every one of which confirms at once when `serve` runs. */
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
  const registry = Context.get(context, ConnectionRegistry)
  const events: Array<RegistryEvent> = []
  yield* Effect.forkScoped(Stream.runForEach(registry.events, (event) => Effect.sync(() => events.push(event))))
  yield* settle
  const states = Effect.map(registry.relays, (all) => all.map(({ state }) => state._tag))
  return { registry, relays, events, states }
})

describe("ConnectionRegistryLive and the relays it holds", () => {
  it.effect("T19, T10: surplus relays are left when they are found to be, and their state is Sleeping", () =>
    Effect.gen(function*() {
      const { registry, relays, states } = yield* start()
      for (let n = 1; n <= 5; n++) yield* registry.addRelay(relayAt(n))
      yield* settle
      for (let n = 1; n <= 5; n++) relays.confirm(n)
      yield* settle
      assert.deepStrictEqual(yield* states, ["Confirmed", "Confirmed", "Confirmed", "Sleeping", "Sleeping"])
      assert.deepStrictEqual(relays.links.map(({ isLost }) => isLost), [false, false, false, true, true])
    }).pipe(Effect.scoped))

  it.effect("T06, T08: the relays that a peer is known to use are dialled and asked for it", () =>
    Effect.gen(function*() {
      const { registry, relays, states } = yield* start({ allowPrivate: true, minimumRelays: 0 })
      const path = registry.openPeer(key(1), silent)
      yield* registry.addPeerRelays(key(1), [relayAt(1), relayAt(2)])
      yield* settle
      assert.deepStrictEqual(yield* states, ["Connecting", "Connecting"])
      const links = [1, 2].map((n) => relays.confirm(n))
      assert.deepStrictEqual(links.map(({ requests }) => requests), [[1], [1]])
      for (const link of links) link.bring(1)
      assert.deepStrictEqual(path.ways().map(({ relay }) => relay.host), [1, 2].map((n) => relayAt(n).host))
      assert.isTrue(path.ways().every(({ carrier }) => carrier > 0))
    }).pipe(Effect.scoped))

  it.effect("T19: one that is lost and does not return is replaced after ten seconds without anything else happening", () =>
    Effect.gen(function*() {
      const { registry, relays, states } = yield* start()
      for (let n = 1; n <= 4; n++) yield* registry.addRelay(relayAt(n))
      yield* settle
      const links = [1, 2, 3, 4].map((n) => relays.confirm(n))
      yield* settle
      links[0]!.lose()
      yield* TestClock.adjust(9_999)
      assert.strictEqual((yield* states)[3], "Sleeping")
      yield* TestClock.adjust(2)
      assert.strictEqual((yield* states)[3], "Connecting")
    }).pipe(Effect.scoped))

  it.effect("T20: the relays of the start are left on time", () =>
    Effect.gen(function*() {
      const { registry, relays, states } = yield* start({ minimumOnlyFor: 30_000 })
      yield* registry.addRelay(relayAt(1))
      yield* settle
      relays.confirm(1)
      yield* TestClock.adjust(29_999)
      assert.deepStrictEqual(yield* states, ["Confirmed"])
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(yield* states, ["Sleeping"])
    }).pipe(Effect.scoped))

  it.effect("T15, T16, T17, C07: the switch connects as many relays as are missing, flags them, and lets go of them", () =>
    Effect.gen(function*() {
      const { registry, relays, states } = yield* start({ minimumRelays: 0, onionRelays: 2 })
      const onion = Effect.map(registry.relays, (all) => all.map(({ isOnion }) => isOnion))
      for (let n = 1; n <= 4; n++) yield* registry.addRelay(relayAt(n))
      yield* settle
      for (let n = 1; n <= 4; n++) relays.confirm(n)
      yield* settle
      assert.deepStrictEqual(yield* states, ["Sleeping", "Sleeping", "Sleeping", "Sleeping"])
      yield* registry.setOnion(true)
      yield* settle
      assert.deepStrictEqual(yield* states, ["Connecting", "Connecting", "Sleeping", "Sleeping"])
      for (let n = 1; n <= 2; n++) relays.confirm(n)
      yield* settle
      assert.deepStrictEqual(yield* onion, [true, true, false, false])
      yield* registry.setOnion(false)
      yield* settle
      assert.deepStrictEqual(yield* onion, [false, false, false, false])
      assert.deepStrictEqual(yield* states, ["Sleeping", "Sleeping", "Sleeping", "Sleeping"])
    }).pipe(Effect.scoped))

  it.effect("C13: a relay that is left, with a peer that sleeps, is reported like one that is lost", () =>
    Effect.gen(function*() {
      const { events, registry, relays } = yield* start({ minimumRelays: 0 })
      const path = registry.openPeer(key(1), silent)
      path.tie(relayAt(1))
      yield* settle
      relays.confirm(1).bring(1)
      yield* TestClock.adjust(10_000)
      path.sleep()
      yield* settle
      path.wake()
      yield* settle
      relays.confirm(1).bring(1)
      yield* settle
      const spell = ["RelayConnected", "PeerOnline", "CarrierChanged"]
      assert.deepStrictEqual(events.map(({ _tag }) => _tag), [
        ...spell,
        "RelayLost",
        "PeerOffline",
        "CarrierChanged",
        ...spell
      ])
      assert.isTrue(events.every((event) => event.relay === undefined || event.relay.host === relayAt(1).host))
    }).pipe(Effect.scoped))

  it.effect("T30, T34: sleep and wake in any order and at any moment: the relay's one fiber runs while it is wanted, and no other", () =>
    Effect.gen(function*() {
      const { registry, relays, states } = yield* start({ minimumRelays: 0 })
      const path = registry.openPeer(key(1), silent)
      path.tie(relayAt(1))
      yield* settle
      for (let round = 0; round < 40; round++) {
        if ((yield* states)[0] === "Connecting") relays.confirm(1)
        const [link] = relays.links.slice(-1)
        if (link !== undefined && !link.isLost && link.outstanding.size > 0 && round % 3 > 0) link.bring(1)
        yield* TestClock.adjust([0, 10_000, 3_000, 0, 10_001][round % 5]!)
        if (round % 2 === 0) path.sleep()
        else path.wake()
        if (round % 7 === 0) path.wake()
        if (round % 4 === 0) yield* settle
        if (round % 8 === 0) path.sleep()
        assert.isAtMost(relays.links.filter(({ isLost }) => !isLost).length, 1)
      }
      path.wake()
      yield* settle
      if ((yield* states)[0] === "Connecting") relays.confirm(1)
      yield* settle
      assert.deepStrictEqual(yield* states, ["Confirmed"])
      assert.deepStrictEqual(relays.violations, [])
    }).pipe(Effect.scoped))

  it.effect("T30: woken by the report that the relay is being left: it is dialled again, and that is not undone", () =>
    Effect.gen(function*() {
      const { registry, relays, states } = yield* start({ minimumRelays: 0 })
      let wakes = 0
      const path = registry.openPeer(key(1), {
        ...silent,
        onCarrierChange: () => {
          if (!path.isAsleep) return
          wakes++
          path.wake()
        }
      })
      path.tie(relayAt(1))
      yield* settle
      relays.confirm(1).bring(1)
      yield* TestClock.adjust(10_000)
      path.sleep()
      yield* settle
      assert.strictEqual(wakes, 1)
      assert.deepStrictEqual(yield* states, ["Connecting"])
      const link = relays.confirm(1)
      link.bring(1)
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual([yield* states, link.isLost, path.carrier() > 0], [["Confirmed"], false, true])
    }).pipe(Effect.scoped))
})

describe("sleep and wake over real relays", () => {
  it.effect("T26, T29, T30, C03: of three nodes two sleep to each other and wake; the third notices nothing", () =>
    Effect.gen(function*() {
      const network = yield* MemoryNetwork
      const relays = yield* Effect.forEach(
        [1, 2, 3],
        (n) => startRelay(network.transport(`relay-${n}.test`), n, `relay-${n}.test`, 33_445)
      )
      const addresses = relays.map(({ address }) => address)
      for (const address of addresses) network.conditions(address, { latency: 20 })
      const [a, b, c] = [
        yield* startNode(network.transport("node-1"), 1),
        yield* startNode(network.transport("node-2"), 2),
        yield* startNode(network.transport("node-3"), 3)
      ]
      const pair = [openPath(a, b.key, addresses), openPath(b, a.key, addresses)] as const
      const other = [openPath(a, c.key, addresses.slice(2)), openPath(c, a.key, addresses.slice(2))] as const
      yield* TestClock.adjust(12_000)
      const before = other[1].carrierChanges
      for (let round = 0; round < 5; round++) {
        for (const { path } of pair) path.sleep()
        yield* TestClock.adjust(12_000)
        assert.deepStrictEqual(yield* Effect.map(relays[0]!.stats, ({ clients }) => clients), 0)
        assert.strictEqual(yield* onlineRelays(b), 0)
        for (const { path } of pair) path.wake()
        yield* TestClock.adjust(1_000)
        assert.isAtLeast(yield* onlineRelays(b), 3)
        send(pair[0], round)
        send(other[0], round)
        yield* TestClock.adjust(12_000)
      }
      assert.deepStrictEqual(pair[1].packets.map(({ bytes }) => bytes[0]), [0, 1, 2, 3, 4])
      assert.deepStrictEqual(other[1].packets.map(({ bytes }) => bytes[0]), [0, 1, 2, 3, 4])
      assert.strictEqual(other[1].carrierChanges, before)
    }).pipe(Effect.scoped, Effect.provide(RelayTransportMemory.layer)))
})
