/** What a net_crypto session needs from whoever runs it, and what it reports. Types only. */
import type { ReplyRoute } from "../registry/PeerPath.ts"
import type { CryptoSession } from "./CryptoSession.ts"
import type { WokenBy } from "./Parking.ts"
import type { PayloadSlab } from "./PayloadSlab.ts"
import type { ReceiveBudget } from "./ReceiveWindow.ts"

/** Numbers of a session: the part of the net_crypto settings that it needs. Milliseconds and bytes. */
export interface SessionNumbers {
  readonly connectionTimeout: number
  readonly requestInterval: number
  readonly stallTimeout: number
  readonly sendBuffer: number
  readonly receiveBuffer: number
  readonly maxInFlight: number
  readonly ackBytes: number
  readonly ackDelay: number
  readonly parkGrace: number
  readonly wakeTimeout: number
}

/** What a session needs from whoever runs it. */
export interface SessionHost {
  readonly numbers: SessionNumbers
  readonly slab: PayloadSlab
  readonly budget: ReceiveBudget
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** The first packet opened: the peer has our key. */
  readonly onConfirmed: (session: CryptoSession) => void
  readonly onLossless: (session: CryptoSession, payload: Uint8Array) => void
  readonly onLossy: (session: CryptoSession, payload: Uint8Array) => void
  /** Room again after `trySend` refused. */
  readonly onWritable: (session: CryptoSession) => void
  /** More of what we sent has been acknowledged. */
  readonly onAcknowledged: (session: CryptoSession) => void
  readonly onKilled: (session: CryptoSession) => void
  /** The session rests no longer and asks the peer; it needs its path. */
  readonly onWaking: (session: CryptoSession) => void
  /** A packet of the peer has ended the rest; it came by this route. It is to be answered at once. */
  readonly onWoken: (session: CryptoSession, by: WokenBy, route: ReplyRoute) => void
  /** The session wants `endBatch` when the current read is done. */
  readonly onTouched: (session: CryptoSession) => void
}
