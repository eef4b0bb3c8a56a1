/** What the connection table needs from whoever runs it, and what it reports. Types only. */
import type { PublicKey } from "../../schema/Bytes.ts"
import type { RelayAddress } from "../../schema/RelayAddress.ts"
import type { RelayLinkEvents } from "../relay/RelayLink.ts"
import type { ReplyRoute } from "./PeerPath.ts"

export interface TableNumbers {
  readonly desiredRelays: number
  readonly maxRelays: number
  readonly maxKnownRelays: number
  readonly trialsAtOnce: number
  readonly trialsPerMinute: number
  readonly allowPrivate: boolean
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
  /**
   * Connect to this relay and keep it connected, until `onStop`. The address is the very object that the entry holds meanwhile. Each dial that leads nowhere is told to `dialFailed`.
   */
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
