import * as Schema from "effect/Schema"

/** Nobody announced this connection. */
export class Unexpected extends Schema.TaggedError<Unexpected>()("Unexpected", {}) {
  override get message(): string {
    return "called without having been expected; it was turned away"
  }
}

/** It was announced, and came too late. */
export class Expired extends Schema.TaggedError<Expired>()("Expired", {}) {
  override get message(): string {
    return "called after its time had passed; it was turned away, and another attempt can be made"
  }
}

/** It was announced, and has been made already. */
export class Replayed extends Schema.TaggedError<Replayed>()("Replayed", {}) {
  override get message(): string {
    return "called again for an attempt, or a stream of it, that was used already; it was turned away"
  }
}

/** It was announced the other way round: we were to dial, or the call is our own, sent back. */
export class WrongDirection extends Schema.TaggedError<WrongDirection>()("WrongDirection", {}) {
  override get message(): string {
    return "called although the connection was to be made the other way round; it was turned away"
  }
}

/** The peer did not prove who it is, or did not speak the protocol. */
export class HandshakeFailed extends Schema.TaggedError<HandshakeFailed>()("HandshakeFailed", {
  detail: Schema.String
}) {
  override get message(): string {
    return `did not complete the handshake of a direct connection: ${this.detail}; check that both sides run a current version and name each other's key`
  }
}

/** Neither side reached the other in time. */
export class NotReached extends Schema.TaggedError<NotReached>()("NotReached", {
  /** What became of each endpoint. */
  detail: Schema.String
}) {
  override get message(): string {
    return `could not be reached directly: ${this.detail}; one of the two has to listen where the other can dial it`
  }
}

/** No more connections can be expected of this peer, or in all. */
export class TooManyExpected extends Schema.TaggedError<TooManyExpected>()("TooManyExpected", {}) {
  override get message(): string {
    return "has announced too many connections at once; try again later"
  }
}

/** Why a direct link did not come about, or a caller was turned away. */
export const DirectErrorReason = Schema.Union([
  Unexpected,
  Expired,
  Replayed,
  WrongDirection,
  HandshakeFailed,
  NotReached,
  TooManyExpected
])
export type DirectErrorReason = typeof DirectErrorReason.Type

/** Why there is no direct connection. Use `Effect.catchReason` to handle one reason. */
export class DirectError extends Schema.TaggedError<DirectError>()("DirectError", {
  /** The peer's identity key in hexadecimal, or the address of a caller whose identity is not known. */
  peer: Schema.String,
  reason: DirectErrorReason
}) {
  override get message(): string {
    return `peer ${this.peer.length > 45 ? this.peer.slice(0, 16) : this.peer} ${this.reason.message}`
  }
}
