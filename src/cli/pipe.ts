/**
 * Joins a session with standard input and output. Bytes pass as they are; both directions are held back by their slower side, and
 * each ends on its own. It leaves no listener behind and never ends standard output.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import type * as Scope from "effect/Scope"
import type { Readable, Writable } from "node:stream"
import * as WaitUntil from "../layers/waitUntil.ts"
import type { SessionError } from "../services/SessionError.ts"
import type { ByteSession } from "../services/Sessions.ts"
import { PipeError } from "./PipeError.ts"

/** Input that waits for the session before reading stops, bytes. */
const readAhead = 256 * 1024

/** Payload bytes that were passed on: from standard input to the peer, and from the peer to standard output. */
export interface PipeResult {
  readonly bytesSent: number
  readonly bytesReceived: number
}

export interface PipeOptions {
  /** Where bytes for the peer come from; the process's standard input by default. */
  readonly stdin?: Readable & { readonly isTTY?: boolean }
  /** Where the peer's bytes go; the process's standard output by default. */
  readonly stdout?: Writable
  /**
   * Input that is empty from the start, such as `/dev/null`: `ends` half-closes at once, `follows` waits for the peer's end first, so
   * that a service without input does not end an interactive peer. A listener follows, whoever connects ends.
   */
  readonly emptyInput: "ends" | "follows"
}

const detailOf = (error: Error): string =>
  "code" in error && typeof error.code === "string" ? error.code : error.message

/** Reads a stream without ever holding more than `readAhead` and one chunk. */
const source = (
  stdin: Readable
): Effect.Effect<Pull.Pull<NonEmptyReadonlyArray<Uint8Array>, PipeError>, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const waiters = WaitUntil.make()
      let chunks: Array<Uint8Array> = []
      let size = 0
      let ended = stdin.readableEnded || stdin.destroyed
      let failure: PipeError | undefined
      const onData = (chunk: Uint8Array): void => {
        chunks.push(chunk)
        size += chunk.length
        if (size >= readAhead) stdin.pause()
        waiters.wake()
      }
      const onEnd = (): void => {
        ended = true
        waiters.wake()
      }
      const onError = (error: Error): void => {
        failure = new PipeError({ stream: "stdin", detail: detailOf(error) })
        waiters.wake()
      }
      stdin.on("error", onError).on("end", onEnd).on("close", onEnd).on("data", onData)
      stdin.resume()
      const pull = waiters.until<NonEmptyReadonlyArray<Uint8Array>, PipeError | Cause.Done>(() => {
        const [first, ...others] = chunks
        if (first !== undefined) {
          chunks = []
          size = 0
          if (!ended) stdin.resume()
          return Effect.succeed([first, ...others])
        }
        if (failure !== undefined) return Effect.fail(failure)
        return ended ? Cause.done() : undefined
      })
      const release = (): void => {
        stdin.off("error", onError).off("end", onEnd).off("close", onEnd).off("data", onData)
        // Standard input that flows keeps the process alive.
        stdin.pause()
      }
      return { pull, release }
    }),
    ({ release }) => Effect.sync(release)
  ).pipe(Effect.map(({ pull }) => pull))

/** Writes to a stream; each write waits until the stream has taken all of it. */
const sink = (
  stdout: Writable
): Effect.Effect<
  (chunks: NonEmptyReadonlyArray<Uint8Array>) => Effect.Effect<void, PipeError>,
  never,
  Scope.Scope
> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const waiters = WaitUntil.make()
      let failure: PipeError | undefined
      const onError = (error: Error): void => {
        failure ??= new PipeError({ stream: "stdout", detail: detailOf(error) })
        waiters.wake()
      }
      const onClose = (): void => onError(Object.assign(new Error("closed"), { code: "EPIPE" }))
      stdout.on("error", onError).on("close", onClose)
      if (stdout.destroyed || stdout.writableEnded) onClose()
      const write = (chunks: NonEmptyReadonlyArray<Uint8Array>) =>
        Effect.suspend(() => {
          if (failure !== undefined) return Effect.fail(failure)
          let waiting = chunks.length
          const onTaken = (error: Error | null | undefined): void => {
            if (error === null || error === undefined) waiting--
            else onError(error)
            if (waiting === 0) waiters.wake()
          }
          stdout.cork()
          for (const chunk of chunks) stdout.write(chunk, onTaken)
          stdout.uncork()
          return waiters.until(() => {
            if (failure !== undefined) return Effect.fail(failure)
            return waiting === 0 ? Effect.void : undefined
          })
        })
      const release = (): void => {
        stdout.off("close", onClose)
        // A failed stream still has its error event to emit, which nobody else listens for.
        if (failure === undefined) stdout.off("error", onError)
      }
      return { write, release }
    }),
    ({ release }) => Effect.sync(release)
  ).pipe(Effect.map(({ write }) => write))

/**
 * Pipes until both directions have ended and everything has arrived on both sides; the connection may be closed then. Input's end
 * half-closes. A terminal counts as ended once the peer's direction has, and so does empty input that `follows`. Fails when the session
 * breaks, or when input or output does (`PipeError`); close the session's scope then, which tells the peer.
 */
export const pipe = Effect.fn("pipe")(function*(
  session: ByteSession,
  options: PipeOptions
): Effect.fn.Return<PipeResult, SessionError | PipeError, Scope.Scope> {
  const stdin = options.stdin ?? process.stdin
  const input = yield* source(stdin)
  const write = yield* sink(options.stdout ?? process.stdout)
  const peerEnd = WaitUntil.make()
  let peerEnded = false
  let bytesSent = 0
  let bytesReceived = 0
  const awaitPeerEnd = peerEnd.until(() => peerEnded ? Effect.void : undefined)

  const receive = session.read.pipe(
    Effect.flatMap((chunks) => {
      for (const chunk of chunks) bytesReceived += chunk.length
      return write(chunks)
    }),
    Effect.forever,
    Pull.catchDone(() => {
      peerEnded = true
      peerEnd.wake()
      return Effect.void
    })
  )
  const copyInput = input.pipe(
    Effect.flatMap((chunks) => {
      for (const chunk of chunks) bytesSent += chunk.length
      return session.write(chunks)
    }),
    Effect.forever,
    Pull.catchDone(() =>
      bytesSent === 0 && stdin.isTTY !== true && options.emptyInput === "follows" ? awaitPeerEnd : Effect.void
    )
  )
  const send = (stdin.isTTY === true ? Effect.raceFirst(copyInput, awaitPeerEnd) : copyInput).pipe(
    Effect.andThen(session.end),
    // The other direction fails with the same error, after everything that had arrived has been written.
    Effect.catchTag("SessionError", () => Effect.never)
  )
  yield* Effect.all([send, Effect.andThen(receive, session.closed)], { concurrency: "unbounded", discard: true })
  return { bytesSent, bytesReceived }
}, Effect.scoped)
