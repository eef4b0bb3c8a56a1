/** One end of a session of a simulated world from its beginning to its end: writes, reads and ends as planned, and tells `Sessions`. */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { SessionValue } from "../../schema/SessionValue.ts"
import type { ByteSession, MessageSession, Session } from "../../services/Session.ts"
import type { SessionError } from "../../services/SessionError.ts"
import type { Dice } from "./Dice.ts"
import * as Content from "./sessionContent.ts"
import type { SessionEnd } from "./SessionEnd.ts"
import type { Plan } from "./sessionPlans.ts"
import type { Sessions } from "./Sessions.ts"
import type { Trace } from "./Trace.ts"

export interface LifeOptions {
  readonly sessions: Sessions
  readonly trace: Trace
  readonly dice: Dice
  /** Done when there is peace. */
  readonly peace: Deferred.Deferred<void>
}

/** A session with its kind taken away. */
export interface Carrier {
  readonly session: Session
  /** Queues what the ledger has counted as offered, from the place `at` on. */
  readonly write: (at: number, sizes: ReadonlyArray<number>) => Effect.Effect<void, SessionError>
  /** Reads everything there is and has it judged. */
  readonly read: Effect.Effect<void, SessionError | Cause.Done>
  /** How much one write of these sizes is. */
  readonly amount: (sizes: ReadonlyArray<number>) => number
}

const sum = (sizes: ReadonlyArray<number>): number => sizes.reduce((total, size) => total + size, 0)

export const ofBytes = ({ sessions }: LifeOptions, end: SessionEnd, session: ByteSession): Carrier => ({
  session,
  write: (at, sizes) => {
    let offset = at
    return session.write(sizes.map((size) => Content.bytes(end.number, (offset += size) - size, size)))
  },
  read: Effect.map(session.read, (chunks) => {
    for (const chunk of chunks) sessions.onBytes(end, chunk)
  }),
  amount: sum
})

export const ofLines = (
  { sessions }: LifeOptions,
  end: SessionEnd,
  session: MessageSession<Content.Line>
): Carrier => ({
  session,
  write: (at, sizes) => session.sendAll(sizes.map((size, i) => Content.line(end.number, at + i, size))),
  read: Effect.map(session.receive, (lines) => {
    for (const line of lines) sessions.onLine(end, line)
  }),
  amount: (sizes) => sizes.length
})

export const ofValues = (
  { sessions }: LifeOptions,
  end: SessionEnd,
  session: MessageSession<SessionValue>
): Carrier => ({
  session,
  write: (at, sizes) => session.sendAll(sizes.map((size, i) => Content.value(end.number, at + i, size))),
  read: Effect.map(session.receive, (values) => {
    for (const value of values) sessions.onValue(end, value)
  }),
  amount: (sizes) => sizes.length
})

/** Lives until the session is over, or the plan says to leave. To be run in the session's own scope. */
export const live = Effect.fnUntraced(function*(
  options: LifeOptions,
  end: SessionEnd,
  { amount, read, session, write }: Carrier,
  plan: Plan
): Effect.fn.Return<void, never, Scope.Scope> {
  const { dice, peace, sessions, trace } = options
  end.session = session
  // Runs before the session's own finalizer, which tells the peer.
  yield* Effect.addFinalizer(() => Effect.sync(() => sessions.onGivenUp(end)))
  const delivered = Effect.suspend(() => {
    const { accepted } = end
    return Effect.map(session.delivered, () => {
      end.delivered = Math.max(end.delivered, accepted)
    })
  })

  const writing = Effect.gen(function*() {
    for (const { awaitsDelivery, datagrams, pause, sizes } of plan.writes) {
      if (pause > 0) yield* Effect.raceFirst(Effect.sleep(pause), Deferred.await(peace))
      const at = end.offered
      end.offered += amount(sizes)
      end.sizes.push(...sizes)
      const begun = trace.now
      yield* write(at, sizes)
      end.accepted = end.offered
      trace.tally("session written")
      if (trace.now > begun) trace.count("session write waited", String(end.number))
      for (const size of datagrams) {
        const isSent = session.sendDatagram(Content.datagram(end.number, end.datagramsSent++, size))
        trace.count(isSent ? "datagram sent" : "datagram dropped")
      }
      if (awaitsDelivery) yield* delivered
    }
    if (plan.ending === "leave") return
    if (plan.ending === "reset") {
      end.brokenOff = { code: 1_000 + end.number % 60_000, message: `enough of ${end.number}` }
      yield* session.reset(end.brokenOff.code, end.brokenOff.message)
      return
    }
    if (plan.ending === "end in peace") yield* Deferred.await(peace)
    end.hasEnded = true
    yield* session.end
    yield* delivered
    trace.count("session delivered", String(end.number))
  })

  const pause = Effect.suspend(() => {
    if (plan.reader === "quick") return Effect.void
    if (plan.reader === "stopped") return Deferred.await(peace)
    return Effect.raceFirst(Effect.sleep(dice.between(1, 700)), Deferred.await(peace))
  })
  const reading = Effect.andThen(pause, read).pipe(
    Effect.forever,
    Effect.catchCause((cause) =>
      Effect.suspend(() => {
        if (Cause.isDone(Cause.squash(cause))) return Effect.sync(() => sessions.onReadDone(end))
        return Effect.failCause(cause as Cause.Cause<SessionError>)
      })
    ),
    Effect.catch((error) => Effect.sync(() => sessions.onReadFailed(end, error.reason)))
  )
  const datagrams = Stream.runForEach(
    session.datagrams,
    (datagram) => Effect.sync(() => sessions.onDatagram(end, datagram))
  )
  const over = session.closed.pipe(
    Effect.match({
      onFailure: ({ reason }) => sessions.onEnded(end, reason),
      onSuccess: () => sessions.onEnded(end, undefined)
    })
  )

  const watching = yield* Effect.forkScoped(over, { startImmediately: true })
  yield* Effect.forkScoped(Effect.ignore(datagrams), { startImmediately: true })
  const reader = yield* Effect.forkScoped(reading, { startImmediately: true })
  yield* Effect.ignore(writing)
  if (plan.ending === "leave" && end.ended === undefined) return
  yield* Fiber.join(reader)
  yield* Fiber.join(watching)
})
