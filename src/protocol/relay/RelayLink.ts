/**
 * What a confirmed connection to a relay looks like from above, and what it reports. Both are plain synchronous calls: they run once
 * per packet. The relay client implements `RelayLink`; the connection registry implements `RelayLinkEvents`.
 */
import type { PublicKey } from "../../schema/Bytes.ts"
import type { RelayAddress } from "../../schema/RelayAddress.ts"

/** A confirmed relay connection. Valid from `onConfirmed` until `onLost`; afterwards every send is refused or ignored. */
export interface RelayLink {
  readonly relay: RelayAddress
  /** Whether the relay has identified itself as a Causeway relay, which allows a larger window. */
  readonly isCauseway: boolean
  /** Asks for a link to a peer (type 0). Never dropped. At most one request per peer may be outstanding. */
  readonly requestRoute: (peer: PublicKey) => void
  /** Gives a connection id back (type 3). Never dropped. Only for an id that is held: twice costs the connection. */
  readonly disconnect: (connectionId: number) => void
  /**
   * Sends data on an online connection id. `frame[0]` is left free by the caller for the id and is overwritten; the packet is
   * `frame[1..length)`, at most 2031 bytes. The bytes are consumed before the call returns.
   * False when the window (or the socket) is full: nothing was sent, `onWritable` follows. `urgent` packets (acknowledgements,
   * handshakes) may overdraw the window by a bounded amount, so that they never wait behind bulk data.
   */
  readonly sendData: (connectionId: number, frame: Uint8Array, length: number, urgent: boolean) => boolean
  /** Sends 1..1024 bytes out of band to a key (type 6). False as for `sendData`; always urgent. */
  readonly sendOob: (destination: PublicKey, payload: Uint8Array) => boolean
  /** Sends an onion request (type 8), the bytes after the type. False when full. */
  readonly sendOnion: (payload: Uint8Array) => boolean
  /** Sends a forward request (type 10), the bytes after the type. False when full. */
  readonly sendForward: (payload: Uint8Array) => boolean
  /** Bytes of data frames that may be sent now without overdrawing. When they are too few for a packet, `onWritable` follows. */
  readonly room: () => number
  /**
   * Since when, in monotonic milliseconds, the window has been full without the relay taking anything; undefined while bytes move.
   */
  readonly stuckSince: () => number | undefined
  /** The latest round trip to the relay, milliseconds, undefined before the first pong. */
  readonly roundTrip: () => number | undefined
  /** Hands everything sent so far to the socket now. Without it that happens in the next microtask. */
  readonly flush: () => void
}

/**
 * What a relay connection reports. `bytes` arguments are views that are valid only during the call. A callback may call any method
 * of the link, also when that ends the link.
 */
export interface RelayLinkEvents {
  /** The relay answered our first ping. Called once per connection, before anything else. */
  readonly onConfirmed: (link: RelayLink) => void
  /** A routing request was answered. Id 0: refused. Only for keys that were asked for on this connection. */
  readonly onRouteResponse: (link: RelayLink, connectionId: number, peer: PublicKey) => void
  /** The peer of a registered id is linked to us on this relay. Reported once per transition. */
  readonly onPeerOnline: (link: RelayLink, connectionId: number) => void
  /** The peer of an online id has gone. Reported once per transition. */
  readonly onPeerOffline: (link: RelayLink, connectionId: number) => void
  /** Data on an id that is registered or online, at least one byte. */
  readonly onData: (link: RelayLink, connectionId: number, bytes: Uint8Array) => void
  /** An out-of-band packet, at least one byte, never from ourselves. */
  readonly onOob: (link: RelayLink, sender: PublicKey, bytes: Uint8Array) => void
  /** An onion response (type 9), the bytes after the type. */
  readonly onOnion: (link: RelayLink, bytes: Uint8Array) => void
  /** A forwarded packet (type 11), the bytes after the type. */
  readonly onForwarded: (link: RelayLink, bytes: Uint8Array) => void
  /** There is room again after a refused send. */
  readonly onWritable: (link: RelayLink) => void
  /** All packets of one read have been reported: the moment for work that is done once per batch. */
  readonly onBatchEnd: (link: RelayLink) => void
  /** The connection is over; all its ids are void. Called exactly once for a confirmed link. */
  readonly onLost: (link: RelayLink) => void
}
