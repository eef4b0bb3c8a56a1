/** The registry as a layer over scripted relays: what it adds to the table, which is fibers, settings, states and events. */
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
import { RegistrySettings } from "../../src/services/RegistrySettings.ts"
import { fakeRelayClient, FakeRelays, frame, key, relayAt } from "../utils/FakeLinks.ts"

const settle = TestClock.adjust(0)
const silent: PeerPathEvents = { onPacket: () => {}, onCarrierChange: () => {}, onWritable: () => {} }

const start = Effect.fnUntraced(function*(numbers?: Partial<Context.Service.Shape<typeof RegistrySettings>>) {
  const relays = new FakeRelays()
  const scope = yield* Scope.make()
  const defaults = Context.get(Context.empty(), RegistrySettings)
  const layer = ConnectionRegistryLive.layer.pipe(
    Layer.provide(fakeRelayClient(relays)),
    Layer.provide(Layer.succeed(RegistrySettings)({ ...defaults, ...numbers }))
  )
  const context = yield* Layer.buildWithScope(layer, scope)
  yield* Effect.addFinalizer(() => Scope.close(scope, Exit.void))
  const registry = Context.get(context, ConnectionRegistry)
  const events: Array<string> = []
  const watching = yield* Effect.forkChild(
    Stream.runForEach(registry.events, (event) => Effect.sync(() => events.push(show(event))))
  )
  yield* settle
  return { registry, relays, events, watching, close: Scope.close(scope, Exit.void) }
})

const show = (event: RegistryEvent): string => {
  switch (event._tag) {
    case "RelayConnected":
    case "RelayLost":
      return `${event._tag} ${event.relay.host}`
    case "PeerOnline":
    case "PeerOffline":
    case "CarrierChanged":
      return `${event._tag} ${event.peer[0]} ${event.relay?.host}`
    case "OnionResponse":
    case "Forwarded":
      return `${event._tag} ${event.relay.host} ${event.bytes.join()}`
  }
}

describe("ConnectionRegistryLive", () => {
  it.effect.each([
    { desiredRelays: 3, maxRelays: 5 },
    { desiredRelays: 4 },
    { desiredRelays: 0 },
    { desiredRelays: 1.5 },
    { desiredRelays: Number.NaN }
  ])("T14: %o is refused with an error that says what to do", (numbers) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Effect.scoped(start(numbers)))
      assert.strictEqual(error._tag, "RegistrySettingsInvalid")
      assert.include(error.message, "at least twice as many")
      assert.include(error.message, `desiredRelays ${numbers.desiredRelays}`)
    }))

  it.effect("T14: twice the desired number is enough", () =>
    Effect.scoped(Effect.asVoid(start({ desiredRelays: 2, maxRelays: 4 }))))

  it.effect("T34, T09: each relay is one fiber, however often it is added; a snapshot names its state and its peers", () =>
    Effect.gen(function*() {
      const { registry, relays } = yield* start()
      yield* registry.addRelay(relayAt(1))
      yield* registry.addRelay({ ...relayAt(1), port: 1 })
      yield* registry.addRelay(relayAt(2))
      const path = registry.openPeer(key(1), silent)
      path.tie(relayAt(2))
      path.tie(relayAt(3))
      yield* settle
      assert.deepStrictEqual(relays.kept, ["relay-1.test", "relay-2.test", "relay-3.test"])
      relays.confirm(2).bring(1)
      path.send(frame(1, 2, 3), 4, false)
      const statuses = yield* registry.relays
      assert.deepStrictEqual(
        statuses.map(({ online, relay, sentBytes, state, tied }) => [relay, state._tag, tied, online, sentBytes]),
        [
          [relayAt(1), "Connecting", 0, 0, 0],
          [relayAt(2), "Confirmed", 1, 1, 3],
          [relayAt(3), "Connecting", 1, 0, 0]
        ]
      )
    }).pipe(Effect.scoped))

  it.effect("C13: everything that happens is a typed event with the relay that it came by", () =>
    Effect.gen(function*() {
      const { events, registry, relays } = yield* start()
      const path = registry.openPeer(key(1), silent)
      path.tie(relayAt(1))
      path.tie(relayAt(2))
      yield* settle
      const one = relays.confirm(1)
      const two = relays.confirm(2)
      one.bring(1)
      two.bring(1)
      const bytes = Uint8Array.of(4, 5)
      one.receiveOnion(...bytes)
      two.receiveForwarded(6)
      one.lose()
      two.offline(16)
      yield* settle
      assert.deepStrictEqual(events, [
        "RelayConnected relay-1.test",
        "RelayConnected relay-2.test",
        "PeerOnline 1 relay-1.test",
        "CarrierChanged 1 relay-1.test",
        "PeerOnline 1 relay-2.test",
        "OnionResponse relay-1.test 4,5",
        "Forwarded relay-2.test 6",
        "RelayLost relay-1.test",
        "PeerOffline 1 relay-1.test",
        "CarrierChanged 1 relay-2.test",
        "PeerOffline 1 relay-2.test",
        "CarrierChanged 1 undefined"
      ])
    }).pipe(Effect.scoped))

  it.effect("C06, C13: the attached handler gets what belongs to no peer, with the way back, and the end of each batch", () =>
    Effect.gen(function*() {
      const { registry, relays } = yield* start()
      const log: Array<string> = []
      yield* registry.addRelay(relayAt(1))
      yield* settle
      const link = relays.confirm(1)
      // Nobody listens yet.
      link.receiveOob(9, 1)
      link.batchEnd()
      registry.attach(
        (sender, bytes, route) => log.push(`${sender[0]} ${bytes.join()} ${route.relay.host} ${route.reply(bytes)}`),
        () => log.push("batch")
      )
      link.receiveOob(9, 2, 3)
      link.batchEnd()
      assert.deepStrictEqual(log, ["9 2,3 relay-1.test true", "batch"])
      assert.deepStrictEqual(link.oob, [{ to: 9, bytes: [2, 3] }])
    }).pipe(Effect.scoped))

  it.effect("awaitRelay waits for the first relay, and again once all are lost", () =>
    Effect.gen(function*() {
      const { registry, relays } = yield* start()
      yield* registry.addRelay(relayAt(1))
      yield* registry.addRelay(relayAt(2))
      const waiting = yield* Effect.forkChild(registry.awaitRelay)
      yield* settle
      assert.isUndefined(waiting.pollUnsafe())
      const one = relays.confirm(1)
      yield* settle
      assert.isDefined(waiting.pollUnsafe())
      const two = relays.confirm(2)
      one.lose()
      yield* registry.awaitRelay
      two.lose()
      const again = yield* Effect.forkChild(registry.awaitRelay)
      yield* settle
      assert.isUndefined(again.pollUnsafe())
      relays.confirm(1)
      yield* settle
      assert.isDefined(again.pollUnsafe())
    }).pipe(Effect.scoped))

  it.effect("closing the registry ends its relays, takes every path's carrier and ends the stream of events", () =>
    Effect.gen(function*() {
      const { close, registry, relays, watching } = yield* start()
      const log: Array<string> = []
      const path = registry.openPeer(key(1), {
        onPacket: () => log.push("packet"),
        onCarrierChange: () => log.push(`carrier ${path.carrier()}`),
        onWritable: () => log.push("writable")
      })
      path.tie(relayAt(1))
      path.tie(relayAt(2))
      yield* settle
      for (const n of [1, 2]) relays.confirm(n).bring(1)
      log.length = 0
      yield* close
      yield* settle
      assert.isTrue(relays.links.every((link) => link.isLost))
      assert.strictEqual(log.at(-1), "carrier 0")
      assert.strictEqual(path.send(frame(1), 2, true), "unreachable")
      assert.deepStrictEqual(yield* Fiber.await(watching), Exit.void)
      // Nothing is dialled any more.
      path.tie(relayAt(5))
      yield* settle
      assert.deepStrictEqual(relays.kept, ["relay-1.test", "relay-2.test"])
      path.close()
      assert.deepStrictEqual(relays.violations, [])
    }).pipe(Effect.scoped))
})
