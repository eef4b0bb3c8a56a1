/** Worlds of peers with sessions: `Causeway` on every node, judged by `Sessions`. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { DirectSettings } from "../../services/DirectSettings.ts"
import { type SessionNumbers, SessionSettings } from "../../services/SessionSettings.ts"
import { on } from "./Action.ts"
import type { Dice } from "./Dice.ts"
import { actions as directActions } from "./directActions.ts"
import { actions } from "./sessionActions.ts"
import * as Budget from "./sessionBudget.ts"
import { isFinished, nameOf, type Relation, type SessionEnd, stateOf } from "./SessionEnd.ts"
import * as Plans from "./sessionPlans.ts"
import * as SessionProgram from "./sessionProgram.ts"
import { Sessions } from "./Sessions.ts"
import * as SimulatedDirect from "./simulatedDirect.ts"
import type { Machine, Pair, Traffic } from "./Traffic.ts"
import type { WatchedLink } from "./watchedLinks.ts"
import type { WorldBasis } from "./World.ts"

/** Tight enough for everything to be waited for. */
const small = {
  maxWindow: 160 * 1024,
  windowBudget: 128 * 1024,
  creditStep: 16 * 1024,
  sendBuffer: 24 * 1024,
  maxFramePayload: 3_000,
  replyBacklog: 2_048
}

/**
 * A session that was broken off while nobody knew whether the peer had heard of it is forgotten when a second link tells the same. After
 * so many looks there is one.
 */
const patience = 8

/** A probe of a pair, from each side. */
interface Probe {
  readonly from: SessionProgram.KnownPeer
  readonly end: SessionEnd
}

const numbersOf = (dice: Dice, numbers: SessionNumbers): SessionNumbers => ({
  ...numbers,
  ...(dice.chance(1 / 2) ? small : {}),
  maxIncomingSessions: dice.chance(1 / 4) ? dice.between(3, 6) : numbers.maxIncomingSessions,
  resumeTimeout: dice.chance(1 / 4) ? dice.between(2_000, 6_000) : numbers.resumeTimeout
})

export const make = Effect.fnUntraced(function*(basis: WorldBasis): Effect.fn.Return<Traffic> {
  const { dice, isRunning, trace, violate } = basis
  const defaults = yield* SessionSettings
  const numbers = numbersOf(dice, defaults)
  const mayLoseLinks = numbers.resumeTimeout < defaults.resumeTimeout
  const sessions = new Sessions({
    trace,
    isOftenBusy: numbers.maxIncomingSessions < defaults.maxIncomingSessions,
    mayLoseLinks,
    isRunning,
    violate
  })
  const links = new Set<WatchedLink>()
  const peers = new Set<SessionProgram.KnownPeer>()
  const attempts: Array<SimulatedDirect.UsedAttempt> = []
  const directNumbers = SimulatedDirect.numbersOf(dice, yield* DirectSettings)
  const directOptions = { network: basis.network, trace, nameOf: basis.nameOf, attempts }
  const direct = basis.hasDirect
    ? (machine: Machine) => SimulatedDirect.layer(directOptions, machine)
    : undefined
  const peace = yield* Deferred.make<void>()
  const probes = new Map<string, Probe>()
  // Looks at pairs that are well but for sessions that are over and not forgotten.
  const looks = new Map<Relation, number>()

  const peerOf = (node: Pair["a"], peer: Pair["a"]): SessionProgram.KnownPeer | undefined =>
    Array.from(peers).find(({ relation }) =>
      relation.node === node.name && relation.peer === peer.name && relation.ended === undefined &&
      node.isUp() && relation.incarnation === node.incarnation()
    )
  const unfinished = (a: string, b: string) =>
    sessions.ends.filter((end) => !isFinished(end) && isBetween(end, a, b) && sessions.isRunning(end.relation))
  /** Whether a session of this side has gone through and back. Begins one when there is none, or the last one failed. */
  const isProbed = Effect.fnUntraced(function*(from: SessionProgram.KnownPeer) {
    const key = `${from.relation.node} ${from.relation.peer}`
    const probe = probes.get(key)
    if (probe?.from === from && probe.end.ended === "closed") return true
    if (probe?.from !== from || probe.end.ended !== undefined) {
      probes.set(key, { from, end: yield* from.open("bytes", Plans.plain) })
    }
    return false
  })
  const isWell = Effect.fnUntraced(function*({ a, b }: Pair) {
    const [there, back] = [peerOf(a, b), peerOf(b, a)]
    if (there === undefined || back === undefined) return false
    if (there.relation.handle.link()._tag !== "Up" || back.relation.handle.link()._tag !== "Up") return false
    // Both ends have to make the same calls.
    for (const [fewer, more] of [[there, back], [back, there]] as const) {
      const missing = more.relation.made.length - fewer.relation.made.length
      if (missing > 0) yield* fewer.make(Array.from({ length: missing }, () => Plans.make(dice, "made")))
    }
    const areProbed = [yield* isProbed(there), yield* isProbed(back)]
    if (areProbed.includes(false)) return false
    if (unfinished(a.name, b.name).length > 0) return false
    const isForgotten = [there, back].every(({ relation }) => relation.handle.counts().sessions === 0)
    if (!isForgotten && looks.get(there.relation) === patience) {
      trace.count("forgotten with the next link", nameOf(there.relation))
      for (const link of links) if (link.node === a.name && link.peer === b.name) yield* link.close
      // From a direct link they move to the relays.
      yield* there.relation.handle.setPolicy("relayed")
    }
    if (looks.get(there.relation) === 2 * patience) yield* there.relation.handle.setPolicy("auto")
    looks.set(there.relation, (looks.get(there.relation) ?? 0) + 1)
    return isForgotten
  })

  return {
    actions: [
      ...on({ dice, links, peers, sessions }, actions),
      ...on({ hasDirect: basis.hasDirect, peers, sessions, attempts }, directActions)
    ],
    start: (machine) =>
      SessionProgram.start(
        { sessions, trace, dice, numbers, direct, directNumbers, nameOf: basis.nameOf, links, peace, peers, violate },
        machine
      ),
    endsSlowly: true,
    connected: () => Array.from(links),
    checkBudget: () => Budget.check(sessions.ends, numbers, violate),
    release: () => {
      for (const link of links) link.catchUp()
      for (const { relation } of peers) Effect.runSync(relation.handle.setPolicy("auto"))
      Deferred.doneUnsafe(peace, Effect.void)
    },
    isWell,
    describe: ({ a, b }) => {
      const sides = [peerOf(a, b), peerOf(b, a)].map((side) => {
        if (side === undefined) return "no peer"
        const { handle } = side.relation
        return `${nameOf(side.relation)} ${handle.link()._tag}, ${handle.counts().sessions} sessions`
      })
      return [...sides, ...unfinished(a.name, b.name).slice(0, 4).map(stateOf)].join("; ")
    },
    checkSettled: () => sessions.checkSettled(),
    checkEnded: () => {
      sessions.checkEnded()
      for (const { node, peer } of links) violate(`I4 ${node} still has a connection to ${peer}`)
    }
  }
})

const isBetween = ({ relation: { node, peer } }: SessionEnd, a: string, b: string): boolean =>
  (node === a && peer === b) || (node === b && peer === a)
