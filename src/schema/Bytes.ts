/**
 * Byte strings of a bounded length, as schemas and as plain helpers.
 */
import * as Hex from "effect/encoding/Hex"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"

/** Between `minimum` and `maximum` raw bytes, both included. */
export const BytesBetween = (minimum: number, maximum: number) =>
  Schema.Uint8Array.check(
    Schema.makeFilter((bytes: Uint8Array) => bytes.length >= minimum && bytes.length <= maximum, {
      expected: minimum === maximum ? `${minimum} bytes` : `${minimum} to ${maximum} bytes`,
      arbitraryConstraint: { minLength: minimum, maxLength: maximum }
    })
  )

/** `length` raw bytes. The check is the only place the size is stated. */
export const FixedBytes = (length: number) => BytesBetween(length, length)

/** An X25519 public key, 32 bytes. Identity keys, DHT keys and relay keys are all of this type. */
export const PublicKey = FixedBytes(32).pipe(Schema.brand("causeway/PublicKey"))
export type PublicKey = typeof PublicKey.Type

/** Sizes of the primitives, in bytes. */
export const keySize = 32
export const nonceSize = 24
export const macSize = 16

/** Upper-case hexadecimal, the way Tox writes keys. Also the form used as a `Map` key. */
export const toHex = (bytes: Uint8Array): string => Hex.encode(bytes).toUpperCase()

/** The bytes of hexadecimal text in either case; `undefined` when it is something else. */
export const fromHex = (text: string): Uint8Array | undefined => Result.getOrUndefined(Hex.decode(text))

/** Exactly `2 * size` hexadecimal digits in either case. What it refuses never appears in its message. */
export const HexText = (size: number) => {
  const pattern = new RegExp(`^[0-9a-fA-F]{${size * 2}}$`)
  return Schema.String.check(
    Schema.makeFilter((text: string) => pattern.test(text), {
      expected: `${size * 2} hexadecimal digits`,
      arbitraryConstraint: { patterns: [{ source: pattern.source, flags: "" }] }
    })
  )
}

/** `size` bytes written as hexadecimal digits; reads either case, writes upper case. */
export const bytesFromHex = SchemaTransformation.transform<Uint8Array, string>({
  decode: (text) => fromHex(text) ?? new Uint8Array(0),
  encode: toHex
})

/** A public key written as 64 hexadecimal digits; reads either case, writes upper case. */
export const PublicKeyFromHex = HexText(keySize).pipe(Schema.decodeTo(PublicKey, bytesFromHex))

/** Whether two byte strings are equal. Not constant time: for public values only. */
export const equalBytes = (a: Uint8Array, b: Uint8Array): boolean => {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

/** Whether `a` comes after `b` in byte order; both have the same length. Of two identities this says who dials. */
export const isGreater = (a: Uint8Array, b: Uint8Array): boolean => {
  const at = a.findIndex((byte, index) => byte !== b[index])
  return at >= 0 && (a[at] ?? 0) > (b[at] ?? 0)
}
