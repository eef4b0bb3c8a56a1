/**
 * What a simulated node runs in a world of sessions: `Causeway` over its net_crypto. It calls its peers again and again, takes everybody who
 * calls, and lets sessions live as planned (`sessionLife.ts`). What it sees is told to `Sessions`.
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as CausewayLive from "../../layers/CausewayLive.ts"
import { toHex } from "../../schema/Bytes.ts"
import { Causeway, type Peer } from "../../services/Causeway.ts"
import type { DirectLinks } from "../../services/DirectLinks.ts"
import { type DirectNumbers, DirectSettings } from "../../services/DirectSettings.ts"
import { NetCrypto } from "../../services/NetCrypto.ts"
import type { SessionError } from "../../services/SessionError.ts"
import { type SessionNumbers, SessionSettings } from "../../services/SessionSettings.ts"
import type { Dice } from "./Dice.ts"
import { Line } from "./sessionContent.ts"
import { type Kind, nameOf, type Relation, type SessionEnd } from "./SessionEnd.ts"
import * as Life from "./sessionLife.ts"
import * as Plans from "./sessionPlans.ts"
import type { Sessions } from "./Sessions.ts"
import type { SimulatedNode } from "./SimulatedNode.ts"
import type { Trace } from "./Trace.ts"
import type { Machine, RunningProgram } from "./Traffic.ts"
import * as WatchedLinks from "./watchedLinks.ts"

/** How long it waits for a peer, and between two calls, milliseconds. */
const callTimeout = 10_000
const callPause = 250

export interface SessionProgramOptions {
  readonly sessions: Sessions
  readonly trace: Trace
  readonly dice: Dice
  readonly numbers: SessionNumbers
  /** Undefined: there are no direct links. */
  readonly direct: ((machine: Machine) => Layer.Layer<DirectLinks>) | undefined
  readonly directNumbers: DirectNumbers
  readonly nameOf: (identity: string) => string
  readonly links: Set<WatchedLinks.WatchedLink>
  readonly peace: Deferred.Deferred<void>
  /** Peers that nodes have now, for `actions`. */
  readonly peers: Set<KnownPeer>
  readonly violate: (what: string) => void
}

/** A peer of a node. */
export interface KnownPeer {
  readonly relation: Relation
  /** Opens a session and lets it live. */
  readonly open: (kind: Exclude<Kind, "made">, plan: Plans.Plan) => Effect.Effect<SessionEnd>
  /** Makes sessions. They share a scope: none can be left alone. */
  readonly make: (plans: ReadonlyArray<Plans.Plan>) => Effect.Effect<void>
  /** Ends everything with it, with a word or by closing its scope. */
  readonly leave: (word: string | undefined) => Effect.Effect<void>
  readonly ping: Effect.Effect<void>
}

/** A peer of a node, and those who hold it. */
interface Held extends KnownPeer {
  readonly holders: Set<Scope.Closeable>
  /** Done when everything with it is over. */
  readonly over: Deferred.Deferred<void>
}

export const start = Effect.fnUntraced(function*(
  options: SessionProgramOptions,
  machine: Machine
): Effect.fn.Return<RunningProgram, never, Scope.Scope> {
  const { dice, links, numbers, peace, peers, sessions, trace } = options
  const { callees, context, incarnation, name } = machine
  const scope = yield* Effect.scope
  const known = new Map<string, Held>()
  const netCrypto = WatchedLinks.watch(Context.get(context, NetCrypto), {
    node: name,
    nameOf: options.nameOf,
    trace,
    links,
    made: (peer) => known.get(peer)?.relation.made.length ?? 0
  })
  const built = yield* Layer.build(CausewayLive.layer.pipe(
    Layer.provide(Layer.succeed(NetCrypto, netCrypto)),
    Layer.provide(Layer.succeedContext(context)),
    Layer.provide(options.direct?.(machine) ?? Layer.empty),
    Layer.provide(Layer.succeed(SessionSettings, numbers)),
    Layer.provide(Layer.succeed(DirectSettings, options.directNumbers)),
    Layer.fresh,
    Layer.orDie
  ))
  const causeway = Context.get(built, Causeway)
  // Everything with peers; they are left at the same time.
  const calls = yield* Scope.fork(scope, "parallel")
  const lifeOptions = { sessions, trace, dice, peace }

  /** Runs in the background, for as long as `owner`. */
  const fork = (owner: Scope.Scope, effect: Effect.Effect<void>): Effect.Effect<void> =>
    effect.pipe(
      Effect.tapDefect((defect) => Effect.sync(() => options.violate(`I5 ${name}: ${describe(defect)}`))),
      Effect.forkIn(owner, { startImmediately: true }),
      Effect.asVoid
    )

  /** A session from the first word to the last, in a scope of its own. */
  const begin = (
    end: SessionEnd,
    plan: Plans.Plan,
    carrier: Effect.Effect<Life.Carrier, SessionError, Scope.Scope>
  ): Effect.Effect<void> =>
    Effect.scoped(Effect.flatMap(carrier, (made) => Life.live(lifeOptions, end, made, plan))).pipe(
      Effect.catch(({ reason }) => Effect.sync(() => sessions.onEnded(end, reason))),
      Effect.ensuring(Effect.sync(() => sessions.onGivenUp(end)))
    )

  const serve = Effect.fnUntraced(function*(peer: Peer, own: Scope.Closeable) {
    const peerName = options.nameOf(toHex(peer.identityKey))
    const before = known.get(peerName)
    if (before !== undefined && before.relation.ended === undefined) {
      trace.count("peer shared", nameOf(before.relation))
      before.holders.add(own)
      return yield* Deferred.await(before.over)
    }
    const relation = sessions.begin(name, peerName, incarnation, peer)
    // Sessions end before the peer is left.
    let lives = yield* Scope.fork(calls, "parallel")
    const holders = new Set([own])
    const over = yield* Deferred.make<void>()

    const open = (kind: Exclude<Kind, "made">, plan: Plans.Plan): Effect.Effect<SessionEnd> =>
      Effect.suspend(() => {
        const end = sessions.open(relation, kind, plan === Plans.plain)
        if (relation.ended !== undefined) return Effect.sync(() => (sessions.onGivenUp(end), end))
        const called = sessions.sessionName(end)
        const { acceptance } = plan
        trace.count(`acceptance ${acceptance}`, called)
        const carrier = kind === "bytes"
          ? Effect.map(peer.openBytes(called, { acceptance }), (session) => Life.ofBytes(lifeOptions, end, session))
          : kind === "messages"
          ? Effect.map(peer.open(called, Line, { acceptance }), (session) => Life.ofLines(lifeOptions, end, session))
          : Effect.map(peer.openValues(called, { acceptance }), (session) => Life.ofValues(lifeOptions, end, session))
        return Effect.as(fork(lives, begin(end, plan, carrier)), end)
      })

    const accept = Effect.flatMap(peer.accept, (offer) => {
      const opener = sessions.offered(relation, offer.name)
      if (opener === undefined) return offer.refuse(9, "nobody has opened it")
      const isProbe = opener.isProbe
      if (!isProbe && dice.chance(0.06)) {
        const code = dice.between(2, 999)
        sessions.refuse(opener, code, `not ${opener.number}`)
        return offer.refuse(code, `not ${opener.number}`)
      }
      const accepted = <S>(session: Effect.Effect<S, SessionError, Scope.Scope>, carrier: Carried<S>) =>
        Effect.scoped(Effect.flatMap(session, (made) => {
          const end = sessions.accept(relation, opener)
          const plan = isProbe ? Plans.plain : Plans.make(dice, opener.kind)
          return Life.live(lifeOptions, end, carrier(lifeOptions, end, made), plan)
        })).pipe(Effect.catch(({ reason }) => Effect.sync(() => trace.count("offer withdrawn", reason._tag))))
      const life = opener.kind === "bytes"
        ? accepted(offer.bytes, Life.ofBytes)
        : opener.kind === "messages"
        ? accepted(offer.messages(Line), Life.ofLines)
        : accepted(offer.values(), Life.ofValues)
      // Some think about it for a while.
      const pause = !isProbe && dice.chance(0.1) ? Effect.sleep(dice.between(1, 2_000)) : Effect.void
      return fork(lives, Effect.andThen(pause, life))
    })

    const make = (plans: ReadonlyArray<Plans.Plan>): Effect.Effect<void> =>
      Effect.suspend(() => {
        if (relation.ended !== undefined) return Effect.void
        const ends = plans.map(() => sessions.open(relation, "made", false))
        const living = Effect.scoped(Effect.flatMap(peer.makeSessions(plans.length), (made) =>
          Effect.forEach(made, (session, i) => {
            const end = ends[i]!
            return Effect.scoped(Life.live(lifeOptions, end, Life.ofValues(lifeOptions, end, session), plans[i]!))
          }, { concurrency: "unbounded", discard: true })))
        const failed = Effect.catch(living, ({ reason }: SessionError) =>
          Effect.sync(() => {
            for (const end of ends) {
              sessions.onEnded(end, reason)
            }
          }))
        const givenUp = Effect.sync(() =>
          ends.forEach((end) => sessions.onGivenUp(end))
        )
        return fork(lives, Effect.ensuring(failed, givenUp))
      })

    const leave = (word: string | undefined): Effect.Effect<void> =>
      Effect.suspend(() => {
        relation.isLeft = true
        const before = lives
        const close = Effect.gen(function*() {
          lives = yield* Scope.fork(calls, "parallel")
          yield* Scope.close(before, Exit.void)
          if (word !== undefined) yield* peer.refuse(word)
          yield* Effect.forEach(holders, (holder) => Scope.close(holder, Exit.void), { concurrency: "unbounded" })
        })
        return Effect.asVoid(Effect.forkIn(close, scope))
      })

    const ping = Effect.andThen(peer.ping, peer.probe).pipe(
      Effect.match({ onFailure: () => undefined, onSuccess: () => trace.count("pong", nameOf(relation)) })
    )
    const held: Held = { relation, holders, over, open, make, leave, ping: fork(calls, ping) }
    known.set(peerName, held)
    peers.add(held)
    yield* Scope.addFinalizer(calls, Effect.sync(() => peers.delete(held)))
    yield* fork(calls, Effect.ignore(Effect.forever(accept)))
    const links = Stream.runForEach(peer.links, (state) => Effect.sync(() => sessions.onLink(relation, state)))
    yield* fork(calls, links)
    const watch = Effect.flatMap(peer.closed, ({ reason }) => {
      if (known.get(peerName) === held) known.delete(peerName)
      peers.delete(held)
      sessions.onRelationEnded(relation, reason)
      // Its sessions stay until everything in them has been read.
      return Deferred.succeed(over, undefined)
    })
    yield* fork(scope, watch)
    yield* Deferred.await(over)
  })

  const call = (callee: SimulatedNode): Effect.Effect<never> =>
    Effect.gen(function*() {
      const own = yield* Scope.fork(calls)
      const taken = yield* Effect.exit(
        Effect.timeoutOption(Scope.provide(Effect.suspend(() => causeway.connect(callee.address())), own), callTimeout)
      )
      if (Exit.isFailure(taken) || taken.value._tag === "None") {
        const why = Exit.isSuccess(taken) ? "gave up" : "failed"
        trace.count(`peer call ${why}`, `${name} ${callee.name}`)
      } else {
        yield* serve(taken.value.value, own)
      }
      yield* Scope.close(own, Exit.void)
      yield* Effect.sleep(callPause)
    }).pipe(Effect.forever)

  yield* Effect.orDie(causeway.setAcceptPolicy(() => true))
  const accepting = Effect.forever(Effect.gen(function*() {
    const own = yield* Scope.fork(calls)
    const peer = yield* Effect.orDie(Scope.provide(causeway.accept, own))
    yield* fork(calls, Effect.andThen(serve(peer, own), Scope.close(own, Exit.void)))
  }))
  yield* fork(calls, accepting)
  for (const callee of callees) yield* fork(calls, call(callee))

  return {
    sayGoodbye: Effect.suspend(() => {
      const closing = Scope.close(calls, Exit.void)
      const leaving = Effect.forEach(Array.from(known.values()), (held) => held.leave(undefined), { discard: true })
      // Nor does it take calls: somebody's call may still be on its way.
      return Effect.orDie(causeway.setAcceptPolicy(() => false)).pipe(
        Effect.andThen(leaving),
        Effect.andThen(Effect.asVoid(Effect.forkIn(closing, scope)))
      )
    })
  }
})

type Carried<S> = (options: Life.LifeOptions, end: SessionEnd, session: S) => Life.Carrier

const describe = (defect: unknown): string => defect instanceof Error ? defect.stack ?? defect.message : String(defect)
