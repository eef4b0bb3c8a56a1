/**
 * One peer of the registry: the relays tied to it, which of them carries its data, and the rules by which a packet is sent and
 * the carrier changes (connection registry protocol, section 6). It is the `PeerPath` that net_crypto sees.
 */
import type { PublicKey } from "../../schema/Bytes.ts"
import type { RelayAddress } from "../../schema/RelayAddress.ts"
import type { PeerPath, PeerPathEvents, PeerWay, ReplyRoute, SendOutcome } from "./PeerPath.ts"
import type { RelayEntry } from "./RelayEntry.ts"
import { Suspicion } from "./Suspicion.ts"
import type { TableNumbers } from "./TableHost.ts"

/** The tie between a peer and a relay. `none`: no routing response yet on the present connection to the relay. */
export interface Slot {
  readonly peer: PeerSlots
  readonly entry: RelayEntry
  /** How packets that came by this slot can be answered; also tells which relay they came by. */
  readonly route: ReplyRoute
  /** How little this relay is trusted to deliver to this peer. */
  readonly suspicion: Suspicion
  status: "none" | "registered" | "online"
  /** Valid unless the status is `none`. */
  connectionId: number
  /** Fresh each time the slot comes online: identifies this spell in `PeerPath.carrier`. */
  carrier: number
}

export const makeSlot = (peer: PeerSlots, entry: RelayEntry, route: ReplyRoute): Slot => ({
  peer,
  entry,
  route,
  suspicion: new Suspicion(),
  status: "none",
  connectionId: 0,
  carrier: 0
})

export interface PeerSlotsOptions {
  readonly key: PublicKey
  readonly events: PeerPathEvents
  readonly numbers: TableNumbers
  readonly now: () => number
  readonly onCarrier: (slot: Slot | undefined) => void
  readonly tie: (relay: RelayAddress) => void
  readonly tieHome: () => void
  /** The peer woke: its relays are wanted again. */
  readonly onAwake: () => void
  readonly onChange: () => void
  readonly onClosed: () => void
}

/** Out-of-band packets carry this much. */
const maxOob = 1024

export class PeerSlots implements PeerPath {
  readonly events: PeerPathEvents
  readonly slots: Array<Slot> = []
  readonly #options: PeerSlotsOptions
  #active: Slot | undefined
  #heard: RelayAddress | undefined
  /** While it sleeps, how many relays stay connected. */
  #kept: number | undefined = undefined
  #isClosed = false

  constructor(options: PeerSlotsOptions) {
    this.#options = options
    this.events = options.events
  }

  get key(): PublicKey {
    return this.#options.key
  }

  get peer(): PublicKey {
    return this.#options.key
  }

  get onlineCount(): number {
    return this.slots.reduce((count, slot) => count + (slot.status === "online" ? 1 : 0), 0)
  }

  readonly carrier = (): number => this.#active?.carrier ?? 0

  readonly room = (): number => {
    const active = this.#active
    if (active === undefined) return 0
    // Senders look here before they send: without the room elsewhere, none would ever try and so move to the next relay.
    return this.#isStuck(active) ? Math.max(roomOf(active), ...this.#others(active).map(roomOf)) : roomOf(active)
  }

  readonly tie = (relay: RelayAddress): void => {
    if (!this.#isClosed) this.#options.tie(relay)
  }

  readonly tieHome = (): void => {
    if (!this.#isClosed) this.#options.tieHome()
  }

  readonly send = (frame: Uint8Array, length: number, urgent: boolean): SendOutcome => {
    const active = this.#active
    if (active === undefined) return this.#sendOob(frame, length)
    // A relay that only says that the peer is there must not be the only way to call it: control packets go as if it had not said so.
    if (urgent && active.suspicion.isQuarantined(this.#options.now())) this.#sendOob(frame, length)
    if (sendThrough(active, frame, length, urgent)) return "sent"
    if (!this.#isStuck(active)) return "blocked"
    // It took nothing for too long: the next relay that takes it is used; the full one is not dropped (rows T23, T24).
    for (const next of this.#others(active)) {
      if (!sendThrough(next, frame, length, urgent)) continue
      // The send itself may have ended the connection to that relay.
      if (next.status === "online") this.#activate(next)
      return "sent"
    }
    return "blocked"
  }

  readonly moveOn = (): boolean => {
    const active = this.#active
    if (active === undefined) return false
    const next = this.#next(active)
    active.suspicion.accuse(this.#options.now())
    this.#options.onChange()
    if (next === undefined) return false
    this.#activate(next)
    return true
  }

  readonly ways = (): ReadonlyArray<PeerWay> =>
    this.slots.map(({ carrier, entry, status }) => ({ relay: entry.relay, carrier: status === "online" ? carrier : 0 }))

  readonly standbys = (): ReadonlyArray<number> =>
    this.#active === undefined ? [] : this.#others(this.#active).map(({ carrier }) => carrier)

  readonly sendVia = (carrier: number, frame: Uint8Array, length: number): boolean => {
    const slot = this.#online(carrier)
    return slot !== undefined && sendThrough(slot, frame, length, true)
  }

  readonly judge = (carrier: number, delivered: boolean): void => {
    const { suspicion } = this.#online(carrier) ?? {}
    if (delivered) suspicion?.clear(this.#options.now())
    else suspicion?.accuse(this.#options.now())
    if (!delivered) this.#options.onChange()
  }

  readonly prefer = (carrier: number): void => {
    const slot = this.#online(carrier)
    if (slot !== undefined && slot !== this.#active) this.#activate(slot)
  }

  get isAsleep(): boolean {
    return this.#kept !== undefined
  }

  /** Of the relays that are desired for each peer, how many it needs now. */
  needs(desired: number): number {
    return Math.min(this.#kept ?? desired, desired)
  }

  readonly sleep = (kept = 0): void => {
    if (this.#isClosed || this.#kept === kept) return
    this.#kept = kept
    this.#options.onChange()
  }

  readonly wake = (): void => {
    if (this.#kept === undefined || this.#isClosed) return
    this.#kept = undefined
    this.#options.onAwake()
    this.#options.onChange()
  }

  readonly heard = (route: ReplyRoute): void => {
    if (route.relay === this.#heard) return
    const before = this.#heard
    this.#heard = route.relay
    const active = this.#active
    if (active === undefined || before !== active.entry.relay) return
    const slot = this.slots.find((candidate) => candidate.entry.relay === route.relay)
    if (slot?.status === "online") this.#activate(slot)
  }

  readonly close = (): void => {
    // A second call must not close the path that somebody has opened to the same key since.
    if (this.#isClosed) return
    this.#isClosed = true
    const active = this.#active
    this.#active = undefined
    this.#options.onClosed()
    this.slots.length = 0
    if (active !== undefined) this.#options.onCarrier(undefined)
  }

  /** The relay has answered our routing request: at least out-of-band packets can be sent now. */
  onRegistered(): void {
    if (this.#active === undefined) this.events.onWritable()
  }

  onOnline(slot: Slot): void {
    const now = this.#options.now()
    const active = this.#active
    if (active === undefined || (active.suspicion.isQuarantined(now) && !slot.suspicion.isQuarantined(now))) {
      this.#activate(slot)
    }
  }

  /** The relay of this slot is about to be left: its traffic moves while both still work, to one that stays. */
  leave(slot: Slot): void {
    const next = this.#active === slot ? this.#next(slot) : undefined
    if (next !== undefined) this.#activate(next)
  }

  onOffline(slot: Slot): void {
    if (this.#active === slot) this.#activate(this.#next(slot))
  }

  /** The relay of this slot takes packets again. */
  onWritable(slot: Slot): void {
    if (this.#active === slot) this.events.onWritable()
  }

  remove(slot: Slot): void {
    const at = this.slots.indexOf(slot)
    if (at >= 0) this.slots.splice(at, 1)
  }

  /** No relay at random: the same one until it cannot, then the most trusted (rows T21, T22). */
  #next(active: Slot): Slot | undefined {
    return this.#others(active)[0]
  }

  /** The other relays that the peer is online on, the least suspected first, else in the order of their ties. */
  #others(active: Slot): Array<Slot> {
    const now = this.#options.now()
    return this.slots
      // One that is about to be left as well takes nothing over.
      .filter((slot) => slot !== active && slot.status === "online" && slot.entry.intent === "up")
      .sort((a, b) =>
        a.suspicion.at(now) - b.suspicion.at(now) || Number(a.entry.isSurplus) - Number(b.entry.isSurplus)
      )
  }

  #online(carrier: number): Slot | undefined {
    return this.slots.find((slot) => slot.status === "online" && slot.carrier === carrier)
  }

  #activate(slot: Slot | undefined): void {
    const lost = this.carrier()
    this.#active = slot
    this.#options.onCarrier(slot)
    this.events.onCarrierChange(lost)
  }

  /** A full window is back-pressure for as long as pongs may take; only then is it a relay that takes nothing. */
  #isStuck(slot: Slot): boolean {
    const { link } = slot.entry
    const since = link?.stuckSince()
    const patience = Math.max(this.#options.numbers.blockedTimeout, 2 * (link?.roundTrip() ?? 0))
    return since !== undefined && this.#options.now() - since >= patience
  }

  /** Over every registered relay, because any of them may be the one that the peer is connected to (rows T38, C02). */
  #sendOob(frame: Uint8Array, length: number): SendOutcome {
    if (length - 1 > maxOob) return "unreachable"
    const packet = frame.subarray(1, length)
    let taken = false
    for (const slot of this.slots) {
      if (slot.status === "registered" && slot.entry.link?.sendOob(this.key, packet) === true) taken = true
    }
    return taken ? "sent" : "unreachable"
  }
}

const roomOf = (slot: Slot): number => slot.entry.link?.room() ?? 0

const sendThrough = (slot: Slot, frame: Uint8Array, length: number, urgent: boolean): boolean => {
  if (slot.entry.link?.sendData(slot.connectionId, frame, length, urgent) !== true) return false
  slot.entry.sentBytes += length - 1
  return true
}
