import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { PublicKey } from "../schema/Bytes.ts"
import type { RelayAddress } from "../schema/RelayAddress.ts"
import type { NetCryptoError } from "./NetCryptoError.ts"

/** Everything needed to call a peer. */
export interface PeerAddress {
  readonly identityKey: PublicKey
  readonly dhtKey: PublicKey
  /** Relays the peer is known to use; they become tied to it. */
  readonly relays: ReadonlyArray<RelayAddress>
}

/** What a connection reports; plain synchronous calls, once per packet. The payload belongs to the receiver. */
export interface NetCryptoHandlers {
  /** A lossless packet, in order, exactly once: id byte 16..191 and up to 1372 bytes. */
  readonly onLossless: (payload: Uint8Array) => void
  /** A lossy packet, id byte 192..254: may be missing or out of order, never doubled. */
  readonly onLossy: (payload: Uint8Array) => void
  /** `trySend` takes packets again after it returned false. */
  readonly onWritable: () => void
  /** Called once, when the connection is over. */
  readonly onClosed: (error: NetCryptoError) => void
  /** The connection was parked, and a packet of the peer has opened: it is awake. `by` tells who has woken it. */
  readonly onWoken?: (by: NetCryptoWokenBy) => void
}

/**
 * Whether a connection rests. `parking`: it sends nothing unasked, and what the peer had on its way is still answered. `parked`: it sends
 * nothing, and any packet of the peer wakes it. `waking`: the peer is asked and has not answered yet.
 */
export type NetCryptoParked = "awake" | "parking" | "parked" | "waking"

/** Who has woken a parked connection. */
export type NetCryptoWokenBy = "us" | "peer"

/** Counters of one connection. Times are milliseconds. */
export interface NetCryptoStats {
  readonly sentPackets: number
  readonly resentPackets: number
  readonly receivedPackets: number
  /** Lossless packets that have been sent and not acknowledged, and those waiting to be sent. */
  readonly inFlightPackets: number
  readonly queuedPackets: number
  /** Smoothed round trip, undefined before the first measurement. */
  readonly roundTrip: number | undefined
  /** Packets dropped on arrival, by cause. */
  readonly dropped: Readonly<Record<string, number>>
}

/** One relay that is tied to the peer of a connection, as a way to it. */
export interface NetCryptoPath {
  readonly relay: RelayAddress
  /** Whether the connection's data goes through it; true of one relay at most. */
  readonly carries: boolean
  /** Whether the peer is online on it. */
  readonly online: boolean
  /**
   * Milliseconds to the peer and back through this relay, as the last `probe` that ended has measured it. Undefined when that had no
   * answer in time, did not ask, or asked before the peer was last online there.
   */
  readonly roundTrip: number | undefined
}

/**
 * One established, end-to-end encrypted channel to a peer: ordered lossless packets and unordered lossy ones.
 * Sending is a plain call; back-pressure is `trySend` returning false.
 */
export interface NetCryptoConnection {
  readonly identityKey: PublicKey
  readonly dhtKey: PublicKey
  /**
   * Queues a lossless packet: first byte 16..191, 1..1373 bytes in all. Keeps the array until it is acknowledged: do not change it.
   * False, and nothing is taken, while the send buffer is full or after the end. Throws a `RangeError` for any other first byte or size.
   */
  readonly trySend: (payload: Uint8Array) => boolean
  /** Queues packets in order, waiting for room as long as it takes. Fails when the connection ends. */
  readonly sendAll: (payloads: ReadonlyArray<Uint8Array>) => Effect.Effect<void, NetCryptoError>
  /**
   * Sends a lossy packet, first byte 192..254, 1..1373 bytes, now or never. False when it could not be sent now. Throws as `trySend` does.
   */
  readonly sendLossy: (payload: Uint8Array) => boolean
  /** Succeeds when every packet queued before the call has been acknowledged. */
  readonly drained: Effect.Effect<void, NetCryptoError>
  /**
   * Registers the receiver, once. Packets that arrived before are delivered first, inside this call.
   */
  readonly handle: (handlers: NetCryptoHandlers) => void
  /** Stops (true) or resumes (false) delivery; while it is stopped the peer gets no acknowledgements and is held back. */
  readonly hold: (held: boolean) => void
  /** Waits for the end and tells why. */
  readonly closed: Effect.Effect<NetCryptoError>
  /** Tells the peer (kill packet) and ends the connection. Idempotent. */
  readonly close: Effect.Effect<void>
  readonly stats: () => NetCryptoStats
  /** The relays tied to the peer, whether it is online on them or not; none after the end. */
  readonly paths: () => ReadonlyArray<NetCryptoPath>
  /**
   * Measures the round trip over every relay that the peer is online on, all at once: a cookie request over each (net_crypto, section 3).
   * Gives the paths as they were when they were asked, once all have answered, after two seconds at most; a relay without an answer
   * has no round trip this time. Nothing is concluded from it: no relay is left or preferred. Any number may run at a time.
   * Fails when the connection ends. While the connection is parked nobody is asked.
   *
   * The peer does the work of a cookie for each. One that is not of our kind may answer by another relay than the one that asked.
   */
  readonly probe: Effect.Effect<ReadonlyArray<NetCryptoPath>, NetCryptoError>
  /**
   * From now on nothing is sent for this connection, and no silence counts, because another way to the peer works (rows T26 to T32). For
   * `parkGrace` what the peer had on its way is still answered, by which it does not wake; then the path sleeps, so that relays which
   * only this peer needs are left, but for `keptRelays` of them (none by default), a little later if something did come. Link control (id 177) apart, a lossless packet wakes even then. Both sides should park, as they have agreed. Once parked, any packet of the peer wakes the connection.
   *
   * False, and nothing happens, while a packet is queued or unacknowledged, while the connection is waking or a handshake is under way, and
   * after the end; true when it is parked already.
   */
  readonly park: (keptRelays?: number) => boolean
  /**
   * Ends that: the path wakes, and the peer is asked as soon as a relay leads to it, until any packet of it opens (`onWoken`). What is
   * sent meanwhile goes the same way. A peer that has not answered for `wakeTimeout`, although it could be asked, is called anew: when it
   * has been restarted, this connection ends with `PeerRestarted` and the new one comes by `connect` or `accept`. A peer that is not found
   * at all ends it with `PeerTimedOut`. `trySend` does all this by itself. Does nothing unless the connection is parked or parking.
   */
  readonly wake: () => void
  readonly parked: () => NetCryptoParked
  /** The number that the next lossless packet will get: 32 bits, unsigned. */
  readonly nextPacketNumber: () => number
}

/**
 * End-to-end encrypted connections to peers, byte-compatible with Tox's net_crypto in both roles.
 * The layer closes all connections, with a kill packet each, when its scope closes.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import { NetCrypto, type PeerAddress } from "effect-causeway"
 *
 * const greet = Effect.fnUntraced(function*(peer: PeerAddress) {
 *   const netCrypto = yield* NetCrypto
 *   const connection = yield* netCrypto.connect(peer).pipe(Effect.timeout("30 seconds"))
 *   return connection.trySend(Uint8Array.of(64, 1, 2, 3))
 * })
 * ```
 */
export class NetCrypto extends Context.Service<NetCrypto, {
  /**
   * The established connection to a peer: a new one, or the existing one, which is then shared with whoever has it. Interrupting it
   * gives the call up. Fails with `PeerUnreachable` after eight unanswered tries; sends that no relay takes do not count, so put a deadline around it.
   */
  readonly connect: (peer: PeerAddress) => Effect.Effect<NetCryptoConnection, NetCryptoError>
  /** The next connection that a peer has opened and that no `connect` is waiting for. */
  readonly accept: Effect.Effect<NetCryptoConnection>
  /**
   * Who may open connections, by identity key; the default refuses everybody. Asked before any state is kept for a caller. A client
   * (`NodeSettings`) does not ask: it answers the peers that it calls and no others.
   */
  readonly setAcceptPolicy: (policy: (identityKey: PublicKey) => boolean) => Effect.Effect<void>
}>()("causeway/services/NetCrypto") {}
