/**
 * Full meshes whose streams are killed at random, and whose members are killed and come back, beside a model of what every session has
 * sent: everything arrives once and in order, unless its session said that it was over.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import type { Peer } from "../../src/services/Causeway.ts"
import type { PeerConnections } from "../../src/services/PeerConnectionBuilder.ts"
import type { ValueSession } from "../../src/services/Session.ts"
import { Dice } from "../../src/testing/simulation/Dice.ts"
import { FakeGroup, keyOf } from "../utils/FakeGroup.ts"
import { member, numbered, numbersOf } from "../utils/groupWorld.ts"
import { forkNow, rest } from "../utils/sessionSteps.ts"

const numbers = [1, 2, 3]
const sessionCount = 5

/** One process of a member: what it has sent and received, by process of the other member and by session. */
interface Process {
  readonly name: string
  readonly sent: Map<string, Array<number>>
  readonly received: Map<string, Array<number>>
  /** Sessions that ended before the process did, and why. */
  readonly ended: Map<string, string>
}

/** Uses the sessions with a peer until they end, then those with whoever comes next. */
const talk = Effect.fnUntraced(function*(
  process: Process,
  other: number,
  group: PeerConnections,
  dice: Dice,
  isOver: () => boolean
) {
  let round = 0
  const use = Effect.fnUntraced(function*(session: ValueSession, at: string) {
    const got: Array<number> = []
    const sent: Array<number> = []
    process.received.set(at, got)
    process.sent.set(at, sent)
    const reading = session.receive.pipe(
      Effect.tap((values) => Effect.sync(() => got.push(...numbersOf(values)))),
      Effect.forever,
      Effect.catchTag("Done", () => Effect.never),
      Effect.catch((error) => Effect.sync(() => process.ended.set(at, error.reason._tag)))
    )
    const writing = Effect.gen(function*() {
      for (let next = 0; !isOver(); next++) {
        yield* session.send(numbered(next))
        sent.push(next)
        if (dice.chance(0.5)) yield* Effect.sleep(dice.between(1, 40))
      }
    })
    yield* Effect.all([reading, Effect.ignore(writing)], { concurrency: "unbounded" })
  })
  let last: Peer | undefined
  while (true) {
    const peer = yield* Effect.orDie(group.reconnector.reconnect(keyOf(other)))
    if (peer === last) {
      yield* Effect.sleep(10)
      continue
    }
    last = peer
    const relation = `${other} #${round++}`
    yield* peer.makeSessions(sessionCount).pipe(
      Effect.flatMap((sessions) =>
        Effect.all(sessions.map((session, index) => use(session, `${relation}: ${index}`)), {
          concurrency: "unbounded"
        })
      ),
      Effect.scoped,
      Effect.ignore
    )
  }
})

/** A world from one seed. */
const world = Effect.fnUntraced(
  function*(seed: number, kills: { readonly streams: number; readonly processes: number }) {
    const dice = new Dice(seed)
    const network = new FakeGroup()
    const processes: Array<Process> = []
    let isOver = false
    const start = Effect.fnUntraced(function*(number: number, generation: number) {
      const process: Process = {
        name: `${number}.${generation}`,
        sent: new Map(),
        received: new Map(),
        ended: new Map()
      }
      processes.push(process)
      const one = yield* member(network, number, {
        parallelism: 1 + (seed % 4),
        process: generation,
        settings: { redialPause: 50, maxRedialPause: 200 }
      })
      const others = numbers.filter((other) => other !== number)
      yield* one.include(...others)
      const life = Effect.gen(function*() {
        const group = yield* one.builder.build
        assert.strictEqual(group.connections.size, 2)
        const talks = others.map((other) => talk(process, other, group, dice, () => isOver))
        yield* Effect.all(talks, { concurrency: "unbounded" })
      })
      const fiber = yield* forkNow(Effect.scoped(Effect.orDie(life)))
      return { ...one, fiber }
    })
    const members = yield* Effect.forEach(numbers, (number) => start(number, 0))
    let killed = 0
    for (let step = 0; step < 60; step++) {
      yield* TestClock.adjust(dice.between(1, 120))
      const stream = dice.pick(network.open)
      if (stream !== undefined && dice.chance(kills.streams)) stream.kill(() => dice.between(0, 200))
      const frozen = dice.pick(network.open)
      if (frozen !== undefined && dice.chance(kills.streams / 4)) {
        const { streams } = network.links.find((link) => link.streams.includes(frozen))!
        for (const stream of dice.chance(0.5) ? streams : [frozen]) stream.frozen = stream.other.frozen = true
      }
      if (!dice.chance(kills.processes)) continue
      const at = dice.between(0, 2)
      const number = numbers[at]!
      yield* members[at]!.kill
      members[at]!.fiber.interruptUnsafe()
      yield* TestClock.adjust(dice.between(1, 400))
      network.away.delete(number)
      members[at] = yield* start(number, ++killed)
    }
    isOver = true
    for (let second = 0; second < 10; second++) yield* TestClock.adjust("1 second")
    yield* rest
    return { network, processes, killed, members }
  }
)

describe("a mesh at random", () => {
  it.effect.each([1, 2, 3, 4, 5, 6, 7, 8])(
    "I12, I13: streams are killed (seed %i): everything arrives once and in order, and no session ends",
    (seed) =>
      Effect.gen(function*() {
        const { network, processes } = yield* world(seed, { streams: 0.6, processes: 0 })
        assert.isAbove(network.links.length, 12)
        let total = 0
        for (const process of processes) {
          assert.strictEqual(process.ended.size, 0)
          for (const other of numbers.filter((number) => !process.name.startsWith(String(number)))) {
            const far = processes.find(({ name }) => name.startsWith(String(other)))!
            for (let index = 0; index < sessionCount; index++) {
              const sent = process.sent.get(`${other} #0: ${index}`)!
              total += sent.length
              assert.deepStrictEqual(far.received.get(`${process.name[0]} #0: ${index}`), sent)
            }
          }
        }
        assert.isAbove(total, 2_000)
      }),
    60_000
  )

  it.effect.each([11, 12, 13, 14, 15, 16, 17, 18])(
    "I12, I13: members are killed as well (seed %i): nothing is doubled, reordered, or lost without a word",
    (seed) =>
      Effect.gen(function*() {
        const { killed, members, network, processes } = yield* world(seed, { streams: 0.3, processes: 0.08 })
        assert.isAbove(killed, 0)
        for (const process of processes) {
          for (const [at, got] of process.received) {
            // Whatever came is the beginning of what was sent.
            assert.deepStrictEqual(got, Array.from(got.keys()), `${process.name} from ${at}`)
          }
          for (const [at, why] of process.ended) assert.strictEqual(why, "PeerRestarted", `${process.name} with ${at}`)
        }
        // Whoever lives is connected with whoever lives, and has everything of their last relation.
        const alive = members.map((one) => processes.findLast(({ name }) => name.startsWith(`${one.number}.`))!)
        for (const near of alive) {
          for (const far of alive) {
            if (near === far) continue
            const lastOf = (map: ReadonlyMap<string, ReadonlyArray<number>>, of: Process, index: number) =>
              Array.from(map).findLast(([at]) => at.startsWith(`${of.name[0]} #`) && at.endsWith(`: ${index}`))?.[1]
            for (let index = 0; index < sessionCount; index++) {
              const sent = lastOf(near.sent, far, index)
              assert.isDefined(sent)
              assert.deepStrictEqual(lastOf(far.received, near, index), sent, `${near.name} to ${far.name}`)
            }
          }
        }
        for (const one of members) one.fiber.interruptUnsafe()
        yield* rest
        assert.deepStrictEqual([network.open.length, network.waiting], [0, 0])
      }),
    60_000
  )
})
