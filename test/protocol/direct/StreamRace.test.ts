import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "fast-check"
import { type RaceAction, StreamRace } from "../../../src/protocol/direct/StreamRace.ts"

const tags = (actions: ReadonlyArray<RaceAction>) => actions.map(({ _tag, connection }) => `${_tag} ${connection}`)

describe("StreamRace", () => {
  it("M15: the greater identity keeps its own dial, and the call that came meanwhile loses", () => {
    const race = new StreamRace(true)
    assert.deepStrictEqual(tags(race.dialled(1)), [])
    assert.deepStrictEqual(tags(race.called(2)), [])
    assert.deepStrictEqual(tags(race.acknowledged(1)), ["Close 2"])
    assert.strictEqual(race.winner, 1)
  })

  it("M15: the greater identity takes the call when none of its dials is past TLS, or when the last of those has failed", () => {
    const early = new StreamRace(true)
    assert.deepStrictEqual(tags(early.called(2)), ["Acknowledge 2"])
    assert.strictEqual(early.winner, 2)
    // The fiber of a dial that was cancelled may get here all the same.
    assert.deepStrictEqual(tags(early.dialled(1)), ["Close 1"])
    const late = new StreamRace(true)
    late.dialled(1)
    late.dialled(2)
    late.called(3)
    late.called(4)
    assert.deepStrictEqual(tags(late.closed(1)), [])
    assert.deepStrictEqual(tags(late.closed(2)), ["Acknowledge 3", "Close 4"])
    assert.strictEqual(late.winner, 3)
  })

  it("M15: the lower identity acknowledges every call, and takes the one that is used", () => {
    const race = new StreamRace(false)
    race.dialled(1)
    assert.deepStrictEqual(tags(race.called(2)), ["Acknowledge 2"])
    assert.deepStrictEqual(tags(race.called(3)), ["Acknowledge 3"])
    assert.isTrue(race.isCalled)
    assert.deepStrictEqual(tags(race.used(3)), ["Close 1", "Close 2"])
    assert.strictEqual(race.winner, 3)
  })

  it("M15: the lower identity takes the dial that the greater one acknowledges", () => {
    const race = new StreamRace(false)
    race.dialled(1)
    race.called(2)
    assert.deepStrictEqual(tags(race.acknowledged(1)), ["Close 2"])
    assert.deepStrictEqual(tags(race.used(2)), [])
    assert.strictEqual(race.winner, 1)
  })

  it("M14: whoever calls after the decision is turned away, also when the winner broke", () => {
    for (const greater of [true, false]) {
      const race = new StreamRace(greater)
      race.called(1)
      race.used(1)
      assert.strictEqual(race.winner, 1)
      assert.deepStrictEqual(tags(race.called(2)), ["Close 2"])
      race.closed(1)
      assert.isTrue(race.isLost)
      assert.deepStrictEqual(tags(race.called(3)), ["Close 3"])
      assert.strictEqual(race.winner, 1)
    }
  })

  it("the lower identity acknowledges no more than 8 calls for one stream, the greater lets no more than 8 wait", () => {
    const lower = new StreamRace(false)
    const answers = Array.from({ length: 10 }, (_, call) => tags(lower.called(call))[0])
    assert.deepStrictEqual(answers.slice(7), ["Acknowledge 7", "Close 8", "Close 9"])
    const greater = new StreamRace(true)
    greater.dialled(100)
    const waiting = Array.from({ length: 10 }, (_, call) => tags(greater.called(call)))
    assert.deepStrictEqual(waiting.slice(7), [[], ["Close 8"], ["Close 9"]])
  })
})

type Side = "greater" | "lower"
type Message = "hello" | "ack" | "data" | "end"
const other = (side: Side): Side => side === "greater" ? "lower" : "greater"

/** Two sides and the connections between them. Each thing that may happen next is a choice of the test. */
class World {
  readonly races = { greater: new StreamRace(true), lower: new StreamRace(false) }
  readonly won: Record<Side, Array<number>> = { greater: [], lower: [] }
  readonly #diallers: ReadonlyArray<Side>
  readonly #pending: Set<number>
  readonly #open: Record<Side, Set<number>> = { greater: new Set(), lower: new Set() }
  readonly #queues = new Map<string, Array<Message>>()
  /** Dials of a side go on although they were cancelled: as when a fiber is interrupted too late. */
  readonly #late: boolean

  constructor(diallers: ReadonlyArray<Side>, late: boolean) {
    this.#diallers = diallers
    this.#pending = new Set(diallers.keys())
    this.#late = late
  }

  /** Connections that are open at both ends and on their way to being, or being, a stream. */
  get survivors(): ReadonlyArray<number> {
    return [...this.#open.greater].filter((connection) => this.#open.lower.has(connection))
  }

  get openEnds(): number {
    return this.#open.greater.size + this.#open.lower.size
  }

  /** Everything that may happen next, in a stable order. */
  choices(): ReadonlyArray<() => void> {
    const dials = [...this.#pending].map((connection) => () => this.#secure(connection))
    const deliveries = [...this.#queues].filter(([, queue]) => queue.length > 0)
      .map(([way]) => () => this.#deliver(way))
    return [...dials, ...deliveries]
  }

  /** Breaks a connection that is open at both ends: what is on its way is lost. */
  break(pick: number): void {
    const survivors = this.survivors
    const connection = survivors[pick % Math.max(1, survivors.length)]
    if (connection === undefined) return
    for (const side of ["greater", "lower"] as const) this.#queues.set(`${side} ${connection}`, ["end"])
  }

  #secure(connection: number): void {
    this.#pending.delete(connection)
    const side = this.#diallers[connection]!
    for (const end of ["greater", "lower"] as const) this.#open[end].add(connection)
    this.#run(side, this.races[side].dialled(connection))
    if (this.#open[side].has(connection)) this.#send(side, connection, "hello")
  }

  #deliver(way: string): void {
    const [side, id] = way.split(" ") as [Side, string]
    const connection = Number(id)
    const message = this.#queues.get(way)!.shift()!
    if (!this.#open[side].has(connection)) return
    const race = this.races[side]
    if (message === "hello") this.#run(side, race.called(connection))
    if (message === "ack") this.#run(side, race.acknowledged(connection))
    if (message === "data") this.#run(side, race.used(connection))
    if (message === "end") this.#close(side, connection)
  }

  #send(from: Side, connection: number, message: Message): void {
    const way = `${other(from)} ${connection}`
    this.#queues.set(way, [...this.#queues.get(way) ?? [], message])
  }

  #close(side: Side, connection: number): void {
    if (!this.#open[side].delete(connection)) return
    this.#send(side, connection, "end")
    this.#run(side, this.races[side].closed(connection))
  }

  #run(side: Side, actions: ReadonlyArray<RaceAction>): void {
    for (const action of actions) {
      if (action._tag === "Acknowledge") this.#send(side, action.connection, "ack")
      if (action._tag === "Close") this.#close(side, action.connection)
    }
    const { winner } = this.races[side]
    if (winner === undefined || this.won[side].includes(winner)) return
    this.won[side].push(winner)
    if (side === "greater") this.#send(side, winner, "data")
    if (this.#late) return
    for (const [connection, dialler] of this.#diallers.entries()) {
      if (dialler === side) this.#pending.delete(connection)
    }
  }
}

/** What holds at the end of every history, when nothing is on its way any more. */
const judge = (world: World, broken: boolean): void => {
  const [greater, lower, survivors] = [world.won.greater.join(), world.won.lower.join(), world.survivors.join()]
  const verdict = `greater ${greater}, lower ${lower}, open at both ends ${survivors}, open ends ${world.openEnds}`
  const hold = (condition: boolean) => condition || assert.fail(verdict)
  hold(world.won.greater.length <= 1 && world.won.lower.length <= 1 && world.survivors.length <= 1)
  // The lower side never has another connection than the greater.
  hold(lower === "" || lower === greater)
  hold(survivors === "" ? broken : survivors === greater && survivors === lower)
  hold(world.openEnds === 2 * world.survivors.length)
}

/** Runs one history; choices beyond those given take the first. Returns how many choices there were at each step. */
const play = (diallers: ReadonlyArray<Side>, late: boolean, picks: ReadonlyArray<number>): ReadonlyArray<number> => {
  const world = new World(diallers, late)
  const counts: Array<number> = []
  for (let step = 0;; step++) {
    const choices = world.choices()
    if (choices.length === 0) break
    counts.push(choices.length)
    choices[picks[step] ?? 0]!()
  }
  judge(world, false)
  return counts
}

/** Every order in which things can happen; returns how many there are. */
const playAll = (diallers: ReadonlyArray<Side>, late: boolean): number => {
  let histories = 0
  let picks: ReadonlyArray<number> | undefined = []
  while (picks !== undefined) {
    const taken: ReadonlyArray<number> = picks
    const counts = play(diallers, late, taken)
    histories++
    // The next history in the order of the choices: the last one that can still be another.
    const full = counts.map((_, step) => taken[step] ?? 0)
    const last = full.findLastIndex((pick, step) => pick + 1 < counts[step]!)
    picks = last < 0 ? undefined : [...full.slice(0, last), full[last]! + 1]
  }
  return histories
}

describe("StreamRace: both dial at once", () => {
  it("M15: in every interleaving of one dial each exactly one connection survives, the same on both sides", () => {
    const cancelled = playAll(["greater", "lower"], false)
    const late = playAll(["greater", "lower"], true)
    assert.isAbove(cancelled, 20)
    assert.isAtLeast(late, cancelled)
  })

  it("M15: two endpoints of the lower and one of the greater, in every interleaving", () => {
    assert.isAbove(playAll(["lower", "lower", "greater"], false), 1_000)
  })

  it("M15: with many endpoints and breaking connections exactly one connection survives on both sides, or none", () => {
    const side = FastCheck.constantFrom<Side>("greater", "lower")
    const steps = FastCheck.array(FastCheck.tuple(FastCheck.nat(63), FastCheck.nat(9)), { maxLength: 80 })
    let survived = 0
    let lost = 0
    FastCheck.assert(
      FastCheck.property(
        FastCheck.array(side, { minLength: 1, maxLength: 6 }),
        FastCheck.boolean(),
        steps,
        (diallers, late, picks) => {
          const world = new World(diallers, late)
          let broken = false
          for (let step = 0;; step++) {
            const choices = world.choices()
            if (choices.length === 0) break
            const [pick, luck] = picks[step] ?? [0, 9]
            if (luck === 0 && world.survivors.length > 0) {
              broken = true
              world.break(pick)
            } else choices[pick % choices.length]!()
          }
          judge(world, broken)
          if (world.survivors.length === 1) survived++
          else lost++
        }
      ),
      { numRuns: 5_000 }
    )
    assert.isAbove(survived, 1_000)
    assert.isAbove(lost, 100)
  })
})
