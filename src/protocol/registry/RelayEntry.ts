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
