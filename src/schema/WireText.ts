/**
 * Text fields, in UTF-8. Bytes that are not UTF-8 are a bad packet; they are never replaced by question marks.
 */
import * as Schema from "effect/Schema"
import type { WireCursor } from "./WireCursor.ts"
import * as Field from "./WireField.ts"

const encoder = new TextEncoder()
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/** A surrogate without its partner has no UTF-8 form. */
const loneSurrogate = /\p{Surrogate}/u

const textSchema = (maximum: number) =>
  Schema.String.check(
    Schema.makeFilter((text: string) => !loneSurrogate.test(text) && encoder.encode(text).length <= maximum, {
      expected: `well-formed text of at most ${maximum} bytes`,
      // A UTF-16 unit takes at most three bytes.
      arbitraryConstraint: { maxLength: Math.floor(maximum / 3) }
    })
  )

const readText = (cursor: WireCursor, size: number): string => {
  try {
    return decoder.decode(cursor.take(size))
  } catch {
    cursor.fail("not UTF-8")
    return ""
  }
}

const writeText = (cursor: WireCursor, text: string, maximum: number): void => {
  const bytes = encoder.encode(text)
  if (bytes.length > maximum) throw new RangeError(`${bytes.length} bytes of text are more than ${maximum}`)
  cursor.bytes.set(bytes, cursor.advance(bytes.length))
}

/** Text after its length in one byte: at most 255 bytes. */
export const text8: Field.WireField<string> = {
  hidden: false,
  schema: textSchema(255),
  minSize: 1,
  maxSize: 256,
  size: (text) => 1 + encoder.encode(text).length,
  read: (cursor) => readText(cursor, Field.u8.read(cursor)),
  write: (cursor, text) => {
    const lengthAt = cursor.advance(1)
    writeText(cursor, text, 255)
    cursor.view.setUint8(lengthAt, cursor.offset - lengthAt - 1)
  }
}

/** Text up to the end of the packet, at most `maximum` bytes. */
export const restText = (maximum: number): Field.WireField<string> => ({
  hidden: false,
  schema: textSchema(maximum),
  minSize: 0,
  maxSize: maximum,
  size: (text) => encoder.encode(text).length,
  read: (cursor) => readText(cursor, cursor.remaining),
  write: (cursor, text) => writeText(cursor, text, maximum)
})
