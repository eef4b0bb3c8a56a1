/**
 * The plain values of sessions (row I16), each with its descriptor: keys, bits, ring elements, vectors of them, checksums and bytes. A
 * plain value never holds another value; vectors of values are in `SessionValue`, how each is laid out is in `plainLayouts`.
 */
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"
import { FixedBytes } from "./Bytes.ts"

export const prfKeySize = 16

/** Whole numbers of so many bytes. */
const whole = (size: number) => Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2 ** (8 * size) - 1 }))
const big = (size: number) =>
  Schema.BigInt.check(Schema.isBetweenBigInt({ minimum: 0n, maximum: (1n << BigInt(8 * size)) - 1n }))

const Elements16 = Schema.instanceOf(Uint16Array<ArrayBufferLike>, {
  expected: "Uint16Array",
  toCodec: () =>
    Schema.link<Uint16Array>()(
      Schema.Array(whole(2)),
      SchemaTransformation.transform<Uint16Array, ReadonlyArray<number>>({
        decode: (values) => Uint16Array.from(values),
        encode: (a) => Array.from(a)
      })
    )
})
const Elements32 = Schema.instanceOf(Uint32Array<ArrayBufferLike>, {
  expected: "Uint32Array",
  toCodec: () =>
    Schema.link<Uint32Array>()(
      Schema.Array(whole(4)),
      SchemaTransformation.transform<Uint32Array, ReadonlyArray<number>>({
        decode: (values) => Uint32Array.from(values),
        encode: (a) => Array.from(a)
      })
    )
})
const Elements64 = Schema.instanceOf(BigUint64Array<ArrayBufferLike>, {
  expected: "BigUint64Array",
  toCodec: () =>
    Schema.link<BigUint64Array>()(
      Schema.Array(big(8)),
      SchemaTransformation.transform<BigUint64Array, ReadonlyArray<bigint>>({
        decode: (values) => BigUint64Array.from(values),
        encode: (a) => Array.from(a)
      })
    )
})

/** 0x01: the key of a pseudo-random function. */
export const PrfKey = Schema.TaggedStruct("PrfKey", { bytes: FixedBytes(prfKeySize) })
export type PrfKey = typeof PrfKey.Type

/** 0x02 for 0 and 0x12 for 1, without payload. */
export const Bit = Schema.TaggedStruct("Bit", { bit: Schema.Literals([0, 1]) })
export type Bit = typeof Bit.Type

/** 0x03: an integer modulo 2^16. */
export const Ring16 = Schema.TaggedStruct("Ring16", { value: whole(2) })
export type Ring16 = typeof Ring16.Type

/** 0x04 */
export const Ring32 = Schema.TaggedStruct("Ring32", { value: whole(4) })
export type Ring32 = typeof Ring32.Type

/** 0x05 */
export const Ring64 = Schema.TaggedStruct("Ring64", { value: big(8) })
export type Ring64 = typeof Ring64.Type

/** 0x06 */
export const Ring16Vector = Schema.TaggedStruct("Ring16Vector", { values: Elements16 })
export type Ring16Vector = typeof Ring16Vector.Type

/** 0x07 */
export const Ring32Vector = Schema.TaggedStruct("Ring32Vector", { values: Elements32 })
export type Ring32Vector = typeof Ring32Vector.Type

/** 0x08 */
export const Ring64Vector = Schema.TaggedStruct("Ring64Vector", { values: Elements64 })
export type Ring64Vector = typeof Ring64Vector.Type

/** 0x09: two u64; `low` comes first on the wire. */
export const Checksum = Schema.TaggedStruct("Checksum", { low: big(8), high: big(8) })
export type Checksum = typeof Checksum.Type

/** 0x0B */
export const U128 = Schema.TaggedStruct("U128", { value: big(16) })
export type U128 = typeof U128.Type

/** 0x0C */
export const Bytes = Schema.TaggedStruct("Bytes", { bytes: Schema.Uint8Array })
export type Bytes = typeof Bytes.Type

/** 0x0D */
export const Ring48 = Schema.TaggedStruct("Ring48", { value: whole(6) })
export type Ring48 = typeof Ring48.Type

/** 0x0E */
export const Ring48Vector = Schema.TaggedStruct("Ring48Vector", { values: Schema.Array(whole(6)) })
export type Ring48Vector = typeof Ring48Vector.Type

/** Bytes that so many bits take. */
export const packedSize = (bitCount: number): number => Math.ceil(bitCount / 8)

/** What is wrong with the `size` bytes at `at` as that many bits. */
export const packedBitsProblem = (
  bytes: Uint8Array,
  at: number,
  size: number,
  bitCount: number
): string | undefined => {
  if (size !== packedSize(bitCount)) return `${bitCount} bits are not ${size} bytes`
  const used = bitCount % 8
  return used !== 0 && (bytes[at + size - 1] ?? 0) >> used !== 0 ? "an unused bit of the last byte is set" : undefined
}

/**
 * 0x0F: `bitCount` bits, eight in a byte. Bit i is bit `i % 8` of byte `floor(i / 8)`, counted from the least significant. The unused bits
 * of the last byte are 0, on the wire as well, so that equal values have equal bytes.
 */
export const PackedBits = Schema.TaggedStruct("PackedBits", { bitCount: whole(4), bits: Schema.Uint8Array }).check(
  Schema.makeFilter(({ bitCount, bits }) => packedBitsProblem(bits, 0, bits.length, bitCount) ?? true)
)
export type PackedBits = typeof PackedBits.Type

/** A value that holds no other. */
export const PlainValue = Schema.Union([
  PrfKey,
  Bit,
  Ring16,
  Ring32,
  Ring64,
  Ring16Vector,
  Ring32Vector,
  Ring64Vector,
  Checksum,
  U128,
  Bytes,
  Ring48,
  Ring48Vector,
  PackedBits
])
export type PlainValue = typeof PlainValue.Type
