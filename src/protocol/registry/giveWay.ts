/**
 * Who gives way when there are too many: ties of one peer, and relays in all. Pure judgement. The rule behind both is that a list which a
 * peer hands over, however long, takes nothing away that works or that the application has named (reliability, "poisoned relay lists").
 */
import type { PeerSlots, Slot } from "./PeerSlots.ts"
import { isUntested, type RelayEntry } from "./RelayEntry.ts"

export interface GiveWayOptions {
  /** Whether the relay for which room is wanted is more than a peer's word. */
  readonly isTrusted: boolean
  /** How long a relay may take to connect, milliseconds. */
  readonly connectTime: number
  readonly now: number
}

/** The one that gives way first: the lowest rank, then the one that was started first. */
const least = <A>(
  all: Iterable<A>,
  entryOf: (item: A) => RelayEntry,
  rankOf: (item: A) => number | undefined
): A | undefined => {
  let found: { readonly item: A; readonly rank: number } | undefined
  for (const item of all) {
    const rank = rankOf(item)
    if (rank === undefined || (found !== undefined && found.rank < rank)) continue
    if (found?.rank === rank && entryOf(found.item).upSince <= entryOf(item).upSince) continue
    found = { item, rank }
  }
  return found?.item
}

/**
 * The tie of a peer that is given up for another relay: one that has been away for long, as ties must not keep a peer on dead relays. What
 * a peer says never costs it the last `desired` relays that the application has named.
 */
export const tieToGive = (peer: PeerSlots, desired: number, options: GiveWayOptions): Slot | undefined => {
  const given = peer.slots.filter(({ entry }) => entry.isGiven).length
  return least(peer.slots, ({ entry }) => entry, ({ entry }) => {
    if (hasFailed(entry)) return 0
    if (isUntested(entry) && options.isTrusted) return 1
    if (!isDead(entry, options)) return undefined
    if (!entry.isGiven) return 2
    return options.isTrusted || given > desired ? 3 : undefined
  })
}

/**
 * The relay that is forgotten for another: useless, then suspected, then sleeping ones, never one that the application has named or that
 * carries a peer's data. Those that sleep were good when they were last used, and give way only to what the application names.
 */
export const relayToForget = (entries: Iterable<RelayEntry>, options: GiveWayOptions): RelayEntry | undefined =>
  least(entries, (entry) => entry, (entry) => {
    if (entry.isGiven) return undefined
    const slots = [...entry.slots]
    if (slots.length === 0 || hasFailed(entry) || isDead(entry, options)) return 0
    if (slots.every((slot) => isDistrusted(slot, options.now))) return 1
    if (!options.isTrusted) return undefined
    return isUntested(entry) ? 2 : entry.intent === "up" ? undefined : 3
  })

/** A peer told us of it, and there was nothing. */
const hasFailed = (entry: RelayEntry): boolean =>
  isUntested(entry) && entry.intent !== "up" && entry.trialFailedAt > -Infinity

/** We have wanted it for long, and it is not there. */
const isDead = ({ intent, link, upSince }: RelayEntry, { connectTime, now }: GiveWayOptions): boolean =>
  intent === "up" && link === undefined && upSince + connectTime <= now

const isDistrusted = (slot: Slot, now: number): boolean =>
  slot.suspicion.isQuarantined(now) && (slot.status !== "online" || slot.peer.carrier() !== slot.carrier)
