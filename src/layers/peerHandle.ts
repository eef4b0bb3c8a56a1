/** `Peer` over the sessions with one process of it. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { SessionCode } from "../protocol/session/sessionFault.ts"
import type { SessionState } from "../protocol/session/SessionState.ts"
import type { PublicKey } from "../schema/Bytes.ts"
import type { Peer, PeerLinkState } from "../services/Causeway.ts"
import type { PathPolicy } from "../services/DirectSettings.ts"
import type { NetCryptoConnection, NetCryptoPath } from "../services/NetCrypto.ts"
import type {
  ByteSession,
  MessageOptions,
  MessageSession,
  OpenOptions,
  SessionOffer,
  ValueSession
} from "../services/Session.ts"
import type { SessionError } from "../services/SessionError.ts"
import { ByteSessionHandle } from "./byteSession.ts"
import * as MessageCodec from "./messageCodec.ts"
import { MessageSessionHandle } from "./messageSession.ts"
import type { PeerSessions } from "./peerSessions.ts"
import { errorOfFault } from "./sessionErrors.ts"
import type { SessionHandle } from "./sessionHandle.ts"
import { giveUpAtEnd, OfferHandle } from "./sessionOffer.ts"

/** What is below the sessions, as far as a handle asks for it. */
export interface PeerRelation {
  readonly identityKey: PublicKey
  /** Whose relays `probe` asks. */
  readonly connection: Pick<NetCryptoConnection, "probe"> | undefined
  /** What the sessions run over now, both ways. */
  readonly path: "relayed" | "direct" | undefined
  readonly setPolicy: (policy: PathPolicy) => Effect.Effect<void>
  /** Says goodbye and ends everything with the peer. */
  readonly leave: (sessions: PeerSessions, code: number, message: string) => Effect.Effect<void>
}

export class PeerHandle implements Peer {
  readonly identityKey: PublicKey
  readonly #sessions: PeerSessions
  readonly #links: PeerRelation
  readonly #now: () => number

  constructor(links: PeerRelation, sessions: PeerSessions, now: () => number) {
    this.identityKey = links.identityKey
    this.#links = links
    this.#sessions = sessions
    this.#now = now
  }

  readonly openBytes = (name: string, options?: OpenOptions): Effect.Effect<ByteSession, SessionError, Scope.Scope> => {
    return this.#open(name, options, (state) => new ByteSessionHandle(this.#sessions, state))
  }

  readonly open = <A>(
    name: string,
    schema: Schema.Codec<A, unknown>,
    options?: MessageOptions & OpenOptions
  ): Effect.Effect<MessageSession<A>, SessionError, Scope.Scope> => {
    const codec = MessageCodec.json(schema)
    return this.#open(name, options, (state) => new MessageSessionHandle(this.#sessions, state, codec, options))
  }

  readonly openValues = (
    name: string,
    options?: MessageOptions & OpenOptions
  ): Effect.Effect<ValueSession, SessionError, Scope.Scope> => {
    return this.#open(
      name,
      options,
      (state) => new MessageSessionHandle(this.#sessions, state, MessageCodec.values, options)
    )
  }

  get accept(): Effect.Effect<SessionOffer, SessionError> {
    const { mux, waiters } = this.#sessions
    const offered = waiters.until(() => mux.offered > 0 ? Effect.void : this.#failed())
    // Waiting can be interrupted; from taking the offer nothing can.
    return Effect.uninterruptibleMask(Effect.fnUntraced({ self: this }, function*(restore) {
      for (;;) {
        yield* restore(offered)
        const state = mux.takeOffer()
        if (state !== undefined) return new OfferHandle(this.#sessions, state)
      }
    }))
  }

  get offers(): Stream.Stream<SessionOffer, SessionError> {
    return Stream.fromEffectRepeat(this.accept)
  }

  readonly makeSessions = (
    count: number,
    options?: MessageOptions
  ): Effect.Effect<ReadonlyArray<ValueSession>, SessionError, Scope.Scope> => {
    return Effect.uninterruptible(Effect.suspend(() => {
      const states = this.#sessions.mux.make(count)
      const sessions = states.map((state) =>
        new MessageSessionHandle(this.#sessions, state, MessageCodec.values, options)
      )
      return this.#failed() ?? Effect.as(giveUpAtEnd(this.#sessions, states), sessions)
    }))
  }

  get ping(): Effect.Effect<number, SessionError> {
    const { mux, pings, waiters } = this.#sessions
    const ask = Effect.suspend(() => {
      const { link } = mux
      const begun = this.#now()
      const answered = Effect.callback<number>((resume) => {
        mux.ping(() => resume(Effect.sync(() => this.#now() - begun)))
      })
      // The question was lost with the link.
      const lost = waiters.until(() => mux.link === link ? undefined : Effect.succeed(undefined))
      return Effect.raceFirst(answered, lost)
    })
    const attempt: Effect.Effect<number, SessionError> = Effect.andThen(this.#up, pings.withPermit(ask)).pipe(
      Effect.flatMap((time) => time === undefined ? attempt : Effect.succeed(time))
    )
    return attempt
  }

  get probe(): Effect.Effect<ReadonlyArray<NetCryptoPath>, SessionError> {
    // Lost meanwhile: the next connection is asked. A direct link need not have one.
    const lost = Effect.sync(() => this.#links.path === "direct" ? [] : undefined)
    const ask = Effect.suspend(() => {
      const { connection } = this.#links
      return connection === undefined ? lost : Effect.catch(connection.probe, () => lost)
    })
    const attempt: Effect.Effect<ReadonlyArray<NetCryptoPath>, SessionError> = Effect.andThen(this.#up, ask).pipe(
      Effect.flatMap((paths) => paths === undefined ? Effect.andThen(Effect.yieldNow, attempt) : Effect.succeed(paths))
    )
    return attempt
  }

  readonly refuse = (message: string): Effect.Effect<void> => {
    return this.#links.leave(this.#sessions, SessionCode.busy, message)
  }

  get closed(): Effect.Effect<SessionError> {
    return Effect.map(this.#sessions.over, (fault) => errorOfFault(this.identityKey, fault))
  }

  readonly link = (): PeerLinkState => {
    const { link } = this.#sessions.mux
    const { path } = this.#links
    return link === undefined || path === undefined
      ? { _tag: "Down" }
      : { _tag: "Up", path, roundTrip: link.roundTrip() }
  }

  readonly setPolicy = (policy: PathPolicy): Effect.Effect<void> => {
    return this.#links.setPolicy(policy)
  }

  get links(): Stream.Stream<PeerLinkState> {
    const { waiters } = this.#sessions
    return Stream.suspend(() => {
      let last: string | undefined
      const next = waiters.until<[PeerLinkState], Cause.Done>(() => {
        const state = this.link()
        const now = state._tag === "Up" ? state.path : state._tag
        if (now === last) return this.#sessions.fault === undefined ? undefined : Cause.done()
        last = now
        return Effect.succeed([state])
      })
      return Stream.fromPull(Effect.succeed(next))
    })
  }

  readonly counts = () => {
    return this.#sessions.mux.counts
  }

  #open<S extends SessionHandle>(
    name: string,
    options: OpenOptions | undefined,
    handle: (state: SessionState) => S
  ): Effect.Effect<S, SessionError, Scope.Scope> {
    const opened = Effect.uninterruptible(Effect.suspend(() => {
      const state = this.#sessions.mux.open(name)
      const session = handle(state)
      return Effect.as(giveUpAtEnd(this.#sessions, [state]), session)
    }))
    return options?.acceptance === "assumed" ? opened : Effect.tap(opened, (session) => session.accepted)
  }

  /** Waits for a link. */
  get #up(): Effect.Effect<void, SessionError> {
    return this.#sessions.waiters.until(() => this.#failed() ?? (this.#sessions.isUp ? Effect.void : undefined))
  }

  #failed(): Effect.Effect<never, SessionError> | undefined {
    const { fault } = this.#sessions
    return fault && Effect.fail(errorOfFault(this.identityKey, fault))
  }
}
