import * as Schema from "effect/Schema"

/** The peer is this node itself. */
export class IncludesSelf extends Schema.TaggedError<IncludesSelf>()("IncludesSelf", {}) {
  override get message(): string {
    return "is this node itself; include only the others of the group"
  }
}

/** The peer is in the group already. */
export class AlreadyIncluded extends Schema.TaggedError<AlreadyIncluded>()("AlreadyIncluded", {}) {
  override get message(): string {
    return "is in the group already; include each peer once, with all of its endpoints"
  }
}

/** This node has to dial the peer and was not told where. */
export class NoEndpoints extends Schema.TaggedError<NoEndpoints>()("NoEndpoints", {}) {
  override get message(): string {
    return "has the lesser key, so it is dialled and never dials, but no endpoint of it was given; name at least one"
  }
}

/** `build` has been called. */
export class GroupComplete extends Schema.TaggedError<GroupComplete>()("GroupComplete", {}) {
  override get message(): string {
    return "cannot be added: the group is complete since build was called; include every peer before, or end that group first"
  }
}

/** `build` has been called before, and what it gave is in use. */
export class AlreadyBuilt extends Schema.TaggedError<AlreadyBuilt>()("AlreadyBuilt", {}) {
  override get message(): string {
    return "is being built or is in use; close the scope of the other build first"
  }
}

/** There never was a connection to the peer in this group. */
export class NotConnectedBefore extends Schema.TaggedError<NotConnectedBefore>()("NotConnectedBefore", {}) {
  override get message(): string {
    return "was never connected in this group, and only a connection that has existed can be made again; include it in the next group"
  }
}

/** The scope of `build` has closed. */
export class GroupEnded extends Schema.TaggedError<GroupEnded>()("GroupEnded", {}) {
  override get message(): string {
    return "is out of reach because the group has ended; build a new one"
  }
}

/** Why a group refused what was asked of it. */
export const PeerConnectionErrorReason = Schema.Union([
  IncludesSelf,
  AlreadyIncluded,
  NoEndpoints,
  GroupComplete,
  AlreadyBuilt,
  NotConnectedBefore,
  GroupEnded
])
export type PeerConnectionErrorReason = typeof PeerConnectionErrorReason.Type

/** Why a static group does not do what was asked. Use `Effect.catchReason` to handle one reason. */
export class PeerConnectionError extends Schema.TaggedError<PeerConnectionError>()("PeerConnectionError", {
  /** The peer's identity key in hexadecimal. Undefined: it is about the whole group. */
  peer: Schema.UndefinedOr(Schema.String),
  reason: PeerConnectionErrorReason
}) {
  override get message(): string {
    return `${this.peer === undefined ? "the group" : `peer ${this.peer.slice(0, 16)}`} ${this.reason.message}`
  }
}
