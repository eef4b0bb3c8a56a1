/** The phases of a node with real relays on the network inside the process. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import * as TestClock from "effect/testing/TestClock"
import * as DirectLinksLive from "../../src/layers/DirectLinksLive.ts"
import * as NodePhaseLive from "../../src/layers/NodePhaseLive.ts"
import { Identity } from "../../src/services/Identity.ts"
import { NodePhase, type Phase, phaseOf, phasesBetween } from "../../src/services/NodePhase.ts"
import { NodeSettings } from "../../src/services/NodeSettings.ts"
import { PortMapping } from "../../src/services/PortMapping.ts"
import type { RelayState } from "../../src/services/RelayClient.ts"
import { RelayClosed, RelayDialFailed, RelayError } from "../../src/services/RelayError.ts"
import { RelayTransport } from "../../src/services/RelayTransport.ts"
import { ToxCrypto } from "../../src/services/ToxCrypto.ts"
import * as DirectTransportMemory from "../../src/testing/DirectTransportMemory.ts"
import * as EntropySeeded from "../../src/testing/EntropySeeded.ts"
import { MemoryNetwork } from "../../src/testing/MemoryNetwork.ts"
import * as RelayTransportMemory from "../../src/testing/RelayTransportMemory.ts"
import { phaseNode } from "../utils/phaseNode.ts"
import { keyPairFrom, plainCrypto } from "../utils/plainCrypto.ts"
import { startRelay } from "../utils/registryNodes.ts"

const port = 33_445
const relayNamed = Effect.fnUntraced(function*(n: number) {
  const network = yield* MemoryNetwork
  return yield* startRelay(network.transport(`relay-${n}`), n, `relay-${n}`, port)
})
const provide = Effect.provide(RelayTransportMemory.network())

/** A node, and its phases so far. */
const scene = Effect.gen(function*() {
  const network = yield* MemoryNetwork
  const a = yield* phaseNode(network.transport("node-1"), 1)
  const phases: Array<Phase> = []
  yield* Effect.forkScoped(Stream.runForEach(a.node.changes, (phase) => Effect.sync(() => phases.push(phase))), {
    startImmediately: true
  })
  yield* TestClock.adjust(0)
  return { network, a, phases }
})

const failed = (wasConfirmed: boolean): RelayState => ({
  _tag: "Failed",
  retryIn: 10,
  error: new RelayError({
    relay: "relay:1",
    wasConfirmed,
    reason: wasConfirmed ? new RelayClosed({ detail: "FIN" }) : new RelayDialFailed({ detail: "ECONNREFUSED" })
  })
})
const idle = { open: 0, dialling: 0 }

describe("phaseOf", () => {
  it("M01, M03: one confirmed relay or one direct connection is Connected, an attempt is Bootstrapping", () => {
    assert.strictEqual(phaseOf([], idle), "Disconnected")
    assert.strictEqual(phaseOf([{ _tag: "Sleeping" }], idle), "Disconnected")
    for (const state of [{ _tag: "Connecting" }, { _tag: "Handshaking" }, failed(false)] as const) {
      assert.strictEqual(phaseOf([{ _tag: "Sleeping" }, failed(true), state], idle), "Bootstrapping")
      assert.strictEqual(phaseOf([state, { _tag: "Confirmed" }], idle), "Connected")
    }
    assert.strictEqual(phaseOf([failed(true), failed(true)], idle), "Disconnected")
    assert.strictEqual(phaseOf([], { open: 0, dialling: 1 }), "Bootstrapping")
    assert.strictEqual(phaseOf([failed(false)], { open: 1, dialling: 1 }), "Connected")
  })

  it("M04: from Connected nothing leads to Bootstrapping but by Disconnected", () => {
    assert.deepStrictEqual(phasesBetween(undefined, "Connected"), ["Connected"])
    assert.deepStrictEqual(phasesBetween("Connected", "Bootstrapping"), ["Disconnected", "Bootstrapping"])
    assert.deepStrictEqual(phasesBetween("Connected", "Disconnected"), ["Disconnected"])
    assert.deepStrictEqual(phasesBetween("Connected", "Terminated"), ["Terminated"])
    assert.deepStrictEqual(phasesBetween("Bootstrapping", "Bootstrapping"), [])
  })
})

describe("a node", () => {
  it.effect("M01, M02: is Disconnected at first, Bootstrapping with a relay to dial, and Connected once it is confirmed", () =>
    Effect.gen(function*() {
      const { a, network, phases } = yield* scene
      assert.deepStrictEqual(phases, ["Disconnected"])
      yield* TestClock.adjust(60_000)
      assert.deepStrictEqual([yield* a.node.phase, a.out.dials], ["Disconnected", 0])
      network.conditions({ host: "relay-1", port }, { latency: "100 millis" })
      const relay = yield* relayNamed(1)
      yield* a.registry.addRelay(relay.address)
      assert.strictEqual(yield* a.node.phase, "Bootstrapping")
      yield* TestClock.adjust(250)
      assert.deepStrictEqual(phases, ["Disconnected", "Bootstrapping"])
      assert.strictEqual(yield* SubscriptionRef.get(a.node.ref), "Bootstrapping")
      yield* TestClock.adjust(1_000)
      assert.deepStrictEqual(phases, ["Disconnected", "Bootstrapping", "Connected"])
      assert.strictEqual(yield* a.node.phase, "Connected")
    }).pipe(provide))

  it.effect("M02: stays Bootstrapping while relay after relay cannot be reached, and does not flicker", () =>
    Effect.gen(function*() {
      const { a, phases } = yield* scene
      for (const n of [1, 2, 3]) yield* a.registry.addRelay({ ...(yield* addressOf(n)), port: 1 })
      yield* TestClock.adjust(120_000)
      assert.deepStrictEqual(phases, ["Disconnected", "Bootstrapping"])
      assert.isAbove(a.out.dials, 9)
    }).pipe(provide))

  it.effect("M04: without its last relay is Disconnected, bootstraps again by itself, and is Connected again", () =>
    Effect.gen(function*() {
      const { a, network, phases } = yield* scene
      const [first, second] = [yield* relayNamed(1), yield* relayNamed(2)]
      yield* a.registry.addRelay(first.address)
      yield* a.registry.addRelay(second.address)
      yield* TestClock.adjust(1_000)
      phases.length = 0
      yield* first.stop
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(phases, [])
      network.cutAll()
      yield* second.stop
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(phases.slice(0, 1), ["Disconnected"])
      yield* TestClock.adjust(30_000)
      assert.deepStrictEqual(phases, ["Disconnected", "Bootstrapping"])
      yield* relayNamed(2)
      yield* TestClock.adjust(120_000)
      assert.deepStrictEqual(phases, ["Disconnected", "Bootstrapping", "Connected"])
    }).pipe(provide))

  it.effect("M04: bootstraps by a relay that it knows from a peer when the given ones stay away", () =>
    Effect.gen(function*() {
      const { a, network, phases } = yield* scene
      const [given, known] = [yield* relayNamed(1), yield* relayNamed(2)]
      yield* a.registry.addRelay(given.address)
      const path = a.registry.openPeer(known.address.publicKey, {
        onPacket: () => {},
        onCarrierChange: () => {},
        onWritable: () => {}
      })
      path.tie(known.address)
      yield* TestClock.adjust(1_000)
      path.close()
      yield* TestClock.adjust(20_000)
      network.cutAll()
      yield* given.stop
      yield* known.stop
      yield* TestClock.adjust(60_000)
      yield* relayNamed(2)
      yield* TestClock.adjust(60_000)
      const connected = (yield* a.registry.relays).filter(({ state }) => state._tag === "Confirmed")
      assert.deepStrictEqual(connected.map(({ relay }) => relay.host), ["relay-2"])
      assert.deepStrictEqual(phases, [
        "Disconnected",
        "Bootstrapping",
        "Connected",
        "Disconnected",
        "Bootstrapping",
        "Connected"
      ])
    }).pipe(provide))

  it.effect("M05: Terminated is the last phase, for everybody who looks", () =>
    Effect.gen(function*() {
      const { a, phases } = yield* scene
      const relay = yield* relayNamed(1)
      yield* a.registry.addRelay(relay.address)
      yield* TestClock.adjust(1_000)
      yield* Effect.all([a.node.terminate, a.node.terminate], { concurrency: 2 })
      assert.strictEqual(yield* SubscriptionRef.get(a.node.ref), "Terminated")
      assert.deepStrictEqual(phases, ["Disconnected", "Bootstrapping", "Connected", "Terminated"])
      assert.strictEqual(yield* a.node.phase, "Terminated")
      assert.deepStrictEqual(yield* Stream.runCollect(a.node.changes), ["Terminated"])
      yield* a.node.terminate
      yield* a.close
    }).pipe(provide))

  it.effect("M05: the end of its scope is its termination", () =>
    Effect.gen(function*() {
      const { a, phases } = yield* scene
      const relay = yield* relayNamed(1)
      yield* a.registry.addRelay(relay.address)
      yield* TestClock.adjust(1_000)
      yield* a.close
      assert.strictEqual(yield* a.node.phase, "Terminated")
      assert.strictEqual(a.out.open, 0)
      yield* TestClock.adjust(0)
      assert.strictEqual(phases.at(-1), "Terminated")
    }).pipe(provide))

  it.effect("M05: cuts everything after goodbyeTimeout, although a part of it has not ended by then", () =>
    Effect.gen(function*() {
      const network = yield* MemoryNetwork
      const over = Latch.makeUnsafe(false)
      const slow = Layer.effectDiscard(Effect.gen(function*() {
        yield* Effect.flatMap(RelayTransport, (transport) => transport.listen({ host: "node-1", port: 7 }))
        yield* Effect.addFinalizer(() => over.await)
      }))
      const node = NodePhaseLive.layer(slow).pipe(
        Layer.provide(Layer.succeed(RelayTransport, network.transport("node-1"))),
        Layer.provide(Layer.succeed(NodeSettings, { role: "full", goodbyeTimeout: 2_000 }))
      )
      yield* Effect.gen(function*() {
        const { phase, terminate } = yield* NodePhase
        const ending = yield* Effect.forkDetach(terminate, { startImmediately: true })
        yield* TestClock.adjust(1_999)
        assert.deepStrictEqual([yield* phase, network.listeners().length], ["Disconnected", 1])
        yield* TestClock.adjust(1)
        assert.deepStrictEqual([yield* phase, network.listeners().length], ["Terminated", 0])
        assert.isUndefined(ending.pollUnsafe())
        over.openUnsafe()
        yield* Fiber.join(ending)
      }).pipe(Effect.ensuring(Effect.sync(() => over.openUnsafe())), Effect.provide(node))
    }).pipe(provide))

  it.effect("M05: is Terminated when a gateway is asked nothing any more, although taking the mapping back takes its time", () =>
    Effect.gen(function*() {
      const network = yield* MemoryNetwork
      const asked: Array<readonly [what: string, phase: Phase]> = []
      let node: NodePhase["Service"] | undefined
      const ask = (what: string) =>
        Effect.gen(function*() {
          asked.push([what, node === undefined ? "Disconnected" : yield* node.phase])
        })
      const takeBack = Effect.andThen(Effect.sleep(400), ask("unmap"))
      const gateway = PortMapping.of({
        map: () =>
          Effect.as(Effect.acquireRelease(ask("map"), () => takeBack), { endpoints: () => [], states: Stream.never })
      })
      const keys = { identity: keyPairFrom(0x31), dht: keyPairFrom(0x32) }
      const outside = Layer.mergeAll(
        DirectTransportMemory.transportOf("10.0.0.1").pipe(Layer.provide(Layer.succeed(MemoryNetwork, network))),
        Layer.succeed(Identity, keys),
        Layer.succeed(ToxCrypto, plainCrypto),
        Layer.succeed(PortMapping, gateway),
        EntropySeeded.layer(3),
        Layer.succeed(NodeSettings, { role: "full", goodbyeTimeout: 200 })
      )
      const layer = NodePhaseLive.layer(DirectLinksLive.layer({ listen: { host: "10.0.0.1", port: 4_000 } }))
      node = Context.get(yield* Layer.build(Layer.provide(layer, outside)), NodePhase)
      const ending = yield* Effect.forkScoped(node.terminate, { startImmediately: true })
      for (let passed = 0; passed < 1_000; passed += 50) yield* TestClock.adjust(50)
      assert.isDefined(ending.pollUnsafe())
      assert.strictEqual(yield* node.phase, "Terminated")
      assert.deepStrictEqual(asked, [["map", "Disconnected"], ["unmap", "Disconnected"]])
    }).pipe(provide))

  it.effect("M05: can be terminated by one of its own fibers", () =>
    Effect.gen(function*() {
      const network = yield* MemoryNetwork
      const inside = Layer.effectDiscard(Effect.gen(function*() {
        yield* Effect.forkScoped(Effect.sleep("1 hour"))
      }))
      let end: Effect.Effect<void> = Effect.void
      const node = NodePhaseLive.layer(
        Layer.merge(
          inside,
          Layer.effectDiscard(Effect.forkScoped(Effect.andThen(Effect.sleep(5), Effect.suspend(() => end))))
        )
      )
      yield* Effect.gen(function*() {
        const { phase, terminate } = yield* NodePhase
        end = terminate
        yield* TestClock.adjust(10)
        assert.strictEqual(yield* phase, "Terminated")
        assert.strictEqual(network.connections().length, 0)
      }).pipe(Effect.provide(node))
    }).pipe(provide))
})

const addressOf = Effect.fnUntraced(function*(n: number) {
  const relay = yield* relayNamed(n)
  yield* relay.stop
  return relay.address
})
