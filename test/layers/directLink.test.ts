/** What a direct link tells the sessions and its owner. Streams are fake; time is the test clock's. */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import * as DirectLinkCarrier from "../../src/layers/directLink.ts"
import { monotonicMillis } from "../../src/layers/monotonicMillis.ts"
import { SessionMux } from "../../src/protocol/session/SessionMux.ts"
import { directLink } from "../utils/fakeDirect.ts"
import { type FakeEnd, pair } from "../utils/FakeNetCrypto.ts"
import { numbers } from "../utils/muxPair.ts"

const carried = Effect.fnUntraced(function*(streams: number) {
  const now = monotonicMillis(yield* Clock.Clock)
  const muxOf = (greater: boolean) =>
    new SessionMux({
      instanceId: new Uint8Array(16).fill(greater ? 2 : 1),
      greater,
      numbers,
      now,
      onChange: () => undefined,
      onCreditLater: () => undefined
    })
  const pairs = Array.from({ length: streams }, () => pair())
  const ends = { a: pairs.map(({ lesser }) => lesser), b: pairs.map(({ greater }) => greater) }
  const mux = { a: muxOf(false), b: muxOf(true) }
  const a = DirectLinkCarrier.attach(directLink(ends.a), mux.a)
  const b = DirectLinkCarrier.attach(directLink(ends.b), mux.b)
  const deliver = (...some: ReadonlyArray<FakeEnd>): void => {
    while ([...some].reduce((sum, end) => sum + end.deliver(), 0) > 0);
  }
  const settle = () => deliver(...ends.a, ...ends.b)
  return { a, b, ends, mux, deliver, settle, now }
})

describe("directLink", () => {
  it.effect("I12: the end of any stream is the end of the link: the others are destroyed and it is said once", () =>
    Effect.gen(function*() {
      const { a, ends, mux, settle } = yield* carried(3)
      settle()
      assert.isTrue(a.link.isUp)
      yield* ends.a[1]!.close
      assert.isUndefined(mux.a.link)
      assert.isTrue(a.link.isOver)
      for (const end of ends.a) assert.isDefined(end.error)
      assert.strictEqual((yield* a.closed).kind, "Reset")
      a.destroy()
      assert.strictEqual((yield* a.closed).kind, "Reset")
    }))

  it.effect("a stream that was over before it was taken is the end of the link", () =>
    Effect.gen(function*() {
      const { mux } = yield* carried(1)
      const pairs = [pair(), pair()]
      yield* pairs[0]!.greater.close
      const late = DirectLinkCarrier.attach(directLink(pairs.map(({ greater }) => greater)), mux.b)
      assert.isTrue(late.link.isOver)
      assert.isDefined(pairs[1]!.greater.error)
      yield* late.closed
    }))

  it.effect("measures the round trip when sessions flow, soon again, and then at most once a second, without timers", () =>
    Effect.gen(function*() {
      const { a, deliver, ends, mux } = yield* carried(1)
      assert.isUndefined(a.link.roundTrip())
      deliver(...ends.b)
      assert.isTrue(a.link.isUp)
      yield* TestClock.adjust(40)
      deliver(...ends.a)
      deliver(...ends.b)
      assert.deepStrictEqual([a.link.roundTrip(), a.link.leastRoundTrip()], [40, 40])
      const askedAt: Array<number> = []
      const ping = mux.a.ping.bind(mux.a)
      let now = 40
      mux.a.ping = (onPong) => {
        askedAt.push(now)
        return ping(onPong)
      }
      for (; now < 4_500; now += 10) {
        mux.b.ping(() => undefined)
        deliver(...ends.b)
        deliver(...ends.a)
        deliver(...ends.b)
        yield* TestClock.adjust(10)
      }
      // The second one went out at 40, with the bytes that brought the first answer.
      assert.deepStrictEqual(askedAt, [60, 100, 180, 340, 660, 1_300, 2_300, 3_300, 4_300])
      assert.strictEqual(a.link.leastRoundTrip(), 0)
      const smoothed = a.link.roundTrip() ?? Number.NaN
      yield* TestClock.adjust(1_000)
      mux.b.ping(() => undefined)
      deliver(...ends.b)
      yield* TestClock.adjust(120)
      deliver(...ends.a)
      deliver(...ends.b)
      assert.closeTo(a.link.roundTrip() ?? Number.NaN, smoothed + (120 - smoothed) / 8, 1e-9)
      assert.strictEqual(a.link.leastRoundTrip(), 0)
    }))

  it.effect("I24: a link that answers nothing while data is owed stalls after a probe, and an idle one does not", () =>
    Effect.gen(function*() {
      const { b, ends, mux, settle } = yield* carried(2)
      settle()
      const stalled = yield* Effect.forkScoped(b.stalled(400))
      yield* TestClock.adjust(60_000)
      assert.isUndefined(stalled.pollUnsafe())
      for (const end of [...ends.a, ...ends.b]) end.peer = undefined
      const [made] = mux.b.make(1)
      mux.a.make(1)
      assert.isDefined(made)
      mux.b.open("lost")
      yield* TestClock.adjust(799)
      assert.isUndefined(stalled.pollUnsafe())
      yield* TestClock.adjust(1)
      yield* Fiber.join(stalled)
    }).pipe(Effect.scoped))

  it.effect("I24: one stream that is dead is a stall, however busy the others are", () =>
    Effect.gen(function*() {
      const { b, ends, mux, settle } = yield* carried(2)
      settle()
      const stalled = yield* Effect.forkScoped(b.stalled(400))
      ends.a[1]!.peer = undefined
      ends.b[1]!.peer = undefined
      let waited = 0
      while (stalled.pollUnsafe() === undefined && waited < 3_000) {
        mux.b.ping(() => undefined, 0)
        settle()
        mux.b.open("on either stream")
        yield* TestClock.adjust(50)
        waited += 50
      }
      assert.isDefined(stalled.pollUnsafe())
      assert.isAtMost(waited, 900)
    }).pipe(Effect.scoped))

  it.effect("a stream without sessions beside busy ones is no stall", () =>
    Effect.gen(function*() {
      const { a, b, mux, settle } = yield* carried(4)
      settle()
      const stalled = yield* Effect.forkScoped(Effect.raceFirst(a.stalled(400), b.stalled(400)))
      const [made] = mux.b.make(1)
      mux.a.make(1)
      for (let i = 0; i < 200; i++) {
        made?.write([new Uint8Array(10)])
        if (made !== undefined) mux.b.touch(made)
        yield* TestClock.adjust(50)
        settle()
      }
      assert.isUndefined(stalled.pollUnsafe())
    }).pipe(Effect.scoped))

  it.effect("a link that answers the probe goes on", () =>
    Effect.gen(function*() {
      const { b, mux, settle } = yield* carried(1)
      settle()
      const stalled = yield* Effect.forkScoped(b.stalled(400, 1_000))
      for (let i = 0; i < 100; i++) {
        if (i % 10 === 0) mux.b.open(`${i}`)
        yield* TestClock.adjust(390)
        settle()
      }
      assert.isUndefined(stalled.pollUnsafe())
    }).pipe(Effect.scoped))

  it.effect("a link without traffic is asked for a sign of life, and one that is doubted at once", () =>
    Effect.gen(function*() {
      for (const isDoubted of [false, true]) {
        const { b, ends, settle } = yield* carried(1)
        settle()
        const stalled = yield* Effect.forkScoped(b.stalled(400, 5_000))
        yield* TestClock.adjust(1_000)
        for (const end of [...ends.a, ...ends.b]) end.peer = undefined
        if (isDoubted) b.probe()
        yield* TestClock.adjust(isDoubted ? 399 : 4_399)
        assert.isUndefined(stalled.pollUnsafe())
        yield* TestClock.adjust(1)
        yield* Fiber.join(stalled)
      }
    }).pipe(Effect.scoped))

  it.effect("a link that the sessions have left is not judged", () =>
    Effect.gen(function*() {
      const { b, ends, mux, settle } = yield* carried(1)
      settle()
      const stalled = yield* Effect.forkScoped(b.stalled(400, 1_000))
      for (const end of [...ends.a, ...ends.b]) end.peer = undefined
      mux.b.open("unanswered")
      const next = pair()
      DirectLinkCarrier.attach(directLink([next.greater]), mux.b)
      yield* TestClock.adjust(10_000)
      assert.isUndefined(stalled.pollUnsafe())
    }).pipe(Effect.scoped))
})
