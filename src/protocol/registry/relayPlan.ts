/**
 * Which relays should be connected: as few as serve all peers (rows T10, T13), never fewer than the minimum (row T19), none for sleeping
 * peers alone (rows T29, C03) beyond what those keep, and enough for onion packets (rows T15, C07). A pure judgement over the table's
 * entries; acting on it is the table's business.
 */
import type { PeerSlots, Slot } from "./PeerSlots.ts"
import { type Candidate, chooseRelays, type Demand } from "./relayChoice.ts"
import { isUntested, type RelayEntry } from "./RelayEntry.ts"

export interface PlanOptions {
  /** Relays wanted for each peer, for reachability at all times, and for onion packets (0: not wanted). */
  readonly desired: number
  readonly minimum: number
  readonly onion: number
  /** How long a relay that was just started may take to connect, milliseconds. */
  readonly connectTime: number
  readonly now: number
}

export interface Plan {
  readonly start: ReadonlySet<RelayEntry>
  /** Relays to disconnect: `asleep` are started again when their peers wake, `idle` when they are needed. */
  readonly stop: ReadonlyMap<RelayEntry, "asleep" | "idle">
  /** Relays on which peers are online that do not need them, the least wanted first: to be left one by one. */
  readonly surplus: ReadonlyArray<RelayEntry>
  readonly onion: ReadonlySet<RelayEntry>
  /** When the plan may look different although nothing happened. */
  readonly nextAt: number
}

export const planRelays = (
  entries: ReadonlyArray<RelayEntry>,
  peers: ReadonlyArray<PeerSlots>,
  options: PlanOptions
): Plan => {
  const { now } = options
  const served = peers.filter((peer) => peer.needs(options.desired) > 0)
  const onion = chooseOnion(entries, options.onion)
  const candidates = entries.filter((entry) =>
    entry.link !== undefined &&
    (!isOnlyForSleepers(entry, options.desired) || onion.has(entry) || entry.graceUntil > now)
  )
  const chosen = new Set<RelayEntry>()
  const choices = candidates.map((entry): Candidate => ({
    isFixed: onion.has(entry) || entry.graceUntil > now,
    preference: preferenceOf(entry, now)
  }))
  for (const at of chooseRelays(choices, demandsOf(candidates, served, options), options.minimum)) {
    chosen.add(candidates[at]!)
  }
  const stop = new Map<RelayEntry, "asleep" | "idle">()
  const surplus: Array<RelayEntry> = []
  // Connected to nothing, we go on dialling whatever has worked before, though its peers are gone (row M04).
  const isCutOff = options.minimum > 0 && entries.every((entry) => entry.link === undefined)
  let nextAt = Infinity
  for (const entry of entries) {
    if (entry.graceUntil > now) nextAt = Math.min(nextAt, entry.graceUntil)
    const isHope = isCutOff && entry.slots.size === 0 && !isUntested(entry)
    if (chosen.has(entry) || (entry.link === undefined && (isHope || !isDialledForNobody(entry, options)))) continue
    if ([...entry.slots].some(({ peer, status }) => status === "online" && peer.needs(options.desired) > 0)) {
      surplus.push(entry)
    } else stop.set(entry, entry.link === undefined || isOnlyForSleepers(entry, options.desired) ? "asleep" : "idle")
  }
  surplus.sort((a, b) => preferenceOf(b, now) - preferenceOf(a, now))
  const start = new Set<RelayEntry>()
  const connecting = entries.filter((entry) =>
    entry.intent === "up" && entry.link === undefined && entry.upSince + options.connectTime > now
  )
  for (const entry of connecting) nextAt = Math.min(nextAt, entry.upSince + options.connectTime)
  for (const peer of served) {
    nextAt = Math.min(nextAt, startForPeer(peer, start, options))
    for (const { status, suspicion } of peer.slots) {
      // By then it counts as one of those that the peer has.
      if (status === "online" && suspicion.isQuarantined(now)) nextAt = Math.min(nextAt, suspicion.quarantinedUntil + 1)
    }
  }
  // Whether a relay that a peer told us of is there at all, nobody knows.
  const tested = entries.filter((entry) => !isUntested(entry))
  const coming = connecting.filter((entry) => !isUntested(entry))
  startForMinimum(tested, [...chosen, ...coming], start, options)
  startForOnion(tested, onion.size + coming.length, start, options)
  return { start, stop, surplus, onion, nextAt }
}

/** Connected only because of peers that sleep: not ours to be reached by, and no other peer is waited for there. */
const isOnlyForSleepers = (entry: RelayEntry, desired: number): boolean => {
  if (entry.isHome) return false
  const slots = [...entry.slots]
  const isForOthers = slots.some(({ peer, status }) =>
    peer.needs(desired) > 0 && (status === "online" || peer.onlineCount < peer.needs(desired))
  )
  return !isForOthers && slots.some(({ status }) => status === "online")
}

/** Not connected for long, and nobody who needs relays would have anything of it. */
const isDialledForNobody = (entry: RelayEntry, { connectTime, desired, now }: PlanOptions): boolean =>
  entry.intent === "up" && !entry.isHome && entry.graceUntil <= now && entry.upSince + connectTime <= now &&
  ![...entry.slots].some(({ peer }) => peer.needs(desired) > 0)

const demandsOf = (
  candidates: ReadonlyArray<RelayEntry>,
  served: ReadonlyArray<PeerSlots>,
  { desired, minimum, now }: PlanOptions
): ReadonlyArray<Demand> => {
  const index = new Map(candidates.map((entry, at) => [entry, at]))
  // Whoever wants to call us knows our own relays only: those that serve our peers do not stand in for them (row T18).
  const home = candidates.filter(({ isHome }) => isHome).map((entry) => index.get(entry)!)
  const ofPeers = served.flatMap((peer) => {
    const needs = peer.needs(desired)
    const tied = peer.slots.filter((slot) => index.has(slot.entry))
    const online = tied.filter((slot) => slot.status === "online")
    const trusted = online.filter((slot) => !slot.suspicion.isQuarantined(now))
    const useful = trusted.length >= needs ? trusted : online
    const demands = [{ relays: useful.map((slot) => index.get(slot.entry)!), needs }]
    if (useful.length < needs) demands.push({ relays: tied.map((slot) => index.get(slot.entry)!), needs })
    return demands
  })
  return [{ relays: home, needs: minimum }, ...ofPeers]
}

/** Lower is better: trusted, then ours, then the key, which makes both ends of a connection choose alike. */
const preferenceOf = (entry: RelayEntry, now: number): number => {
  const isSuspect = [...entry.slots].some((slot) => slot.suspicion.isQuarantined(now))
  return (isSuspect ? 2 : 0) + (entry.isHome ? 0 : 1) + Number.parseInt(entry.id.slice(0, 8), 16) / 2 ** 33
}

/** Keeps those that serve already, then takes connected ones. */
const chooseOnion = (entries: ReadonlyArray<RelayEntry>, wanted: number): ReadonlySet<RelayEntry> => {
  const connected = entries.filter((entry) => entry.link !== undefined)
  const inUse = connected.filter((entry) => entry.isOnion)
  return new Set([...inUse, ...connected.filter((entry) => !entry.isOnion)].slice(0, wanted))
}

/** Starts tied relays for a peer that is online on too few; returns when more of them may be tried. */
const startForPeer = (peer: PeerSlots, start: Set<RelayEntry>, options: PlanOptions): number => {
  const { connectTime, desired, now } = options
  const { onlineCount } = peer
  const needs = peer.needs(desired)
  // Who is online nowhere does not wait for one relay after the other.
  const isConnecting = (entry: RelayEntry): boolean =>
    onlineCount > 0 && entry.intent === "up" && entry.link === undefined && entry.upSince + connectTime > now
  const isHopeful = ({ entry, status, suspicion }: Slot): boolean =>
    status === "online"
      ? !suspicion.isQuarantined(now)
      : start.has(entry) || entry.graceUntil > now || isConnecting(entry)
  let missing = needs
  let nextAt = Infinity
  // What may be no relay at all neither stands in for one that is, nor goes before it.
  for (const untested of [false, true]) {
    const slots = peer.slots.filter(({ entry }) => isUntested(entry) === untested)
    missing -= slots.filter(isHopeful).length
    for (const { entry, suspicion } of slots) {
      if (missing <= 0 || entry.intent === "up" || start.has(entry)) continue
      // One that is not trusted either helps only where relays are too few.
      const shunnedUntil = onlineCount >= needs ? suspicion.quarantinedUntil : -Infinity
      const waitUntil = Math.max(entry.idleUntil, shunnedUntil)
      if (waitUntil > now) {
        nextAt = Math.min(nextAt, waitUntil)
        continue
      }
      start.add(entry)
      missing--
    }
  }
  return missing > 0 ? nextAt : Infinity
}

/** Tops the connected relays up: as many of our own, and where there are not so many, with any that is not asleep. */
const startForMinimum = (
  entries: ReadonlyArray<RelayEntry>,
  have: ReadonlyArray<RelayEntry>,
  start: Set<RelayEntry>,
  { minimum, now }: PlanOptions
): void => {
  const idle = entries
    .filter((entry) => entry.intent === "idle" || (entry.intent === "asleep" && entry.isHome))
    .toSorted((a, b) => preferenceOf(a, now) - preferenceOf(b, now))
  const count = (isCounted: (entry: RelayEntry) => boolean) =>
    have.filter(isCounted).length + [...start].filter(isCounted).length
  for (const entry of idle) if (entry.isHome && count(({ isHome }) => isHome) < minimum) start.add(entry)
  for (const entry of idle) if (count(() => true) < minimum) start.add(entry)
}

/** Only as many as are missing (row C07). */
const startForOnion = (
  entries: ReadonlyArray<RelayEntry>,
  have: number,
  start: Set<RelayEntry>,
  { onion }: PlanOptions
): void => {
  for (const entry of entries) {
    if (have + start.size >= onion) return
    if (entry.intent !== "up") start.add(entry)
  }
}
