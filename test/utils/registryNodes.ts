/** Relays and nodes with a registry, each in a scope of its own, over whatever transport the test has. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as ConnectionRegistryLive from "../../src/layers/ConnectionRegistryLive.ts"
import * as RelayClientLive from "../../src/layers/RelayClientLive.ts"
import * as RelayServerLive from "../../src/layers/RelayServerLive.ts"
import type { PeerPath, ReplyRoute } from "../../src/protocol/registry/PeerPath.ts"
import type { PublicKey } from "../../src/schema/Bytes.ts"
import type { RelayAddress } from "../../src/schema/RelayAddress.ts"
import { ConnectionRegistry, type RegistryEvent } from "../../src/services/ConnectionRegistry.ts"
import { Identity } from "../../src/services/Identity.ts"
import { RelayServer, type RelayServerStats } from "../../src/services/RelayServer.ts"
import { RelayTransport } from "../../src/services/RelayTransport.ts"
import { ToxCrypto } from "../../src/services/ToxCrypto.ts"
import * as EntropySeeded from "../../src/testing/EntropySeeded.ts"
import { keyPairFrom, plainCrypto } from "./plainCrypto.ts"

type Transport = RelayTransport["Service"]

const platform = (transport: Transport, seed: number) =>
  Layer.mergeAll(
    Layer.succeed(RelayTransport, transport),
    Layer.succeed(ToxCrypto, plainCrypto),
    EntropySeeded.layer(seed)
  )

/** A layer in a scope that the test can close before its own ends. */
const build = Effect.fnUntraced(function*<A, E>(layer: Layer.Layer<A, E>) {
  const scope = yield* Scope.make()
  yield* Effect.addFinalizer(() => Scope.close(scope, Exit.void))
  const context = yield* Layer.buildWithMemoMap(layer, Layer.makeMemoMapUnsafe(), scope)
  return { context, close: Scope.close(scope, Exit.void) }
})

export interface TestRelay {
  readonly address: RelayAddress
  readonly stats: Effect.Effect<RelayServerStats>
  /** Ends all its connections with FIN and stops listening. */
  readonly stop: Effect.Effect<void>
}

/** Relay `n` (1..9) always has the same key. */
export const startRelay = Effect.fnUntraced(function*(transport: Transport, n: number, host: string, port: number) {
  const layer = RelayServerLive.layer({ host, port, keyPair: keyPairFrom(0x10 * n) })
  const { close, context } = yield* build(layer.pipe(Layer.provide(platform(transport, n))))
  const server = Context.get(context, RelayServer)
  const relay: TestRelay = { address: server.address, stats: server.stats, stop: close }
  return relay
})

export interface TestNode {
  readonly key: PublicKey
  readonly registry: ConnectionRegistry["Service"]
  /** The events so far, as `Tag relay`, where a relay is the last part of its name or its port. */
  readonly events: Array<RegistryEvent>
  readonly close: Effect.Effect<void>
}

/** Node `n` (1..9) always has the same keys. */
export const startNode = Effect.fnUntraced(function*(transport: Transport, n: number) {
  const keys = { identity: keyPairFrom(0x81 + 0x10 * n), dht: keyPairFrom(0x88 + 0x10 * n) }
  const { close, context } = yield* build(
    ConnectionRegistryLive.layer.pipe(
      Layer.provide(RelayClientLive.layer),
      Layer.provide(Layer.succeed(Identity, keys)),
      Layer.provide(platform(transport, 100 + n))
    )
  )
  const registry = Context.get(context, ConnectionRegistry)
  const events: Array<RegistryEvent> = []
  const watching = yield* Effect.forkScoped(
    Stream.runForEach(registry.events, (event) => Effect.sync(() => events.push(event)))
  )
  // The stream has subscribed before anything can happen.
  yield* Effect.yieldNow
  yield* Effect.yieldNow
  const ended = Effect.asVoid(Fiber.await(watching))
  const node: TestNode = { key: keys.dht.publicKey, registry, events, close: Effect.andThen(close, ended) }
  return node
})

/** A path and everything that came by it. */
export interface TestPath {
  readonly path: PeerPath
  /** Packets, each with the relay it came by. */
  readonly packets: Array<{ readonly bytes: ReadonlyArray<number>; readonly relay: RelayAddress }>
  readonly routes: Array<ReplyRoute>
  carrierChanges: number
}

/** Opens the path from one node to another key, and ties relays to it. */
export const openPath = (node: TestNode, peer: PublicKey, relays: ReadonlyArray<RelayAddress>): TestPath => {
  const opened: TestPath = {
    path: node.registry.openPeer(peer, {
      onPacket: (bytes, route) => {
        opened.packets.push({ bytes: [...bytes], relay: route.relay })
        opened.routes.push(route)
      },
      onCarrierChange: () => opened.carrierChanges++,
      onWritable: () => {}
    }),
    packets: [],
    routes: [],
    carrierChanges: 0
  }
  for (const relay of relays) opened.path.tie(relay)
  return opened
}

/** Sends one packet; what became of it. */
export const send = ({ path }: TestPath, ...packet: ReadonlyArray<number>) =>
  path.send(Uint8Array.of(0, ...packet), packet.length + 1, false)

/** How many relays the node's peers are online on. */
export const onlineRelays = (node: TestNode): Effect.Effect<number> =>
  Effect.map(node.registry.relays, (statuses) => statuses.filter(({ online }) => online > 0).length)

/** The relay that carries a node's data by its events. */
export const carrierOf = (node: TestNode): RelayAddress | undefined => {
  const last = node.events.findLast((event) => event._tag === "CarrierChanged")
  return last?.relay
}
