/**
 * What a value frame of a session carries (rows I14 to I16): a descriptor, a u32 length where the descriptor has no size of its own, and a
 * payload. Values know nothing of session ids; frames are `SessionFrame`'s. Lengths are in bytes, only those of 0x0F in bits.
 *
 * Each value has exactly one encoding, and `checkValue` takes nothing else. Bytes of a peer go through it before anything is allocated for
 * them; it keeps to loops, so no input makes it deep. How much may arrive is the frame reader's limit.
 */
import * as Schema from "effect/Schema"
import { plainLayouts, u32Length, type ValueLayout } from "./plainLayouts.ts"
import { PlainValue } from "./PlainValue.ts"
import { WireCursor } from "./WireCursor.ts"

export {
  Bit,
  Bytes,
  Checksum,
  PackedBits,
  PlainValue,
  PrfKey,
  Ring16,
  Ring16Vector,
  Ring32,
  Ring32Vector,
  Ring48,
  Ring48Vector,
  Ring64,
  Ring64Vector,
  U128
} from "./PlainValue.ts"

/** 0x0A: several values, none of which is itself a `ValueVector`. */
export interface ValueVector {
  readonly _tag: "ValueVector"
  readonly values: ReadonlyArray<SessionValue>
}

/** What sessions of plain values carry: a plain value, or several of them (row I16). */
export type SessionValue = PlainValue | ValueVector

// The type says less than the schema, so that whoever has values can put them into a vector: what is nested fails when it is encoded.
export const ValueVector = Schema.TaggedStruct("ValueVector", { values: Schema.Array(PlainValue) })
export const SessionValue = Schema.Union([PlainValue, ValueVector]) as unknown as Schema.Codec<SessionValue, unknown>

/** A value as it goes into a frame. */
export interface EncodedValue {
  readonly descriptor: number
  /** The u32 that follows the descriptor; `undefined` where none does. */
  readonly length: number | undefined
  /** Of `Bytes` the value's own array, otherwise freshly allocated. */
  readonly payload: Uint8Array
}

const vectorDescriptor = 0x0a

/** A plain value of any kind, as the table sees it. */
type Layout = ValueLayout<PlainValue>
const layoutOf = (value: PlainValue): Layout => {
  // The compiler cannot follow that a value and its layout have the same tag.
  const layout = plainLayouts[value._tag] as unknown as Layout | undefined
  if (layout === undefined) throw new TypeError(`no value has the tag ${value._tag}`)
  return layout
}

const byDescriptor: ReadonlyArray<Layout | undefined> = (() => {
  const table: Array<Layout | undefined> = new Array(256).fill(undefined)
  for (const layout of Object.values(plainLayouts) as unknown as ReadonlyArray<Layout>) {
    for (const descriptor of layout.descriptors) table[descriptor] = layout
  }
  return table
})()

const sameAsLength = (length: number): number => length

/** Whether frames with this descriptor carry a value. */
export const isValueDescriptor = (descriptor: number): boolean =>
  descriptor === vectorDescriptor || byDescriptor[descriptor] !== undefined

/**
 * How many bytes follow the 5-byte header of a value frame: a number where the descriptor says so itself, else the function that turns the u32
 * length into the bytes behind it. `undefined`: no value has this descriptor.
 */
export const valuePayloadSize = (descriptor: number): number | ((length: number) => number) | undefined =>
  descriptor === vectorDescriptor ? sameAsLength : byDescriptor[descriptor]?.payloadSize

/**
 * What is wrong with the payload of a whole value, `undefined` for a good one. `payload` is what follows the header and the length; `length`
 * is the u32, needed for 0x0F only, where it counts bits. Allocates nothing unless something is wrong.
 */
export const checkValue = (descriptor: number, payload: Uint8Array, length?: number): string | undefined => {
  if (descriptor === vectorDescriptor) return checkVector(payload)
  const layout = byDescriptor[descriptor]
  if (layout === undefined) return `unknown descriptor ${descriptor}`
  const { payloadSize } = layout
  if (typeof payloadSize === "number" && payload.length !== payloadSize) {
    return `${payload.length} bytes, expected ${payloadSize}`
  }
  return layout.problem(payload, 0, payload.length, length ?? 0)
}

const checkVector = (payload: Uint8Array): string | undefined => {
  let at = 0
  for (let index = 0; at < payload.length; index++) {
    const descriptor = payload[at++] ?? 0
    if (descriptor === vectorDescriptor) return `value ${index} is a vector inside a vector`
    const layout = byDescriptor[descriptor]
    if (layout === undefined) return `value ${index} has the unknown descriptor ${descriptor}`
    const { payloadSize } = layout
    let length = 0
    let size = 0
    if (typeof payloadSize === "number") {
      size = payloadSize
    } else {
      if (payload.length - at < 4) return `value ${index} ends within its length`
      length = readU32(payload, at)
      at += 4
      size = payloadSize(length)
    }
    if (size > payload.length - at) return `value ${index} needs ${size} bytes, ${payload.length - at} follow`
    const problem = layout.problem(payload, at, size, length)
    if (problem !== undefined) return `value ${index}: ${problem}`
    at += size
  }
  return undefined
}

/** Throws a `RangeError` when the value does not fit its kind, which is a bug of the caller. `Bytes` are not copied. */
export const encodeValue = (value: SessionValue): EncodedValue => {
  if (value._tag === "ValueVector") return encodeVector(value.values)
  const layout = layoutOf(value)
  const descriptor = layout.descriptorOf(value)
  const length = layout.lengthOf(value)
  if (value._tag === "Bytes") return { descriptor, length, payload: value.bytes }
  const { payloadSize } = layout
  const cursor = new WireCursor(new Uint8Array(typeof payloadSize === "number" ? payloadSize : payloadSize(length)))
  layout.write(cursor, value)
  return { descriptor, length: typeof payloadSize === "number" ? undefined : length, payload: cursor.bytes }
}

const encodeVector = (values: ReadonlyArray<SessionValue>): EncodedValue => {
  let size = 0
  for (const value of values) {
    if (value._tag === "ValueVector") throw new RangeError("ValueVector: a vector inside a vector")
    const layout = layoutOf(value)
    const length = layout.lengthOf(value)
    size += typeof layout.payloadSize === "number" ? 1 + layout.payloadSize : 5 + layout.payloadSize(length)
  }
  const length = u32Length("ValueVector", size)
  const cursor = new WireCursor(new Uint8Array(size))
  for (const value of values as ReadonlyArray<PlainValue>) {
    const layout = layoutOf(value)
    cursor.view.setUint8(cursor.advance(1), layout.descriptorOf(value))
    if (typeof layout.payloadSize === "function") cursor.view.setUint32(cursor.advance(4), layout.lengthOf(value), true)
    layout.write(cursor, value)
  }
  return { descriptor: vectorDescriptor, length, payload: cursor.bytes }
}

/**
 * The value in a payload that `checkValue` has found good; it never throws for one. `length` is the u32 where there is one, otherwise ignored.
 * `Bytes` are views of the payload, alone as well as in a vector; everything else is a copy.
 *
 * A value takes more memory than its bytes: a vector of many small values up to some 50 times as much. So keep payloads, and decode when
 * the application takes the value.
 */
export const decodeValue = (descriptor: number, length: number, payload: Uint8Array): SessionValue => {
  const cursor = new WireCursor(payload)
  if (descriptor === vectorDescriptor) return decodeVector(cursor)
  const layout = byDescriptor[descriptor]
  if (layout === undefined) throw new TypeError(`no value has the descriptor ${descriptor}`)
  return layout.read(cursor, payload.length, length, descriptor)
}

const decodeVector = (cursor: WireCursor): ValueVector => {
  const { bytes } = cursor
  const values: Array<PlainValue> = []
  // Without a problem every turn takes at least a byte.
  while (cursor.remaining > 0 && cursor.problem === undefined) {
    const descriptor = bytes[cursor.advance(1)] ?? 0
    const layout = byDescriptor[descriptor]
    if (layout === undefined) throw new TypeError(`no value has the descriptor ${descriptor}`)
    const { payloadSize } = layout
    const length = typeof payloadSize === "number" ? 0 : readU32(bytes, cursor.advance(4))
    const size = typeof payloadSize === "number" ? payloadSize : payloadSize(length)
    values.push(layout.read(cursor, size, length, descriptor))
  }
  return { _tag: "ValueVector", values }
}

const readU32 = (bytes: Uint8Array, at: number): number =>
  ((bytes[at] ?? 0) | (bytes[at + 1] ?? 0) << 8 | (bytes[at + 2] ?? 0) << 16 | (bytes[at + 3] ?? 0) << 24) >>> 0
