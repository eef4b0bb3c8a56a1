/**
 * A node of a simulated world: the real layers from the relay client up to net_crypto on one machine of the network, and the program of
 * its world on top. It starts, stops, crashes and loses power when it is told to.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
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
import type { PeerAddress } from "../../services/NetCrypto.ts"
import { type NetCryptoNumbers, NetCryptoSettings } from "../../services/NetCryptoSettings.ts"
import { RelayTransport } from "../../services/RelayTransport.ts"
import { ToxCrypto } from "../../services/ToxCrypto.ts"
import * as EntropySeeded from "../EntropySeeded.ts"
import type { MemoryAddress, MemoryNetwork } from "../MemoryNetwork.ts"
import type { Trace } from "./Trace.ts"
import type { RunningProgram, Traffic } from "./Traffic.ts"
import * as WatchedPaths from "./watchedPaths.ts"

const firstDirectPort = 7_000

export interface NodeOptions {
  readonly network: MemoryNetwork["Service"]
  readonly trace: Trace
  readonly traffic: Pick<Traffic, "start" | "endsSlowly">
  readonly name: string
  readonly seed: number
  readonly identity: KeyPair
  readonly dht: KeyPair
  /** An IP address: its machine, for direct links. */
  readonly directHost: string
  /** The relays it holds on its own account. */
  readonly relays: ReadonlyArray<RelayAddress>
  readonly numbers: NetCryptoNumbers
}

export interface SimulatedNode {
  readonly name: string
  readonly isUp: () => boolean
  readonly incarnation: () => number
  /** Where it may listen for direct links now: another port for every incarnation. */
  readonly directAddress: () => MemoryAddress
  /** What others need to call it. */
  readonly address: () => PeerAddress
  /** Whom it calls. */
  readonly callees: Set<SimulatedNode>
  /** The paths that are open, by the peer's DHT key in hexadecimal. */
  readonly paths: () => ReadonlyMap<string, PeerPath>
  /** With another DHT key: as a node that rotates it. Does nothing when it is up. */
  readonly start: (dht?: KeyPair) => Effect.Effect<void>
  /** Ends as a program does: peers are told. Returns at once. */
  readonly stop: Effect.Effect<void>
  /** Its process is killed: its streams are reset, and no peer hears of it. */
  readonly crash: Effect.Effect<void>
  /** Its machine loses power: nobody hears anything, not even the relays. */
  readonly powerLoss: Effect.Effect<void>
  /** Closes everything with all peers and calls nobody any more. */
  readonly sayGoodbye: Effect.Effect<void>
  readonly relayStatus: Effect.Effect<ReadonlyArray<RelayStatus>>
}

interface Running {
  readonly scope: Scope.Closeable
  readonly registry: ConnectionRegistry["Service"]
  readonly paths: ReadonlyMap<string, PeerPath>
  readonly program: RunningProgram
  /** Its machine has no network any more. */
  readonly unplug: () => void
}

/** The node, down. It lives at most as long as the scope in which this runs. */
export const make = Effect.fnUntraced(function*(
  options: NodeOptions
): Effect.fn.Return<SimulatedNode, never, ToxCrypto | Scope.Scope> {
  const { name, network, trace, traffic } = options
  const crypto = yield* ToxCrypto
  const world = yield* Effect.scope
  const callees = new Set<SimulatedNode>()
  let dht = options.dht
  let incarnation = 0
  let running: Running | undefined
  /** The program that is still ending, and whether the next one waits for that. */
  let ending: Fiber.Fiber<void> | undefined
  let starting = false
  const directAddress = (): MemoryAddress => ({ host: options.directHost, port: firstDirectPort + incarnation })

  const layer = (paths: Map<string, PeerPath>, transport: RelayTransport["Service"]) =>
    NetCryptoLive.layer.pipe(
      Layer.provide(WatchedPaths.layer(paths)),
      Layer.provideMerge(ConnectionRegistryLive.layer),
      Layer.provide(RelayClientLive.layer),
      Layer.provideMerge(Layer.mergeAll(
        Layer.succeed(RelayTransport, transport),
        Layer.succeed(Identity, { identity: options.identity, dht }),
        Layer.succeed(Entropy, EntropySeeded.make(options.seed + incarnation)),
        Layer.succeed(ToxCrypto, crypto),
        Layer.succeed(NetCryptoSettings, options.numbers)
      )),
      Layer.fresh
    )

  const begin = Effect.fnUntraced(function*(newDht: KeyPair | undefined) {
    dht = newDht ?? dht
    incarnation++
    const scope = yield* Scope.fork(world)
    const paths = new Map<string, PeerPath>()
    const transport = network.transport(name)
    let hasPower = true
    const plugged: RelayTransport["Service"] = {
      ...transport,
      connect: (address) => hasPower ? transport.connect(address) : Effect.never
    }
    const context = yield* Effect.orDie(Layer.buildWithScope(layer(paths, plugged), scope))
    const registry = Context.get(context, ConnectionRegistry)
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
    const machine = { name, incarnation, callees, context, directAddress: directAddress() }
    const program = yield* Scope.provide(traffic.start(machine), scope)
    running = { scope, registry, paths, program, unplug: () => (hasPower = false) }
  })

  const start = (newDht?: KeyPair) =>
    Effect.suspend(() => {
      if (running !== undefined || starting) return Effect.void
      if (!traffic.endsSlowly || ending === undefined || ending.pollUnsafe() !== undefined) return begin(newDht)
      starting = true
      const later = Effect.andThen(
        Fiber.await(ending),
        Effect.suspend(() => {
          starting = false
          return begin(newDht)
        })
      )
      return Effect.asVoid(Effect.forkIn(later, world))
    })

  /** Closes the scope of what runs, without waiting for it. */
  const end = Effect.suspend(() => {
    const scope = running?.scope
    running = undefined
    if (scope === undefined) return Effect.void
    return Effect.map(Effect.forkIn(Scope.close(scope, Exit.void), world), (fiber) => void (ending = fiber))
  })
  /** The same for one that can tell nobody. A program that is killed does not keep the next one waiting. */
  const kill = Effect.suspend(() => {
    running?.unplug()
    return Effect.andThen(end, Effect.sync(() => (ending = undefined)))
  })
  const connections = () =>
    network.connections().filter(({ client, server }) =>
      client === name || client === options.directHost || server.host === options.directHost
    )

  return {
    name,
    isUp: () => running !== undefined,
    incarnation: () => incarnation,
    directAddress,
    address: () => ({
      identityKey: options.identity.publicKey,
      dhtKey: dht.publicKey as PublicKey,
      relays: options.relays
    }),
    callees,
    paths: () => running?.paths ?? new Map(),
    start,
    stop: end,
    crash: Effect.suspend(() => {
      for (const connection of connections()) connection.reset()
      return kill
    }),
    powerLoss: Effect.suspend(() => {
      for (const connection of connections()) connection.freeze()
      return kill
    }),
    sayGoodbye: Effect.suspend(() => running?.program.sayGoodbye ?? Effect.void),
    relayStatus: Effect.suspend(() => running?.registry.relays ?? Effect.succeed([]))
  }
})
