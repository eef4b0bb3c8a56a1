/**
 * Node's streams as Effects: a readable one as a pull, a writable one as writes that wait. Both directions are held back by their
 * slower side. The scope removes every listener; it ends or destroys neither stream.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import type * as Scope from "effect/Scope"
import type { Readable, Writable } from "node:stream"
import * as WaitUntil from "../layers/waitUntil.ts"

/** Bytes that wait to be pulled before reading stops. */
const readAhead = 256 * 1024

/** At least one chunk. */
export type Chunks = NonEmptyReadonlyArray<Uint8Array>

/** The operating system's own word for what happened to a stream, such as `EPIPE`, else the message. */
export const detailOf = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error)
  return "code" in error && typeof error.code === "string" ? error.code : error.message
}

/** How a stream's failure is reported; `detail` is the operating system's word for it. */
export type Fail<E> = (detail: string) => E

/**
 * Reads a stream without ever holding more than `readAhead` and one chunk. What was read before a failure is delivered first.
 * `closed`: whether a stream that closes without having ended has ended (a terminal) or has broken (a socket).
 */
export const source = <E>(
  stream: Readable,
  options: { readonly fail: Fail<E>; readonly closed: "ends" | "fails" }
): Effect.Effect<Pull.Pull<Chunks, E>, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const waiters = WaitUntil.make()
      let chunks: Array<Uint8Array> = []
      let size = 0
      let ended = stream.readableEnded
      let failure: { readonly error: E } | undefined
      const onData = (chunk: Uint8Array): void => {
        chunks.push(chunk)
        size += chunk.length
        if (size >= readAhead) stream.pause()
        waiters.wake()
      }
      const onEnd = (): void => {
        ended = true
        waiters.wake()
      }
      const onError = (cause: unknown): void => {
        failure ??= { error: options.fail(detailOf(cause)) }
        waiters.wake()
      }
      const onClose = (): void => {
        if (options.closed === "ends" || ended) onEnd()
        else onError(new Error("closed"))
      }
      stream.on("error", onError).on("end", onEnd).on("close", onClose).on("data", onData)
      if (stream.destroyed) onClose()
      stream.resume()
      const pull = waiters.until<Chunks, E | Cause.Done>(() => {
        const [first, ...others] = chunks
        if (first !== undefined) {
          chunks = []
          size = 0
          if (!ended) stream.resume()
          return Effect.succeed([first, ...others])
        }
        if (failure !== undefined) return Effect.fail(failure.error)
        return ended ? Cause.done() : undefined
      })
      const release = (): void => {
        stream.off("error", onError).off("end", onEnd).off("close", onClose).off("data", onData)
        // Standard input that flows keeps the process alive.
        stream.pause()
      }
      return { pull, release }
    }),
    ({ release }) => Effect.sync(release)
  ).pipe(Effect.map(({ pull }) => pull))

/** The writing half of a stream. */
export interface Sink<E> {
  /** Writes chunks in one go and waits until the stream has taken all of them. */
  readonly write: (chunks: Chunks) => Effect.Effect<void, E>
  /** Ends the stream and waits until everything has been taken. */
  readonly end: Effect.Effect<void, E>
}

/** Writes to a stream. A stream that closes before it was ended has failed. */
export const sink = <E>(stream: Writable, fail: Fail<E>): Effect.Effect<Sink<E>, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const waiters = WaitUntil.make()
      let failure: { readonly error: E } | undefined
      const onError = (cause: unknown): void => {
        failure ??= { error: fail(detailOf(cause)) }
        waiters.wake()
      }
      const onClose = (): void => onError(Object.assign(new Error("closed"), { code: "EPIPE" }))
      stream.on("error", onError).on("close", onClose)
      if (stream.destroyed || stream.writableEnded) onClose()
      /** Starts something that calls back once for each of `count` parts, and waits for all of them. */
      const all = (count: number, begin: (onTaken: (error?: Error | null) => void) => void) =>
        Effect.suspend(() => {
          if (failure !== undefined) return Effect.fail(failure.error)
          let waiting = count
          begin((error) => {
            if (error === null || error === undefined) waiting--
            else onError(error)
            if (waiting === 0) waiters.wake()
          })
          return waiters.until(() => {
            if (waiting === 0) return Effect.void
            return failure === undefined ? undefined : Effect.fail(failure.error)
          })
        })
      const write = (chunks: Chunks) =>
        all(chunks.length, (onTaken) => {
          stream.cork()
          for (const chunk of chunks) stream.write(chunk, onTaken)
          stream.uncork()
        })
      const end = all(1, (onTaken) => void stream.end(onTaken))
      const release = (): void => {
        stream.off("close", onClose)
        // A failed stream still has its error event to emit, which nobody else listens for.
        if (failure === undefined) stream.off("error", onError)
      }
      return { sink: { write, end }, release }
    }),
    ({ release }) => Effect.sync(release)
  ).pipe(Effect.map(({ sink }) => sink))

/** Passes everything on until the end of `from`. */
export const copy = <E, E2>(
  from: Pull.Pull<Chunks, E>,
  write: (chunks: Chunks) => Effect.Effect<void, E2>
): Effect.Effect<void, E | E2> => from.pipe(Effect.flatMap(write), Effect.forever, Pull.catchDone(() => Effect.void))
