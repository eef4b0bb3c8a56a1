import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { PublicKey } from "../schema/Bytes.ts"
import type { IpEndpoint } from "../schema/IpEndpoint.ts"
import type { DirectError } from "./DirectError.ts"
import type { DirectStream } from "./DirectTransport.ts"

/** Who dialled a stream of a link: known on both sides, by proof (row M06). */
export type DirectRole = "dialled" | "accepted"

/** N parallel streams to one peer, all proven and acknowledged. `streams[i]` is stream `i` on both sides. */
export interface DirectLink {
  readonly identityKey: PublicKey
  readonly streams: ReadonlyArray<DirectStream>
  readonly roles: ReadonlyArray<DirectRole>
}

/** Why a caller was turned away (row M14). */
export type DirectRejection = "Unexpected" | "Expired" | "Replayed" | "WrongDirection" | "HandshakeFailed"

/** An announced connection: what both sides know of an attempt before either dials. */
export interface DirectAttempt {
  readonly identityKey: PublicKey
  /** 16 bytes, drawn by the side that announced it. */
  readonly attempt: Uint8Array
  /** Where the peer says it listens; judged by `DirectLinks` according to `DirectSettings.allowPrivate`. May be empty. */
  readonly endpoints: ReadonlyArray<IpEndpoint>
  /** Where the application or a ticket says that it listens; dialled whatever their class. */
  readonly known?: ReadonlyArray<IpEndpoint>
  /** Ours was the request, or the peer's. */
  readonly announcedBy: "us" | "peer"
  /** Milliseconds that it may take, `DirectSettings.attemptTimeout` by default. */
  readonly patience?: number
}

/**
 * Direct links to peers: dialled, accepted, or both at once. It knows who is expected, and closes whatever is not (rows M07 to M15). What
 * goes over a link is `Causeway`'s and `PeerConnectionBuilder`'s business.
 *
 * In any race the greater identity decides which connection of a stream survives, and acknowledges it; so exactly one does. A link is given
 * to the lower side when the greater has begun to use it: its first bytes wait in the streams.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Stream from "effect/Stream"
 * import { DirectLinks } from "effect-causeway"
 *
 * const logRejections = Effect.flatMap(DirectLinks, (links) =>
 *   Stream.runForEach(links.rejections, (error) => Effect.logInfo(error.message)))
 * ```
 */
export class DirectLinks extends Context.Service<DirectLinks, {
  /** Where this node can be dialled now: the machine's addresses when it listens on all of them; empty without a listener. At most 8. */
  readonly endpoints: Effect.Effect<ReadonlyArray<IpEndpoint>>
  /**
   * Carries an announced attempt out (design, "Upgrade"): expects the peer and dials it, the greater identity at once, the lower after
   * `lowerDialDelay`. The first call for an attempt is the only one that counts. Closing the scope closes the streams.
   */
  readonly meet: (attempt: DirectAttempt) => Effect.Effect<DirectLink, DirectError, Scope.Scope>
  /**
   * Notes that the peer may call for this attempt, before it is told of it. `meet` takes it over; it expires by itself. Closing the scope ends
   * it as well, and the calls that nobody has met.
   */
  readonly expect: (
    attempt: Pick<DirectAttempt, "identityKey" | "attempt" | "announcedBy">
  ) => Effect.Effect<void, DirectError, Scope.Scope>
  /**
   * In a static group: dials a peer that includes us. Tries all endpoints; the addresses are the application's and are not judged.
   * `streams`: the most that the link is to have, `DirectSettings.parallelism` by default (row I08).
   */
  readonly dial: (
    identityKey: PublicKey,
    endpoints: ReadonlyArray<IpEndpoint>,
    streams?: number
  ) => Effect.Effect<DirectLink, DirectError, Scope.Scope>
  /**
   * In a static group: the next link that this peer dials. While it waits, and only then, the peer's calls are expected. `streams` as for
   * `dial`: the smaller number of the two sides counts.
   */
  readonly accept: (identityKey: PublicKey, streams?: number) => Effect.Effect<DirectLink, DirectError, Scope.Scope>
  /** Every caller that was turned away, and why: `Unexpected`, `Expired`, `Replayed`, `WrongDirection`, `HandshakeFailed`. Bounded, the oldest go first. */
  readonly rejections: Stream.Stream<DirectError>
  /** How many callers were turned away so far, by the reason. */
  readonly rejected: Effect.Effect<Readonly<Record<DirectRejection, number>>>
}>()("causeway/services/DirectLinks") {}
