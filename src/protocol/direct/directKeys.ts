/**
 * The keys of a direct link (design, "Direct links"). Two identities share an X25519 secret; from that come a key for naming attempts
 * and, for each attempt, a pre-shared key of TLS. A listener recognises the callers that it expects by the PSK identity, and an
 * observer learns no identity from it. Everything here is the same on both sides.
 *
 * Who owns what: `derive` leaves its input to the caller, who wipes it at once; `DirectKeys` belong to whoever derived them, who calls
 * `wipeKeys` when the peer is forgotten; a key from `pskOf` belongs to its caller, who wipes it when the handshake is over.
 */
import { expand, extract } from "@noble/hashes/hkdf.js"
import { hmac } from "@noble/hashes/hmac.js"
import { sha256 } from "@noble/hashes/sha2.js"
import { concatBytes } from "@noble/hashes/utils.js"
import * as Base64Url from "effect/encoding/Base64Url"
import * as Result from "effect/Result"
import { keySize, type PublicKey, toHex } from "../../schema/Bytes.ts"
import { attemptSize } from "../../schema/DirectPacket.ts"
import { equalConstantTime } from "../crypto/equalConstantTime.ts"

/** Bytes of the tag that follows the attempt in an identity. */
const tagSize = 16
/** Bytes of a pre-shared key. */
const pskSize = 32

const ascii = (text: string): Uint8Array => Uint8Array.from(text, (letter) => letter.charCodeAt(0))
const salt = ascii("causeway direct v1")
const tagLabel = ascii("tag")
const pskLabel = ascii("psk")

/** What two identities derive everything else from. Secret. */
export interface DirectKeys {
  readonly prk: Uint8Array
  readonly tagKey: Uint8Array
  /** Both identity keys, the lesser first. Not secret. */
  readonly identities: Uint8Array
}

/** An attempt and the tag by which its listener recognises it, as a dialler sends them. */
export interface PskIdentity {
  readonly attempt: Uint8Array
  readonly tag: Uint8Array
}

const requireSize = (bytes: Uint8Array, size: number, what: string): void => {
  if (bytes.length !== size) throw new RangeError(`${what} is ${size} bytes, not ${bytes.length}`)
}

/** The keys of two identities, in either order, from their X25519 secret (`Crypto.sharedSecret`). */
export const derive = (sharedSecret: Uint8Array, one: PublicKey, other: PublicKey): DirectKeys => {
  requireSize(sharedSecret, keySize, "a shared secret")
  const identities = toHex(one) < toHex(other) ? concatBytes(one, other) : concatBytes(other, one)
  const prk = extract(sha256, sharedSecret, salt)
  return { prk, tagKey: expand(sha256, prk, concatBytes(tagLabel, identities), pskSize), identities }
}

/** Overwrites the keys with zeros; what was derived from them stays. */
export const wipeKeys = (keys: DirectKeys): void => {
  keys.prk.fill(0)
  keys.tagKey.fill(0)
}

/** The pre-shared key of an attempt, 32 bytes: the same whoever dials. */
export const pskOf = (keys: DirectKeys, attempt: Uint8Array): Uint8Array => {
  requireSize(attempt, attemptSize, "an attempt")
  return expand(sha256, keys.prk, concatBytes(pskLabel, keys.identities, attempt), pskSize)
}

/** Names the attempt and, to those who share the keys alone, who dials. */
const tagOf = (keys: DirectKeys, attempt: Uint8Array, dialler: PublicKey): Uint8Array =>
  hmac(sha256, keys.tagKey, concatBytes(attempt, dialler)).slice(0, tagSize)

/** What `dialler`, one of the two, sends as PSK identity: 43 characters of base64url. */
export const pskIdentityOf = (keys: DirectKeys, attempt: Uint8Array, dialler: PublicKey): string => {
  requireSize(attempt, attemptSize, "an attempt")
  requireSize(dialler, keySize, "an identity key")
  return Base64Url.encode(concatBytes(attempt, tagOf(keys, attempt, dialler)))
}

const pskIdentityText = /^[A-Za-z0-9_-]{43}$/

/** Takes a PSK identity apart; `undefined` for any text that `pskIdentityOf` does not make. */
export const parsePskIdentity = (text: string): PskIdentity | undefined => {
  if (!pskIdentityText.test(text)) return undefined
  const bytes = Result.getOrUndefined(Base64Url.decode(text))
  // The last character holds two spare bits: one identity has one text.
  if (bytes === undefined || Base64Url.encode(bytes) !== text) return undefined
  return { attempt: bytes.slice(0, attemptSize), tag: bytes.slice(attemptSize) }
}

/**
 * Whether the identity says that `dialler`, one of the two, dials; in constant time. A listener that asks for its peer does not
 * recognise an identity of its own that somebody sends back.
 */
export const isFrom = (keys: DirectKeys, { attempt, tag }: PskIdentity, dialler: PublicKey): boolean => {
  return equalConstantTime(tagOf(keys, attempt, dialler), tag)
}
