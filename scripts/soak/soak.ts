/**
 * Many sessions of all sizes over three relays, one of which dies all the time, and over a link that is torn down: whatever happens
 * below them, every stream has to arrive as it was written, and nothing may be left.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { monotonicMillis } from "../../src/layers/monotonicMillis.ts"
import type { Peer } from "../../src/services/Causeway.ts"
import { Dice } from "../../src/testing/simulation/Dice.ts"
import * as Faults from "./faults.ts"
import * as Nodes from "./nodes.ts"
import * as Streams from "./streams.ts"

export interface SoakOptions {
  readonly seed: number
  readonly sessions: number
  /** How long relays are killed and sessions write, milliseconds. */
  readonly duration: number
  /** Between two kills, milliseconds. */
  readonly killInterval: number
  /** How often the link is torn down, however long it takes to have one. */
  readonly tears: number
  /** How long after the faults the last stream may end, milliseconds. */
  readonly patience: number
}

export interface SoakReport extends Faults.Done {
  /** Bytes that arrived, both directions. */
  readonly bytes: number
  /** Connections that there have been below the sessions. */
  readonly links: number
  /** Milliseconds from the first session to the last end. */
  readonly took: number
  /** Everything that should not be: sessions that failed, streams that differ, what was left or dropped. */
  readonly wrong: ReadonlyArray<string>
}

type Outcomes = Map<string, Streams.Outcome>

const flowText = ({ hash, size }: Streams.Flow): string => `${size} bytes ${hash.slice(0, 16)}`

/** What is wrong with one direction. */
const judge = (name: string, written: Streams.Flow, read: Streams.Flow): ReadonlyArray<string> =>
  written.size === read.size && written.hash === read.hash
    ? []
    : [`${name}: wrote ${flowText(written)}, read ${flowText(read)}`]

export const run = Effect.fn("soak")(function*(options: SoakOptions, onProgress: (line: string) => void) {
  const { duration, killInterval, patience, seed, sessions, tears } = options
  const dice = new Dice(seed)
  const plans = Streams.plan(seed, sessions, duration)
  const pool = Streams.makePool(seed)
  const now = monotonicMillis(yield* Clock.Clock)
  const relays = yield* Faults.startRelays(3, dice)
  const { a, b } = yield* Nodes.join(relays.map(({ address }) => address), { maxIncomingSessions: sessions })
  const done: Faults.Done = { kills: 0, tears: 0 }
  const opened: Outcomes = new Map()
  const accepted: Outcomes = new Map()
  const wrong: Array<string> = []
  const begun = now()
  const elapsed = () => now() - begun

  /** Takes note of how one end of a session ended. */
  const note = (
    outcomes: Outcomes,
    side: string,
    { name }: Streams.Plan,
    end: Effect.Effect<Streams.Outcome, unknown>
  ): Effect.Effect<void> =>
    Effect.matchCause(end, {
      onSuccess: (outcome) => {
        outcomes.set(name, outcome)
      },
      onFailure: (cause) => {
        wrong.push(`${name}, ${side}: ${Cause.pretty(cause)}`)
      }
    })
  const serve = Effect.fnUntraced(function*(peer: Peer) {
    const byName = new Map(plans.map((plan) => [plan.name, plan]))
    while (true) {
      const offer = yield* peer.accept
      const plan = byName.get(offer.name)
      if (plan === undefined) {
        wrong.push(`a session called ${offer.name}`)
        continue
      }
      yield* Effect.forkScoped(
        note(accepted, "acceptor", plan, Streams.accept(offer, plan, pool, elapsed)),
        { startImmediately: true }
      )
    }
  })

  const faults = Effect.all([
    Effect.timeoutOption(Faults.killCarriers([a, b], relays, killInterval, elapsed, done), duration),
    Faults.tearLinks([a, b], tears, duration, dice, done)
  ], { concurrency: "unbounded" })
  const progress = Effect.gen(function*() {
    onProgress(
      `${Math.round(elapsed() / 1_000)} s: ${opened.size} of ${sessions} sessions at their end, ${done.kills} kills, ` +
        `${done.tears} links torn, ${relays.filter(({ isUp }) => isUp).length} relays up`
    )
    for (const end of [a, b]) onProgress(`  ${yield* end.picture}`)
  }).pipe(Effect.delay("5 seconds"), Effect.forever)

  for (const { peer } of [a, b]) yield* Effect.forkScoped(Effect.ignore(serve(peer)), { startImmediately: true })
  yield* Effect.forkScoped(progress)
  const all = Effect.forEach(
    plans,
    (plan, i) => note(opened, "opener", plan, Streams.open(i % 2 === 0 ? a.peer : b.peer, plan, pool, elapsed)),
    { concurrency: "unbounded", discard: true }
  )
  const both = Effect.all([all, faults], { concurrency: "unbounded", discard: true })
  const finished = yield* Effect.timeoutOption(both, duration + patience)
  const took = elapsed()
  // The acceptors' last acknowledgements.
  const isLeft = () => a.peer.counts().sessions + b.peer.counts().sessions > 0 || accepted.size < opened.size
  for (let waited = 0; isLeft() && waited < 5_000; waited += 20) yield* Effect.sleep(20)

  if (Option.isNone(finished)) wrong.push(`not at the end after ${Math.round(took / 1_000)} s`)
  let bytes = 0
  for (const { name } of plans) {
    const opener = opened.get(name)
    const acceptor = accepted.get(name)
    if (opener === undefined || acceptor === undefined) {
      wrong.push(`${name}: not at the end`)
      continue
    }
    bytes += opener.read.size + acceptor.read.size
    wrong.push(...judge(`${name}, to the acceptor`, opener.written, acceptor.read))
    wrong.push(...judge(`${name}, to the opener`, acceptor.written, opener.read))
  }
  for (const { peer } of [a, b]) {
    const counts = peer.counts()
    // Credit for a session that has just ended is ignored, and no mistake.
    for (const name of ["sessions", "unknownSession", "ignoredPackets", "refusedSessions"] as const) {
      if (counts[name] > 0) wrong.push(`${counts[name]} ${name}`)
    }
  }
  return { ...done, bytes, links: a.links(), took, wrong } satisfies SoakReport
}, Effect.scoped)
