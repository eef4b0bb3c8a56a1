/**
 * What both `ToxCrypto` layers demand of their arguments, so that they refuse the same things with the same `RangeError`. Such an
 * error is a bug of the caller: lengths that a peer chooses are checked where packets are parsed.
 */
import { keySize, macSize, nonceSize } from "../schema/Bytes.ts"

/** A public, secret or precomputed key. */
export const requireKey = (key: Uint8Array): Uint8Array => {
  if (key.length !== keySize) throw new RangeError(`a key is ${keySize} bytes, not ${key.length}`)
  return key
}

const requireRange = (bytes: Uint8Array, at: number, length: number): void => {
  // A view taken past the end is silently shorter, and would seal fewer bytes than asked.
  if (!(at >= 0 && length >= 0 && at + length <= bytes.length)) {
    throw new RangeError(`bytes ${at} to ${at + length} are outside an array of ${bytes.length}`)
  }
}

const requireNonce = (nonce: Uint8Array): void => {
  if (nonce.length !== nonceSize) throw new RangeError(`a nonce is ${nonceSize} bytes, not ${nonce.length}`)
}

/** The arguments of `Cipher.seal`. An empty plaintext does not exist in Tox. */
export const requireSealable = (
  target: Uint8Array,
  targetAt: number,
  source: Uint8Array,
  sourceAt: number,
  length: number,
  nonce: Uint8Array
): void => {
  if (!(length >= 1)) throw new RangeError("a plaintext has at least one byte")
  requireRange(source, sourceAt, length)
  requireRange(target, targetAt, length + macSize)
  requireNonce(nonce)
}

/** The arguments of `Cipher.open`, once `length` is known to be above 16. */
export const requireOpenable = (
  target: Uint8Array,
  targetAt: number,
  source: Uint8Array,
  sourceAt: number,
  length: number,
  nonce: Uint8Array
): void => {
  requireRange(source, sourceAt, length)
  requireRange(target, targetAt, length - macSize)
  requireNonce(nonce)
}

/** `Crypto.wipe`. */
export const wipe = (bytes: Uint8Array): void => {
  bytes.fill(0)
}
