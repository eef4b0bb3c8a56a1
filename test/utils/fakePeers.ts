/**
 * Two programs that know each other as peers, without a network: what one opens the other is offered. The sessions are real, over a
 * connection in memory each; a peer's absence and return are what the test says.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { EventRecord, Output } from "../../src/cli/output.ts"
import { type PublicKey, toHex } from "../../src/schema/Bytes.ts"
import { Causeway, type Peer } from "../../src/services/Causeway.ts"
import type { ByteSession, SessionOffer } from "../../src/services/Session.ts"
import { LinkLost, SessionError, SessionRefused } from "../../src/services/SessionError.ts"
import { greaterKey, lesserKey } from "./FakeNetCrypto.ts"
import { openSession } from "./sessionPair.ts"

const unused = Effect.die(new Error("not part of this fake"))

const errorOf = (peer: PublicKey, reason: LinkLost | SessionRefused): SessionError =>
  new SessionError({ peer: toHex(peer), reason })

/** One relation of two peers, from its beginning to its end. */
export interface Relation {
  /** The peer as the caller sees it, and as the called one does. */
  readonly near: Peer
  readonly far: Peer
  /** Ends the relation on both sides, not the sessions. */
  readonly end: Effect.Effect<void>
  /** Sessions that were asked for and neither accepted nor refused nor given up. */
  readonly pending: () => number
}

export const relation = Effect.gen(function*() {
  const scope = yield* Effect.scope
  const offers = yield* Queue.unbounded<SessionOffer>()
  const over = yield* Deferred.make<void>()
  let pending = 0
  const lost = (peer: PublicKey) =>
    Effect.as(Deferred.await(over), errorOf(peer, new LinkLost({ detail: "the test says so" })))
  const orLost = <A, E, R>(effect: Effect.Effect<A, E, R>, peer: PublicKey) =>
    Effect.raceFirst(effect, Effect.flatMap(lost(peer), Effect.fail))
  const owned = (session: ByteSession) => Effect.addFinalizer(() => session.reset(0, "given up"))

  const openBytes = Effect.fnUntraced(function*(name: string) {
    const answer = yield* Deferred.make<ByteSession, SessionError>()
    pending++
    const offer: SessionOffer = {
      name,
      bytes: Effect.gen(function*() {
        const { a, b } = yield* Scope.provide(Effect.orDie(openSession()), scope)
        yield* owned(b.session)
        yield* Deferred.succeed(answer, a.session)
        return b.session
      }),
      messages: () => unused,
      values: () => unused,
      refuse: (code, detail) =>
        Effect.asVoid(Deferred.fail(answer, errorOf(greaterKey, new SessionRefused({ code, detail }))))
    }
    yield* Queue.offer(offers, offer)
    const session = yield* Effect.ensuring(
      orLost(Deferred.await(answer), greaterKey),
      Effect.sync(() => void pending--)
    )
    yield* owned(session)
    return session
  })
  const peer = (identityKey: PublicKey, more: Pick<Peer, "openBytes" | "accept">): Peer => ({
    identityKey,
    offers: Stream.fromEffectRepeat(more.accept),
    open: () => unused,
    openValues: () => unused,
    makeSessions: () => unused,
    ping: unused,
    probe: Effect.succeed([]),
    refuse: () => unused,
    closed: lost(identityKey),
    link: () => ({ _tag: "Down" }),
    setPolicy: () => Effect.void,
    links: Stream.empty,
    counts: () => {
      throw new Error("not part of this fake")
    },
    ...more
  })
  return {
    near: peer(greaterKey, { openBytes, accept: unused }),
    far: peer(lesserKey, { openBytes: () => unused, accept: orLost(Queue.take(offers), lesserKey) }),
    end: Effect.asVoid(Deferred.succeed(over, undefined)),
    pending: () => pending
  } satisfies Relation
})

/** Where peers come from: calls and visits are answered with what the test puts into the queues. */
export const world = Effect.gen(function*() {
  const calls = yield* Queue.unbounded<Peer>()
  const visits = yield* Queue.unbounded<Peer>()
  const layer = Layer.succeed(Causeway, {
    connect: () => Queue.take(calls),
    accept: Queue.take(visits),
    setAcceptPolicy: () => Effect.void
  })
  /** The two sides meet. */
  const meet = Effect.gen(function*() {
    const made = yield* relation
    yield* Queue.offer(calls, made.near)
    yield* Queue.offer(visits, made.far)
    return made
  })
  return { layer, meet }
})

/** Output that is kept. */
export const recorder = (): { readonly output: Output; readonly events: Array<EventRecord> } => {
  const events: Array<EventRecord> = []
  return {
    events,
    output: {
      json: true,
      event: (record) => Effect.sync(() => void events.push(record)),
      note: () => Effect.void
    }
  }
}
