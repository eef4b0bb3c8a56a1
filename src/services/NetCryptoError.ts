import * as Schema from "effect/Schema"

/** The peer answered none of eight requests: it is not running, or uses none of our relays. */
export class PeerUnreachable extends Schema.TaggedError<PeerUnreachable>()("PeerUnreachable", {
  stage: Schema.Literals(["CookieRequest", "Handshake"])
}) {
  override get message(): string {
    return "did not answer; check that it is running and that one of its relays is reachable from here"
  }
}

/** Nothing valid arrived for the connection timeout. */
export class PeerTimedOut extends Schema.TaggedError<PeerTimedOut>()("PeerTimedOut", {
  afterMs: Schema.Number
}) {
  override get message(): string {
    return `has been silent for ${Math.round(this.afterMs / 1000)} s`
  }
}

/** The peer closed the connection on purpose (kill packet). */
export class PeerClosed extends Schema.TaggedError<PeerClosed>()("PeerClosed", {}) {
  override get message(): string {
    return "closed the connection"
  }
}

/** The peer started again and opened a new connection, which replaced this one. */
export class PeerRestarted extends Schema.TaggedError<PeerRestarted>()("PeerRestarted", {}) {
  override get message(): string {
    return "was restarted"
  }
}

/** We closed the connection. */
export class ClosedHere extends Schema.TaggedError<ClosedHere>()("ClosedHere", {}) {
  override get message(): string {
    return "is no longer wanted: the connection was closed on this side"
  }
}

/** The key given as the peer's is our own, or is not a usable key. */
export class PeerKeyInvalid extends Schema.TaggedError<PeerKeyInvalid>()("PeerKeyInvalid", {
  detail: Schema.String
}) {
  override get message(): string {
    return `has an unusable key: ${this.detail}`
  }
}

/** Why a connection did not come about, or has ended. */
export const NetCryptoErrorReason = Schema.Union([
  PeerUnreachable,
  PeerTimedOut,
  PeerClosed,
  PeerRestarted,
  ClosedHere,
  PeerKeyInvalid
])
export type NetCryptoErrorReason = typeof NetCryptoErrorReason.Type

/** Why there is no connection to a peer, or no longer one. Use `Effect.catchReason` to handle one reason. */
export class NetCryptoError extends Schema.TaggedError<NetCryptoError>()("NetCryptoError", {
  /** The peer's identity key in hexadecimal. */
  peer: Schema.String,
  reason: NetCryptoErrorReason
}) {
  override get message(): string {
    return `peer ${this.peer.slice(0, 16)} ${this.reason.message}`
  }
}
