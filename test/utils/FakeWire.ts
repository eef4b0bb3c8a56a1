/**
 * A network for net_crypto without relays: any number of `NetCryptoBridge`s joined by wires under the Effect clock, with latency, loss,
 * duplication, reordering, limited rate and relays that fail. It follows the rules that the connection registry promises (a peer is
 * online where both sides have tied the relay, one carrier at a time, out of band otherwise), and shares no code with it.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import { monotonicMillis } from "../../src/layers/monotonicMillis.ts"
import type {
  PeerPath,
  PeerPathEvents,
  PeerWay,
  ReplyRoute,
  SendOutcome
} from "../../src/protocol/registry/PeerPath.ts"
import { type PublicKey, toHex } from "../../src/schema/Bytes.ts"
import type { RelayAddress } from "../../src/schema/RelayAddress.ts"
import type { BridgeEvents, NetCryptoBridge } from "../../src/services/NetCryptoBridge.ts"
import * as EntropySeeded from "../../src/testing/EntropySeeded.ts"

/** What one direction is like. Milliseconds, bytes per millisecond, and shares in 0..1. */
export interface Conditions {
  latency: number
  jitter: number
  loss: number
  duplicate: number
  /** The share of packets that arrive up to `reorderBy` later than those sent after them. */
  reorder: number
  reorderBy: number
  rate: number
  /** Bytes that wait for a slow wire before it pushes back. */
  buffer: number
}

/** A packet on its way. */
export interface Transit {
  readonly at: number
  readonly from: string
  readonly to: string
  readonly relay: number
  readonly outOfBand: boolean
  readonly bytes: Uint8Array
}

export type Fate = "deliver" | "lose" | "hold"

const maxOob = 1024
/** Arrival times are multiples of this, which nanoseconds express exactly. */
const grain = 0.125

export class FakeWire {
  readonly now: () => number
  readonly random: () => number
  readonly nodes = new Map<string, WireNode>()
  readonly relays: ReadonlyArray<RelayAddress>
  /** Applies to every direction that has none of its own. */
  readonly conditions: Conditions = {
    latency: 5,
    jitter: 0,
    loss: 0,
    duplicate: 0,
    reorder: 0,
    reorderBy: 20,
    rate: Infinity,
    buffer: 256 * 1024
  }
  /** Relays that take everything and deliver nothing, though they say that all is well. */
  readonly frozen = new Set<number>()
  /** How much longer than the conditions say packets take through a relay, one way. Milliseconds. */
  readonly detours = new Map<number, number>()
  /** No peer is online anywhere: everything goes out of band. */
  outOfBandOnly = false
  /** A path finds out only in the middle of `send` that its carrier is full, and goes to the next relay then and there. */
  spills = false
  /** Decides about each packet when it is sent. */
  fate: (transit: Transit) => Fate = () => "deliver"
  readonly held: Array<Transit> = []
  /** Everything sent, when `records`. */
  readonly log: Array<Transit> = []
  records = true
  /** How long a path that wakes takes to find its relays, milliseconds. */
  dialTime = 100
  readonly count = { sent: 0, delivered: 0 }
  readonly #directions = new Map<string, Conditions>()
  readonly #events: Array<{ readonly at: number; readonly run: () => void }> = []
  readonly #earlier = Latch.makeUnsafe(false)
  #armed = -Infinity
  carriers = 0

  constructor(now: () => number, seed: number, relays: number) {
    this.now = now
    this.random = EntropySeeded.make(seed).fraction
    this.relays = Array.from({ length: relays }, (_, i) => ({
      host: `relay${i}.example`,
      port: 33_445,
      publicKey: new Uint8Array(32).fill(200 + i) as PublicKey
    }))
  }

  /** Conditions of one direction, to be changed in place. */
  direction(from: WireNode, to: WireNode): Conditions {
    const id = `${from.id}>${to.id}`
    const known = this.#directions.get(id) ?? { ...this.conditions }
    this.#directions.set(id, known)
    return known
  }

  /** A process with this DHT key, connected to all relays. One that was there before is gone without a word. */
  attach(key: PublicKey): WireNode {
    const before = this.nodes.get(toHex(key))
    if (before !== undefined) this.detach(before)
    const node = new WireNode(this, key)
    this.nodes.set(node.id, node)
    this.refresh()
    return node
  }

  /** The process is gone: nothing is sent or received any more. */
  detach(node: WireNode): void {
    node.isAttached = false
    if (this.nodes.get(node.id) === node) this.nodes.delete(node.id)
    this.refresh()
  }

  /** Breaks or restores the connection of one node, or of all, to a relay. */
  setRelay(relay: number, isUp: boolean, only?: WireNode): void {
    for (const node of only === undefined ? this.nodes.values() : [only]) {
      if (isUp) node.up.add(relay)
      else node.up.delete(relay)
    }
    this.refresh()
  }

  /** Delivers a packet now, as if `from` had sent it; the sender need not exist. */
  inject(from: PublicKey, to: WireNode, bytes: Uint8Array, options?: { relay?: number; outOfBand?: boolean }): void {
    const { outOfBand = true, relay = 0 } = options ?? {}
    to.receive({ at: this.now(), from: toHex(from), to: to.id, relay, outOfBand, bytes })
    to.endBatch()
  }

  /** Delivers a packet that `fate` has held. */
  release(transit: Transit): void {
    this.held.splice(this.held.indexOf(transit), 1)
    const node = this.nodes.get(transit.to)
    node?.receive(transit)
    node?.endBatch()
  }

  schedule(after: number, run: () => void): void {
    const at = Math.ceil((this.now() + after) / grain) * grain
    let low = 0
    let high = this.#events.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#events[middle]!.at <= at) low = middle + 1
      else high = middle
    }
    this.#events.splice(low, 0, { at, run })
    if (at < this.#armed) this.#earlier.openUnsafe()
  }

  /** Puts a packet on the wire. */
  carry(from: WireNode, to: string, relay: number, outOfBand: boolean, bytes: Uint8Array): void {
    const transit: Transit = { at: this.now(), from: from.id, to, relay, outOfBand, bytes }
    this.count.sent++
    if (this.records) this.log.push(transit)
    const fate = this.fate(transit)
    if (fate === "hold") this.held.push(transit)
    if (fate !== "deliver" || this.frozen.has(relay)) return
    const wire = this.#directions.get(`${from.id}>${to}`) ?? this.conditions
    const waiting = from.queueOn(to, relay, bytes.length, wire)
    if (this.random() < wire.loss) return
    const copies = this.random() < wire.duplicate ? 2 : 1
    for (let i = 0; i < copies; i++) {
      const late = this.random() < wire.reorder ? this.random() * wire.reorderBy : 0
      const latency = wire.latency + (this.detours.get(relay) ?? 0)
      this.schedule(waiting + latency + this.random() * wire.jitter + late, () => {
        const node = this.nodes.get(to)
        if (node === undefined || this.frozen.has(relay)) return
        this.count.delivered++
        node.receive(transit)
      })
    }
  }

  /** Brings every path up to date with who has tied what. Peers learn of it one millisecond later, as from a relay. */
  refresh(): void {
    this.schedule(1, () => {
      for (const node of this.nodes.values()) for (const path of [...node.paths.values()]) path.refresh()
    })
  }

  /** Runs the wire; fork it. */
  readonly run: Effect.Effect<never> = Effect.gen({ self: this }, function*() {
    for (;;) {
      const time = this.now()
      while (this.#events.length > 0 && this.#events[0]!.at <= time) this.#events.shift()!.run()
      for (const node of this.nodes.values()) node.endBatch()
      this.#armed = this.#events[0]?.at ?? Infinity
      this.#earlier.closeUnsafe()
      if (this.#armed === Infinity) yield* this.#earlier.await
      else if (this.#armed > time) yield* Effect.raceFirst(Effect.sleep(this.#armed - time), this.#earlier.await)
      // An opened latch resumes its fiber at once: nothing may be delivered in the middle of a `send`.
      yield* Effect.yieldNow
    }
  })
}

/** A wire between nodes that are connected to `relays` relays, running in the current scope. */
export const make = Effect.fnUntraced(function*(options?: { readonly seed?: number; readonly relays?: number }) {
  const wire = new FakeWire(monotonicMillis(yield* Clock.Clock), options?.seed ?? 1, options?.relays ?? 1)
  yield* Effect.forkScoped(wire.run, { startImmediately: true })
  return wire
})

export class WireNode {
  readonly id: string
  readonly up: Set<number>
  /** Relays that it keeps although a path sleeps; all of them unless a test takes some away. */
  readonly home: Set<number>
  readonly paths = new Map<string, WirePath>()
  isAttached = true
  events: BridgeEvents | undefined
  readonly #wire: FakeWire
  readonly #busyUntil = new Map<string, number>()
  #isTouched = false

  constructor(wire: FakeWire, key: PublicKey) {
    this.#wire = wire
    this.id = toHex(key)
    this.up = new Set(wire.relays.keys())
    this.home = new Set(wire.relays.keys())
  }

  /** The service that net_crypto gets. */
  readonly bridge: NetCryptoBridge["Service"] = {
    attach: (events) => {
      this.events = events
    },
    open: (peer, events) => {
      if (this.paths.has(toHex(peer))) throw new Error("this peer has a path already")
      const path = new WirePath(this.#wire, this, peer, events)
      this.paths.set(path.id, path)
      return path
    }
  }

  /** Whether it is connected to a relay, or would be if this path were all that it had. */
  isOn(relay: number, path: WirePath | undefined): boolean {
    return this.up.has(relay) && (this.home.has(relay) || path?.isDialled === true)
  }

  receive(transit: Transit): void {
    const path = this.paths.get(transit.from)
    if (!this.isAttached || !this.isOn(transit.relay, path)) return
    this.#isTouched = true
    const way = this.routeTo(transit.from, transit.relay)
    const route: ReplyRoute = transit.outOfBand ? { ...way, outOfBand: true } : way
    // A copy for each receiver, because views are only lent.
    const bytes = transit.bytes.slice()
    if (path?.tied.has(transit.relay) === true) path.events.onPacket(bytes, route)
    else if (transit.outOfBand) {
      this.events?.onUnboundPacket(Buffer.from(transit.from, "hex") as Uint8Array as PublicKey, bytes, route)
    }
    bytes.fill(0xdd)
  }

  endBatch(): void {
    if (!this.#isTouched) return
    this.#isTouched = false
    this.events?.onBatchEnd()
  }

  routeTo(peer: string, relay: number): ReplyRoute {
    return {
      relay: this.#wire.relays[relay]!,
      reply: (packet) => {
        if (!this.isAttached || !this.isOn(relay, this.paths.get(peer))) return false
        this.#wire.carry(this, peer, relay, true, packet.slice())
        return true
      }
    }
  }

  /** Bytes that wait to leave for this peer through this relay. */
  backlog(to: string, relay: number, rate: number): number {
    const until = this.#busyUntil.get(`${to}/${relay}`) ?? 0
    return rate === Infinity ? 0 : Math.max(0, (until - this.#wire.now()) * rate)
  }

  /** Queues bytes and returns how long they wait, the time to send them included. */
  queueOn(to: string, relay: number, bytes: number, { rate }: Conditions): number {
    if (rate === Infinity) return 0
    const now = this.#wire.now()
    const until = Math.max(now, this.#busyUntil.get(`${to}/${relay}`) ?? 0) + bytes / rate
    this.#busyUntil.set(`${to}/${relay}`, until)
    return until - now
  }
}

export class WirePath implements PeerPath {
  readonly id: string
  readonly peer: PublicKey
  readonly events: PeerPathEvents
  readonly tied = new Set<number>()
  /** Relays on which the peer is online, and the number of that spell. */
  readonly online = new Map<number, number>()
  active: number | undefined
  moves = 0
  /** What net_crypto has said about the relays. */
  readonly verdicts: Array<{ readonly relay: number | undefined; readonly delivered: boolean }> = []
  readonly #wire: FakeWire
  readonly #node: WireNode
  #heard: number | undefined
  #wantsRoom = false

  constructor(wire: FakeWire, node: WireNode, peer: PublicKey, events: PeerPathEvents) {
    this.#wire = wire
    this.#node = node
    this.peer = peer
    this.id = toHex(peer)
    this.events = events
  }

  readonly carrier = (): number => this.active === undefined ? 0 : this.online.get(this.active)!

  readonly room = (): number => {
    if (this.active === undefined) return 0
    const { buffer, rate } = this.#conditions
    const room = buffer - this.#node.backlog(this.id, this.active, rate)
    if (room < 2_000) this.#awaitRoom()
    return Math.max(this.#wire.spills ? 2_000 : 0, room)
  }

  readonly send = (frame: Uint8Array, length: number, urgent: boolean): SendOutcome => {
    const bytes = frame.slice(1, length)
    if (!this.#node.isAttached) return "unreachable"
    if (this.active === undefined) {
      const ways = bytes.length > maxOob ? [] : [...this.tied].filter((relay) => this.#node.isOn(relay, this))
      for (const relay of ways) this.#wire.carry(this.#node, this.id, relay, true, bytes)
      return ways.length > 0 ? "sent" : "unreachable"
    }
    const { buffer, rate } = this.#conditions
    if (urgent || buffer - this.#node.backlog(this.id, this.active, rate) >= bytes.length) {
      this.#wire.carry(this.#node, this.id, this.active, false, bytes)
      return "sent"
    }
    const next = this.#next()
    if (!this.#wire.spills || next === undefined || this.#node.backlog(this.id, next, rate) > 0) {
      this.#awaitRoom()
      return "blocked"
    }
    this.#wire.carry(this.#node, this.id, next, false, bytes)
    this.#activate(next)
    return "sent"
  }

  /** The wire has no relays of anybody's own. */
  readonly tieHome = (): void => {}

  readonly moveOn = (): boolean => {
    const next = this.#next()
    if (next === undefined) return false
    this.moves++
    this.#activate(next)
    return true
  }

  readonly ways = (): ReadonlyArray<PeerWay> =>
    [...this.tied].map((relay) => ({ relay: this.#wire.relays[relay]!, carrier: this.online.get(relay) ?? 0 }))

  readonly standbys = (): ReadonlyArray<number> =>
    [...this.online].filter(([relay]) => relay !== this.active).map(([, spell]) => spell)

  readonly sendVia = (carrier: number, frame: Uint8Array, length: number): boolean => {
    const relay = this.#relayOf(carrier)
    if (relay !== undefined) this.#wire.carry(this.#node, this.id, relay, false, frame.slice(1, length))
    return relay !== undefined
  }

  readonly judge = (carrier: number, delivered: boolean): void => {
    this.verdicts.push({ relay: this.#relayOf(carrier), delivered })
  }

  readonly prefer = (carrier: number): void => {
    const relay = this.#relayOf(carrier)
    if (relay !== undefined && relay !== this.active) this.#activate(relay)
  }

  isAsleep = false
  /** Whether the node is connected to the relays that it keeps for this path: they are left at once, and take a moment to come back. */
  isDialled = true
  readonly sleep = (): void => {
    this.isAsleep = true
    this.isDialled = false
    this.#wire.refresh()
  }
  readonly wake = (): void => {
    this.isAsleep = false
    this.#wire.schedule(this.#wire.dialTime, () => {
      this.isDialled = !this.isAsleep
      this.#wire.refresh()
      if (this.active === undefined) this.events.onWritable()
    })
  }

  readonly heard = (route: ReplyRoute): void => {
    const relay = this.#wire.relays.indexOf(route.relay)
    const before = this.#heard
    this.#heard = relay
    if (relay !== before && before === this.active && this.online.has(relay)) this.#activate(relay)
  }

  readonly tie = (relay: RelayAddress): void => {
    const index = this.#wire.relays.findIndex(({ host }) => host === relay.host)
    if (index < 0 || this.tied.has(index)) return
    this.tied.add(index)
    this.#wire.refresh()
    // Registered: out-of-band packets can be sent from now on.
    this.#wire.schedule(0.5, () => {
      if (this.tied.has(index) && this.active === undefined) this.events.onWritable()
    })
  }

  #relayOf(carrier: number): number | undefined {
    return [...this.online].find(([, spell]) => spell === carrier)?.[0]
  }

  readonly close = (): void => {
    this.active = undefined
    this.tied.clear()
    this.online.clear()
    if (this.#node.paths.get(this.id) === this) this.#node.paths.delete(this.id)
    this.#wire.refresh()
  }

  refresh(): void {
    const other = this.#wire.nodes.get(this.id)
    const back = other?.paths.get(this.#node.id)
    for (const relay of this.#wire.relays.keys()) {
      const isOnline = !this.#wire.outOfBandOnly && this.tied.has(relay) && back?.tied.has(relay) === true &&
        this.#node.isOn(relay, this) && other?.isOn(relay, back) === true
      if (isOnline === this.online.has(relay)) continue
      if (isOnline) {
        this.online.set(relay, ++this.#wire.carriers)
        if (this.active === undefined) this.#activate(relay)
      } else {
        const lost = this.carrier()
        this.online.delete(relay)
        if (this.active === relay) this.#activate(this.#next(), lost)
      }
    }
  }

  get #conditions(): Conditions {
    const other = this.#wire.nodes.get(this.id)
    return other === undefined ? this.#wire.conditions : this.#wire.direction(this.#node, other)
  }

  #next(): number | undefined {
    const ways = [...this.online.keys()]
    // Around in a circle, so that each gets its turn.
    return ways.find((relay) => relay > (this.active ?? -1)) ?? ways.find((relay) => relay !== this.active)
  }

  #activate(relay: number | undefined, lost = this.carrier()): void {
    this.active = relay
    this.events.onCarrierChange(lost)
  }

  #awaitRoom(): void {
    if (this.#wantsRoom || this.active === undefined) return
    this.#wantsRoom = true
    const { buffer, rate } = this.#conditions
    const wait = (this.#node.backlog(this.id, this.active, rate) - buffer / 2) / rate
    this.#wire.schedule(Math.max(grain, wait), () => {
      this.#wantsRoom = false
      if (this.#node.isAttached) this.events.onWritable()
    })
  }
}
