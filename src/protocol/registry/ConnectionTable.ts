/**
 * Who is reached through whom: relays, peers, and the slots that tie them (connection registry protocol, sections 2 to 6). Plain code;
 * connecting to relays is somebody else's work: the table is told about links and uses them. Lock counts are not kept but read off
 * the slots, so no order of events can make them drift (row C08).
 */
import { type PublicKey, toHex } from "../../schema/Bytes.ts"
import type { RelayAddress } from "../../schema/RelayAddress.ts"
import type { RelayLinkEvents } from "../relay/RelayLink.ts"
import type { PeerPath, PeerPathEvents, ReplyRoute } from "./PeerPath.ts"
import { makeSlot, PeerSlots, type Slot } from "./PeerSlots.ts"
import { makeRelayEntry, type RelayEntry } from "./RelayEntry.ts"
import { planRelays } from "./relayPlan.ts"
import { SurplusPace } from "./SurplusPace.ts"

export interface TableNumbers {
  readonly desiredRelays: number
  readonly maxRelays: number
  readonly blockedTimeout: number
  readonly minimumRelays: number
  readonly minimumOnlyFor: number
  readonly onionRelays: number
  readonly announceTimeout: number
}

/** What the table asks for and reports. */
export interface TableHost {
  readonly numbers: TableNumbers
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** Connect to this relay and keep it connected, until `onStop`. */
  readonly onStart: (relay: RelayAddress, events: RelayLinkEvents) => void
  /** Disconnect from this relay. What its old connection still reports is ignored. */
  readonly onStop: (relay: RelayAddress) => void
  /** Something changed that `tend` should look at, soon. */
  readonly onChange: () => void
  readonly onOob: (sender: PublicKey, bytes: Uint8Array, route: ReplyRoute) => void
  readonly onBatchEnd: () => void
  readonly onRelay: (relay: RelayAddress, isConnected: boolean) => void
  readonly onPeer: (peer: PublicKey, relay: RelayAddress, isOnline: boolean) => void
  readonly onCarrier: (peer: PublicKey, relay: RelayAddress | undefined) => void
  /** Packets of the onion and of forwarders concern no peer. The bytes are views that are valid only during the call. */
  readonly onOnion: (relay: RelayAddress, bytes: Uint8Array) => void
  readonly onForwarded: (relay: RelayAddress, bytes: Uint8Array) => void
}

/** For this long a refused routing request is not repeated, and an idle relay not tried again for a peer. Milliseconds. */
const refusalTime = 60_000
const idleTime = 60_000

export class ConnectionTable {
  readonly #host: TableHost
  readonly #relays = new Map<string, RelayEntry>()
  readonly #peers = new Map<string, PeerSlots>()
  readonly #madeAt: number
  readonly #pace = new SurplusPace()
  #carriers = 0
  #onionWanted = false

  constructor(host: TableHost) {
    this.#host = host
    this.#madeAt = host.now()
  }

  get relays(): Iterable<RelayEntry> {
    return this.#relays.values()
  }

  /** Adds a relay to the global list. An already known key keeps its address (protocol, section 3). */
  addRelay(relay: RelayAddress): void {
    const entry = this.#entryOf(relay)
    entry.isHome = true
    this.#start(entry)
    this.#host.onChange()
  }

  /** Whether onion packets go through relays (rows T15 to T17): the switch of an application without UDP. */
  setOnion(wanted: boolean): void {
    this.#onionWanted = wanted
    this.#host.onChange()
  }

  /**
   * Connects and disconnects relays until what is connected is what is needed. Returns when it wants to be called again although
   * nothing happens, monotonic milliseconds.
   */
  tend(): number {
    const { announceTimeout, desiredRelays, minimumOnlyFor, minimumRelays, onionRelays } = this.#host.numbers
    const now = this.#host.now()
    const plan = planRelays([...this.#relays.values()], [...this.#peers.values()], {
      desired: desiredRelays,
      minimum: now - this.#madeAt < minimumOnlyFor ? minimumRelays : 0,
      onion: this.#onionWanted ? onionRelays : 0,
      connectTime: announceTimeout,
      now
    })
    for (const entry of this.#relays.values()) {
      entry.isOnion = plan.onion.has(entry)
      entry.isSurplus = plan.surplus.includes(entry)
    }
    for (const entry of plan.start) this.#start(entry)
    const surplus = this.#pace.next(plan.surplus, now)
    if (surplus !== undefined) this.#stop(surplus, "idle")
    // All of them before the first is left: its traffic must not move to the next one.
    for (const [entry, intent] of plan.stop) entry.intent = intent
    for (const [entry, intent] of plan.stop) this.#stop(entry, intent)
    for (const [id, entry] of this.#relays) {
      const isUnused = entry.intent !== "up" && !entry.isHome && entry.slots.size === 0
      if (isUnused && entry.idleUntil <= now) this.#relays.delete(id)
    }
    return Math.min(
      plan.nextAt,
      this.#pace.dueAt,
      this.#madeAt + minimumOnlyFor > now ? this.#madeAt + minimumOnlyFor : Infinity
    )
  }

  #start(entry: RelayEntry): void {
    if (entry.intent === "up") return
    entry.intent = "up"
    entry.upSince = this.#host.now()
    this.#host.onStart(entry.relay, this.#eventsOf(entry))
  }

  /** Traffic moves to another relay first: make before break. */
  #stop(entry: RelayEntry, intent: "asleep" | "idle"): void {
    const now = this.#host.now()
    for (const slot of entry.slots) slot.peer.leave(slot)
    entry.intent = intent
    entry.idleUntil = intent === "idle" ? now + idleTime : -Infinity
    this.#host.onStop(entry.relay)
    this.#lose(entry)
  }

  #entryOf(relay: RelayAddress): RelayEntry {
    const id = toHex(relay.publicKey)
    const known = this.#relays.get(id)
    if (known !== undefined) return known
    const entry = makeRelayEntry(id, relay)
    this.#relays.set(id, entry)
    return entry
  }

  /** Opens the connection to a peer. Throws when there is one. */
  openPeer(key: PublicKey, events: PeerPathEvents): PeerPath {
    const id = toHex(key)
    if (this.#peers.has(id)) throw new Error("this peer has a path already")
    const peer: PeerSlots = new PeerSlots({
      key: key.slice() as PublicKey,
      events,
      numbers: this.#host.numbers,
      now: this.#host.now,
      onCarrier: (slot) => this.#host.onCarrier(peer.key, slot?.entry.relay),
      tie: (relay) => this.#tie(peer, relay),
      tieHome: () => {
        for (const { isHome, relay } of this.#relays.values()) if (isHome) this.#tie(peer, relay)
      },
      onAwake: () => {
        for (const { entry } of peer.slots) {
          entry.graceUntil = Math.max(entry.graceUntil, this.#host.now() + this.#host.numbers.announceTimeout)
          this.#start(entry)
        }
      },
      onChange: this.#host.onChange,
      onClosed: () => {
        this.#peers.delete(id)
        for (const slot of peer.slots) this.#untie(slot)
        this.#host.onChange()
      }
    })
    this.#peers.set(id, peer)
    return peer
  }

  /**
   * Ties a relay to a peer. An unknown relay is refused while the peer is online on the desired number (row C05); a known one may be
   * tied up to the maximum (row T12).
   */
  #tie(peer: PeerSlots, relay: RelayAddress): void {
    const { announceTimeout, desiredRelays, maxRelays } = this.#host.numbers
    const now = this.#host.now()
    const known = this.#relays.get(toHex(relay.publicKey))
    if (known === undefined && peer.onlineCount >= desiredRelays) return
    if (peer.slots.some((slot) => slot.entry === known)) return
    if ((known?.refused.get(toHex(peer.key)) ?? -Infinity) > now) return
    if (peer.slots.length >= maxRelays && !this.#makeRoom(peer)) return
    const entry = known ?? this.#entryOf(relay)
    const slot = makeSlot(peer, entry, replyThrough(entry, peer.key))
    peer.slots.push(slot)
    entry.slots.add(slot)
    entry.graceUntil = Math.max(entry.graceUntil, now + announceTimeout)
    if (!peer.isAsleep) this.#start(entry)
    this.#request(slot)
    this.#host.onChange()
  }

  /** A relay that has been away for long gives its place to a new one: ties must not keep a peer on dead relays. */
  #makeRoom(peer: PeerSlots): boolean {
    const { announceTimeout } = this.#host.numbers
    const dead = peer.slots
      .filter(({ entry }) =>
        entry.intent === "up" && entry.link === undefined && entry.upSince + announceTimeout <= this.#host.now()
      )
      .toSorted((a, b) => a.entry.upSince - b.entry.upSince)[0]
    if (dead === undefined) return false
    this.#untie(dead)
    peer.remove(dead)
    return true
  }

  /** Gives the connection id back, or remembers that it must be when the response comes (defects A and E of the protocol). */
  #untie(slot: Slot): void {
    const { entry, status } = slot
    entry.slots.delete(slot)
    slot.status = "none"
    if (status === "none") return
    entry.byId[slot.connectionId] = undefined
    entry.link?.disconnect(slot.connectionId)
    if (status === "online") this.#host.onPeer(slot.peer.key, entry.relay, false)
  }

  #request(slot: Slot): void {
    const { link, requested } = slot.entry
    const peer = toHex(slot.peer.key)
    if (link === undefined || requested.has(peer)) return
    requested.add(peer)
    link.requestRoute(slot.peer.key)
  }

  #slotOf(entry: RelayEntry, key: Uint8Array): Slot | undefined {
    return this.#peers.get(toHex(key))?.slots.find((slot) => slot.entry === entry)
  }

  #eventsOf(entry: RelayEntry): RelayLinkEvents {
    const host = this.#host
    return {
      onConfirmed: (link) => {
        if (entry.intent !== "up") return
        entry.link = link
        host.onRelay(entry.relay, true)
        for (const slot of entry.slots) this.#request(slot)
        // An unused relay needs no time for peers to appear.
        if (entry.slots.size > 0) entry.graceUntil = host.now() + host.numbers.announceTimeout
        host.onChange()
      },
      onRouteResponse: (link, connectionId, key) => {
        if (link !== entry.link) return
        entry.requested.delete(toHex(key))
        const slot = this.#slotOf(entry, key)
        if (connectionId === 0) {
          if (slot !== undefined) this.#refuse(slot)
        } else if (slot === undefined) link.disconnect(connectionId)
        else {
          slot.status = "registered"
          slot.connectionId = connectionId
          entry.byId[connectionId] = slot
          slot.peer.onRegistered()
        }
      },
      onPeerOnline: (link, connectionId) => {
        const slot = link === entry.link ? entry.byId[connectionId] : undefined
        if (slot === undefined || slot.status === "online") return
        slot.status = "online"
        slot.carrier = ++this.#carriers
        host.onPeer(slot.peer.key, entry.relay, true)
        slot.peer.onOnline(slot)
        host.onChange()
      },
      onPeerOffline: (link, connectionId) => {
        const slot = link === entry.link ? entry.byId[connectionId] : undefined
        if (slot === undefined || slot.status !== "online") return
        slot.status = "registered"
        host.onPeer(slot.peer.key, entry.relay, false)
        allowIdle(slot.peer)
        slot.peer.onOffline(slot)
        host.onChange()
      },
      onData: (link, connectionId, bytes) => {
        const slot = link === entry.link ? entry.byId[connectionId] : undefined
        if (slot !== undefined) slot.peer.events.onPacket(bytes, slot.route)
      },
      onOob: (link, sender, bytes) => {
        if (link !== entry.link) return
        const slot = this.#slotOf(entry, sender)
        if (slot !== undefined) return slot.peer.events.onPacket(bytes, { ...slot.route, outOfBand: true })
        host.onOob(sender, bytes, { ...replyThrough(entry, sender.slice() as PublicKey), outOfBand: true })
      },
      onOnion: (_, bytes) => host.onOnion(entry.relay, bytes),
      onForwarded: (_, bytes) => host.onForwarded(entry.relay, bytes),
      onWritable: () => {
        for (const slot of entry.slots) slot.peer.onWritable(slot)
      },
      onBatchEnd: () => host.onBatchEnd(),
      onLost: (link) => {
        if (link !== entry.link) return
        // What it had no room for it may have room for when it returns; not so when it is we who left.
        if (entry.intent === "up") entry.refused.clear()
        this.#lose(entry)
      }
    }
  }

  /** The connection to a relay is over: all its slots fall at once, the ties stay (row T35). */
  #lose(entry: RelayEntry): void {
    if (entry.link === undefined) return
    const host = this.#host
    entry.link = undefined
    entry.requested.clear()
    entry.byId.fill(undefined)
    entry.upSince = host.now()
    host.onRelay(entry.relay, false)
    const slots = [...entry.slots]
    const online = slots.filter((slot) => slot.status === "online")
    // All slots fall before anybody is told: what a peer does next must not find half of the relay.
    for (const slot of slots) slot.status = "none"
    for (const slot of online) {
      host.onPeer(slot.peer.key, entry.relay, false)
      allowIdle(slot.peer)
      slot.peer.onOffline(slot)
    }
    host.onChange()
  }

  /** A refused slot is freed for another relay, and the refusal remembered for a while (defect F of the protocol). */
  #refuse(slot: Slot): void {
    slot.entry.refused.set(toHex(slot.peer.key), this.#host.now() + refusalTime)
    slot.entry.slots.delete(slot)
    slot.peer.remove(slot)
    this.#host.onChange()
  }
}

/** A peer that was here a moment ago may be where we left it: then idle relays need not wait. */
const allowIdle = (peer: PeerSlots): void => {
  if (peer.onlineCount === 0) { for (const { entry } of peer.slots) entry.idleUntil = -Infinity }
}

const replyThrough = (entry: RelayEntry, peer: PublicKey): ReplyRoute => ({
  relay: entry.relay,
  reply: (packet) => entry.link?.sendOob(peer, packet) ?? false
})
