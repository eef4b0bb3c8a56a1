/**
 * Three relays with faults, two nodes, and a fault proxy between each node and each relay, all in this process over real TCP. It is
 * the stage of the fault tests; it asserts nothing.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as ConnectionRegistryLive from "../../src/layers/ConnectionRegistryLive.ts"
import * as EntropyLive from "../../src/layers/EntropyLive.ts"
import * as IdentityFresh from "../../src/layers/IdentityFresh.ts"
import * as NetCryptoBridgeLive from "../../src/layers/NetCryptoBridgeLive.ts"
import * as NetCryptoLive from "../../src/layers/NetCryptoLive.ts"
import * as RelayClientLive from "../../src/layers/RelayClientLive.ts"
import * as RelayTransportNode from "../../src/layers/RelayTransportNode.ts"
import * as ToxCryptoAuto from "../../src/layers/ToxCryptoAuto.ts"
import { toHex } from "../../src/schema/Bytes.ts"
import type { RelayAddress } from "../../src/schema/RelayAddress.ts"
import { ConnectionRegistry } from "../../src/services/ConnectionRegistry.ts"
import { generateKeyPair, Identity } from "../../src/services/Identity.ts"
import { NetCrypto, type NetCryptoConnection } from "../../src/services/NetCrypto.ts"
import { RelayServer } from "../../src/services/RelayServer.ts"
import { RelayFaults } from "../../src/testing/RelayFaults.ts"
import * as RelayServerFaulty from "../../src/testing/RelayServerFaulty.ts"
import * as FaultProxy from "./FaultProxy.ts"
import type { LineFaults } from "./faultyLine.ts"
import * as LoopTime from "./loopTime.ts"

/** One relay, whoever's, and the ways of the caller and the callee to it. */
export interface WorldWays {
  readonly address: RelayAddress
  readonly caller: FaultProxy.FaultProxy
  readonly callee: FaultProxy.FaultProxy
}

/** One of our own relays, with faults of its own. */
export interface WorldRelay extends WorldWays {
  readonly faults: RelayFaults["Service"]
}

/** A node, its end of the connection, and what its registry has reported: `RelayLost 2 at 1234`, relays counted from 0. */
export interface WorldNode {
  readonly connection: NetCryptoConnection
  readonly registry: ConnectionRegistry["Service"]
  readonly events: Array<string>
}

export interface World<Relay extends WorldWays = WorldRelay> {
  readonly relays: ReadonlyArray<Relay>
  readonly caller: WorldNode
  readonly callee: WorldNode
  /** Milliseconds during which this process could run; the lines' delays and rates are measured by it as well. */
  readonly now: () => number
  /** The relay that carries most of what the caller sends; data must be flowing. */
  readonly carrier: Effect.Effect<Relay>
}

const platform = Layer.mergeAll(EntropyLive.layer, ToxCryptoAuto.layer, RelayTransportNode.layer)
const node = NetCryptoLive.layer.pipe(
  Layer.provide(NetCryptoBridgeLive.layer),
  Layer.provideMerge(ConnectionRegistryLive.layer),
  Layer.provide(RelayClientLive.layer),
  Layer.provideMerge(IdentityFresh.layer),
  Layer.provide(platform)
)

/** The ways to a relay that runs already. */
export const waysTo = Effect.fnUntraced(function*(address: RelayAddress, now: () => number) {
  return {
    address,
    caller: yield* FaultProxy.make({ target: address, now }),
    callee: yield* FaultProxy.make({ target: address, seed: 2, now })
  } satisfies WorldWays
})

const makeRelay = Effect.fnUntraced(function*(now: () => number) {
  const keyPair = yield* Effect.provide(generateKeyPair, platform)
  const server = RelayServerFaulty.layer({ host: "127.0.0.1", port: 0, keyPair })
  const context = yield* Layer.build(Layer.fresh(Layer.provide(server, platform)))
  const { address } = Context.get(context, RelayServer)
  return { ...(yield* waysTo(address, now)), faults: Context.get(context, RelayFaults) } satisfies WorldRelay
})

const makeNode = Effect.fnUntraced(
  function*(side: "caller" | "callee", relays: ReadonlyArray<WorldWays>, now: () => number) {
    const context = yield* Layer.build(Layer.fresh(node))
    const registry = Context.get(context, ConnectionRegistry)
    const addresses = relays.map(({ address, ...way }): RelayAddress => ({
      host: way[side].host,
      port: way[side].port,
      publicKey: address.publicKey
    }))
    const events: Array<string> = []
    const numberOf = (relay: RelayAddress | undefined) => addresses.findIndex(({ port }) => port === relay?.port)
    const started = now()
    yield* registry.events.pipe(
      Stream.runForEach((event) =>
        Effect.sync(() => events.push(`${event._tag} ${numberOf(event.relay)} at ${Math.round(now() - started)}`))
      ),
      Effect.forkScoped
    )
    for (const address of addresses) yield* registry.addRelay(address)
    return {
      registry,
      addresses,
      events,
      netCrypto: Context.get(context, NetCrypto),
      keys: Context.get(context, Identity)
    }
  }
)

/** Faults of all ways between nodes and relays from the beginning, before anybody dials. */
export interface WorldOptions {
  readonly toRelay?: Partial<LineFaults>
  readonly fromRelay?: Partial<LineFaults>
}

/** Two nodes, connected over these relays, on all of which both are online. `now` is the ways' as well. */
export const connect = Effect.fnUntraced(function*<Relay extends WorldWays>(
  relays: ReadonlyArray<Relay>,
  now: () => number
) {
  const caller = yield* makeNode("caller", relays, now)
  const callee = yield* makeNode("callee", relays, now)
  yield* callee.netCrypto.setAcceptPolicy(() => true)
  const accepting = yield* Effect.forkScoped(callee.netCrypto.accept)
  const { dht, identity } = callee.keys
  const outgoing = yield* caller.netCrypto.connect({
    identityKey: identity.publicKey,
    dhtKey: dht.publicKey,
    relays: caller.addresses
  }).pipe(Effect.timeout(setUpTimeout))
  const incoming = yield* Fiber.join(accepting).pipe(Effect.timeout(setUpTimeout))
  const isOnline = Effect.map(
    Effect.all([caller.registry.relays, callee.registry.relays]),
    (all) => all.flat().every(({ online }) => online === 1)
  )
  yield* Effect.delay(isOnline, "5 millis").pipe(Effect.repeat({ until: (done) => done }), Effect.timeout(setUpTimeout))

  const sentBytes = Effect.map(
    caller.registry.relays,
    (all) => new Map(all.map(({ relay, sentBytes }) => [toHex(relay.publicKey), sentBytes]))
  )
  const carrier = Effect.gen(function*() {
    const before = yield* sentBytes
    yield* LoopTime.pass(now, "100 millis")
    const after = yield* sentBytes
    const grown = relays.map((relay) => {
      const key = toHex(relay.address.publicKey)
      return { relay, bytes: (after.get(key) ?? 0) - (before.get(key) ?? 0) }
    })
    const [busiest] = grown.toSorted((a, b) => b.bytes - a.bytes)
    if (busiest === undefined || busiest.bytes === 0) return yield* Effect.die(new Error("no relay carries anything"))
    return busiest.relay
  })
  return {
    relays,
    caller: { connection: outgoing, registry: caller.registry, events: caller.events },
    callee: { connection: incoming, registry: callee.registry, events: callee.events },
    now,
    carrier
  } satisfies World<Relay>
})

/** For each step of setting up; nothing is measured by it. */
const setUpTimeout = "15 seconds"

/** Everything up and connected over three relays of ours. */
export const make = Effect.fnUntraced(function*(options: WorldOptions = {}) {
  const now = yield* LoopTime.make
  const relays = yield* Effect.all([makeRelay(now), makeRelay(now), makeRelay(now)])
  for (const way of relays.flatMap(({ callee, caller }) => [caller, callee])) {
    way.set("toTarget", options.toRelay ?? {})
    way.set("toClient", options.fromRelay ?? {})
  }
  return yield* connect(relays, now)
})
