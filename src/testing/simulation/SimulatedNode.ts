/**
 * A node of a simulated world: the real layers from the relay client up to net_crypto on one machine of the network, and an
 * application on top that calls its peers again and again, accepts everybody, and tells `Streams` what it sees.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as ConnectionRegistryLive from "../../layers/ConnectionRegistryLive.ts"
import * as NetCryptoLive from "../../layers/NetCryptoLive.ts"
import * as RelayClientLive from "../../layers/RelayClientLive.ts"
import type { KeyPair } from "../../protocol/crypto/Crypto.ts"
import type { PeerPath } from "../../protocol/registry/PeerPath.ts"
import { type PublicKey, toHex } from "../../schema/Bytes.ts"
import type { RelayAddress } from "../../schema/RelayAddress.ts"
import { ConnectionRegistry, type RelayStatus } from "../../services/ConnectionRegistry.ts"
import { Entropy } from "../../services/Entropy.ts"
import { Identity } from "../../services/Identity.ts"
import { NetCrypto, type NetCryptoConnection, type PeerAddress } from "../../services/NetCrypto.ts"
import { type NetCryptoNumbers, NetCryptoSettings } from "../../services/NetCryptoSettings.ts"
import { RelayTransport } from "../../services/RelayTransport.ts"
import { ToxCrypto } from "../../services/ToxCrypto.ts"
import * as EntropySeeded from "../EntropySeeded.ts"
import type { MemoryNetwork } from "../MemoryNetwork.ts"
import type { End, Streams } from "./Streams.ts"
import type { Trace } from "./Trace.ts"
import * as WatchedPaths from "./watchedPaths.ts"

/** How long an application waits for a connection, and between two calls, milliseconds. */
const callTimeout = 10_000
const callPause = 250
/** Every so many packets the application answers from inside its receiver. */
const answerEvery = 61

export interface NodeOptions {
  readonly network: MemoryNetwork["Service"]
  readonly streams: Streams
  readonly trace: Trace
  readonly name: string
  readonly seed: number
  readonly identity: KeyPair
  readonly dht: KeyPair
  /** The relays it holds on its own account. */
  readonly relays: ReadonlyArray<RelayAddress>
  readonly numbers: NetCryptoNumbers
  /** The name of a node, by its identity key in hexadecimal. */
  readonly nameOf: (identity: string) => string
}

export interface SimulatedNode {
  readonly name: string
  readonly isUp: () => boolean
  readonly incarnation: () => number
  /** What others need to call it. */
  readonly address: () => PeerAddress
  /** Whom it calls. */
  readonly callees: Set<SimulatedNode>
  /** The connection to a peer that works now. */
  readonly endTo: (peer: SimulatedNode) => End | undefined
  /** The paths that are open, by the peer's DHT key in hexadecimal. */
  readonly paths: () => ReadonlyMap<string, PeerPath>
  /** With another DHT key: as a node that rotates it. */
  readonly start: (dht?: KeyPair) => Effect.Effect<void>
  /** Ends as a program does: peers are told. Returns at once. */
  readonly stop: Effect.Effect<void>
  /** Its process is killed: its streams are reset, and no peer hears of it. */
  readonly crash: Effect.Effect<void>
  /** Its machine loses power: nobody hears anything, not even the relays. */
  readonly powerLoss: Effect.Effect<void>
  /** Closes all connections and calls nobody any more. */
  readonly sayGoodbye: Effect.Effect<void>
  readonly relayStatus: Effect.Effect<ReadonlyArray<RelayStatus>>
}

interface Running {
  readonly scope: Scope.Closeable
  readonly registry: ConnectionRegistry["Service"]
  readonly known: Map<NetCryptoConnection, End>
  readonly paths: ReadonlyMap<string, PeerPath>
  readonly calls: Scope.Closeable
}

/** The node, down. It lives at most as long as the scope in which this runs. */
export const make = Effect.fnUntraced(function*(
  options: NodeOptions
): Effect.fn.Return<SimulatedNode, never, ToxCrypto | Scope.Scope> {
  const { name, network, streams, trace } = options
  const crypto = yield* ToxCrypto
  const world = yield* Effect.scope
  const callees = new Set<SimulatedNode>()
  let dht = options.dht
  let incarnation = 0
  let running: Running | undefined

  const layer = (paths: Map<string, PeerPath>) =>
    NetCryptoLive.layer.pipe(
      Layer.provide(WatchedPaths.layer(paths)),
      Layer.provideMerge(ConnectionRegistryLive.layer),
      Layer.provide(RelayClientLive.layer),
      Layer.provide(Layer.mergeAll(
        Layer.succeed(RelayTransport, network.transport(name)),
        Layer.succeed(Identity, { identity: options.identity, dht }),
        Layer.succeed(Entropy, EntropySeeded.make(options.seed + incarnation)),
        Layer.succeed(ToxCrypto, crypto),
        Layer.succeed(NetCryptoSettings, options.numbers)
      )),
      Layer.fresh
    )

  /** Makes an end of a connection, unless it is one already. */
  const adopt = (here: Running, connection: NetCryptoConnection): void => {
    if (here.known.has(connection)) return
    const peer = options.nameOf(toHex(connection.identityKey))
    const end = streams.open(name, peer, incarnation, connection)
    here.known.set(connection, end)
    connection.handle({
      onLossless: (payload) => {
        streams.onLossless(end, payload)
        if (end.received % answerEvery === 0) streams.send(end, [payload.length])
      },
      onLossy: (payload) => streams.onLossy(end, payload),
      onWritable: () => {
        trace.count("writable again", name)
        streams.writable(end)
      },
      onClosed: ({ reason }) => {
        here.known.delete(connection)
        trace.tally("resent", connection.stats().resentPackets)
        streams.onClosed(end, reason._tag)
      }
    })
  }

  const call = (netCrypto: NetCrypto["Service"], here: Running, callee: SimulatedNode) =>
    Effect.suspend(() => netCrypto.connect(callee.address())).pipe(
      Effect.timeoutOption(callTimeout),
      Effect.flatMap((connection) => {
        if (connection._tag === "None") {
          trace.count("call gave up", `${name} ${callee.name}`)
          return Effect.void
        }
        adopt(here, connection.value)
        return connection.value.closed
      }),
      Effect.catch((error) =>
        Effect.sync(() => trace.count(`call failed ${error.reason._tag}`, `${name} ${callee.name}`))
      ),
      Effect.andThen(Effect.sleep(callPause)),
      Effect.forever
    )

  const start = Effect.fnUntraced(function*(newDht?: KeyPair) {
    if (running !== undefined) return
    dht = newDht ?? dht
    incarnation++
    const scope = yield* Scope.fork(world)
    const paths = new Map<string, PeerPath>()
    const context = yield* Effect.orDie(Layer.buildWithScope(layer(paths), scope))
    const netCrypto = Context.get(context, NetCrypto)
    const registry = Context.get(context, ConnectionRegistry)
    const here: Running = { scope, registry, known: new Map(), paths, calls: yield* Scope.fork(scope) }
    running = here
    yield* netCrypto.setAcceptPolicy(() => true)
    for (const relay of options.relays) yield* registry.addRelay(relay)
    const carriers = new Map<string, string | undefined>()
    yield* Effect.forkIn(
      Stream.runForEach(registry.events, (event) =>
        Effect.sync(() => {
          const relay = "relay" in event ? event.relay?.host : undefined
          trace.count(event._tag, `${name} ${relay ?? "nobody"}`)
          if (event._tag !== "CarrierChanged") return
          const peer = toHex(event.peer)
          const before = carriers.get(peer)
          if (before !== undefined && relay !== undefined && before !== relay) trace.count("data moved", name)
          carriers.set(peer, relay)
        })),
      scope
    )
    yield* Effect.forkIn(
      Effect.forever(Effect.map(netCrypto.accept, (connection) => adopt(here, connection))),
      here.calls
    )
    for (const callee of callees) yield* Effect.forkIn(call(netCrypto, here, callee), here.calls)
  })

  /** Closes the scope of what runs, without waiting for it. */
  const end = Effect.suspend(() => {
    const scope = running?.scope
    running = undefined
    return scope === undefined ? Effect.void : Effect.asVoid(Effect.forkIn(Scope.close(scope, Exit.void), world))
  })
  const connections = () => network.connections().filter((connection) => connection.client === name)

  return {
    name,
    isUp: () => running !== undefined,
    incarnation: () => incarnation,
    address: () => ({
      identityKey: options.identity.publicKey,
      dhtKey: dht.publicKey as PublicKey,
      relays: options.relays
    }),
    callees,
    endTo: (peer) => {
      for (const end of running?.known.values() ?? []) if (end.peer === peer.name && end.ended === undefined) return end
      return undefined
    },
    paths: () => running?.paths ?? new Map(),
    start,
    stop: end,
    crash: Effect.suspend(() => {
      for (const connection of connections()) connection.reset()
      return end
    }),
    powerLoss: Effect.suspend(() => {
      for (const connection of connections()) connection.freeze()
      return end
    }),
    sayGoodbye: Effect.suspend(() => {
      const here = running
      if (here === undefined) return Effect.void
      return Effect.gen(function*() {
        yield* Effect.forkIn(Scope.close(here.calls, Exit.void), world)
        for (const end of here.known.values()) {
          end.isClosing = true
          yield* end.connection.close
        }
      })
    }),
    relayStatus: Effect.suspend(() => running?.registry.relays ?? Effect.succeed([]))
  }
})
