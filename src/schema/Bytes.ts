/**
 * Byte strings of a fixed length, as schemas and as plain helpers.
 */
import * as Hex from "effect/encoding/Hex"
import * as Schema from "effect/Schema"

/** `length` raw bytes. The check is the only place the size is stated. */
export const FixedBytes = (length: number) =>
  Schema.Uint8Array.check(
    Schema.makeFilter((bytes: Uint8Array) => bytes.length === length, { expected: `${length} bytes` })
  )

/** An X25519 public key, 32 bytes. Identity keys, DHT keys and relay keys are all of this type. */
export const PublicKey = FixedBytes(32).pipe(Schema.brand("causeway/PublicKey"))
export type PublicKey = typeof PublicKey.Type

/** Sizes of the primitives, in bytes. */
export const keySize = 32
export const nonceSize = 24
export const macSize = 16

/** Upper-case hexadecimal, the way Tox writes keys. Also the form used as a `Map` key. */
export const toHex = (bytes: Uint8Array): string => Hex.encode(bytes).toUpperCase()

/** Whether two byte strings are equal. Not constant time: for public values only. */
export const equalBytes = (a: Uint8Array, b: Uint8Array): boolean => {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}
