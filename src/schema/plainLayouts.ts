/**
 * How the plain values of sessions are laid out after their descriptor (rows I14 and I16). Everything is little-endian. Values may be
 * shares of a secret, so no message here repeats one.
 */
import { copyElements, readBig, readWhole, writeBig, writeWhole } from "./littleEndian.ts"
import { type Bit, packedBitsProblem, packedSize, type PlainValue, prfKeySize } from "./PlainValue.ts"
import type { WireCursor } from "./WireCursor.ts"

/** How one kind of value is laid out. Sizes are bytes of the payload: what follows the descriptor and the length. */
export interface ValueLayout<A> {
  readonly descriptors: ReadonlyArray<number>
  /** The size itself or, where a u32 length follows the descriptor, the size for that length. */
  readonly payloadSize: number | ((length: number) => number)
  descriptorOf(value: A): number
  /** The u32 length, where there is one. Throws a `RangeError` when it does not fit. */
  lengthOf(value: A): number
  /** What is wrong with a payload of the right size. It allocates nothing unless something is. */
  problem(bytes: Uint8Array, at: number, size: number, length: number): string | undefined
  /** A payload without a problem. */
  read(cursor: WireCursor, size: number, length: number, descriptor: number): A
  /** Throws a `RangeError` when the value does not fit. */
  write(cursor: WireCursor, value: A): void
}

const maxU32 = 0xffff_ffff
const none = (): undefined => undefined
const sameAsLength = (length: number): number => length

/** Refuses a length that its field cannot say. */
export const u32Length = (tag: string, length: number): number => {
  if (length > maxU32) throw new RangeError(`${tag}: ${length} bytes are more than a length can say`)
  return length
}

const fixed = <A>(
  descriptor: number,
  size: number,
  read: (cursor: WireCursor) => A,
  write: (cursor: WireCursor, value: A) => void
): ValueLayout<A> => ({
  descriptors: [descriptor],
  payloadSize: size,
  descriptorOf: () => descriptor,
  lengthOf: () => size,
  problem: none,
  read,
  write
})

const ring = <const Tag extends string>(
  tag: Tag,
  descriptor: number,
  size: 2 | 4 | 6
): ValueLayout<{ readonly _tag: Tag; readonly value: number }> =>
  fixed(
    descriptor,
    size,
    (cursor) => ({ _tag: tag, value: readWhole(cursor, size) }),
    (cursor, { value }) => writeWhole(cursor, size, value, tag)
  )

const bigRing = <const Tag extends string>(
  tag: Tag,
  descriptor: number,
  size: 8 | 16
): ValueLayout<{ readonly _tag: Tag; readonly value: bigint }> =>
  fixed(
    descriptor,
    size,
    (cursor) => ({ _tag: tag, value: readBig(cursor, size) }),
    (cursor, { value }) => writeBig(cursor, size, value, tag)
  )

interface Countable {
  readonly length: number
}

const vector = <const Tag extends string, Values extends Countable>(
  tag: Tag,
  descriptor: number,
  elementSize: number,
  read: (cursor: WireCursor, count: number) => Values,
  write: (cursor: WireCursor, values: Values) => void
): ValueLayout<{ readonly _tag: Tag; readonly values: Values }> => ({
  descriptors: [descriptor],
  payloadSize: sameAsLength,
  descriptorOf: () => descriptor,
  lengthOf: ({ values }) => u32Length(tag, values.length * elementSize),
  problem: (_bytes, _at, size) =>
    size % elementSize === 0 ? undefined : `${size} bytes are no whole elements of ${elementSize}`,
  read: (cursor, size) => ({ _tag: tag, values: read(cursor, size / elementSize) }),
  write: (cursor, { values }) => write(cursor, values)
})

type Elements = Uint16Array | Uint32Array | BigUint64Array

/**
 * V8 keeps arrays of up to 64 bytes inside its own heap until somebody asks for their buffer, which costs microseconds and half a kilobyte. A
 * peer may send a hundred thousand small vectors in one frame.
 */
const smallSize = 64

/** A copy: what arrives is not aligned, and would keep the chunk it came in. */
const readElements = <A extends Elements>(
  cursor: WireCursor,
  elements: A,
  readOne: (cursor: WireCursor) => A[number]
): A => {
  if (elements.byteLength <= smallSize) {
    for (let i = 0; i < elements.length; i++) elements[i] = readOne(cursor)
  } else {
    const from = cursor.take(elements.byteLength)
    copyElements(from, new Uint8Array(elements.buffer), elements.BYTES_PER_ELEMENT)
  }
  return elements
}

const writeElements = (cursor: WireCursor, elements: Elements): void => {
  const from = new Uint8Array(elements.buffer, elements.byteOffset, elements.byteLength)
  const at = cursor.advance(from.length)
  copyElements(from, cursor.bytes.subarray(at, at + from.length), elements.BYTES_PER_ELEMENT)
}

const readBytes = (cursor: WireCursor, size: number): Uint8Array => new Uint8Array(cursor.take(size))

const writeBytes = (cursor: WireCursor, bytes: Uint8Array): void =>
  cursor.bytes.set(bytes, cursor.advance(bytes.length))

/** There are only two, and a peer may send a million of them in a frame. */
const bits: readonly [Bit, Bit] = [Object.freeze({ _tag: "Bit", bit: 0 }), Object.freeze({ _tag: "Bit", bit: 1 })]
const bitDescriptors = [0x02, 0x12] as const

/** The compiler sees to it that every plain value has a layout. */
export const plainLayouts: {
  readonly [Tag in PlainValue["_tag"]]: ValueLayout<Extract<PlainValue, { readonly _tag: Tag }>>
} = {
  PrfKey: fixed(
    0x01,
    prfKeySize,
    (cursor) => ({ _tag: "PrfKey", bytes: readBytes(cursor, prfKeySize) }),
    (cursor, { bytes }) => {
      if (bytes.length !== prfKeySize) throw new RangeError(`PrfKey: ${bytes.length} bytes are not ${prfKeySize}`)
      writeBytes(cursor, bytes)
    }
  ),
  Bit: {
    descriptors: bitDescriptors,
    payloadSize: 0,
    descriptorOf: ({ bit }) => {
      const descriptor = bitDescriptors[bit]
      if (descriptor === undefined) throw new RangeError("Bit: neither 0 nor 1")
      return descriptor
    },
    lengthOf: () => 0,
    problem: none,
    read: (_cursor, _size, _length, descriptor) => bits[descriptor === bitDescriptors[1] ? 1 : 0],
    write: () => undefined
  },
  Ring16: ring("Ring16", 0x03, 2),
  Ring32: ring("Ring32", 0x04, 4),
  Ring64: bigRing("Ring64", 0x05, 8),
  Ring16Vector: vector(
    "Ring16Vector",
    0x06,
    2,
    (cursor, count) => readElements(cursor, new Uint16Array(count), (cursor) => readWhole(cursor, 2)),
    writeElements
  ),
  Ring32Vector: vector(
    "Ring32Vector",
    0x07,
    4,
    (cursor, count) => readElements(cursor, new Uint32Array(count), (cursor) => readWhole(cursor, 4)),
    writeElements
  ),
  Ring64Vector: vector(
    "Ring64Vector",
    0x08,
    8,
    (cursor, count) => readElements(cursor, new BigUint64Array(count), (cursor) => readBig(cursor, 8)),
    writeElements
  ),
  Checksum: fixed(
    0x09,
    16,
    (cursor) => ({ _tag: "Checksum", low: readBig(cursor, 8), high: readBig(cursor, 8) }),
    (cursor, { high, low }) => {
      writeBig(cursor, 8, low, "Checksum, low")
      writeBig(cursor, 8, high, "Checksum, high")
    }
  ),
  U128: bigRing("U128", 0x0b, 16),
  Bytes: {
    descriptors: [0x0c],
    payloadSize: sameAsLength,
    descriptorOf: () => 0x0c,
    lengthOf: ({ bytes }) => u32Length("Bytes", bytes.length),
    problem: none,
    read: (cursor, size) => ({ _tag: "Bytes", bytes: cursor.take(size) }),
    write: (cursor, { bytes }) => writeBytes(cursor, bytes)
  },
  Ring48: ring("Ring48", 0x0d, 6),
  Ring48Vector: vector(
    "Ring48Vector",
    0x0e,
    6,
    (cursor, count): ReadonlyArray<number> => Array.from({ length: count }, () => readWhole(cursor, 6)),
    (cursor, values) => {
      for (const value of values) writeWhole(cursor, 6, value, "Ring48Vector")
    }
  ),
  PackedBits: {
    descriptors: [0x0f],
    payloadSize: packedSize,
    descriptorOf: () => 0x0f,
    lengthOf: ({ bitCount, bits }) => {
      if (!(Number.isInteger(bitCount) && bitCount >= 0 && bitCount <= maxU32)) {
        throw new RangeError("PackedBits: the bit count is not a u32")
      }
      const problem = packedBitsProblem(bits, 0, bits.length, bitCount)
      if (problem !== undefined) throw new RangeError(`PackedBits: ${problem}`)
      return bitCount
    },
    problem: packedBitsProblem,
    read: (cursor, size, length) => ({ _tag: "PackedBits", bitCount: length, bits: readBytes(cursor, size) }),
    write: (cursor, { bits }) => writeBytes(cursor, bits)
  }
}
