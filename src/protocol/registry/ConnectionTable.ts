/**
 * Who is reached through whom: relays, peers, and the slots that tie them (connection registry protocol, sections 2 to 6). Plain code;
 * connecting to relays is somebody else's work: the table is told about links and uses them. Lock counts are not kept but read off
 * the slots, so no order of events can make them drift (row C08).
 */
import { type PublicKey, toHex } from "../../schema/Bytes.ts"
import type { RelayAddress } from "../../schema/RelayAddress.ts"
import { isDialable } from "./addressClass.ts"
import { DialTrials } from "./DialTrials.ts"
import { relayToForget, tieToGive } from "./giveWay.ts"
import { allowIdle, type LinkDesk, linkEvents, replyThrough } from "./linkEvents.ts"
import type { PeerPath, PeerPathEvents } from "./PeerPath.ts"
import { makeSlot, PeerSlots, type Slot } from "./PeerSlots.ts"
import { isUntested, makeRelayEntry, type RelayEntry } from "./RelayEntry.ts"
import { planRelays } from "./relayPlan.ts"
import { SurplusPace } from "./SurplusPace.ts"
import type { TableHost } from "./TableHost.ts"

/** For this long a refused routing request is not repeated, and an idle relay not tried again for a peer. Milliseconds. */
const refusalTime = 60_000
const idleTime = 60_000
/** A relay with two addresses is tried for so long at one before it is tried at the other again. Milliseconds. */
const moveInterval = 5_000

export class ConnectionTable {
  readonly #host: TableHost
  readonly #relays = new Map<string, RelayEntry>()
  readonly #peers = new Map<string, PeerSlots>()
  readonly #madeAt: number
  readonly #pace = new SurplusPace()
  readonly #trials: DialTrials
  readonly #desk: LinkDesk
  #carriers = 0
  #onionWanted = false
  #refusedRelays = 0

  constructor(host: TableHost) {
    this.#host = host
    this.#madeAt = host.now()
    this.#trials = new DialTrials(host.numbers)
    this.#desk = {
      host,
      slotOf: (entry, key) => this.#peers.get(toHex(key))?.slots.find((slot) => slot.entry === entry),
      request: (slot) => this.#request(slot),
      refuse: (slot) => this.#refuse(slot),
      lose: (entry) => this.#lose(entry),
      nextCarrier: () => ++this.#carriers
    }
  }

  get relays(): Iterable<RelayEntry> {
    return this.#relays.values()
  }

  /** Relays that peers told us of and that were not taken, so far. */
  get refusedRelays(): number {
    return this.#refusedRelays
  }

  /**
   * Adds a relay to the global list. An already known key keeps its address as long as that leads to it (protocol, section 3); another
   * address is tried when it does not.
   */
  addRelay(relay: RelayAddress): void {
    const known = this.#known(relay)
    if (known !== undefined) this.#note(known, relay, true)
    else this.#makeSpace(true)
    const entry = known ?? this.#add(relay, true)
    entry.isHome = true
    this.#start(entry)
    this.#host.onChange()
  }

  /**
   * Relays that a peer says it uses. They are tied to it as far as they may be dialled and there is room; nothing that works, and nothing that
   * the application has named, gives way to them.
   */
  addPeerRelays(key: PublicKey, relays: ReadonlyArray<RelayAddress>): void {
    const { allowPrivate } = this.#host.numbers
    for (const relay of relays) {
      const peer = this.#peers.get(toHex(key))
      const isTaken = peer !== undefined && isDialable(relay, allowPrivate) && this.#tie(peer, relay, false)
      if (!isTaken) this.#refusedRelays++
    }
  }

  /** A dial to this relay came to nothing. */
  dialFailed(relay: RelayAddress): void {
    const entry = this.#known(relay)
    if (entry?.relay !== relay || entry.intent !== "up" || entry.link !== undefined) return
    if (isUntested(entry)) this.#endTrial(entry)
    else if (entry.elsewhere !== undefined && entry.movedAt + moveInterval <= this.#host.now()) this.#move(entry)
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
    for (const entry of this.#relays.values()) {
      const isTried = entry.intent === "up" && entry.link === undefined && isUntested(entry)
      if (isTried && entry.upSince + announceTimeout <= now) this.#endTrial(entry)
    }
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
    const trialsUntil = this.#beginTrials(now)
    const surplus = this.#pace.next(plan.surplus, now)
    if (surplus !== undefined) this.#stop(surplus, "idle")
    // All of them before the first is left: its traffic must not move to the next one.
    for (const [entry, intent] of plan.stop) entry.intent = intent
    for (const [entry, intent] of plan.stop) this.#stop(entry, intent)
    let forgetAt = Infinity
    for (const entry of this.#relays.values()) {
      const isUnused = entry.intent !== "up" && !entry.isHome && entry.slots.size === 0
      if (isUnused && entry.idleUntil <= now) this.#forget(entry)
      else if (isUnused) forgetAt = Math.min(forgetAt, entry.idleUntil)
    }
    return Math.min(
      plan.nextAt,
      trialsUntil,
      forgetAt,
      this.#pace.dueAt,
      this.#madeAt + minimumOnlyFor > now ? this.#madeAt + minimumOnlyFor : Infinity
    )
  }

  /** One for which there is only a peer's word waits for its turn, and for a while after a dial that failed, however often it is told. */
  #start(entry: RelayEntry): void {
    if (!isUntested(entry)) this.#dial(entry)
    else if (entry.idleUntil <= this.#host.now()) entry.isTrialWanted = true
  }

  #dial(entry: RelayEntry): void {
    if (entry.intent === "up") return
    entry.intent = "up"
    entry.upSince = this.#host.now()
    this.#host.onStart(entry.relay, linkEvents(entry, this.#desk))
  }

  /** Begins as many first dials as the budget allows; returns when the next may begin, or when the first of these has had its time. */
  #beginTrials(now: number): number {
    const until = now + this.#host.numbers.announceTimeout
    let began = Infinity
    for (let next; (next = this.#trials.next(this.#relays.values(), now)) !== undefined;) {
      next.isTrialWanted = false
      next.graceUntil = until
      began = until
      this.#dial(next)
    }
    return Math.min(began, this.#trials.dueAt)
  }

  /** There is nothing at that address, or nothing that answers in time. */
  #endTrial(entry: RelayEntry): void {
    this.#stop(entry, "idle")
    entry.trialFailedAt = this.#host.now()
    entry.graceUntil = -Infinity
    if (entry.elsewhere !== undefined) [entry.relay, entry.elsewhere] = [entry.elsewhere, entry.relay]
    this.#host.onChange()
  }

  /** The ties stay: it is the same relay. Since when it has been wanted does not change either. */
  #move(entry: RelayEntry): void {
    this.#host.onStop(entry.relay)
    if (entry.elsewhere !== undefined) [entry.relay, entry.elsewhere] = [entry.elsewhere, entry.relay]
    entry.movedAt = this.#host.now()
    this.#host.onStart(entry.relay, linkEvents(entry, this.#desk))
  }

  /**
   * A known relay has been named again, perhaps at another address. The application's word replaces a peer's; what a peer says changes no
   * address that is more than a peer's word.
   */
  #note(entry: RelayEntry, relay: RelayAddress, isGiven: boolean): void {
    const wasUntested = isUntested(entry)
    const isElsewhere = relay.host !== entry.relay.host || relay.port !== entry.relay.port
    if (isElsewhere && wasUntested && isGiven) {
      if (entry.intent === "up") this.#stop(entry, "idle")
      entry.relay = relay
      entry.elsewhere = undefined
    } else if (isElsewhere && (wasUntested || isGiven)) entry.elsewhere = relay
    if (!isGiven || entry.isGiven) return
    entry.isGiven = true
    entry.idleUntil = -Infinity
    if ([...entry.slots].some(({ peer }) => !peer.isAsleep)) this.#start(entry)
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

  #known(relay: RelayAddress): RelayEntry | undefined {
    return this.#relays.get(toHex(relay.publicKey))
  }

  #add(relay: RelayAddress, isGiven: boolean): RelayEntry {
    const id = toHex(relay.publicKey)
    const entry = makeRelayEntry(id, relay)
    entry.isGiven = isGiven
    this.#relays.set(id, entry)
    return entry
  }

  /** Whether one more relay may be known. One that a peer told us of gives way if need be; what the application names is never refused. */
  #makeSpace(isGiven: boolean): boolean {
    const { announceTimeout, maxKnownRelays } = this.#host.numbers
    if (this.#relays.size < maxKnownRelays) return true
    const options = { isTrusted: isGiven, connectTime: announceTimeout, now: this.#host.now() }
    const entry = relayToForget(this.#relays.values(), options)
    if (entry !== undefined) this.#forget(entry)
    return isGiven || entry !== undefined
  }

  #forget(entry: RelayEntry): void {
    if (entry.intent === "up") this.#stop(entry, "idle")
    for (const slot of entry.slots) this.#free(slot)
    this.#relays.delete(entry.id)
  }

  /**
   * Opens the connection to a peer. Throws when there is one. `before` is the key under which the same peer was known until now: relays that
   * are tied to it, online ones first, are tied to the new key as well, with room left for others.
   */
  openPeer(key: PublicKey, events: PeerPathEvents, before?: PublicKey): PeerPath {
    const id = toHex(key)
    if (this.#peers.has(id)) throw new Error("this peer has a path already")
    const peer: PeerSlots = new PeerSlots({
      key: key.slice() as PublicKey,
      events,
      numbers: this.#host.numbers,
      now: this.#host.now,
      onCarrier: (slot) => this.#host.onCarrier(peer.key, slot?.entry.relay),
      tie: (relay) => this.#tie(peer, relay, true),
      tieHome: () => {
        for (const { isHome, relay } of this.#relays.values()) if (isHome) this.#tie(peer, relay, true)
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
    const old = before === undefined ? [] : this.#peers.get(toHex(before))?.slots ?? []
    const { desiredRelays, maxRelays } = this.#host.numbers
    const kept = old.toSorted((a, b) => Number(b.status === "online") - Number(a.status === "online"))
    for (const { entry } of kept.slice(0, maxRelays - desiredRelays)) this.#tie(peer, entry.relay, true)
    return peer
  }

  /**
   * Ties a relay to a peer. An unknown relay is refused while the peer is online on the desired number (row C05); a known one may be
   * tied up to the maximum (row T12). Whether it is tied now.
   */
  #tie(peer: PeerSlots, relay: RelayAddress, isGiven: boolean): boolean {
    const { announceTimeout, desiredRelays, maxRelays } = this.#host.numbers
    const now = this.#host.now()
    const known = this.#known(relay)
    // The very object is ours: the relay has come back to us as the route of a packet, and nobody has named it.
    if (known !== undefined && known.relay !== relay) this.#note(known, relay, isGiven)
    if (known === undefined && peer.onlineCount >= desiredRelays) return false
    if (peer.slots.some((slot) => slot.entry === known)) return true
    if ((known?.refused.get(toHex(peer.key)) ?? -Infinity) > now) return false
    const isFull = peer.slots.length >= maxRelays
    const isTrusted = known === undefined ? isGiven : !isUntested(known)
    const given = isFull ? tieToGive(peer, desiredRelays, { isTrusted, connectTime: announceTimeout, now }) : undefined
    if (isFull && given === undefined) return false
    if (known === undefined && !this.#makeSpace(isGiven)) return false
    if (given !== undefined && peer.slots.includes(given)) this.#free(given)
    const entry = known ?? this.#add(relay, isGiven)
    const slot = makeSlot(peer, entry, replyThrough(entry, peer.key))
    peer.slots.push(slot)
    entry.slots.add(slot)
    entry.graceUntil = Math.max(entry.graceUntil, now + announceTimeout)
    if (!peer.isAsleep) this.#start(entry)
    this.#request(slot)
    this.#host.onChange()
    return true
  }

  #free(slot: Slot): void {
    this.#untie(slot)
    slot.peer.remove(slot)
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
    const now = this.#host.now()
    const { refused } = slot.entry
    for (const [peer, until] of refused) if (until <= now) refused.delete(peer)
    refused.set(toHex(slot.peer.key), now + refusalTime)
    slot.entry.slots.delete(slot)
    slot.peer.remove(slot)
    this.#host.onChange()
  }
}
