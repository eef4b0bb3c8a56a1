/**
 * A simulated world: some relays, some nodes and who talks to whom, all of it chosen by a seed and built from the real layers on a network
 * in memory. It does nothing by itself; `actions` disturb it and `Simulation` lets time pass.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { monotonicMillis } from "../../layers/monotonicMillis.ts"
import type { KeyPair } from "../../protocol/crypto/Crypto.ts"
import type { PeerPath } from "../../protocol/registry/PeerPath.ts"
import { toHex } from "../../schema/Bytes.ts"
import { type NetCryptoNumbers, NetCryptoSettings } from "../../services/NetCryptoSettings.ts"
import { ToxCrypto } from "../../services/ToxCrypto.ts"
import * as EntropySeeded from "../EntropySeeded.ts"
import { MemoryNetwork } from "../MemoryNetwork.ts"
import { Dice } from "./Dice.ts"
import * as PacketTraffic from "./packetTraffic.ts"
import * as SessionTraffic from "./sessionTraffic.ts"
import * as SimulatedNode from "./SimulatedNode.ts"
import * as SimulatedRelay from "./SimulatedRelay.ts"
import { Trace } from "./Trace.ts"
import type { Pair, Traffic } from "./Traffic.ts"

export interface World {
  readonly dice: Dice
  readonly trace: Trace
  readonly network: MemoryNetwork["Service"]
  readonly relays: ReadonlyArray<SimulatedRelay.SimulatedRelay>
  readonly nodes: ReadonlyArray<SimulatedNode.SimulatedNode>
  readonly pairs: ReadonlyArray<Pair>
  readonly traffic: Traffic
  /** How long things go wrong in this world, milliseconds. */
  readonly faultTime: number
  /** Whether that is long enough for a peer to count as lost. */
  readonly isLong: boolean
  /** Whether nodes make direct links, for which relays may sleep. */
  readonly hasDirect: boolean
  readonly violations: Array<string>
  /** Partitions that have not healed. */
  readonly partitions: Set<() => void>
  /** Relays that have lied about who is there: what they said stays wrong until they are restarted. */
  readonly liars: Set<SimulatedRelay.SimulatedRelay>
  /** Relays that were left at once when the peer of this path fell asleep. */
  readonly leftAsleep: Map<PeerPath, ReadonlyArray<string>>
  /** A new key pair, as random as everything here. */
  readonly freshKeys: () => KeyPair
  /** Runs the effect after so many milliseconds, if the world still stands. */
  readonly later: (millis: number, effect: Effect.Effect<void>) => Effect.Effect<void>
}

/** What the traffic of a world is made of. */
export interface WorldBasis {
  readonly trace: Trace
  readonly network: MemoryNetwork["Service"]
  /** Whether nodes make direct links. */
  readonly hasDirect: boolean
  /** The random choices of the traffic, apart from those of the world. */
  readonly dice: Dice
  /** Whether the faults of this world may last so long that a peer counts as lost. */
  readonly isLong: boolean
  /** Whether that node has been running without interruption in this incarnation. */
  readonly isRunning: (node: string, incarnation: number) => boolean
  /** The name of a node, by its identity key in hexadecimal. */
  readonly nameOf: (identity: string) => string
  readonly violate: (what: string) => void
}

/** Faults up to this long cannot add up to the silence after which a peer counts as lost. */
const shortFaultTime = 22_000

/**
 * Whether the nodes of a seed's world have sessions. Of three worlds about one does, and none of those that once failed without
 * sessions: those are to stay what they were.
 */
const hasSessions = (seed: number): boolean => sessionDigits.has(seed % 10)
const sessionDigits: ReadonlySet<number> = new Set([1, 3, 6])

/** Whether nodes with sessions also make direct links: in two of three such worlds. */
const hasDirect = (seed: number): boolean => hasSessions(seed) && seed % 3 !== 0

/** Builds the world of a seed and starts everything in it. */
export const make = Effect.fnUntraced(function*(
  seed: number,
  onLine: ((line: string) => void) | undefined
): Effect.fn.Return<World, never, ToxCrypto | MemoryNetwork | Scope.Scope> {
  const network = yield* MemoryNetwork
  const crypto = yield* ToxCrypto
  const scope = yield* Effect.scope
  const millis = monotonicMillis(yield* Clock.Clock)
  const dice = new Dice(seed)
  const entropy = EntropySeeded.make(seed)
  const trace = new Trace(millis, onLine)
  const violations: Array<string> = []
  const violate = (what: string) => {
    violations.push(what)
    trace.note(`VIOLATION ${what}`)
  }

  // There is more to do in these, so they are smaller.
  const isOfSessions = hasSessions(seed)
  const isLong = dice.chance(1 / 16)
  const faultTime = isLong ? dice.between(45_000, 70_000) : dice.between(8_000, shortFaultTime)
  const roomy: NetCryptoNumbers = dice.chance(1 / 2)
    ? yield* NetCryptoSettings
    : { ...(yield* NetCryptoSettings), sendBuffer: 16_384, receiveBuffer: 65_536, maxInFlight: 131_072 }
  // Sessions outlive connections, so these may be lost at any time.
  const numbers = isOfSessions && seed % 2 === 1
    ? { ...roomy, connectionTimeout: 3_000 + (seed % 7) * 500 }
    : roomy

  // Their secrets need no wiping: everybody can compute them.
  const freshKeys = (): KeyPair => {
    const secretKey = Redacted.make(entropy.bytes(32))
    return { publicKey: crypto.publicKey(secretKey), secretKey }
  }

  const relays: Array<SimulatedRelay.SimulatedRelay> = []
  for (let i = dice.between(3, isOfSessions ? 6 : 8); i > 0; i--) {
    const relay = yield* SimulatedRelay.make(network, `relay-${relays.length}`, freshKeys(), seed + i * 0x100000)
    network.conditions(relay.address, { latency: dice.between(0, 60), jitter: dice.pick([0, 0, 5, 30])! })
    yield* relay.start
    relays.push(relay)
  }

  const nodes: Array<SimulatedNode.SimulatedNode> = []
  const names = new Map<string, string>()
  const basis: WorldBasis = {
    trace,
    network,
    hasDirect: hasDirect(seed),
    dice: new Dice(seed + 0x40000000),
    isLong,
    isRunning: (name, incarnation) =>
      nodes.some((node) => node.name === name && node.isUp() && node.incarnation() === incarnation),
    nameOf: (key) => names.get(key) ?? "a stranger",
    violate
  }
  const traffic = isOfSessions ? yield* SessionTraffic.make(basis) : PacketTraffic.make(basis, numbers)
  for (let i = dice.between(2, isOfSessions ? 4 : 6); i > 0; i--) {
    const name = `node-${nodes.length}`
    const identity = freshKeys()
    names.set(toHex(identity.publicKey), name)
    const node = yield* SimulatedNode.make({
      network,
      traffic,
      trace,
      name,
      seed: seed + i * 0x1000000,
      identity,
      dht: freshKeys(),
      directHost: `10.0.0.${nodes.length + 1}`,
      relays: dice.sample(relays, dice.between(2, 4)).map(({ address }) => address),
      numbers
    })
    nodes.push(node)
  }

  const pairs: Array<Pair> = []
  nodes.forEach((a, i) => {
    for (const b of nodes.slice(i + 1)) {
      if (i > 0 && dice.chance(0.6)) continue
      pairs.push({ a, b })
      const calls = dice.between(0, 2)
      if (calls !== 1) a.callees.add(b)
      if (calls !== 0) b.callees.add(a)
    }
  })
  for (const node of nodes) yield* node.start()
  trace.note(`${relays.length} relays, ${nodes.length} nodes, ${pairs.length} pairs, ${faultTime} ms`)

  return {
    dice,
    trace,
    network,
    relays,
    nodes,
    pairs,
    traffic,
    faultTime,
    isLong,
    hasDirect: basis.hasDirect,
    violations,
    partitions: new Set(),
    liars: new Set(),
    leftAsleep: new Map(),
    freshKeys,
    later: (delay, effect) => Effect.asVoid(Effect.forkIn(Effect.andThen(Effect.sleep(delay), effect), scope))
  }
})
