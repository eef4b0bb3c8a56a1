import type { NonEmptyReadonlyArray } from "effect/Array"
import type * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { SessionValue } from "../schema/SessionValue.ts"
import type { SessionError } from "./SessionError.ts"

/** Payload bytes of one session: received from the peer, accepted for sending, and known to have arrived at the peer. */
export interface SessionStats {
  readonly bytesIn: number
  readonly bytesOut: number
  readonly bytesDelivered: number
}

/**
 * What every session has, whatever it carries. It is ordered, nothing in it is lost or doubled, and each direction ends on its own. It
 * outlives the link under it: while there is none it waits, and ends with `LinkLost` only when there was none for `resumeTimeout`.
 */
export interface Session {
  /** What the opener called it, at most 255 bytes of UTF-8. Empty for a session of `makeSessions`. */
  readonly name: string
  /** Succeeds once the peer has accepted the session. */
  readonly accepted: Effect.Effect<void, SessionError>
  /** Half-close: the peer's reading ends after everything written so far. Does not wait. Idempotent. */
  readonly end: Effect.Effect<void>
  /** Succeeds when the peer has received everything written before the call and, after `end`, the end itself. */
  readonly delivered: Effect.Effect<void, SessionError>
  /** Breaks both directions off at once; the peer learns the code (u16) and the message. Does not wait. Idempotent. */
  readonly reset: (code: number, message: string) => Effect.Effect<void>
  /**
   * Succeeds when both directions have ended and both sides know that everything arrived. Fails when the session ends in any other
   * way. It waits for ever while one direction is open.
   */
  readonly closed: Effect.Effect<void, SessionError>
  /**
   * Sends bytes now or never: true when they went to the link, false when the link is busy or absent. They may overtake what was
   * written, and are lost with the link. At most `maxDatagramSize` bytes, 1,200 by default; more throws a `RangeError`.
   */
  readonly sendDatagram: (bytes: Uint8Array) => boolean
  /** The peer's datagrams. Of those that nobody takes, the latest 256 are kept. Only one reader gets each. */
  readonly datagrams: Stream.Stream<Uint8Array, SessionError>
  readonly stats: () => SessionStats
}

/** One ordered stream of bytes in each direction. Where chunks begin and end is not kept. */
export interface ByteSession extends Session {
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
}

/** Whole messages in each direction, of one type. `E` is how a message that does not fit the type is reported. */
export interface MessageSession<in out A, out E = SessionError> extends Session {
  /**
   * Queues one message. Waits first while the send buffer is full, so interrupted it has queued nothing. Fails when the message does not
   * fit its schema or the frame cap. Sending after `end` is a bug and dies.
   */
  readonly send: (message: A) => Effect.Effect<void, E>
  /** Queues messages as one batch: small ones share packets. */
  readonly sendAll: (messages: ReadonlyArray<A>) => Effect.Effect<void, E>
  /**
   * Every message that has arrived, at least one, waiting for it if necessary; `Done` after the peer's end. With a `receiveTimeout` it
   * fails with `ReceiveTimedOut` when none comes in time, and may be called again.
   */
  readonly receive: Pull.Pull<NonEmptyReadonlyArray<A>, E>
  /** The same as a stream. Only one reader gets each message. */
  readonly stream: Stream.Stream<A, E>
}

/** A session of plain values (row I16). */
export type ValueSession = MessageSession<SessionValue>

/** How messages are received. */
export interface MessageOptions {
  /** Milliseconds that `receive` waits for a message; as long as it takes by default (row I22). */
  readonly receiveTimeout?: number
}

/** How a session is opened. */
export interface OpenOptions {
  /**
   * `awaited`, the default: opening waits for the peer and fails when it refuses. `assumed`: it does not wait, and what is written goes at
   * once, 64 KiB at most before the peer has accepted; a refusal is seen by the first read, or by `accepted`.
   */
  readonly acceptance?: "awaited" | "assumed"
}

/** A session that the peer has opened and that nobody has accepted yet. Exactly one of its methods is to be called, once. */
export interface SessionOffer {
  readonly name: string
  /** Accepts it as a stream of bytes. Closing the scope breaks the session off unless both directions have ended. */
  readonly bytes: Effect.Effect<ByteSession, SessionError, Scope.Scope>
  /** Accepts it as a stream of messages. */
  readonly messages: <A>(
    schema: Schema.Codec<A, unknown>,
    options?: MessageOptions
  ) => Effect.Effect<MessageSession<A>, SessionError, Scope.Scope>
  /** Accepts it as a stream of plain values. */
  readonly values: (options?: MessageOptions) => Effect.Effect<ValueSession, SessionError, Scope.Scope>
  /** Turns it down; the peer's `open` fails with `SessionRefused`. */
  readonly refuse: (code: number, message: string) => Effect.Effect<void>
}
