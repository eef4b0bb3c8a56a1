/**
 * The packets between a relay and its clients, inside the encrypted frames (relay protocol, sections 1 and 5). A packet's first byte
 * is its type (0..11) or, for data, the connection id (16..255).
 *
 * The lengths are those at which the stock relay and client close. What a valid packet means at the moment it arrives (an id that
 * is not in use, a ping id of zero, a connection id below 16) is for the relay and the client to judge.
 */
import * as Field from "./WireField.ts"
import * as Wire from "./WirePacket.ts"

/** Bytes of the big-endian length before each frame. */
export const frameLengthSize = 2
/** Smallest and largest value of the length prefix: the sealed packet, tag included. */
export const minFrameBody = 17
export const maxFrameBody = 2048
/** Largest packet, that is the largest frame body without its 16-byte tag. */
export const maxPlaintext = 2032
/** Ids below are packet types, not connection ids. */
export const firstConnectionId = 16
export const lastConnectionId = 255
/** Peers one client can be linked to on one relay. */
export const connectionSlots = 240
/** Largest payload of an out-of-band packet. */
export const maxOobPayload = 1024
/** Largest payload of a data packet. */
export const maxDataPayload = 2031
/** Bytes of a ping id: opaque, random and not all zero. */
export const pingIdSize = 8

/** Asks the relay for a link to a peer by its DHT key. */
export const RoutingRequest = Wire.packet("RoutingRequest", 0, { publicKey: Field.publicKey })
export type RoutingRequest = Wire.ValueOf<typeof RoutingRequest>

/** Answers a routing request. Id 0: refused. */
export const RoutingResponse = Wire.packet("RoutingResponse", 1, {
  connectionId: Field.u8,
  publicKey: Field.publicKey
})
export type RoutingResponse = Wire.ValueOf<typeof RoutingResponse>

/** The peer of this id is linked now. */
export const ConnectNotification = Wire.packet("ConnectNotification", 2, { connectionId: Field.u8 })
export type ConnectNotification = Wire.ValueOf<typeof ConnectNotification>

/** From a relay: the peer of this id has gone. From a client: it gives the id back. */
export const DisconnectNotification = Wire.packet("DisconnectNotification", 3, { connectionId: Field.u8 })
export type DisconnectNotification = Wire.ValueOf<typeof DisconnectNotification>

export const Ping = Wire.packet("Ping", 4, { pingId: Field.bytes(pingIdSize) })
export type Ping = Wire.ValueOf<typeof Ping>

/** Answers a ping with the same id. */
export const Pong = Wire.packet("Pong", 5, { pingId: Field.bytes(pingIdSize) })
export type Pong = Wire.ValueOf<typeof Pong>

/** Out of band: bytes for a confirmed client that need not have asked for a link. */
export const OobSend = Wire.packet("OobSend", 6, {
  destination: Field.publicKey,
  payload: Field.rest(1, maxOobPayload)
})
export type OobSend = Wire.ValueOf<typeof OobSend>

/** Out of band, as it arrives. Only the relay checks the limit of 1024: a client takes whatever fits a frame. */
export const OobReceive = Wire.packet("OobReceive", 7, {
  sender: Field.publicKey,
  payload: Field.rest(1, maxPlaintext - 33)
})
export type OobReceive = Wire.ValueOf<typeof OobReceive>

/** An onion packet without its first layer. Opaque here; a relay without onion ignores it whatever its size. */
export const OnionRequest = Wire.packet("OnionRequest", 8, { payload: Field.rest(0, maxPlaintext - 1) })
export type OnionRequest = Wire.ValueOf<typeof OnionRequest>

export const OnionResponse = Wire.packet("OnionResponse", 9, { payload: Field.rest(1, maxPlaintext - 1) })
export type OnionResponse = Wire.ValueOf<typeof OnionResponse>

/** A packed address (7 or 19 bytes) and up to 1792 bytes for it. Opaque here. */
export const ForwardRequest = Wire.packet("ForwardRequest", 10, { payload: Field.rest(7, 1811) })
export type ForwardRequest = Wire.ValueOf<typeof ForwardRequest>

export const Forwarding = Wire.packet("Forwarding", 11, { payload: Field.rest(1, maxPlaintext - 1) })
export type Forwarding = Wire.ValueOf<typeof Forwarding>

/**
 * Data for or from a linked peer; the first byte is the connection id. Without a payload it is refused here. A relay that wants to
 * drop such a packet instead of closing (relay protocol, trap 7) looks at the length first.
 */
export const Data = Wire.struct("Data", {
  connectionId: Field.u8Between(firstConnectionId, lastConnectionId),
  payload: Field.rest(1, maxDataPayload)
})
export type Data = Wire.ValueOf<typeof Data>

/** What a relay may receive. A connect notification makes no sense to it, and is ignored. Anything else closes. */
export const fromClient = Wire.union([
  RoutingRequest,
  ConnectNotification,
  DisconnectNotification,
  Ping,
  Pong,
  OobSend,
  OnionRequest,
  ForwardRequest,
  Data
])

/** What a client may receive. Anything else closes. */
export const fromRelay = Wire.union([
  RoutingResponse,
  ConnectNotification,
  DisconnectNotification,
  Ping,
  Pong,
  OobReceive,
  OnionResponse,
  Forwarding,
  Data
])

/** Every packet, in either direction. */
export const RelayPacket = Wire.union([
  RoutingRequest,
  RoutingResponse,
  ConnectNotification,
  DisconnectNotification,
  Ping,
  Pong,
  OobSend,
  OobReceive,
  OnionRequest,
  OnionResponse,
  ForwardRequest,
  Forwarding,
  Data
])
export type RelayPacket = Wire.ValueOf<typeof RelayPacket>
