/** Connections that rest no longer: how they come back, and what becomes of those whose peer has gone. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { collect, forkNow, join, type Node, node, numbered, numberOf, within } from "../utils/cryptoNode.ts"
import { asleep, connected, hour, pathOf, range, reasons, states, until, watched, works } from "../utils/parkedNodes.ts"

describe("a connection that is woken", () => {
  it.effect("T30, T32: one side wakes, and the other is on a relay: both are awake half a second later, told once each", () =>
    Effect.gen(function*() {
      const world = yield* asleep()
      const before = world.wire.log.length
      world.atA.connection.wake()
      assert.deepStrictEqual([world.atA.connection.parked(), world.pathA.isAsleep], ["waking", false])
      assert.isFalse(world.atA.connection.park())
      const took = yield* until(() => world.atA.woken.length > 0, 500, "waking")
      assert.isAtMost(took, 120)
      assert.deepStrictEqual([world.atA.woken, world.atB.woken], [["us"], ["peer"]])
      // The packets of the session are enough; its standbys are probed again later.
      const kinds = () => world.wire.log.slice(before).map(({ bytes }) => bytes[0])
      assert.deepStrictEqual([...new Set(kinds())], [27])
      yield* works(world, "awake")
      assert.deepStrictEqual([world.atA.woken, world.atB.woken], [["us"], ["peer"]])
      assert.include(kinds(), 24)
    }))

  it.effect("T30: a peer that has just parked, and is still in its grace, answers the first question", () =>
    Effect.gen(function*() {
      const world = yield* connected()
      // An idle peer does not answer signs of life for ever.
      yield* TestClock.adjust(20_000)
      assert.isTrue(world.atA.connection.park() && world.atB.connection.park())
      yield* TestClock.adjust(300)
      world.atA.connection.wake()
      assert.isAtMost(yield* until(() => world.atA.woken.length > 0, 500, "the answer"), 15)
      yield* TestClock.adjust(5_000)
      yield* works(world, "in the grace")
    }))

  it.effect("T30: found only out of band, over a relay that is not tied to the peer: the first question is answered at once", () =>
    Effect.gen(function*() {
      const world = yield* asleep({ homeless: [] })
      world.wire.outOfBandOnly = true
      world.pathB.tied.clear()
      world.wire.refresh()
      yield* TestClock.adjust(10)
      world.atA.connection.wake()
      assert.isAtMost(yield* until(() => world.atA.woken.length > 0, 500, "out of band"), 15)
      yield* works(world, "out of band")
    }))

  it.effect("T38: asked for a cookie over a relay that is not tied to the peer, the session vouches for itself there", () =>
    Effect.gen(function*() {
      const { a, b, pathB, wire } = yield* connected({ relays: 3 })
      pathB.tied.delete(2)
      wire.refresh()
      yield* TestClock.adjust(100)
      const request = wire.log.find(({ bytes, from }) => from === a.at.id && bytes[0] === 24)
      const before = wire.log.length
      wire.inject(a.keys.dht.publicKey, b.at, request?.bytes ?? new Uint8Array(0), { relay: 2 })
      yield* TestClock.adjust(5)
      const answers = wire.log.slice(before).filter(({ from, relay }) => from === b.at.id && relay === 2)
      assert.sameMembers(answers.map(({ bytes }) => bytes[0]), [25, 27])
    }))

  it.effect("T30: trySend wakes by itself, and what it took arrives", () =>
    Effect.gen(function*() {
      const world = yield* asleep()
      for (const number of range(10)) assert.isTrue(world.atA.connection.trySend(numbered(number, 1_300)))
      yield* until(() => world.atB.lossless.length === 10, 500, "data")
      assert.deepStrictEqual(world.atB.lossless.map(numberOf), range(10))
      yield* works(world, "awake")
    }))

  it.effect("T30: both without relays while they slept: both wake, at the same moment or one after the other", () =>
    Effect.gen(function*() {
      for (const apart of [0, 1, 5, 50, 99, 100, 101, 300, 1_900, 2_500, 9_000]) {
        yield* Effect.scoped(Effect.gen(function*() {
          const world = yield* asleep({ homeless: ["a", "b"] })
          world.atA.connection.wake()
          yield* TestClock.adjust(apart)
          world.atB.connection.wake()
          yield* until(() => states(world).every((state) => state === "awake"), 500, `${apart} apart`)
          assert.deepStrictEqual([world.atA.woken.length, world.atB.woken.length], [1, 1])
          yield* works(world, `${apart} apart`)
        }))
      }
    }))

  it.effect(
    "park and park, park and wake, wake and wake, in any order and at any distance: nothing is lost, nobody stays behind",
    () =>
      Effect.gen(function*() {
        const acts = ["park a", "park b", "wake a", "wake b"] as const
        const orders = acts.flatMap((first) =>
          acts.flatMap((second) => acts.flatMap((third) => acts.map((fourth) => [first, second, third, fourth])))
        )
        for (const [at, order] of orders.entries()) {
          const gap = [0, 3, 5, 7, 40, 120, 400, 990, 1_000, 1_010, 2_300][at % 11]!
          const homeless = ([["a"], ["b"], []] as const)[at % 3]!
          yield* Effect.scoped(Effect.gen(function*() {
            const what = `${order.join(", ")}, ${gap} ms apart, without relays: ${homeless.join()}`
            const world = yield* connected({ seed: at })
            for (const which of homeless) world[which].at.home.clear()
            yield* TestClock.adjust(at % 7 * 150)
            for (const act of order) {
              const { connection } = act.endsWith("a") ? world.atA : world.atB
              if (act.startsWith("park")) connection.park()
              else connection.wake()
              yield* TestClock.adjust(gap)
            }
            yield* TestClock.adjust(at % 2 === 0 ? 0 : 5_000)
            // Whoever is homeless can only wake by itself; the other reaches it by then.
            const first = homeless[0] === "b" ? world.atB : world.atA
            first.connection.trySend(numbered(1))
            yield* until(() => states(world).every((state) => state === "awake"), 2_500, what)
            yield* TestClock.adjust(500)
            yield* works(world, what)
          }))
        }
      }),
    60_000
  )

  it.effect("T30: lost questions are repeated every 250 ms, and over every relay: a lost one, or a relay that swallows all, costs no more", () =>
    Effect.gen(function*() {
      for (const lost of range(6)) {
        const world = yield* asleep()
        let asked = 0
        world.wire.fate = ({ bytes, from, relay }) =>
          from === world.a.at.id && bytes[0] === 27 && relay === 0 && asked++ < lost ? "lose" : "deliver"
        world.wire.setRelay(1, false)
        yield* TestClock.adjust(10)
        world.atA.connection.wake()
        const took = yield* until(() => world.atA.woken.length > 0, 2_000, `${lost} lost`)
        assert.isAtMost(took, 120 + 250 * lost)
        yield* works(world, `${lost} lost`)
      }
      const world = yield* asleep({ relays: 3 })
      for (const frozen of [0, 1]) world.wire.frozen.add(frozen)
      world.atA.connection.wake()
      assert.isAtMost(yield* until(() => world.atA.woken.length > 0, 2_000, "frozen"), 380)
      assert.deepStrictEqual([world.pathA.moves, world.pathA.verdicts.filter(({ delivered }) => !delivered)], [0, []])
      yield* works(world, "frozen")
    }))

  it.effect("T30: the answers are lost for a while: no handshake before two seconds, and none when one gets through", () =>
    Effect.gen(function*() {
      const world = yield* asleep()
      const { a, atA, atB, b, wire } = world
      wire.fate = ({ from }) => from === b.at.id ? "lose" : "deliver"
      const before = wire.log.length
      atA.connection.trySend(numbered(1))
      yield* TestClock.adjust(1_900)
      assert.deepStrictEqual([atA.connection.parked(), world.pathA.moves], ["waking", 0])
      wire.fate = () => "deliver"
      yield* until(() => atA.connection.parked() === "awake", 600, "answers")
      yield* works(world, "answers")
      assert.isFalse(wire.log.slice(before).some(({ bytes }) => bytes[0] === 26))
      assert.deepStrictEqual([atA.woken, atB.woken, a.at.paths.size], [["us"], ["peer"], 1])
    }))

  it.effect("the peer's process has been started again: two seconds after it could be asked it is called anew, and the old one ends once", () =>
    Effect.gen(function*() {
      for (const homeless of [[], ["a"]] as const) {
        const { a, atA, b, wire } = yield* asleep({ homeless })
        yield* b.crash
        const again = yield* node(wire, 33, 97, { seed: 2 })
        yield* TestClock.adjust(1_000)
        const before = wire.log.length
        const startedAt = wire.now()
        atA.connection.trySend(numbered(1))
        const atB = yield* forkNow(again.netCrypto.accept)
        const next = yield* forkNow(a.netCrypto.accept)
        const newB = collect(yield* within(atB, 2_500))
        const newA = collect(yield* within(next, 100))
        const handshake = wire.log.slice(before).find(({ bytes }) => bytes[0] === 26)!
        assert.isAtLeast(handshake.at - startedAt, 2_000)
        assert.isAtMost(handshake.at - startedAt, 2_200)
        assert.deepStrictEqual(reasons(atA), ["PeerRestarted"])
        assert.deepStrictEqual([newA.connection.parked(), pathOf(a).isAsleep], ["awake", false])
        newA.connection.trySend(numbered(7))
        newB.connection.trySend(numbered(8))
        yield* TestClock.adjust(10_000)
        assert.deepStrictEqual([newA.lossless.map(numberOf), newB.lossless.map(numberOf)], [[8], [7]])
        assert.deepStrictEqual([reasons(atA), reasons(newA), reasons(newB)], [["PeerRestarted"], [], []])
      }
    }))

  it.effect("the peer is gone for good: PeerTimedOut 32 s after we wanted it, not before, and no kill packet is needed", () =>
    Effect.gen(function*() {
      const { a, atA, b } = yield* asleep({ rest: hour })
      yield* b.crash
      yield* TestClock.adjust(hour)
      atA.connection.wake()
      yield* TestClock.adjust(31_900)
      assert.deepStrictEqual(reasons(atA), [])
      yield* TestClock.adjust(200)
      assert.deepStrictEqual([reasons(atA), a.at.paths.size], [["PeerTimedOut"], 0])
      assert.isFalse(atA.connection.trySend(numbered(1)))
    }))

  it.effect("all relays are down when it wakes, and come back after 20 s: the same connection goes on", () =>
    Effect.gen(function*() {
      const world = yield* asleep()
      for (const relay of [0, 1]) world.wire.setRelay(relay, false)
      world.atA.connection.trySend(numbered(1))
      yield* TestClock.adjust(20_000)
      for (const relay of [0, 1]) world.wire.setRelay(relay, true)
      yield* until(() => world.atB.lossless.length === 1, 1_000, "relays are back")
      yield* works(world, "relays are back")
    }))

  it.effect("the restarted peer calls us while we are parked: the path wakes for it, and the old connection is replaced", () =>
    Effect.gen(function*() {
      for (const homeless of [[], ["b"]] as const) {
        const { a, atA, b, pathA, wire } = yield* asleep({ homeless })
        yield* b.crash
        const again = yield* node(wire, 33, 97, { seed: 2 })
        const { a: newB, b: newA } = yield* join(again, a, 1_000)
        assert.deepStrictEqual(reasons(atA), ["PeerRestarted"])
        assert.isFalse(pathA.isAsleep)
        newA.connection.trySend(numbered(7))
        newB.connection.trySend(numbered(8))
        yield* TestClock.adjust(5_000)
        assert.deepStrictEqual([newA.lossless.map(numberOf), newB.lossless.map(numberOf)], [[8], [7]])
        assert.deepStrictEqual([newA.connection.parked(), newB.connection.parked()], ["awake", "awake"])
      }
    }))

  it.effect("it begins to call us and does not finish: the path sleeps again, and the connection still wakes", () =>
    Effect.gen(function*() {
      const world = yield* asleep({ homeless: [] })
      const { a, atA, b, pathA, wire } = world
      const again = yield* node(wire, 33, 98, { seed: 2 })
      void again
      // The peer's own process calls, by a handshake that arrives alone.
      wire.fate = ({ bytes, from }) => from !== a.at.id && bytes[0] === 27 ? "lose" : "deliver"
      yield* b.crash
      const other = yield* node(wire, 33, 97, { seed: 3 })
      yield* forkNow(other.netCrypto.connect(a.address))
      yield* TestClock.adjust(300)
      assert.strictEqual(pathA.isAsleep, false)
      yield* other.crash
      yield* TestClock.adjust(20_000)
      assert.deepStrictEqual([pathA.isAsleep, atA.connection.parked(), reasons(atA)], [true, "parked", []])
    }))

  it.effect("T29: waking one peer disturbs no other, parked or not", () =>
    Effect.gen(function*() {
      const world = yield* connected()
      const { a, atA, atB, wire } = world
      const c = yield* node(wire, 33 + 64, 1)
      const d = yield* node(wire, 33 + 96, 33)
      const withC = yield* join(a, c, 2_000)
      const withD = yield* join(a, d, 2_000)
      const [toC, atC, toD, atD] = [withC.a, withC.b, withD.a, withD.b].map(watched)
      yield* TestClock.adjust(100)
      for (const end of [atA, atB, toC, atC]) assert.isTrue(end!.connection.park())
      yield* TestClock.adjust(60_000)
      const pathTo = (other: Node) => a.at.paths.get(other.at.id)!
      const before = [pathTo(d).moves, pathTo(d).carrier()]
      const toOthers = () => wire.log.filter(({ from, to }) => from === c.at.id || to === c.at.id).length
      const silent = toOthers()
      for (const round of range(10)) {
        atA.connection.trySend(numbered(round))
        toD!.connection.trySend(numbered(round))
        yield* TestClock.adjust(3_000)
        assert.isTrue(atA.connection.park() && atB.connection.park())
        yield* TestClock.adjust(3_000)
      }
      assert.deepStrictEqual([pathTo(c).isAsleep, pathTo(d).isAsleep, toOthers()], [true, false, silent])
      assert.deepStrictEqual([toC!.woken, atC!.woken, toD!.woken, atD!.woken], [[], [], [], []])
      assert.deepStrictEqual([pathTo(d).moves, pathTo(d).carrier()], before)
      assert.deepStrictEqual([atB.lossless.map(numberOf), atD!.lossless.map(numberOf)], [range(10), range(10)])
    }))

  it.effect(
    "T30: under loss, duplication and reordering: parked and woken a hundred times, nothing lost or doubled",
    () =>
      Effect.gen(function*() {
        const world = yield* connected({ relays: 3, seed: 5 })
        const { a, atA, atB, wire } = world
        a.at.home.clear()
        Object.assign(wire.conditions, { loss: 0.1, duplicate: 0.05, reorder: 0.1, reorderBy: 30, jitter: 10 })
        let sent = 0
        for (const round of range(100)) {
          for (const end of [atA, atB]) yield* until(() => end.connection.park(), 5_000, `round ${round}`)
          yield* TestClock.adjust(wire.random() * 3_000)
          const first = wire.random() < 0.7 ? atA : atB
          for (const number of range(5, sent)) assert.isTrue(first.connection.trySend(numbered(number)))
          yield* TestClock.adjust(wire.random() * 1_000)
          for (const number of range(5, sent)) {
            assert.isTrue((first === atA ? atB : atA).connection.trySend(numbered(number)))
          }
          sent += 5
          yield* until(() => atA.lossless.length === sent && atB.lossless.length === sent, 9_000, `round ${round}`)
        }
        assert.deepStrictEqual([atA.lossless.map(numberOf), atB.lossless.map(numberOf)], [range(sent), range(sent)])
        assert.deepStrictEqual([reasons(atA), reasons(atB)], [[], []])
      }),
    60_000
  )
})
