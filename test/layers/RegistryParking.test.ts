/**
 * Parked connections over real registries and relays, on the network inside the process: which relays are left, and that they come back.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import * as RelayTransportMemory from "../../src/testing/RelayTransportMemory.ts"
import { numbered, numberOf } from "../utils/cryptoNode.ts"
import { hostOf } from "../utils/memoryNodes.ts"
import { connect, startNode, startRelay } from "../utils/relayedNodes.ts"

const minute = 60_000
const range = (count: number, from = 0) => Array.from({ length: count }, (_, i) => from + i)

/** One node calls two others, each on three relays of its own; relay 4 serves both. */
const stage = Effect.gen(function*() {
  const relays = yield* Effect.forEach(range(9, 1), startRelay)
  const on = (...numbers: ReadonlyArray<number>) => numbers.map((n) => relays[n - 1]!)
  const a = yield* startNode(1, on(7, 8, 9))
  const b = yield* startNode(2, on(2, 3, 4))
  const c = yield* startNode(3, on(4, 5, 6))
  yield* TestClock.adjust(1_000)
  const toB = yield* connect(a, b, on(2, 3, 4))
  const toC = yield* connect(a, c, on(4, 5, 6))
  for (const { far, near } of [toB, toC]) {
    near.connection.trySend(numbered(0))
    far.connection.trySend(numbered(0))
  }
  yield* TestClock.adjust(minute)
  return { a, b, c, toB, toC, relays }
})

const provide = Effect.provide(RelayTransportMemory.layer)

describe("parked connections over real relays", () => {
  it.effect("T26, T28, T29: relays that only the parked peer needs are disconnected, those of others and our own are not", () =>
    Effect.gen(function*() {
      const { a, b, toB, toC } = yield* stage
      const before = yield* a.connectedTo
      const ofC = toC.near.connection.paths().filter(({ online }) => online).map(({ relay }) => relay.host)
      assert.includeMembers(before, [2, 3, 7, 8, 9].map(hostOf))
      assert.isTrue(toB.near.connection.park() && toB.far.connection.park())
      yield* TestClock.adjust(minute)
      const left = yield* a.connectedTo
      for (const n of [2, 3]) assert.notInclude(left, hostOf(n))
      assert.includeMembers(left, [...ofC, ...[7, 8, 9].map(hostOf)])
      assert.includeMembers(yield* b.connectedTo, [2, 3, 4].map(hostOf))
      // The ties are kept.
      assert.includeMembers(toB.near.connection.paths().map(({ relay }) => relay.host), [2, 3, 4].map(hostOf))
      assert.deepStrictEqual([toB.near.errors, toB.far.errors, toC.near.errors], [[], [], []])
    }).pipe(provide))

  it.effect(
    "T26, T30: with one relay kept, the other side finds its way back alone, and at once",
    () =>
      Effect.gen(function*() {
        const { a, toB, toC } = yield* stage
        const before = yield* a.connectedTo
        // Of the relays of that peer none is needed for another one.
        yield* toC.near.connection.close
        assert.isTrue(toB.near.connection.park(1) && toB.far.connection.park())
        yield* TestClock.adjust(60 * minute)
        const left = yield* a.connectedTo
        const online = toB.near.connection.paths().filter(({ online }) => online).map(({ relay }) => relay.host)
        assert.strictEqual(online.length, 1)
        assert.includeMembers(left, online)
        assert.strictEqual(left.filter((host) => [2, 3, 4].map(hostOf).includes(host)).length, 1)
        assert.isBelow(left.length, before.length)
        // One way takes 40 ms.
        assert.isTrue(toB.far.connection.trySend(numbered(1)))
        yield* TestClock.adjust(160)
        assert.deepStrictEqual(toB.near.lossless.map(numberOf), [0, 1])
        assert.deepStrictEqual([toB.near.errors, toB.far.errors], [[], []])
      }).pipe(provide),
    60_000
  )

  it.effect("T26: nothing is said between the two for an hour", () =>
    Effect.gen(function*() {
      const { relays, toB } = yield* stage
      assert.isTrue(toB.near.connection.park() && toB.far.connection.park())
      yield* TestClock.adjust(minute)
      const counts = () => [toB.near, toB.far].map(({ connection }) => connection.stats().receivedPackets)
      const [before, forwarded] = [counts(), (yield* relays[1]!.stats).forwardedPackets]
      yield* TestClock.adjust(60 * minute)
      assert.deepStrictEqual([counts(), (yield* relays[1]!.stats).forwardedPackets], [before, forwarded])
      assert.deepStrictEqual([toB.near, toB.far].map(({ connection }) => connection.parked()), ["parked", "parked"])
    }).pipe(provide), 60_000)

  for (const who of ["near", "far"] as const) {
    it.effect(
      `T30, T32: the ${who} side wakes after an hour: the same relays are back, and what it sends arrives within a second`,
      () =>
        Effect.gen(function*() {
          const { a, toB, toC } = yield* stage
          const before = yield* a.connectedTo
          assert.isTrue(toB.near.connection.park() && toB.far.connection.park())
          yield* TestClock.adjust(60 * minute)
          const carriers = () =>
            toC.near.connection.paths().filter(({ carries }) => carries).map(({ relay }) => relay.host)
          const ofC = carriers()
          const [from, to] = who === "near" ? [toB.near, toB.far] : [toB.far, toB.near]
          // The far side does not know where the near one stays while it sleeps, so that both have to wake.
          for (const number of range(20, 1)) assert.isTrue(from.connection.trySend(numbered(number)))
          if (who === "far") toB.near.connection.wake()
          let waited = 0
          for (; to.lossless.length < 21 && waited < 1_000; waited += 10) yield* TestClock.adjust(10)
          assert.deepStrictEqual(to.lossless.map(numberOf), range(21))
          toC.near.connection.trySend(numbered(1))
          yield* TestClock.adjust(5_000)
          assert.includeMembers(yield* a.connectedTo, before.filter((host) => [2, 3].map(hostOf).includes(host)))
          assert.deepStrictEqual([toB.near, toB.far].map(({ connection }) => connection.parked()), ["awake", "awake"])
          assert.deepStrictEqual([carriers(), toC.far.lossless.map(numberOf)], [ofC, [0, 1]])
          assert.deepStrictEqual([toB.near.errors, toB.far.errors, toC.near.errors, toC.far.errors], [[], [], [], []])
        }).pipe(provide),
      60_000
    )
  }

  it.effect(
    "T29, C03: parked and woken ten times, the peer beside it carries data without a pause and on one relay",
    () =>
      Effect.gen(function*() {
        const { toB, toC } = yield* stage
        const carrier = toC.near.connection.paths().find(({ carries }) => carries)?.relay.host
        let longest = 0
        let sent = 0
        const flow = Effect.fnUntraced(function*(duration: number) {
          let [gap, before] = [0, toC.far.lossless.length]
          for (let passed = 0; passed < duration; passed += 20) {
            if (toC.near.connection.trySend(numbered(++sent))) yield* TestClock.adjust(20)
            gap = toC.far.lossless.length > before ? 0 : gap + 20
            before = toC.far.lossless.length
            longest = Math.max(longest, gap)
          }
        })
        for (const round of range(10, 1)) {
          assert.isTrue(toB.near.connection.park() && toB.far.connection.park())
          yield* flow(15_000)
          assert.isTrue(toB.near.connection.trySend(numbered(round)))
          yield* flow(3_000)
          assert.strictEqual(toB.far.lossless.length, round + 1)
        }
        assert.isAtMost(longest, 100)
        assert.strictEqual(toC.near.connection.paths().find(({ carries }) => carries)?.relay.host, carrier)
        assert.deepStrictEqual(toC.far.lossless.map(numberOf), range(sent + 1).slice(0, toC.far.lossless.length))
      }).pipe(provide),
    60_000
  )
})
