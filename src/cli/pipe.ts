/**
 * Joins a session with standard input and output. Bytes pass as they are; both directions are held back by their slower side, and
 * each ends on its own. It leaves no listener behind and never ends standard output.
 */
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import type * as Scope from "effect/Scope"
import type { Readable, Writable } from "node:stream"
import * as WaitUntil from "../layers/waitUntil.ts"
import type { ByteSession } from "../services/Session.ts"
import type { SessionError } from "../services/SessionError.ts"
import * as NodeStreams from "./nodeStreams.ts"
import { PipeError } from "./PipeError.ts"

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
  const input = yield* NodeStreams.source(stdin, {
    fail: (detail) => new PipeError({ stream: "stdin", detail }),
    closed: "ends"
  })
  const { write } = yield* NodeStreams.sink(
    options.stdout ?? process.stdout,
    (detail) => new PipeError({ stream: "stdout", detail })
  )
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
