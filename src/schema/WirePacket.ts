/**
 * Packets: a tag and fields in wire order, declared once. The type, the plain `decode` and `encode`, and the schema `fromBytes` all
 * come from that one table, so they cannot drift apart. Decoding gives views of the bytes: whoever keeps one copies it.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaTransformation from "effect/SchemaTransformation"
import { WireCursor, WireIssue } from "./WireCursor.ts"
import * as Field from "./WireField.ts"

/** Fields by name, in wire order. */
export type Table = Readonly<Record<string, Field.WireField<unknown> | Field.WireHidden>>

/** The value that belongs to a table: its tag and its fields, without the hidden ones. */
export type Value<Tag extends string, T extends Table> =
  & { readonly _tag: Tag }
  & {
    readonly [K in keyof T as T[K] extends Field.WireHidden ? never : K]: T[K] extends Field.WireField<infer A> ? A
      : never
  }

/** What packets and unions of packets have in common. */
export interface WireCodec<A> {
  readonly schema: Schema.Codec<A, unknown>
  /** The packet in these bytes, or what is wrong with them. Never throws. */
  decode(bytes: Uint8Array): Result.Result<A, WireIssue>
  /** The bytes of a packet, freshly allocated. Throws when a value does not fit its field, which is a bug of the caller. */
  encode(value: A): Uint8Array
  /** The same codec as a schema, for boundaries and property tests; slower. */
  readonly fromBytes: Schema.Codec<A, Uint8Array>
}

/** One kind of packet. Sizes are bytes of the whole packet. */
export interface WirePacket<Tag extends string, T extends Table> extends WireCodec<Value<Tag, T>> {
  readonly tag: Tag
  readonly table: T
  readonly minSize: number
  readonly maxSize: number
  readonly fields: Field.WireLayout<Value<Tag, T>>
  /** A value with its tag. Nothing is checked. */
  make(fields: Omit<Value<Tag, T>, "_tag">): Value<Tag, T>
}

/** A packet of any kind, as a union sees it. */
interface Member {
  readonly tag: string
  readonly table: Table
  readonly schema: Schema.Constraint
  decode(bytes: Uint8Array): Result.Result<unknown, WireIssue>
  encode(value: never): Uint8Array
}

/** The type of the values of a packet or of a union of packets. */
export type ValueOf<C> = C extends WireCodec<infer A> ? A : never

const asSchema = <A>(
  schema: Schema.Codec<A, unknown>,
  decode: (bytes: Uint8Array) => Result.Result<A, WireIssue>,
  encode: (value: A) => Uint8Array
): Schema.Codec<A, Uint8Array> =>
  Schema.Uint8Array.pipe(
    Schema.decodeTo(
      Schema.toType(schema),
      SchemaTransformation.transformEffect<A, Uint8Array>({
        decode: (bytes, options) =>
          Result.match(decode(bytes), {
            onSuccess: (value) => Effect.succeed(value),
            onFailure: ({ message }) => Effect.fail(new SchemaIssue.InvalidValue({ message }, bytes, options))
          }),
        encode: (value) => Effect.succeed(encode(value))
      })
    )
  )

/** A packet without an id: its fields in wire order. */
export const struct = <const Tag extends string, T extends Table>(tag: Tag, table: T): WirePacket<Tag, T> => {
  type V = Value<Tag, T>
  const entries = Object.entries(table)
  const minSize = entries.reduce((sum, [, field]) => sum + field.minSize, 0)
  const maxSize = entries.reduce((sum, [, field]) => sum + field.maxSize, 0)
  const schemas = entries.flatMap(([name, field]) => field.hidden ? [] : [[name, field.schema] as const])
  // The compiler cannot follow a struct that is built from a table; `Value` says what it is.
  const schema = Schema.TaggedStruct(tag, Object.fromEntries(schemas)) as unknown as Schema.Codec<V, unknown>

  const sizeOf = (value: Readonly<Record<string, unknown>>): number => {
    let size = 0
    for (const [name, field] of entries) size += field.hidden ? field.minSize : field.size(value[name])
    return size
  }
  const read = (cursor: WireCursor): Record<string, unknown> => {
    const value: Record<string, unknown> = { _tag: tag }
    for (const [name, field] of entries) {
      if (field.hidden) field.read(cursor)
      else value[name] = field.read(cursor)
    }
    return value
  }
  const write = (cursor: WireCursor, value: Readonly<Record<string, unknown>>): void => {
    for (const [name, field] of entries) {
      if (field.hidden) field.write(cursor)
      else field.write(cursor, value[name])
    }
  }
  const decode = (bytes: Uint8Array): Result.Result<V, WireIssue> => {
    if (bytes.length < minSize || bytes.length > maxSize) {
      const expected = minSize === maxSize ? `${minSize}` : `${minSize}..${maxSize}`
      return Result.fail(new WireIssue(`${tag} of ${bytes.length} bytes, expected ${expected}`))
    }
    const cursor = new WireCursor(bytes)
    const value = read(cursor)
    if (cursor.remaining > 0) cursor.fail(`${cursor.remaining} bytes too many`)
    return cursor.problem === undefined
      ? Result.succeed(value as V)
      : Result.fail(new WireIssue(`${tag}: ${cursor.problem}`))
  }
  const encode = (value: V): Uint8Array => {
    const cursor = new WireCursor(new Uint8Array(sizeOf(value)))
    write(cursor, value)
    return cursor.bytes
  }
  return {
    tag,
    table,
    minSize,
    maxSize,
    schema,
    fields: { minSize, maxSize, size: sizeOf, read: (cursor) => read(cursor) as V, write },
    make: (fields) => ({ _tag: tag, ...fields }) as V,
    decode,
    encode,
    fromBytes: asSchema(schema, decode, encode)
  }
}

/** A packet that begins with its id byte. */
export const packet = <const Tag extends string, T extends Table>(tag: Tag, id: number, table: T) =>
  struct(tag, { id: Field.constant(id), ...table })

/** The values of the byte at `offset` that belong to a packet. */
const rangeAt = (table: Table, offset: number): readonly [number, number] => {
  let at = 0
  for (const field of Object.values(table)) {
    if (at === offset && field.range !== undefined) return field.range
    at += field.minSize
  }
  throw new TypeError(`no one-byte field at offset ${offset}`)
}

/** Several kinds of packets, told apart by the byte at `offset`. */
export const union = <const P extends ReadonlyArray<Member>>(packets: P, offset = 0) => {
  type V = ValueOf<P[number]>
  const byId: Array<Member | undefined> = new Array(256).fill(undefined)
  for (const packet of packets) {
    const [minimum, maximum] = rangeAt(packet.table, offset)
    for (let id = minimum; id <= maximum; id++) {
      if (byId[id] !== undefined) throw new TypeError(`id ${id} belongs to two packets`)
      byId[id] = packet
    }
  }
  const byTag = new Map<string, Member>(packets.map((packet) => [packet.tag, packet] as const))
  const schema = Schema.Union(packets.map((packet) => packet.schema)) as unknown as Schema.Codec<V, unknown>

  const decode = (bytes: Uint8Array): Result.Result<V, WireIssue> => {
    const id = bytes[offset]
    if (id === undefined) return Result.fail(new WireIssue(`${bytes.length} bytes are too short for a packet`))
    const found = byId[id]
    if (found === undefined) return Result.fail(new WireIssue(`unknown packet id ${id}`))
    return found.decode(bytes) as Result.Result<V, WireIssue>
  }
  const encode = (value: V): Uint8Array => {
    const { _tag } = value as { readonly _tag: string }
    const found = byTag.get(_tag)
    if (found === undefined) throw new TypeError(`no packet has the tag ${_tag}`)
    return found.encode(value as never)
  }
  return {
    schema,
    /** Whether an id belongs to one of the packets. */
    allows: (id: number): boolean => byId[id] !== undefined,
    decode,
    encode,
    fromBytes: asSchema(schema, decode, encode)
  } as const
}
