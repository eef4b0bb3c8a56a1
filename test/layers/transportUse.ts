/** What the tests of transports do with connections: write with backpressure, read to a size or to the end, serve an echo. */
import * as Effect from "effect/Effect"
import type { TransportConnection, TransportError } from "../../src/services/RelayTransport.ts"

export type Address = { readonly host: string; readonly port: number }

export const anyPort: Address = { host: "127.0.0.1", port: 0 }

/** `size` bytes of which no short stretch repeats, so that a lost, doubled or reordered chunk shows. */
export const pattern = (size: number, seed = 1): Uint8Array => {
  const bytes = new Uint8Array(size)
  let state = seed
  for (let i = 0; i < size; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    bytes[i] = state >>> 24
  }
  return bytes
}

export const join = (chunks: ReadonlyArray<Uint8Array>): Uint8Array => {
  const all = new Uint8Array(chunks.reduce((size, chunk) => size + chunk.length, 0))
  let at = 0
  for (const chunk of chunks) {
    all.set(chunk, at)
    at += chunk.length
  }
  return all
}

/** Writes everything in pieces, waiting for the drain callback whenever `write` says so. */
export const writeAll = (connection: TransportConnection, bytes: Uint8Array, chunk: number) =>
  Effect.gen(function*() {
    let wake = () => {}
    connection.onDrain(() => wake())
    for (let at = 0; at < bytes.length; at += chunk) {
      const drained = Effect.callback<void>((resume) => {
        wake = () => resume(Effect.void)
      })
      if (!connection.write(bytes.subarray(at, at + chunk))) yield* drained
    }
  })

/** Pulls until at least `size` bytes are there. */
export const readExactly = (connection: TransportConnection, size: number) =>
  Effect.gen(function*() {
    const chunks: Array<Uint8Array> = []
    let read = 0
    while (read < size) {
      for (const chunk of yield* connection.pull) {
        chunks.push(chunk)
        read += chunk.length
      }
    }
    return join(chunks)
  })

/** Pulls to the end: everything that came, and what ended it. */
export const readToEnd = (connection: TransportConnection) => {
  const chunks: Array<Uint8Array> = []
  return connection.pull.pipe(
    Effect.map((batch) => {
      chunks.push(...batch)
    }),
    Effect.forever,
    Effect.flip,
    Effect.map((error: TransportError) => ({ bytes: join(chunks), error }))
  )
}

/** Sends every byte back, with backpressure, until the stream ends. */
export const echo = (connection: TransportConnection): Effect.Effect<void> =>
  connection.pull.pipe(
    Effect.flatMap((batch) => writeAll(connection, join(batch), 64 * 1024)),
    Effect.forever,
    Effect.ignore
  )
