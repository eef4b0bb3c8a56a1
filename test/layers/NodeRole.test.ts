/** A client calls and is not called: nobody who does not know it finds out that it is there. */
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import * as CausewayLive from "../../src/layers/CausewayLive.ts"
import * as DirectLinksLive from "../../src/layers/DirectLinksLive.ts"
import { Causeway } from "../../src/services/Causeway.ts"
import { DirectLinks } from "../../src/services/DirectLinks.ts"
import { Identity } from "../../src/services/Identity.ts"
import { NetCrypto } from "../../src/services/NetCrypto.ts"
import { NodeSettings, nodeSettingsConfig } from "../../src/services/NodeSettings.ts"
import { ToxCrypto } from "../../src/services/ToxCrypto.ts"
import * as DirectTransportMemory from "../../src/testing/DirectTransportMemory.ts"
import * as EntropySeeded from "../../src/testing/EntropySeeded.ts"
import { MemoryNetwork } from "../../src/testing/MemoryNetwork.ts"
import * as RelayTransportMemory from "../../src/testing/RelayTransportMemory.ts"
import { forkNow, join, node, within } from "../utils/cryptoNode.ts"
import { FakeNetwork } from "../utils/FakeNetwork.ts"
import * as FakeWire from "../utils/FakeWire.ts"
import { held } from "../utils/peerSteps.ts"
import { keyPairFrom, plainCrypto } from "../utils/plainCrypto.ts"
import { causewayOf, processOf } from "../utils/sessionPair.ts"
import { rest } from "../utils/sessionSteps.ts"

const client = { role: "client", goodbyeTimeout: 3_000 } as const
const asClient = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.provideService(effect, NodeSettings, client)

const clientCauseway = Effect.fnUntraced(function*(network: FakeNetwork) {
  const keys = keyPairFrom(0x51)
  const context = yield* Layer.build(
    Layer.fresh(CausewayLive.layer).pipe(
      Layer.provide(Layer.succeed(NetCrypto, network.netCrypto("a"))),
      Layer.provide(Layer.succeed(Identity, { identity: keys, dht: keys })),
      Layer.provide(EntropySeeded.layer(1))
    )
  ).pipe(asClient)
  return Context.get(context, Causeway)
})

describe("a node that is a client", () => {
  it.effect("M03: leaves a stranger's call without any answer, whatever the policy says", () =>
    Effect.gen(function*() {
      const wire = yield* FakeWire.make()
      const a = yield* node(wire, 1, 65)
      const b = yield* asClient(node(wire, 33, 97, { accepts: true }))
      const calling = yield* forkNow(Effect.flip(a.netCrypto.connect(b.address)))
      const error = yield* within(calling, 60_000, 100)
      assert.deepInclude(error.reason, { _tag: "PeerUnreachable", stage: "CookieRequest" })
      assert.isAbove(wire.log.filter(({ from }) => from === a.at.id).length, 4)
      assert.deepStrictEqual(wire.log.filter(({ from }) => from === b.at.id), [])
    }))

  it.effect("M03: takes no handshake of a stranger who has a good cookie either", () =>
    Effect.gen(function*() {
      const wire = yield* FakeWire.make({ relays: 1 })
      const b = yield* asClient(node(wire, 33, 97))
      const a = yield* node(wire, 1, 65)
      // While the client calls it, the other is no stranger: it gets its cookie, and its handshake is held back.
      wire.fate = ({ bytes, from }) => from === a.at.id && (bytes[0] === 26 || bytes[0] === 25) ? "hold" : "deliver"
      const calling = yield* forkNow(b.netCrypto.connect(a.address))
      yield* forkNow(Effect.exit(a.netCrypto.connect(b.address)))
      yield* TestClock.adjust(500)
      const handshake = wire.held.find(({ bytes }) => bytes[0] === 26)
      assert.isDefined(handshake)
      calling.interruptUnsafe()
      yield* TestClock.adjust(50)
      const before = wire.log.filter(({ from }) => from === b.at.id).length
      wire.inject(a.keys.dht.publicKey, b.at, handshake.bytes)
      yield* TestClock.adjust(200)
      assert.strictEqual(wire.log.filter(({ from }) => from === b.at.id).length, before)
    }))

  it.effect("M03: calls others, also one that calls it at the same moment", () =>
    Effect.gen(function*() {
      const wire = yield* FakeWire.make()
      const b = yield* node(wire, 33, 97)
      const a = yield* asClient(node(wire, 1, 65))
      const ends = yield* join(a, b)
      assert.strictEqual(ends.b.connection.stats().dropped["replay"] ?? 0, 0)
      const c = yield* node(wire, 49, 113)
      const both = yield* forkNow(
        Effect.all([a.netCrypto.connect(c.address), c.netCrypto.connect(a.address)], { concurrency: 2 })
      )
      assert.strictEqual((yield* within(both, 9_000)).length, 2)
    }))

  it.effect("M03: says so to the application that waits for callers", () =>
    Effect.gen(function*() {
      const network = yield* FakeNetwork.make
      const b = yield* causewayOf(network, "b")
      const a = yield* clientCauseway(network)
      const errors = [yield* Effect.flip(a.accept), yield* Effect.flip(a.setAcceptPolicy(() => true))]
      for (const error of errors) {
        assert.strictEqual(error._tag, "NodeIsClient")
        assert.include(error.message, "this node is a client")
      }
      assert.isFalse(network.takes("a"))
      // Calling is what it is there for; who has been called may call back.
      const [atA] = yield* Effect.all([a.connect(FakeNetwork.addressOf("b")), b.accept], { concurrency: 2 })
      assert.strictEqual(atA.link()._tag, "Up")
      assert.isTrue(network.takes("a"))
      yield* rest
    }))

  it.effect("M03: has no direct endpoint, and listens nowhere although it was told where", () =>
    Effect.gen(function*() {
      const listeners = Effect.fnUntraced(function*(effect: typeof asClient) {
        const { listeners } = yield* MemoryNetwork
        const built = Layer.fresh(DirectLinksLive.layer({ listen: { host: "192.0.2.1", port: 7_000 } })).pipe(
          Layer.provide(DirectTransportMemory.transportOf("192.0.2.1")),
          Layer.provide(EntropySeeded.layer(1)),
          Layer.provide(Layer.succeed(ToxCrypto, plainCrypto)),
          Layer.provide(Layer.succeed(Identity, { identity: keyPairFrom(1), dht: keyPairFrom(2) }))
        )
        return yield* effect(Effect.gen(function*() {
          const links = Context.get(yield* Layer.build(built), DirectLinks)
          return [listeners().length, (yield* links.endpoints).length]
        }))
      }, Effect.scoped)
      assert.deepStrictEqual(yield* listeners((effect) => effect), [1, 1])
      assert.deepStrictEqual(yield* listeners(asClient), [0, 0])
    }).pipe(Effect.provide(RelayTransportMemory.network())))

  it.effect("the role and the time for goodbyes can come from the configuration", () =>
    Effect.gen(function*() {
      const read = (env: Record<string, string>) => nodeSettingsConfig.parse(ConfigProvider.fromEnv({ env }))
      assert.deepStrictEqual(yield* read({}), { role: "full", goodbyeTimeout: 3_000 })
      assert.deepStrictEqual(
        yield* read({ CAUSEWAY_ROLE: "client", CAUSEWAY_GOODBYE_TIMEOUT: "50" }),
        { role: "client", goodbyeTimeout: 50 }
      )
      for (const env of [{ CAUSEWAY_ROLE: "server" }, { CAUSEWAY_GOODBYE_TIMEOUT: "0" }]) {
        assert.strictEqual((yield* Effect.flip(read(env)))._tag, "ConfigError")
      }
    }))
})

describe("a node whose scope has closed", () => {
  it.effect("M05: those who wait for a peer, and those who call one later, are told", () =>
    Effect.gen(function*() {
      const network = yield* FakeNetwork.make
      network.calls = "hang"
      const context = yield* Effect.scoped(Effect.gen(function*() {
        const a = yield* clientCauseway(network)
        return {
          a,
          waiting: yield* Effect.forkDetach(Effect.flip(Effect.scoped(a.connect(FakeNetwork.addressOf("b")))), {
            startImmediately: true
          })
        }
      }))
      yield* rest
      const exit = context.waiting.pollUnsafe()
      assert.isDefined(exit)
      const later = yield* Effect.flip(Effect.scoped(context.a.connect(FakeNetwork.addressOf("b"))))
      assert.strictEqual(later.reason._tag, "LinkLost")
      assert.include(later.message, "this node has been terminated")
    }))

  it.effect("M05: a call that waits for an earlier goodbye to the same peer is told as well", () =>
    Effect.gen(function*() {
      const network = yield* FakeNetwork.make
      const a = yield* processOf(network, "a")
      const b = yield* causewayOf(network, "b")
      yield* forkNow(b.accept)
      const before = yield* held(a.causeway.connect(FakeNetwork.addressOf("b")))
      // The goodbye does not get through.
      network.live!.a.auto = false
      network.live!.b.auto = false
      const leaving = yield* forkNow(before.leave)
      yield* TestClock.adjust(100)
      const calling = yield* forkNow(Effect.flip(a.causeway.connect(FakeNetwork.addressOf("b"))))
      yield* TestClock.adjust(100)
      assert.deepStrictEqual([leaving.pollUnsafe(), calling.pollUnsafe()], [undefined, undefined])
      yield* forkNow(a.kill)
      for (let passed = 0; passed < 10_000; passed += 100) yield* TestClock.adjust(100)
      const exit = calling.pollUnsafe()
      assert.isTrue(exit?._tag === "Success" && exit.value.reason._tag === "LinkLost")
    }))
})
