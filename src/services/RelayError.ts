import * as Schema from "effect/Schema"

/** The TCP connection could not be opened. */
export class RelayDialFailed extends Schema.TaggedError<RelayDialFailed>()("RelayDialFailed", {
  detail: Schema.String
}) {
  override get message(): string {
    return `cannot be reached (${this.detail}); check its address and that it is running`
  }
}

/** A stage did not finish in its time. `Write`: the relay took no bytes for the write deadline. */
export class RelayTimedOut extends Schema.TaggedError<RelayTimedOut>()("RelayTimedOut", {
  stage: Schema.Literals(["Dial", "Handshake", "Confirm", "Ping", "Write"])
}) {
  override get message(): string {
    return `did not answer in time (${this.stage.toLowerCase()})`
  }
}

/** The handshake failed: the far side holds another key, or is no Tox relay. */
export class RelayHandshakeFailed extends Schema.TaggedError<RelayHandshakeFailed>()("RelayHandshakeFailed", {
  detail: Schema.String
}) {
  override get message(): string {
    return `refused the handshake (${this.detail}); check the relay's public key`
  }
}

/** The relay sent something that the protocol forbids. */
export class RelayProtocolViolation extends Schema.TaggedError<RelayProtocolViolation>()("RelayProtocolViolation", {
  detail: Schema.String
}) {
  override get message(): string {
    return `broke the relay protocol (${this.detail})`
  }
}

/** The relay, or the network, ended a connection that worked. */
export class RelayClosed extends Schema.TaggedError<RelayClosed>()("RelayClosed", { detail: Schema.String }) {
  override get message(): string {
    return `closed the connection (${this.detail})`
  }
}

/** Why a relay is not, or no longer, connected. */
export const RelayErrorReason = Schema.Union([
  RelayDialFailed,
  RelayTimedOut,
  RelayHandshakeFailed,
  RelayProtocolViolation,
  RelayClosed
])
export type RelayErrorReason = typeof RelayErrorReason.Type

/** Why a connection to a relay ended or was never made. Use `Effect.catchReason` to handle one reason. */
export class RelayError extends Schema.TaggedError<RelayError>()("RelayError", {
  /** `HOST:PORT`. */
  relay: Schema.String,
  /** Whether the connection had been confirmed, so that the relay itself is known to work. */
  wasConfirmed: Schema.Boolean,
  reason: RelayErrorReason
}) {
  override get message(): string {
    return `relay ${this.relay} ${this.reason.message}`
  }

  /** Whether the relay misbehaved, as opposed to being away: it is then left alone for longer. */
  get isViolation(): boolean {
    return this.reason._tag === "RelayProtocolViolation"
  }
}
