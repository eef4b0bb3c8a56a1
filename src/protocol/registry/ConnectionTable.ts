/**
 * Who is reached through whom: relays, peers, and the slots that tie them (connection registry protocol, sections 2 to 6). Plain code;
 * connecting to relays is somebody else's work: the table is told about links and uses them. Lock counts are not kept but read off
 * the slots, so no order of events can make them drift (row C08).
 */
import { type PublicKey, toHex } from "../../schema/Bytes.ts"
import type { RelayAddress } from "../../schema/RelayAddress.ts"
import type { RelayLink, RelayLinkEvents } from "../relay/RelayLink.ts"
import type { PeerPath, PeerPathEvents, ReplyRoute } from "./PeerPath.ts"
import { PeerSlots, type Slot } from "./PeerSlots.ts"

export interface TableNumbers {
  readonly desiredRelays: number
  readonly maxRelays: number
  readonly blockedTimeout: number
}

/** What the table asks for and reports. */
export interface TableHost {
  readonly numbers: TableNumbers
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** A relay that was unknown: connect to it and keep it. */
  readonly onNewRelay: (relay: RelayAddress, events: RelayLinkEvents) => void
  readonly onOob: (sender: PublicKey, bytes: Uint8Array, route: ReplyRoute) => void
  readonly onBatchEnd: () => void
  readonly onRelay: (relay: RelayAddress, isConnected: boolean) => void
  readonly onPeer: (peer: PublicKey, relay: RelayAddress, isOnline: boolean) => void
  readonly onCarrier: (peer: PublicKey, relay: RelayAddress | undefined) => void
  /** Packets of the onion and of forwarders concern no peer. The bytes are views that are valid only during the call. */
  readonly onOnion: (relay: RelayAddress, bytes: Uint8Array) => void
  readonly onForwarded: (relay: RelayAddress, bytes: Uint8Array) => void
}

/** One relay. Its key is its identity; the address may change. */
export interface RelayEntry {
  readonly id: string
  readonly relay: RelayAddress
  /** Whether it is on the global list (row T09), rather than known only because of a peer. */
  isHome: boolean
  link: RelayLink | undefined
  /** Slots tied to this relay, and the same by connection id. */
  readonly slots: Set<Slot>
  readonly byId: Array<Slot | undefined>
  /** Keys whose routing request has not been answered on the present link. */
  readonly requested: Set<string>
  sentBytes: number
}

/** Connection ids are 16..255. */
const ids = 256

export class ConnectionTable {
  readonly #host: TableHost
  readonly #relays = new Map<string, RelayEntry>()
  readonly #peers = new Map<string, PeerSlots>()
  #carriers = 0

  constructor(host: TableHost) {
    this.#host = host
  }

  get relays(): Iterable<RelayEntry> {
    return this.#relays.values()
  }

  /** Adds a relay to the global list. An already known key keeps its address (protocol, section 3). */
  addRelay(relay: RelayAddress): void {
    this.#entryOf(relay).isHome = true
  }

  #entryOf(relay: RelayAddress): RelayEntry {
    const id = toHex(relay.publicKey)
    const known = this.#relays.get(id)
    if (known !== undefined) return known
    const entry: RelayEntry = {
      id,
      relay,
      isHome: false,
      link: undefined,
      slots: new Set(),
      byId: new Array<Slot | undefined>(ids),
      requested: new Set(),
      sentBytes: 0
    }
    this.#relays.set(id, entry)
    this.#host.onNewRelay(relay, this.#eventsOf(entry))
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
      onClosed: () => {
        this.#peers.delete(id)
        for (const slot of peer.slots) this.#untie(slot)
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
    const { desiredRelays, maxRelays } = this.#host.numbers
    const known = this.#relays.get(toHex(relay.publicKey))
    if (peer.slots.length >= maxRelays || (known === undefined && peer.onlineCount >= desiredRelays)) return
    const entry = known ?? this.#entryOf(relay)
    if (peer.slots.some((slot) => slot.entry === entry)) return
    const route = replyThrough(entry, peer.key)
    const slot: Slot = { peer, entry, route, status: "none", connectionId: 0, carrier: 0, suspectedAt: -Infinity }
    peer.slots.push(slot)
    entry.slots.add(slot)
    this.#request(slot)
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
        entry.link = link
        host.onRelay(entry.relay, true)
        for (const slot of entry.slots) this.#request(slot)
      },
      onRouteResponse: (link, connectionId, key) => {
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
      onPeerOnline: (_, connectionId) => {
        const slot = entry.byId[connectionId]
        if (slot === undefined || slot.status === "online") return
        slot.status = "online"
        slot.carrier = ++this.#carriers
        host.onPeer(slot.peer.key, entry.relay, true)
        slot.peer.onOnline(slot)
      },
      onPeerOffline: (_, connectionId) => {
        const slot = entry.byId[connectionId]
        if (slot === undefined || slot.status !== "online") return
        slot.status = "registered"
        host.onPeer(slot.peer.key, entry.relay, false)
        slot.peer.onOffline(slot)
      },
      onData: (_, connectionId, bytes) => {
        const slot = entry.byId[connectionId]
        if (slot !== undefined) slot.peer.events.onPacket(bytes, slot.route)
      },
      onOob: (_, sender, bytes) => {
        const slot = this.#slotOf(entry, sender)
        if (slot === undefined) host.onOob(sender, bytes, replyThrough(entry, sender.slice() as PublicKey))
        else slot.peer.events.onPacket(bytes, slot.route)
      },
      onOnion: (_, bytes) => host.onOnion(entry.relay, bytes),
      onForwarded: (_, bytes) => host.onForwarded(entry.relay, bytes),
      onWritable: () => {
        for (const slot of entry.slots) slot.peer.onWritable(slot)
      },
      onBatchEnd: () => host.onBatchEnd(),
      onLost: () => {
        entry.link = undefined
        entry.requested.clear()
        entry.byId.fill(undefined)
        host.onRelay(entry.relay, false)
        const slots = [...entry.slots]
        const online = slots.filter((slot) => slot.status === "online")
        // All slots fall before anybody is told: what a peer does next must not find half of the relay.
        for (const slot of slots) slot.status = "none"
        for (const slot of online) {
          host.onPeer(slot.peer.key, entry.relay, false)
          slot.peer.onOffline(slot)
        }
      }
    }
  }

  /** A refused slot is freed for another relay (defect F of the protocol). */
  #refuse(slot: Slot): void {
    slot.entry.slots.delete(slot)
    slot.peer.remove(slot)
  }
}

const replyThrough = (entry: RelayEntry, peer: PublicKey): ReplyRoute => ({
  relay: entry.relay,
  reply: (packet) => entry.link?.sendOob(peer, packet) ?? false
})
