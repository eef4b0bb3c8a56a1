/** Our side of one handshake: its keys, and the packet that is repeated until it is answered. */
import type { PublicKey } from "../../schema/Bytes.ts"
import { echoIdSize } from "../../schema/NetCryptoPacket.ts"
import type { Crypto, SecretKey } from "../crypto/Crypto.ts"
import { type Ephemeral, type Fill, makeEphemeral, randomBytes, randomNonce } from "../crypto/ephemeral.ts"
import type { PeerPath } from "../registry/PeerPath.ts"
import type { CryptoSession } from "./CryptoSession.ts"
import * as Handshake from "./netCryptoHandshake.ts"

/** One session key pair and base nonce for the whole handshake, whichever packets it takes. */
export interface Offer {
  readonly ephemeral: Ephemeral
  readonly baseNonce: Uint8Array
  readonly echoId: Uint8Array
  /** A cookie request first, a handshake later. */
  packet: Uint8Array
  isHandshake: boolean
  /** How often this packet has been sent, and when it is sent next. */
  tries: number
  nextAt: number
}

/** A session whose handshake is complete, but under whose key nothing has been opened yet. */
export interface Candidate {
  readonly session: CryptoSession
  readonly offer: Offer
  /** The peer's session key that made it: a repetition of that handshake changes nothing. */
  readonly origin: PublicKey
  readonly path: PeerPath
}

export const makeOffer = (crypto: Crypto, fill: Fill, now: number): Offer => ({
  ephemeral: makeEphemeral(crypto, fill),
  baseNonce: randomNonce(fill),
  echoId: randomBytes(fill, echoIdSize),
  packet: new Uint8Array(0),
  isHandshake: false,
  tries: 0,
  nextAt: now
})

/** Makes the offer's packet a handshake; its tries are counted from the beginning. An unusable key leaves it as it was. */
export const toHandshake = (
  offer: Offer,
  crypto: Crypto,
  ourRealSecret: SecretKey,
  theirRealKey: PublicKey,
  outerCookie: Uint8Array,
  innerCookie: Uint8Array,
  fill: Fill,
  now: number
): void => {
  const content = { baseNonce: offer.baseNonce, sessionKey: offer.ephemeral.publicKey }
  const packet = Handshake.handshake(crypto, ourRealSecret, theirRealKey, outerCookie, innerCookie, content, fill)
  if (packet === undefined) return
  offer.packet = packet
  offer.isHandshake = true
  offer.tries = 0
  offer.nextAt = now
}
