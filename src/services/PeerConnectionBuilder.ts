import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { PublicKey } from "../schema/Bytes.ts"
import type { IpEndpoint } from "../schema/IpEndpoint.ts"
import type { Peer } from "./Causeway.ts"
import type { DirectError } from "./DirectError.ts"
import type { PeerConnectionError } from "./PeerConnectionError.ts"

/** How far the connection to one peer is. */
export type PeerConnectionState =
  /** The peer has the greater key, so it is the one who dials. `lastError`: why its latest call came to nothing, if one did. */
  | { readonly _tag: "Waiting"; readonly lastError: DirectError | undefined }
  /** We dial. `attempts` counts since there last was a connection, the present attempt included. */
  | { readonly _tag: "Dialling"; readonly attempts: number; readonly lastError: DirectError | undefined }
  /** Sessions can send and receive, over so many streams. */
  | { readonly _tag: "Connected"; readonly streams: number }

/** One requested peer, and how far the connection to it is. */
export interface PeerConnectionProgress {
  readonly identityKey: PublicKey
  readonly state: PeerConnectionState
}

/** Makes connections of a group again. */
export interface Reconnector {
  /**
   * The peer as it is connected now. Gives it at once while there is a connection; else sees to it that one is made without delay, waits for it
   * as long as that takes (put a deadline around it), and gives the peer with the sessions that survived. When those have ended, because the
   * peer was restarted, was gone for `resumeTimeout` or was turned away, it is a `Peer` with new ones. Fails with `NotConnectedBefore` for a
   * peer that never was connected in this group (row I05), and with `GroupEnded` once the group is over.
   */
  readonly reconnect: (identityKey: PublicKey) => Effect.Effect<Peer, PeerConnectionError>
}

/** What `build` gives. */
export interface PeerConnections {
  readonly reconnector: Reconnector
  /** By identity key as `toHex` writes it, in the order in which the peers were included. */
  readonly connections: ReadonlyMap<string, Peer>
}

/**
 * A group of peers that know each other's keys and addresses beforehand, connected directly and without relays: rows I01 to I13. Every
 * member includes every other one; of two members the one with the greater key dials, the other accepts. Who is not included is turned away
 * (see `DirectLinks.rejections`) and disturbs nobody.
 *
 * A connection that is lost is made again by itself, and its sessions go on where they were: nothing is lost, doubled or reordered. A peer that
 * comes back as another process ends its sessions with `PeerRestarted`; `Reconnector.reconnect` gives the next ones. A `Peer` of a group is
 * that of `Causeway`, but for relays: its `probe` finds none, and `setPolicy` changes nothing.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import { PeerConnectionBuilder, type PublicKey } from "effect-causeway"
 *
 * interface Member {
 *   readonly identityKey: PublicKey
 *   readonly host: string
 *   readonly port: number
 * }
 *
 * // Every member calls this with all the others.
 * const connect = Effect.fnUntraced(function*(others: ReadonlyArray<Member>) {
 *   const builder = yield* PeerConnectionBuilder
 *   for (const { host, identityKey, port } of others) yield* builder.includePeer(identityKey, [{ host, port }])
 *   const { connections } = yield* Effect.timeout(builder.build, "1 minute")
 *   for (const peer of connections.values()) {
 *     const sessions = yield* peer.makeSessions(64)
 *     for (const session of sessions) yield* session.send({ _tag: "Ring32", value: 1 })
 *   }
 * })
 * ```
 */
export class PeerConnectionBuilder extends Context.Service<PeerConnectionBuilder, {
  /**
   * Requests a connection to the peer, and begins to make it at once (row I03). `endpoints`: where it listens; needed for a peer with the
   * lesser key, not used for others. Fails with `IncludesSelf`, `AlreadyIncluded` (row I07), `NoEndpoints` or `GroupComplete`.
   */
  readonly includePeer: (
    identityKey: PublicKey,
    endpoints: ReadonlyArray<IpEndpoint>
  ) => Effect.Effect<void, PeerConnectionError>
  /**
   * Waits until every requested connection has been made, as long as that takes (row I04): put a deadline around it. From the call on nobody
   * can be included. The scope owns the group: closing it says goodbye to all peers and ends everything, as does interrupting the wait; the
   * builder is then as it was before the first peer. Fails with `AlreadyBuilt` while another call has the group.
   */
  readonly build: Effect.Effect<PeerConnections, PeerConnectionError, Scope.Scope>
  /** Every requested peer with its state, the present one first, then after every change. It ends when the group does. */
  readonly progress: Stream.Stream<ReadonlyArray<PeerConnectionProgress>>
}>()("causeway/services/PeerConnectionBuilder") {}
