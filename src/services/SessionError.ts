import * as Schema from "effect/Schema"

/** The peer speaks net_crypto but sent no hello: it is a Tox program of another kind. */
export class PeerIsNotCauseway extends Schema.TaggedError<PeerIsNotCauseway>()("PeerIsNotCauseway", {
  afterMs: Schema.Number
}) {
  override get message(): string {
    return `did not say hello within ${this.afterMs / 1000} s, so it is not a Causeway node; ` +
      "raw packets are all that can be exchanged with it"
  }
}

/** The peer did not accept the session. Code 1 is busy. */
export class SessionRefused extends Schema.TaggedError<SessionRefused>()("SessionRefused", {
  code: Schema.Int,
  /** The peer's own words. Not trusted: it is shown, never acted on. */
  detail: Schema.String
}) {
  override get message(): string {
    const advice = this.code === 1 ? "is busy; try again later" : "refused the session"
    return `${advice}${said(this.detail)}`
  }
}

/** One side ended the session before its end. */
export class SessionReset extends Schema.TaggedError<SessionReset>()("SessionReset", {
  code: Schema.Int,
  detail: Schema.String,
  byPeer: Schema.Boolean
}) {
  override get message(): string {
    const who = this.byPeer ? "broke the session off" : "is no longer wanted: the session was broken off on this side"
    return `${who}${said(this.detail)}; what had not arrived by then is lost`
  }
}

/** The peer did not answer the call. */
export class PeerNotReached extends Schema.TaggedError<PeerNotReached>()("PeerNotReached", {
  detail: Schema.String
}) {
  override get message(): string {
    return this.detail
  }
}

/** The peer's process is another one than before: its end of the sessions is gone. */
export class PeerRestarted extends Schema.TaggedError<PeerRestarted>()("PeerRestarted", {}) {
  override get message(): string {
    return "was restarted or had given us up, so its end of the session is gone; connect again and open a new session"
  }
}

/** No message came in the time that was given; the session goes on. */
export class ReceiveTimedOut extends Schema.TaggedError<ReceiveTimedOut>()("ReceiveTimedOut", {
  afterMs: Schema.Number
}) {
  override get message(): string {
    return `sent no message for ${this.afterMs} ms; receive again, or give the session up`
  }
}

/** A message does not fit the type of its session, or the cap for one frame. */
export class MessageInvalid extends Schema.TaggedError<MessageInvalid>()("MessageInvalid", {
  /** `Sent`: ours, and the session goes on; `Received`: the peer's, and the session is broken off. */
  direction: Schema.Literals(["Sent", "Received"]),
  detail: Schema.String
}) {
  override get message(): string {
    return this.direction === "Sent"
      ? `was not sent a message that does not fit the session: ${this.detail}`
      : `sent a message of another type: ${this.detail}; check that both sides use the same schema`
  }
}

/** There was no link to the peer for too long, it said goodbye, or this side gave it up. */
export class LinkLost extends Schema.TaggedError<LinkLost>()("LinkLost", {
  detail: Schema.String
}) {
  override get message(): string {
    return `can no longer be reached: ${this.detail}; connect again`
  }
}

/** The peer sent what it must not send. */
export class ProtocolViolation extends Schema.TaggedError<ProtocolViolation>()("ProtocolViolation", {
  detail: Schema.String
}) {
  override get message(): string {
    return `broke the session protocol: ${this.detail}; check that both sides run a current version`
  }
}

/** The peer's words, without characters that would move a terminal's cursor or colour it. */
const said = (detail: string): string =>
  detail === ""
    ? ""
    : ` (${detail.replaceAll(/[\p{Control}\p{Format}\p{Line_Separator}\p{Paragraph_Separator}]/gu, " ")})`

/** Why a session did not come about, or has ended. */
export const SessionErrorReason = Schema.Union([
  PeerIsNotCauseway,
  SessionRefused,
  SessionReset,
  PeerNotReached,
  PeerRestarted,
  ReceiveTimedOut,
  MessageInvalid,
  LinkLost,
  ProtocolViolation
])
export type SessionErrorReason = typeof SessionErrorReason.Type

/** Why there is no session with a peer, or no longer one. Use `Effect.catchReason` to handle one reason. */
export class SessionError extends Schema.TaggedError<SessionError>()("SessionError", {
  /** The peer's identity key in hexadecimal. */
  peer: Schema.String,
  reason: SessionErrorReason
}) {
  override get message(): string {
    return `peer ${this.peer.slice(0, 16)} ${this.reason.message}`
  }
}
