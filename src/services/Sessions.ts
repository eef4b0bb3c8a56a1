import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { SessionMuxCounts } from "../protocol/session/sessionMuxOptions.ts"
import type { NetCryptoConnection } from "./NetCrypto.ts"
import type { SessionError } from "./SessionError.ts"

/** Payload bytes of one session: received from the peer, accepted for sending, and known to have arrived at the peer. */
export interface ByteSessionStats {
  readonly bytesIn: number
  readonly bytesOut: number
  readonly bytesDelivered: number
}

/**
 * One ordered stream of bytes in each direction. Nothing is lost or doubled; where chunks begin and end is not kept. Each direction
 * ends on its own.
 */
export interface ByteSession {
  /** What the opener called it, at most 255 bytes of UTF-8. */
  readonly name: string
  /**
   * Everything that has arrived, at least one chunk, waiting for it if necessary. The chunks belong to the caller. After the peer's
   * end it fails with `Done`: use `stream`, `Pull.catchDone` or `Cause.isDone`. Taking bytes is what lets the peer send more.
   */
  readonly read: Pull.Pull<NonEmptyReadonlyArray<Uint8Array>, SessionError>
  /** The same as a stream, which ends when the peer's direction does. Only one reader gets each chunk. */
  readonly stream: Stream.Stream<Uint8Array, SessionError>
  /**
   * Queues chunks, which then belong to the session: do not change them. Waits first while the send buffer is full, so interrupted it
   * has queued nothing. One call is one batch: many small chunks in one call share packets. Writing after `end` is a bug and dies.
   */
  readonly write: (chunks: Uint8Array | ReadonlyArray<Uint8Array>) => Effect.Effect<void, SessionError>
  /** Half-close: the peer's `read` ends after everything written so far. Does not wait. Idempotent. */
  readonly end: Effect.Effect<void>
  /** Succeeds when the peer has received everything written before the call and, after `end`, the end itself. */
  readonly delivered: Effect.Effect<void, SessionError>
  /** Breaks both directions off at once; the peer learns the code (u16) and the message. Does not wait. Idempotent. */
  readonly reset: (code: number, message: string) => Effect.Effect<void>
  /**
   * Succeeds when both directions have ended and both sides know that everything arrived: the connection may be closed then. Fails
   * when the session ends in any other way. It waits for ever while one direction is open.
   */
  readonly closed: Effect.Effect<void, SessionError>
  readonly stats: () => ByteSessionStats
}

/**
 * Sessions over net_crypto connections (design, "Sessions"). The first call with a connection takes over its lossless packets and says
 * hello, so both sides have to call `open`, `accept` or `refuse` within 5 s of each other. Closing the connection remains the
 * caller's task, except that a peer that breaks the protocol is disconnected.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import { type NetCryptoConnection, Sessions } from "effect-causeway"
 *
 * const greet = Effect.fnUntraced(function*(connection: NetCryptoConnection) {
 *   const sessions = yield* Sessions
 *   const session = yield* sessions.open(connection, "greeting")
 *   yield* session.write(new TextEncoder().encode("hello"))
 *   yield* session.end
 *   yield* session.delivered
 * }, Effect.scoped)
 * ```
 */
export class Sessions extends Context.Service<Sessions, {
  /**
   * Opens a session and waits until the peer has accepted it, as long as that takes: put a deadline around it. Closing the scope
   * breaks the session off unless both directions have ended.
   */
  readonly open: (
    connection: NetCryptoConnection,
    name: string
  ) => Effect.Effect<ByteSession, SessionError, Scope.Scope>
  /** The next session that the peer opens. The scope is that of `open`. */
  readonly accept: (connection: NetCryptoConnection) => Effect.Effect<ByteSession, SessionError, Scope.Scope>
  /**
   * Turns the peer away, with code 1 (busy) and the message, and closes the connection once the peer has been told. Gives up after the
   * hello timeout; never fails.
   */
  readonly refuse: (connection: NetCryptoConnection, message: string) => Effect.Effect<void>
  /** What has been dropped or refused on this connection, by cause. */
  readonly counts: (connection: NetCryptoConnection) => SessionMuxCounts
}>()("causeway/services/Sessions") {}
