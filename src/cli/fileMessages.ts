/**
 * Messages and raw bytes in one session of bytes: a u32 little-endian length and JSON, or whatever follows the last message
 * (`schema/FileMessage.ts`). It knows no file.
 */
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import * as Schema from "effect/Schema"
import { maxFileMessage } from "../schema/FileMessage.ts"
import type { ByteSession } from "../services/Session.ts"
import type { SessionError } from "../services/SessionError.ts"
import { TransferViolation } from "./FileTransferError.ts"
import type { Chunks } from "./nodeStreams.ts"

/** What a file transfer needs of a session. */
export type FileSession = Pick<ByteSession, "read" | "write" | "end" | "delivered" | "reset" | "closed" | "stats">

const lengthSize = 4

/** Sends one message. */
export const send = <A, I>(
  session: FileSession,
  schema: Schema.Codec<A, I>,
  message: A
): Effect.Effect<void, SessionError> =>
  Effect.suspend(() => {
    const json = new TextEncoder().encode(JSON.stringify(Schema.encodeSync(schema)(message)))
    const length = new Uint8Array(lengthSize)
    new DataView(length.buffer).setUint32(0, json.length, true)
    return session.write([length, json])
  })

/** Takes messages, and then bytes, off a session. Only one thing at a time may be read. */
export interface Reader {
  /** The next message. Fails when it is too long, not understood, or the other side has ended. */
  readonly next: <A>(schema: Schema.Codec<A, unknown>) => Effect.Effect<A, SessionError | TransferViolation>
  /** The bytes after the last message, until the other side's end. */
  readonly bytes: Pull.Pull<Chunks, SessionError>
}

export const reader = (session: Pick<FileSession, "read">): Reader => {
  let chunks: Array<Uint8Array> = []
  let size = 0
  const pull = Effect.map(session.read, (more) => {
    for (const chunk of more) size += chunk.length
    chunks.push(...more)
  })
  /** Exactly that many bytes. */
  const take = Effect.fnUntraced(function*(count: number) {
    while (size < count) {
      yield* Pull.catchDone(
        pull,
        () => new TransferViolation({ detail: "the other side ended in the middle of a message" })
      )
    }
    const all = chunks.length === 1 ? chunks[0]! : new Uint8Array(Buffer.concat(chunks))
    size -= count
    chunks = size === 0 ? [] : [all.subarray(count)]
    return all.subarray(0, count)
  })
  return {
    next: Effect.fnUntraced(function*<A>(schema: Schema.Codec<A, unknown>) {
      const head = yield* take(lengthSize)
      const length = new DataView(head.buffer, head.byteOffset).getUint32(0, true)
      if (length > maxFileMessage) return yield* new TransferViolation({ detail: `a message of ${length} bytes` })
      const text = new TextDecoder().decode(yield* take(length))
      return yield* Schema.decodeUnknownEffect(Schema.fromJsonString(schema))(text).pipe(
        Effect.mapError(() => new TransferViolation({ detail: "a message that is not understood" }))
      )
    }),
    bytes: Effect.suspend((): Pull.Pull<Chunks, SessionError> => {
      const [first, ...others] = chunks
      if (first === undefined) return session.read
      chunks = []
      size = 0
      return Effect.succeed([first, ...others])
    })
  }
}
