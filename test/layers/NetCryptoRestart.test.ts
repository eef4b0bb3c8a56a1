/** Peers that vanish, come back or start again. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { collect, forkNow, join, node, numbered, numberOf, within } from "../utils/cryptoNode.ts"
import * as FakeWire from "../utils/FakeWire.ts"
import { withPauses } from "../utils/pausingClock.ts"

const range = (count: number, from = 0) => Array.from({ length: count }, (_, i) => from + i)
const reasons = ({ errors }: { readonly errors: ReadonlyArray<{ readonly reason: { readonly _tag: string } }> }) =>
  errors.map(({ reason }) => reason._tag)

const connected = Effect.fnUntraced(function*() {
  const wire = yield* FakeWire.make({ relays: 2 })
  const a = yield* node(wire, 1, 65)
  const b = yield* node(wire, 33, 97)
  return { wire, a, b, ends: yield* join(a, b, 500) }
})

describe("NetCryptoLive and peers that come back", () => {
  it.effect("the callee restarts with the same keys: the caller has a new session within 3 s, the old one is reported once", () =>
    Effect.gen(function*() {
      const { a, b, ends, wire } = yield* connected()
      yield* b.crash
      const again = yield* node(wire, 33, 97, { seed: 2 })
      const atB = yield* forkNow(again.netCrypto.accept)
      const atA = yield* forkNow(a.netCrypto.accept)
      ends.a.connection.trySend(numbered(1))
      const newB = collect(yield* within(atB, 3_000))
      const newA = collect(yield* within(atA, 100))
      assert.deepStrictEqual(reasons(ends.a), ["PeerRestarted"])
      newA.connection.trySend(numbered(7))
      newB.connection.trySend(numbered(8))
      yield* TestClock.adjust(40_000)
      assert.deepStrictEqual([newA.lossless.map(numberOf), newB.lossless.map(numberOf)], [[8], [7]])
      assert.deepStrictEqual(reasons(ends.a), ["PeerRestarted"])
      assert.deepStrictEqual([reasons(newA), reasons(newB)], [[], []])
    }))

  it.effect("a peer that is online nowhere is asked after 300 ms: its restart is noticed within one second", () =>
    Effect.gen(function*() {
      const { b, wire } = yield* connected()
      yield* b.crash
      yield* TestClock.adjust(10)
      const again = yield* node(wire, 33, 97, { seed: 2 })
      yield* within(yield* forkNow(again.netCrypto.accept), 1_000)
    }))

  it.effect("the restarted peer calls first: the old session is replaced at once", () =>
    Effect.gen(function*() {
      const { a, b, ends, wire } = yield* connected()
      yield* b.crash
      const again = yield* node(wire, 33, 97, { seed: 2 })
      const { a: newB } = yield* join(again, a, 500)
      assert.deepStrictEqual(reasons(ends.a), ["PeerRestarted"])
      yield* TestClock.adjust(10_000)
      assert.deepStrictEqual(reasons(newB), [])
    }))

  it.effect("F8: restarted with another DHT key: the old session lives until the new one is proven", () =>
    Effect.gen(function*() {
      const { a, b, ends, wire } = yield* connected()
      const again = yield* node(wire, 33, 98, { seed: 2 })
      wire.fate = ({ bytes, from }) => from === again.at.id && bytes[0] === 27 ? "lose" : "deliver"
      const calling = yield* forkNow(again.netCrypto.connect(a.address))
      yield* TestClock.adjust(2_000)
      assert.deepStrictEqual(reasons(ends.a), [])
      ends.b.connection.trySend(numbered(3))
      yield* TestClock.adjust(50)
      assert.deepStrictEqual(ends.a.lossless.map(numberOf), [3])
      wire.fate = () => "deliver"
      const newB = collect(yield* within(calling, 2_000))
      yield* TestClock.adjust(1_100)
      assert.deepStrictEqual(reasons(ends.a), ["PeerRestarted"])
      assert.strictEqual(a.at.paths.size, 1)
      const newA = collect(yield* a.netCrypto.accept)
      assert.deepStrictEqual(newA.connection.dhtKey, again.address.dhtKey)
      newA.connection.trySend(numbered(4))
      yield* TestClock.adjust(50)
      assert.deepStrictEqual(newB.lossless.map(numberOf), [4])
      yield* b.crash
    }))

  it.effect("restarted with another DHT key, and once more with that one: noticed within 3 s both times", () =>
    Effect.gen(function*() {
      const { a, b, wire } = yield* connected()
      yield* b.crash
      const second = yield* node(wire, 33, 98, { seed: 2 })
      yield* join(second, a, 500)
      yield* TestClock.adjust(1_000)
      yield* second.crash
      const third = yield* node(wire, 33, 98, { seed: 3 })
      const accepting = yield* forkNow(third.netCrypto.accept)
      yield* within(accepting, 3_000)
    }))

  for (
    const [what, break_] of [
      [
        "lost all its relays",
        (wire: FakeWire.FakeWire, isUp: boolean) => [0, 1].map((relay) => wire.setRelay(relay, isUp))
      ],
      [
        "was frozen out of every relay",
        (wire: FakeWire.FakeWire, isUp: boolean) =>
          [0, 1].map((relay) => isUp ? wire.frozen.delete(relay) : wire.frozen.add(relay))
      ]
    ] as const
  ) {
    it.effect(`the same process ${what} for 5 s: the session goes on, nothing lost`, () =>
      Effect.gen(function*() {
        for (let delay = 0; delay < 1_000; delay += 90) {
          yield* Effect.scoped(Effect.gen(function*() {
            const { ends, wire } = yield* connected()
            yield* TestClock.adjust(delay)
            break_(wire, false)
            for (const number of range(50)) {
              ends.a.connection.trySend(numbered(number))
              ends.b.connection.trySend(numbered(number))
            }
            yield* TestClock.adjust(5_000 + delay / 3)
            break_(wire, true)
            yield* TestClock.adjust(5_000)
            assert.deepStrictEqual([reasons(ends.a), reasons(ends.b)], [[], []], `broken at ${delay}`)
            assert.deepStrictEqual(ends.a.lossless.map(numberOf), range(50))
            assert.deepStrictEqual(ends.b.lossless.map(numberOf), range(50))
          }))
        }
      }))
  }

  it.effect("an idle session survives 5 s without any relay", () =>
    Effect.gen(function*() {
      for (let delay = 0; delay < 1_000; delay += 70) {
        yield* Effect.scoped(Effect.gen(function*() {
          const { ends, wire } = yield* connected()
          yield* TestClock.adjust(delay)
          for (const relay of [0, 1]) wire.setRelay(relay, false)
          yield* TestClock.adjust(5_000 + delay / 7)
          for (const relay of [0, 1]) wire.setRelay(relay, true)
          yield* TestClock.adjust(5_000)
          assert.deepStrictEqual([reasons(ends.a), reasons(ends.b)], [[], []], `broken at ${delay}`)
        }))
      }
    }))

  /** The callee closes, and its goodbye is lost with all its relays; the caller has data for it, and finds it nowhere. */
  const abandoned = Effect.gen(function*() {
    const { a, b, ends, wire } = yield* connected()
    const setRelays = (isUp: boolean) => [0, 1].map((relay) => wire.setRelay(relay, isUp, b.at))
    yield* TestClock.adjust(1_000)
    wire.fate = ({ from }) => from === b.at.id ? "lose" : "deliver"
    setRelays(false)
    yield* ends.b.connection.close
    wire.fate = () => "deliver"
    ends.a.connection.trySend(numbered(1))
    const again = Effect.fnUntraced(function*(limit: number) {
      const atB = yield* forkNow(b.netCrypto.accept)
      const atA = yield* forkNow(a.netCrypto.accept)
      setRelays(true)
      collect(yield* within(atB, limit))
      collect(yield* within(atA, 100))
      assert.deepStrictEqual(reasons(ends.a), ["PeerRestarted"])
    })
    return { again }
  })

  it.effect("a goodbye that is lost with all relays: the peer is called anew as soon as it can be asked", () =>
    Effect.gen(function*() {
      const { again } = yield* abandoned
      yield* TestClock.adjust(2_000)
      yield* again(1_000)
    }))

  it.effect("the same when our event loop stands still while the peer is being asked", () =>
    withPauses((pause) =>
      Effect.gen(function*() {
        for (let after = 10; after < 1_000; after += 90) {
          yield* Effect.scoped(Effect.gen(function*() {
            const { again } = yield* abandoned
            pause(300 + after, 700)
            yield* TestClock.adjust(2_000)
            yield* again(1_000)
          }))
        }
      })
    ))

  it.effect("it stands still while a peer is being asked that is still there: the session goes on", () =>
    withPauses((pause) =>
      Effect.gen(function*() {
        for (let after = 0; after < 1_000; after += 70) {
          yield* Effect.scoped(Effect.gen(function*() {
            const { b, ends, wire } = yield* connected()
            const setRelays = (isUp: boolean) => [0, 1].map((relay) => wire.setRelay(relay, isUp, b.at))
            yield* TestClock.adjust(1_000)
            setRelays(false)
            ends.a.connection.trySend(numbered(1))
            // It ends before or after the relays are back.
            pause(300 + after, 700)
            yield* TestClock.adjust(1_200)
            setRelays(true)
            yield* TestClock.adjust(5_000)
            assert.deepStrictEqual([reasons(ends.a), reasons(ends.b)], [[], []], `still after ${after}`)
            assert.deepStrictEqual(ends.b.lossless.map(numberOf), [1])
          }))
        }
      })
    ))

  it.effect("the session is heard once more after it was asked, then the peer closes unheard: it is called anew", () =>
    Effect.gen(function*() {
      for (let late = 20; late < 200; late += 30) {
        yield* Effect.scoped(Effect.gen(function*() {
          const { a, b, ends, wire } = yield* connected()
          yield* TestClock.adjust(1_000)
          wire.fate = ({ bytes, from }) => from === b.at.id && bytes[0] === 27 ? "hold" : "lose"
          wire.outOfBandOnly = true
          wire.refresh()
          const before = wire.log.length
          const isAsked = () =>
            wire.log.slice(before).some(({ bytes, from, outOfBand }) =>
              outOfBand && from === a.at.id && bytes[0] === 24
            )
          for (let waited = 0; !isAsked() && waited < 400; waited++) yield* TestClock.adjust(1)
          assert.isTrue(isAsked())
          yield* TestClock.adjust(late)
          wire.release(wire.held.at(-1)!)
          yield* ends.b.connection.close
          wire.fate = () => "deliver"
          yield* within(yield* forkNow(b.netCrypto.accept), 1_500)
          assert.deepStrictEqual(reasons(ends.a), ["PeerRestarted"], `${late} ms after the question`)
        }))
      }
    }))

  it.effect("nothing heard for 32 s: PeerTimedOut, and one kill packet at most", () =>
    Effect.gen(function*() {
      const { a, b, ends } = yield* connected()
      yield* TestClock.adjust(100)
      yield* b.crash
      yield* TestClock.adjust(30_900)
      assert.deepStrictEqual(reasons(ends.a), [])
      yield* TestClock.adjust(1_200)
      assert.deepStrictEqual(reasons(ends.a), ["PeerTimedOut"])
      assert.strictEqual(a.at.paths.size, 0)
      assert.isFalse(ends.a.connection.trySend(numbered(1)))
    }))

  it.effect("an orderly stop is told: PeerClosed on the other side, ClosedHere on ours", () =>
    Effect.gen(function*() {
      const { a, b, ends } = yield* connected()
      yield* b.stop
      yield* TestClock.adjust(50)
      assert.deepStrictEqual([reasons(ends.a), reasons(ends.b)], [["PeerClosed"], ["ClosedHere"]])
      assert.deepStrictEqual([a.at.paths.size, b.at.paths.size], [0, 0])
    }))

  it.effect("an idle pair does not keep answering itself: about one packet a second each, for a minute", () =>
    Effect.gen(function*() {
      const { ends, wire } = yield* connected()
      for (const number of range(20)) ends.a.connection.trySend(numbered(number))
      yield* TestClock.adjust(2_000)
      const before = wire.count.sent
      yield* TestClock.adjust(60_000)
      assert.isAtMost(wire.count.sent - before, 2 * 60 * 1.5)
      assert.isAtLeast(wire.count.sent - before, 60)
    }))

  it.effect("nor does a pair where both hold the other back", () =>
    Effect.gen(function*() {
      const { ends, wire } = yield* connected()
      ends.a.connection.hold(true)
      ends.b.connection.hold(true)
      for (const number of range(20)) {
        ends.a.connection.trySend(numbered(number))
        ends.b.connection.trySend(numbered(number))
      }
      yield* TestClock.adjust(2_000)
      const before = wire.count.sent
      yield* TestClock.adjust(20_000)
      assert.isAtMost(wire.count.sent - before, 20 * 45)
      ends.a.connection.hold(false)
      ends.b.connection.hold(false)
      yield* TestClock.adjust(2_000)
      assert.deepStrictEqual([ends.a.lossless.length, ends.b.lossless.length], [20, 20])
    }))
})
