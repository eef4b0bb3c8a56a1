import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { SessionMuxCounts } from "../protocol/session/sessionMuxOptions.ts"
import type { PublicKey } from "../schema/Bytes.ts"
import type { IpEndpoint } from "../schema/IpEndpoint.ts"
import type { PathPolicy } from "./DirectSettings.ts"
import type { NetCryptoPath, PeerAddress } from "./NetCrypto.ts"
import type { NodeIsClient } from "./NodeSettings.ts"
import type { ByteSession, MessageOptions, MessageSession, OpenOptions, SessionOffer, ValueSession } from "./Session.ts"
import type { SessionError } from "./SessionError.ts"

/** Everything needed to call a peer, and where it may be dialled directly: a `Ticket` is one. */
export interface CausewayAddress extends PeerAddress {
  readonly endpoints?: ReadonlyArray<IpEndpoint>
}

/** What holds for one peer instead of the settings. */
export interface ConnectOptions {
  /** Which links may carry the sessions with this peer; `DirectSettings.policy` when it is left out. */
  readonly policy?: PathPolicy
}

/** Whether sessions can send now, over what, and the round trip in milliseconds, once there is a measurement. */
export type PeerLinkState =
  | { readonly _tag: "Up"; readonly path: "relayed" | "direct"; readonly roundTrip: number | undefined }
  /** There is no link; a new one is being made, or waited for when the peer is the one who calls. */
  | { readonly _tag: "Down" }

/** One peer and the sessions with it. They live on when the link below is replaced. */
export interface Peer {
  readonly identityKey: PublicKey
  /**
   * Opens a session of bytes and waits until the peer has accepted it, as long as that takes: put a deadline around it. Closing the
   * scope breaks the session off unless both directions have ended. `name`: at most 255 bytes of UTF-8, else a defect.
   */
  readonly openBytes: (
    name: string,
    options?: OpenOptions
  ) => Effect.Effect<ByteSession, SessionError, Scope.Scope>
  /** The same for messages of a type; they travel as JSON. */
  readonly open: <A>(
    name: string,
    schema: Schema.Codec<A, unknown>,
    options?: MessageOptions & OpenOptions
  ) => Effect.Effect<MessageSession<A>, SessionError, Scope.Scope>
  /** The same for plain values. */
  readonly openValues: (
    name: string,
    options?: MessageOptions & OpenOptions
  ) => Effect.Effect<ValueSession, SessionError, Scope.Scope>
  /** The next session that the peer opens. */
  readonly accept: Effect.Effect<SessionOffer, SessionError>
  /** The same as a stream. */
  readonly offers: Stream.Stream<SessionOffer, SessionError>
  /**
   * `count` sessions of plain values that both ends make without asking: the first call on one end meets the first on the other, so
   * both have to make the same calls. Does not wait; what is sent waits until the peer has made its end (rows I10, I11).
   */
  readonly makeSessions: (
    count: number,
    options?: MessageOptions
  ) => Effect.Effect<ReadonlyArray<ValueSession>, SessionError, Scope.Scope>
  /** Milliseconds to the peer's sessions and back over the link in use. Waits while there is none. */
  readonly ping: Effect.Effect<number, SessionError>
  /**
   * Milliseconds to the peer and back through each relay that the link could use, all asked at once; see `NetCryptoConnection.probe`.
   * Waits while there is no link. While a direct link lets the relays rest, nobody is asked.
   */
  readonly probe: Effect.Effect<ReadonlyArray<NetCryptoPath>, SessionError>
  /** Turns the peer away, with code 1 (busy) and the message, and ends everything with it once it has been told. Never fails. */
  readonly refuse: (message: string) => Effect.Effect<void>
  /** Waits for the end of the whole relation with the peer and tells why. */
  readonly closed: Effect.Effect<SessionError>
  readonly link: () => PeerLinkState
  /**
   * Which links may carry the sessions from now on. `"relayed"` ends a direct link and keeps this node's addresses to itself; with
   * `"direct"` sessions wait while there is none. It counts for these sessions and for those with another process of the peer that follow, and
   * not before it was called: a node that must not tell anybody its addresses has `DirectSettings.policy` `"relayed"`.
   */
  readonly setPolicy: (policy: PathPolicy) => Effect.Effect<void>
  /** Every change of `link`, the present state first. It ends when everything with the peer does. */
  readonly links: Stream.Stream<PeerLinkState>
  /** How many sessions there are, and what has been dropped, refused or batched, by cause. */
  readonly counts: () => SessionMuxCounts
}

/**
 * Peers by public key, and sessions with them (design, "Sessions"). It owns the connections of `NetCrypto` in its context: use one or the
 * other.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Schema from "effect/Schema"
 * import { Causeway, type PeerAddress } from "effect-causeway"
 *
 * const Line = Schema.Struct({ from: Schema.String, text: Schema.String })
 *
 * const greet = Effect.fnUntraced(function*(address: PeerAddress) {
 *   const causeway = yield* Causeway
 *   const peer = yield* causeway.connect(address)
 *   const chat = yield* peer.open("chat", Line)
 *   yield* chat.send({ from: "me", text: "hello" })
 *   yield* chat.end
 *   yield* chat.delivered
 * }, Effect.scoped)
 * ```
 */
export class Causeway extends Context.Service<Causeway, {
  /**
   * The peer, once a link to it is up. Keeps the link up, and makes a new one when it is lost, until the scope closes; then says goodbye
   * unless somebody else has the same peer. Fails when the peer does not answer, is no Causeway node, or when no relay has taken the call for
   * `resumeTimeout`: put a deadline around it.
   */
  readonly connect: (
    address: CausewayAddress,
    options?: ConnectOptions
  ) => Effect.Effect<Peer, SessionError, Scope.Scope>
  /** The next peer that has called us. The scope is that of `connect`. Fails when this node is a client. */
  readonly accept: Effect.Effect<Peer, NodeIsClient, Scope.Scope>
  /**
   * Who may call, by identity key; the default refuses everybody but peers that are connected already. Asked before any state is kept
   * for a caller. Fails when this node is a client, which takes no calls (`NodeSettings`, row M03).
   */
  readonly setAcceptPolicy: (policy: (identityKey: PublicKey) => boolean) => Effect.Effect<void, NodeIsClient>
}>()("causeway/services/Causeway") {}
