/**
 * The three packets that make a net_crypto connection (protocol, sections 3 and 4), sealed and opened. Plain functions without
 * state; every failure is `undefined`, because all of them get the same treatment: silence.
 *
 * Like Tox's, this handshake does not resist key-compromise impersonation: whoever has our own long-term secret key can pretend
 * to be anybody towards us.
 */
import * as Result from "effect/Result"
import { macSize, type PublicKey } from "../../schema/Bytes.ts"
import * as Packet from "../../schema/NetCryptoPacket.ts"
import type { Cipher, Crypto, SecretKey } from "../crypto/Crypto.ts"
import { type Fill, randomNonce } from "../crypto/ephemeral.ts"
import type { CookieBearer, CookieJar } from "./CookieJar.ts"

/** A cookie request of 145 bytes. `cipher` is the box of both DHT keys; `echoId` 8 bytes that the answer repeats. */
export const cookieRequest = (
  cipher: Cipher,
  ours: CookieBearer,
  echoId: Uint8Array,
  fill: Fill
): Uint8Array => {
  const content = Packet.CookieRequestContent.encode(
    Packet.CookieRequestContent.make({ realKey: ours.realKey, echoId })
  )
  const nonce = randomNonce(fill)
  return Packet.CookieRequest.encode(
    Packet.CookieRequest.make({ senderDhtKey: ours.dhtKey, nonce, sealed: seal(cipher, content, nonce) })
  )
}

/** The outside of a cookie request, so that the sender can be judged before a key agreement is spent. */
export const readCookieRequest = (bytes: Uint8Array): Packet.CookieRequest | undefined =>
  Result.getOrUndefined(Packet.CookieRequest.decode(bytes))

/** Answers a cookie request from the DHT key that `cipher` belongs to: 161 bytes. Keeps nothing. */
export const answerCookieRequest = (
  packet: Packet.CookieRequest,
  cipher: Cipher,
  jar: CookieJar,
  now: number,
  fill: Fill
): Uint8Array | undefined => {
  const plain = open(cipher, packet.sealed, packet.nonce)
  const content = plain && Result.getOrUndefined(Packet.CookieRequestContent.decode(plain))
  if (content === undefined) return undefined
  const cookie = jar.issue({ realKey: content.realKey, dhtKey: packet.senderDhtKey }, now)
  const nonce = randomNonce(fill)
  const answer = Packet.CookieResponseContent.encode(
    Packet.CookieResponseContent.make({ cookie, echoId: content.echoId })
  )
  return Packet.CookieResponse.encode(Packet.CookieResponse.make({ nonce, sealed: seal(cipher, answer, nonce) }))
}

/** The cookie and echo id in a cookie response. `cipher` is the one of the request. */
export const openCookieResponse = (bytes: Uint8Array, cipher: Cipher): Packet.CookieResponseContent | undefined => {
  const packet = Result.getOrUndefined(Packet.CookieResponse.decode(bytes))
  const plain = packet && open(cipher, packet.sealed, packet.nonce)
  return plain && Result.getOrUndefined(Packet.CookieResponseContent.decode(plain))
}

/** What a handshake offers: `baseNonce` seals its sender's own data packets. */
export interface HandshakeOffer {
  readonly baseNonce: Uint8Array
  readonly sessionKey: PublicKey
}

/**
 * A handshake of 385 bytes to the owner of `theirRealKey`: `outerCookie` was issued by them, `innerCookie` by us and names them.
 * Undefined when their key is unusable.
 */
export const handshake = (
  crypto: Crypto,
  ourRealSecret: SecretKey,
  theirRealKey: PublicKey,
  outerCookie: Uint8Array,
  innerCookie: Uint8Array,
  offer: HandshakeOffer,
  fill: Fill
): Uint8Array | undefined => {
  const cipher = crypto.box(theirRealKey, ourRealSecret)
  if (cipher === undefined) return undefined
  const content = Packet.HandshakeContent.encode(
    Packet.HandshakeContent.make({
      baseNonce: offer.baseNonce,
      sessionKey: offer.sessionKey,
      cookieHash: crypto.sha512(outerCookie),
      cookie: innerCookie
    })
  )
  const nonce = randomNonce(fill)
  const sealed = seal(cipher, content, nonce)
  cipher.dispose()
  return Packet.Handshake.encode(Packet.Handshake.make({ cookie: outerCookie, nonce, sealed }))
}

/** A handshake that passed every check, and who sent it. All arrays are copies. */
export interface OpenedHandshake extends HandshakeOffer {
  readonly bearer: CookieBearer
  /** When we issued the cookie that it answers, monotonic milliseconds, rounded down. */
  readonly issuedAt: number
  /** Issued by the sender, for our answer. */
  readonly innerCookie: Uint8Array
}

/**
 * Opens a handshake, in the order that costs an attacker most and us least: our own cookie first, then the real key **from the
 * cookie**, then the hash of the cookie. Uses the cookie up.
 */
export const openHandshake = (
  crypto: Crypto,
  jar: CookieJar,
  ourRealSecret: SecretKey,
  bytes: Uint8Array,
  now: number,
  isWanted: (bearer: CookieBearer) => boolean
): OpenedHandshake | undefined => {
  const packet = Result.getOrUndefined(Packet.Handshake.decode(bytes))
  const issued = packet && jar.open(packet.cookie, now)
  if (packet === undefined || issued === undefined || !isWanted(issued.bearer)) return undefined
  const { bearer, issuedAt } = issued
  const cipher = crypto.box(bearer.realKey, ourRealSecret)
  if (cipher === undefined) return undefined
  const plain = open(cipher, packet.sealed, packet.nonce)
  cipher.dispose()
  const content = plain && Result.getOrUndefined(Packet.HandshakeContent.decode(plain))
  if (content === undefined || !crypto.equal(content.cookieHash, crypto.sha512(packet.cookie))) return undefined
  if (!jar.use(packet.cookie, bytes, now)) return undefined
  return {
    bearer,
    issuedAt,
    baseNonce: content.baseNonce.slice(),
    sessionKey: content.sessionKey.slice() as PublicKey,
    innerCookie: content.cookie.slice()
  }
}

const seal = (cipher: Cipher, plain: Uint8Array, nonce: Uint8Array): Uint8Array => {
  const sealed = new Uint8Array(plain.length + macSize)
  cipher.seal(sealed, 0, plain, 0, plain.length, nonce)
  return sealed
}

const open = (cipher: Cipher, sealed: Uint8Array, nonce: Uint8Array): Uint8Array | undefined => {
  const plain = new Uint8Array(sealed.length - macSize)
  return cipher.open(plain, 0, sealed, 0, sealed.length, nonce) ? plain : undefined
}
