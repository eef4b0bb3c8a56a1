/**
 * What net_crypto sees of the way to a peer: something that looks like one connection, however many relays are behind it. The
 * net_crypto bridge implements it over the connection registry; tests implement it over a scripted wire. Plain calls, once per packet.
 */
import type { PublicKey } from "../../schema/Bytes.ts"
import type { RelayAddress } from "../../schema/RelayAddress.ts"

/**
 * What became of a packet. `blocked`: the path exists but takes nothing now (back-pressure), `onWritable` follows.
 * `unreachable`: no relay could take it; it was not sent and does not count as a try.
 */
export type SendOutcome = "sent" | "blocked" | "unreachable"

/** One relay that is tied to a peer. */
export interface PeerWay {
  readonly relay: RelayAddress
  /** Identifies the relay connection as `PeerPath.carrier` does; 0 while the peer is not online on this relay. */
  readonly carrier: number
}

/** The way to one peer. */
export interface PeerPath {
  /** The peer's DHT key. */
  readonly peer: PublicKey
  /**
   * Sends a packet by the registry's rule: as data over the one relay that carries this peer, out of band while the peer is online
   * nowhere (then only up to 1024 bytes). `frame[0]` is left free by the caller; the packet is `frame[1..length)`. The bytes are
   * consumed before the call returns. `urgent` packets do not wait behind bulk data.
   */
  readonly send: (frame: Uint8Array, length: number, urgent: boolean) => SendOutcome
  /**
   * Identifies the relay connection that carries the data now: a number that is never used again, 0 when the peer is online on
   * no relay. Whatever was sent under another number may be lost with it.
   */
  readonly carrier: () => number
  /**
   * Bytes taken now without back-pressure; 0 when there is no carrier. While the carrier has taken nothing for too long, what the
   * relays take to which the next packet would move.
   */
  readonly room: () => number
  /**
   * Nothing comes back although data is outstanding: moves the traffic to the next relay on which the peer is online. False when
   * there is no other.
   */
  readonly moveOn: () => boolean
  /**
   * The newest authenticated packet of the peer came by this route. When the peer has left the relay that also carries our data,
   * its reason concerns us: the path follows it, if the peer is online there.
   */
  readonly heard: (route: ReplyRoute) => void
  /** Ties a relay to this peer, so that it may carry its data. Does nothing when it is tied or the maximum is reached. */
  readonly tie: (relay: RelayAddress) => void
  /** Ties our own relays: a peer that called us knows them, so it may be on any of them (row T08). */
  readonly tieHome: () => void
  /** All relays that are tied to the peer, in the order of their ties. */
  readonly ways: () => ReadonlyArray<PeerWay>
  /** The carriers that could take over, the most trusted first: relays on which the peer is online beside the present one. */
  readonly standbys: () => ReadonlyArray<number>
  /** Sends a packet by one carrier, whether it is the present one or not. False when it is gone or full. */
  readonly sendVia: (carrier: number, frame: Uint8Array, length: number) => boolean
  /** Tells whether a relay delivered what was sent by it, end to end (row T33). One that does not is avoided for a while. */
  readonly judge: (carrier: number, delivered: boolean) => void
  /** Makes a standby the carrier, because it is clearly better. */
  readonly prefer: (carrier: number) => void
  /** Whether the peer needs no relays now, because another way to it works (rows T26, T27). Its ties are kept (row T28). */
  readonly isAsleep: boolean
  /** `kept`: so many relays stay connected all the same, for the fastest way back; none by default. */
  readonly sleep: (kept?: number) => void
  readonly wake: () => void
  /** Unties everything and forgets the path. */
  readonly close: () => void
}

/** A confirmed relay connection as the way a packet came by; compared by identity. */
export interface ReplyRoute {
  readonly relay: RelayAddress
  /** Sends 1..1024 bytes out of band to the sender, through the relay its packet came by. */
  readonly reply: (packet: Uint8Array) => boolean
  /** The packet came out of band: its relay need not be the one that carries the peer's data. */
  readonly outOfBand?: true
}

/** What a path reports. `bytes` are views that are valid only during the call. */
export interface PeerPathEvents {
  /** A packet of the peer, relayed as data or out of band over a tied relay. */
  readonly onPacket: (bytes: Uint8Array, route: ReplyRoute) => void
  /** The carrier changed: lost, replaced, or the first one. */
  readonly onCarrierChange: (lost: number) => void
  /** The path takes packets again. */
  readonly onWritable: () => void
}
