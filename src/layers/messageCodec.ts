/** How messages become values of a session and back. */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { InFrame } from "../protocol/session/ValueInbox.ts"
import { joined } from "../schema/Payload.ts"
import { decodeValue, type EncodedValue, encodeValue, type SessionValue } from "../schema/SessionValue.ts"

/** A failure says what is wrong with the message. */
export interface MessageCodec<A> {
  readonly encode: (message: A) => Result.Result<EncodedValue, string>
  readonly decode: (value: InFrame) => Result.Result<A, string>
}

const bytesDescriptor = 0x0c
const encoder = new TextEncoder()
const decoder = new TextDecoder("utf-8", { fatal: true })

/** Messages of a type, as JSON in values of bytes. */
export const json = <A>(schema: Schema.Codec<A, unknown>): MessageCodec<A> => {
  const codec = Schema.fromJsonString(Schema.toCodecJson(schema))
  const decode = Schema.decodeUnknownResult(codec)
  const encode = Schema.encodeResult(codec)
  return {
    encode: (message) => {
      const text = encode(message)
      if (Result.isFailure(text)) return Result.fail(text.failure.message)
      const payload = encoder.encode(text.success)
      return Result.succeed({ descriptor: bytesDescriptor, length: payload.length, payload })
    },
    decode: ({ descriptor, payload }) => {
      if (descriptor !== bytesDescriptor) return Result.fail(`a value of type 0x${descriptor.toString(16)}`)
      let text: string
      try {
        text = decoder.decode(joined(payload))
      } catch {
        return Result.fail("not UTF-8")
      }
      return Result.mapError(decode(text), (problem) => problem.message)
    }
  }
}

/** Plain values, as they are. */
export const values: MessageCodec<SessionValue> = {
  // Bytes are what most values are, and need no table.
  encode: (value) => {
    if (value._tag === "Bytes") {
      const { bytes } = value
      return Result.succeed({ descriptor: bytesDescriptor, length: bytes.length, payload: bytes })
    }
    try {
      return Result.succeed(encodeValue(value))
    } catch (error) {
      if (error instanceof RangeError) return Result.fail(error.message)
      throw error
    }
  },
  decode: ({ descriptor, length, payload }) => {
    const bytes = joined(payload)
    return Result.succeed(
      descriptor === bytesDescriptor ? { _tag: "Bytes", bytes } : decodeValue(descriptor, length, bytes)
    )
  }
}
