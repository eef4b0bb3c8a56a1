/** One relay as the connection registry knows it. Its key is its identity; the address may change. */
import type { RelayAddress } from "../../schema/RelayAddress.ts"
import type { RelayLink } from "../relay/RelayLink.ts"
import type { Slot } from "./PeerSlots.ts"

export interface RelayEntry {
  /** The relay's key in hexadecimal. */
  readonly id: string
  relay: RelayAddress
  /** Whether it is on the global list (row T09), rather than known only because of a peer. */
  isHome: boolean
  /** Whether the application named it, on the global list or for a peer. Otherwise we have only a peer's word for it. */
  isGiven: boolean
  /** Whether it has ever been connected: what is at the address holds the key. */
  isProven: boolean
  /** Whether a first dial is wanted although we have only a peer's word, and when the latest such dial failed. */
  isTrialWanted: boolean
  trialFailedAt: number
  /** Another address under which the application has named it; they change places when a dial fails, not more often than now and then. */
  elsewhere: RelayAddress | undefined
  movedAt: number
  /** Whether onion packets may go through it. */
  isOnion: boolean
  /** Whether peers are online on it that do not need it: it will be left soon, so it should not carry anything. */
  isSurplus: boolean
  /**
   * What we want of it. `up`: connected, or being connected for ever; `asleep`: left because its peers sleep; `idle`: left because
   * nobody needs it. Whether it is connected is another question: see `link`.
   */
  intent: "up" | "asleep" | "idle"
  /** When it was last started, and until when an idle one is not started for a peer again. Monotonic milliseconds. */
  upSince: number
  idleUntil: number
  /** Until when it is kept although nobody is online on it: a relay just learned of needs time (protocol, section 4). */
  graceUntil: number
  link: RelayLink | undefined
  /** Slots tied to this relay, and the same by connection id. */
  readonly slots: Set<Slot>
  readonly byId: Array<Slot | undefined>
  /** Keys whose routing request has not been answered on the present link. */
  readonly requested: Set<string>
  /** Keys whose routing request was refused, and until when they are not asked for again. */
  readonly refused: Map<string, number>
  sentBytes: number
}

/** Connection ids are 16..255. */
const ids = 256

export const makeRelayEntry = (id: string, relay: RelayAddress): RelayEntry => ({
  id,
  relay,
  isHome: false,
  isGiven: false,
  isProven: false,
  isTrialWanted: false,
  trialFailedAt: -Infinity,
  elsewhere: undefined,
  movedAt: -Infinity,
  isOnion: false,
  isSurplus: false,
  intent: "idle",
  upSince: -Infinity,
  idleUntil: -Infinity,
  graceUntil: -Infinity,
  link: undefined,
  slots: new Set(),
  byId: new Array<Slot | undefined>(ids),
  requested: new Set(),
  refused: new Map(),
  sentBytes: 0
})

/** Whether nothing but a peer's word says that there is a relay at that address. It is dialled within a budget (`DialTrials`). */
export const isUntested = ({ isGiven, isProven }: RelayEntry): boolean => !isGiven && !isProven
