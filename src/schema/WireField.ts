/**
 * The fields a packet is made of. Each pairs what a value means (`schema`) with how it is laid out. Integers are big-endian unless
 * the name ends in `le`. A value that does not fit its field is a bug of the caller and throws; bad bytes never do.
 */
import * as Schema from "effect/Schema"
import { BytesBetween, FixedBytes, PublicKey } from "./Bytes.ts"
import type { WireCursor } from "./WireCursor.ts"

/** The layout of one field. Sizes are bytes. */
export interface WireLayout<A> {
  readonly minSize: number
  readonly maxSize: number
  /** For one-byte fields: the values that are valid. A union of packets is told apart by such a field. */
  readonly range?: readonly [minimum: number, maximum: number]
  size(value: A): number
  read(cursor: WireCursor): A
  write(cursor: WireCursor, value: A): void
}

/** A field that carries a value. */
export interface WireField<A> extends WireLayout<A> {
  readonly hidden: false
  readonly schema: Schema.Codec<A, unknown>
}

/** A field that carries none: an id, a length, zero bytes. It is written from the layout and is no part of the value. */
export interface WireHidden extends WireLayout<void> {
  readonly hidden: true
}

type Get = (view: DataView, at: number) => number
type Set = (view: DataView, at: number, value: number) => void

const integer = (size: number, minimum: number, maximum: number, get: Get, set: Set): WireField<number> => ({
  hidden: false,
  schema: Schema.Int.check(Schema.isBetween({ minimum, maximum })),
  minSize: size,
  maxSize: size,
  ...(size === 1 ? { range: [minimum, maximum] as const } : undefined),
  size: () => size,
  read: (cursor) => {
    const value = get(cursor.view, cursor.advance(size))
    if (value < minimum || value > maximum) cursor.fail(`${value} is not in ${minimum}..${maximum}`)
    return value
  },
  write: (cursor, value) => {
    if (!(value >= minimum && value <= maximum)) throw new RangeError(`${value} is not in ${minimum}..${maximum}`)
    set(cursor.view, cursor.advance(size), value)
  }
})

/** One byte that may only be in a part of its range. */
export const u8Between = (minimum: number, maximum: number): WireField<number> =>
  integer(1, minimum, maximum, (view, at) => view.getUint8(at), (view, at, value) => view.setUint8(at, value))

export const u8 = u8Between(0, 0xff)

export const u16 = integer(
  2,
  0,
  0xffff,
  (view, at) => view.getUint16(at),
  (view, at, value) => view.setUint16(at, value)
)

export const u16le = integer(
  2,
  0,
  0xffff,
  (view, at) => view.getUint16(at, true),
  (view, at, value) => view.setUint16(at, value, true)
)

export const u32 = integer(
  4,
  0,
  0xffff_ffff,
  (view, at) => view.getUint32(at),
  (view, at, value) => view.setUint32(at, value)
)

export const u32le = integer(
  4,
  0,
  0xffff_ffff,
  (view, at) => view.getUint32(at, true),
  (view, at, value) => view.setUint32(at, value, true)
)

/** A u64 that counts something, as a number: above 2^53 - 1 it is refused. */
export const count64le = integer(
  8,
  0,
  Number.MAX_SAFE_INTEGER,
  (view, at) => view.getUint32(at + 4, true) * 0x1_0000_0000 + view.getUint32(at, true),
  (view, at, value) => {
    view.setUint32(at, value % 0x1_0000_0000, true)
    view.setUint32(at + 4, Math.floor(value / 0x1_0000_0000), true)
  }
)

const bigInteger = (littleEndian: boolean): WireField<bigint> => ({
  hidden: false,
  schema: Schema.BigInt.check(Schema.isBetweenBigInt({ minimum: 0n, maximum: 0xffff_ffff_ffff_ffffn })),
  minSize: 8,
  maxSize: 8,
  size: () => 8,
  read: (cursor) => cursor.view.getBigUint64(cursor.advance(8), littleEndian),
  write: (cursor, value) => {
    if (value < 0n || value > 0xffff_ffff_ffff_ffffn) throw new RangeError(`${value} is not a u64`)
    cursor.view.setBigUint64(cursor.advance(8), value, littleEndian)
  }
})

/** A u64 of which every bit counts, as a bigint. Slow: not for anything sent per packet. */
export const u64 = bigInteger(false)
export const u64le = bigInteger(true)

const byteString = <A extends Uint8Array>(
  minimum: number,
  maximum: number,
  schema: Schema.Codec<A, unknown>,
  take: (cursor: WireCursor) => Uint8Array
): WireField<A> => ({
  hidden: false,
  schema,
  minSize: minimum,
  maxSize: maximum,
  size: (value) => value.length,
  read: (cursor) => {
    const value = take(cursor)
    if (value.length < minimum || value.length > maximum) {
      cursor.fail(`${value.length} bytes are not ${minimum}..${maximum}`)
    }
    // The schema adds nothing but a brand and the length that has just been checked.
    return value as A
  },
  write: (cursor, value) => {
    if (value.length < minimum || value.length > maximum) {
      throw new RangeError(`${value.length} bytes are not ${minimum}..${maximum}`)
    }
    cursor.bytes.set(value, cursor.advance(value.length))
  }
})

/** `size` bytes with a schema of their own. Decoding gives a view of the packet. */
export const fixed = <A extends Uint8Array>(size: number, schema: Schema.Codec<A, unknown>): WireField<A> =>
  byteString(size, size, schema, (cursor) => cursor.take(size))

/** `size` bytes. Decoding gives a view of the packet. */
export const bytes = (size: number): WireField<Uint8Array> => fixed(size, FixedBytes(size))

/** A public key. Decoding gives a view of the packet: copy a key that is kept. */
export const publicKey: WireField<PublicKey> = fixed(32, PublicKey)

/** Everything up to the end of the packet, as a view of it. */
export const rest = (minimum: number, maximum: number): WireField<Uint8Array> =>
  byteString(minimum, maximum, BytesBetween(minimum, maximum), (cursor) => cursor.take(cursor.remaining))

/** Zero bytes, ignored when read. */
export const reserved = (size: number): WireHidden => ({
  hidden: true,
  minSize: size,
  maxSize: size,
  size: () => size,
  read: (cursor) => {
    cursor.advance(size)
  },
  write: (cursor) => {
    cursor.advance(size)
  }
})

/** One byte that is always the same, such as a packet id. */
export const constant = (value: number): WireHidden => {
  const byte = u8Between(value, value)
  return {
    hidden: true,
    minSize: 1,
    maxSize: 1,
    range: [value, value],
    size: () => 1,
    read: (cursor) => {
      byte.read(cursor)
    },
    write: (cursor) => byte.write(cursor, value)
  }
}

/** A little-endian u32 that is always the same. */
export const constant32le = (value: number): WireHidden => ({
  hidden: true,
  minSize: 4,
  maxSize: 4,
  size: () => 4,
  read: (cursor) => {
    const found = u32le.read(cursor)
    if (found !== value) cursor.fail(`${found} is not ${value}`)
  },
  write: (cursor) => u32le.write(cursor, value)
})

/** A little-endian u32 that says how many bytes follow up to the end of the packet. */
export const lengthOfRest32le: WireHidden = {
  hidden: true,
  minSize: 4,
  maxSize: 4,
  size: () => 4,
  read: (cursor) => {
    const length = u32le.read(cursor)
    if (length !== cursor.remaining) cursor.fail(`says ${length} bytes follow, has ${cursor.remaining}`)
  },
  write: (cursor) => u32le.write(cursor, cursor.remaining - 4)
}

/** The same layout many times, up to the end of the packet. Every item has the same size. */
export const list = <A>(
  item: { readonly schema: Schema.Codec<A, unknown>; readonly fields: Omit<WireLayout<A>, "range"> },
  maximum: number
): WireField<ReadonlyArray<A>> => {
  const size = item.fields.minSize
  return {
    hidden: false,
    schema: Schema.Array(item.schema).check(Schema.isMaxLength(maximum)),
    minSize: 0,
    maxSize: size * maximum,
    size: (values) => values.length * size,
    read: (cursor) => {
      const count = cursor.remaining / size
      if (!Number.isInteger(count) || count > maximum) {
        cursor.fail(`${cursor.remaining} bytes are not 0..${maximum} items of ${size}`)
        return []
      }
      return Array.from({ length: count }, () => item.fields.read(cursor))
    },
    write: (cursor, values) => {
      if (values.length > maximum) throw new RangeError(`${values.length} items are more than ${maximum}`)
      for (const value of values) item.fields.write(cursor, value)
    }
  }
}
