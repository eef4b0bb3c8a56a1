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
import * as SimulatedNode from "./SimulatedNode.ts"
import * as SimulatedRelay from "./SimulatedRelay.ts"
import { type End, Streams } from "./Streams.ts"
import { Trace } from "./Trace.ts"

/** Two nodes that should always be connected. */
export interface Pair {
  readonly a: SimulatedNode.SimulatedNode
  readonly b: SimulatedNode.SimulatedNode
}

export interface World {
  readonly dice: Dice
  readonly trace: Trace
  readonly network: MemoryNetwork["Service"]
  readonly relays: ReadonlyArray<SimulatedRelay.SimulatedRelay>
  readonly nodes: ReadonlyArray<SimulatedNode.SimulatedNode>
  readonly pairs: ReadonlyArray<Pair>
  readonly streams: Streams
  /** How long things go wrong in this world, milliseconds. */
  readonly faultTime: number
  /** Whether that is long enough for a peer to count as lost. */
  readonly isLong: boolean
  readonly violations: Array<string>
  /** Partitions that have not healed. */
  readonly partitions: Set<() => void>
  /** Relays that have lied about who is there: what they said stays wrong until they are restarted. */
  readonly liars: Set<SimulatedRelay.SimulatedRelay>
  /** Relays that were left at once when the peer of this path fell asleep. */
  readonly leftAsleep: Map<PeerPath, ReadonlyArray<string>>
  /** Ends that work now. */
  readonly openEnds: () => Array<End>
  /** A new key pair, as random as everything here. */
  readonly freshKeys: () => KeyPair
  /** Runs the effect after so many milliseconds, if the world still stands. */
  readonly later: (millis: number, effect: Effect.Effect<void>) => Effect.Effect<void>
}

/** Faults up to this long cannot add up to the silence after which a peer counts as lost. */
const shortFaultTime = 22_000

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

  const isLong = dice.chance(1 / 16)
  const faultTime = isLong ? dice.between(45_000, 70_000) : dice.between(8_000, shortFaultTime)
  const numbers: NetCryptoNumbers = dice.chance(1 / 2)
    ? yield* NetCryptoSettings
    : { ...(yield* NetCryptoSettings), sendBuffer: 16_384, receiveBuffer: 65_536, maxInFlight: 131_072 }

  // Their secrets need no wiping: everybody can compute them.
  const freshKeys = (): KeyPair => {
    const secretKey = Redacted.make(entropy.bytes(32))
    return { publicKey: crypto.publicKey(secretKey), secretKey }
  }

  const relays: Array<SimulatedRelay.SimulatedRelay> = []
  for (let i = dice.between(3, 8); i > 0; i--) {
    const relay = yield* SimulatedRelay.make(network, `relay-${relays.length}`, freshKeys(), seed + i * 0x100000)
    network.conditions(relay.address, { latency: dice.between(0, 60), jitter: dice.pick([0, 0, 5, 30])! })
    yield* relay.start
    relays.push(relay)
  }

  const nodes: Array<SimulatedNode.SimulatedNode> = []
  const names = new Map<string, string>()
  const streams = new Streams({
    trace,
    budget: numbers,
    mayTimeOut: isLong,
    isRunning: (name, incarnation) =>
      nodes.some((node) => node.name === name && node.isUp() && node.incarnation() === incarnation),
    violate
  })
  for (let i = dice.between(2, 6); i > 0; i--) {
    const name = `node-${nodes.length}`
    const identity = freshKeys()
    names.set(toHex(identity.publicKey), name)
    const node = yield* SimulatedNode.make({
      network,
      streams,
      trace,
      name,
      seed: seed + i * 0x1000000,
      identity,
      dht: freshKeys(),
      relays: dice.sample(relays, dice.between(2, 4)).map(({ address }) => address),
      numbers,
      nameOf: (key) => names.get(key) ?? "a stranger"
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
    streams,
    faultTime,
    isLong,
    violations,
    partitions: new Set(),
    liars: new Set(),
    leftAsleep: new Map(),
    openEnds: () => streams.ends.filter((end) => end.ended === undefined),
    freshKeys,
    later: (delay, effect) => Effect.asVoid(Effect.forkIn(Effect.andThen(Effect.sleep(delay), effect), scope))
  }
})
