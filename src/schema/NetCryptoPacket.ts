/**
 * The four packets of net_crypto and what is sealed in three of them (net_crypto, sections 1 to 7). The inside of a data packet is
 * taken apart by plain code, once per packet, and is not declared here.
 */
import { keySize, macSize, nonceSize } from "./Bytes.ts"
import * as Field from "./WireField.ts"
import * as Wire from "./WirePacket.ts"

export const cookieSize = 112
export const cookieRequestSize = 145
export const cookieResponseSize = 161
export const handshakeSize = 385
/** Smallest and largest data packet. */
export const minDataSize = 28
export const maxDataSize = 1400
/** Largest plaintext of a data packet: two numbers of four bytes, padding, payload. */
export const maxDataPlaintext = 1381
/** Largest payload, its id byte included. */
export const maxPayload = 1373
export const echoIdSize = 8
export const sha512Size = 64

/** First payload byte: what kind of payload it is. Ids 0, 3..15 and 255 are dropped. */
export const requestId = 1
export const killId = 2
export const firstLosslessId = 16
export const lastLosslessId = 191
export const firstLossyId = 192
export const lastLossyId = 254
/** Sent by Tox's friend layer. */
export const shareRelaysId = 17
/** Lossless ids of our own: the byte stream of sessions, and link control. */
export const sessionStreamId = 176
export const linkControlId = 177

/** Asks for a cookie. `sealed` is a `CookieRequestContent` under both DHT keys. */
export const CookieRequest = Wire.packet("CookieRequest", 24, {
  senderDhtKey: Field.publicKey,
  nonce: Field.bytes(nonceSize),
  sealed: Field.bytes(72 + macSize)
})
export type CookieRequest = Wire.ValueOf<typeof CookieRequest>

/** `sealed` is a `CookieResponseContent` under the key of the request. */
export const CookieResponse = Wire.packet("CookieResponse", 25, {
  nonce: Field.bytes(nonceSize),
  sealed: Field.bytes(cookieSize + echoIdSize + macSize)
})
export type CookieResponse = Wire.ValueOf<typeof CookieResponse>

/** `cookie` was issued by the receiver; `sealed` is a `HandshakeContent` under both real keys. */
export const Handshake = Wire.packet("Handshake", 26, {
  cookie: Field.bytes(cookieSize),
  nonce: Field.bytes(nonceSize),
  sealed: Field.bytes(232 + macSize)
})
export type Handshake = Wire.ValueOf<typeof Handshake>

/** `nonceTail`: the last two bytes of the nonce that sealed it. */
export const Data = Wire.packet("Data", 27, {
  nonceTail: Field.u16,
  sealed: Field.rest(minDataSize - 3, maxDataSize - 3)
})
export type Data = Wire.ValueOf<typeof Data>

export const NetCryptoPacket = Wire.union([CookieRequest, CookieResponse, Handshake, Data])
export type NetCryptoPacket = Wire.ValueOf<typeof NetCryptoPacket>

/** The real key is unproven until the handshake opens. `echoId` is opaque, random per connection. */
export const CookieRequestContent = Wire.struct("CookieRequestContent", {
  realKey: Field.publicKey,
  padding: Field.reserved(keySize),
  echoId: Field.bytes(echoIdSize)
})
export type CookieRequestContent = Wire.ValueOf<typeof CookieRequestContent>

export const CookieResponseContent = Wire.struct("CookieResponseContent", {
  cookie: Field.bytes(cookieSize),
  echoId: Field.bytes(echoIdSize)
})
export type CookieResponseContent = Wire.ValueOf<typeof CookieResponseContent>

/** A cookie is a nonce and this, sealed. Only its issuer reads it, so the unit and the origin of `time` are its own. */
export const CookieContent = Wire.struct("CookieContent", {
  time: Field.u64,
  realKey: Field.publicKey,
  dhtKey: Field.publicKey
})
export type CookieContent = Wire.ValueOf<typeof CookieContent>

/** A cookie as it travels. */
export const Cookie = Wire.struct("Cookie", { nonce: Field.bytes(nonceSize), sealed: Field.bytes(72 + macSize) })
export type Cookie = Wire.ValueOf<typeof Cookie>

/**
 * `baseNonce` is the one **the sender** seals its own data packets with. `cookieHash` is the SHA-512 of the outer cookie as it stands
 * in this packet; `cookie` was issued by the sender, for the answering handshake.
 */
export const HandshakeContent = Wire.struct("HandshakeContent", {
  baseNonce: Field.bytes(nonceSize),
  sessionKey: Field.publicKey,
  cookieHash: Field.bytes(sha512Size),
  cookie: Field.bytes(cookieSize)
})
export type HandshakeContent = Wire.ValueOf<typeof HandshakeContent>
