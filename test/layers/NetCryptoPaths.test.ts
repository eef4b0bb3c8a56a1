/** What net_crypto makes of the relays below it: changes of carrier, stalls, back-pressure, and its own event loop standing still. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { type End, join, node, type NodeOptions, numbered, numberOf } from "../utils/cryptoNode.ts"
import * as FakeWire from "../utils/FakeWire.ts"
import { withPauses } from "../utils/pausingClock.ts"

const range = (count: number, from = 0) => Array.from({ length: count }, (_, i) => from + i)
const reasons = ({ errors }: End) => errors.map(({ reason }) => reason._tag)

const connected = Effect.fnUntraced(function*(
  options: NodeOptions & { readonly relays?: number; readonly adjust?: (wire: FakeWire.FakeWire) => void } = {}
) {
  const { adjust, relays = 2, ...settings } = options
  const wire = yield* FakeWire.make({ relays })
  adjust?.(wire)
  const a = yield* node(wire, 1, 65, settings)
  const b = yield* node(wire, 33, 97, settings)
  const ends = yield* join(a, b, 2_000)
  yield* TestClock.adjust(100)
  const pathOf = (end: typeof a) => [...end.at.paths.values()][0]!
  return { wire, a, b, ends, atA: pathOf(a), atB: pathOf(b) }
})

/** Sends numbered packets until told to stop, as fast as the connection takes them. */
const stream = (end: End, size: number, count: number): Effect.Effect<void> =>
  Effect.gen(function*() {
    for (let number = 0; number < count;) {
      if (end.connection.trySend(numbered(number, size))) number++
      else yield* Effect.sleep(1)
    }
  })

describe("NetCryptoLive over several relays", () => {
  it.effect("T03: the carrier is lost in mid-stream: nothing is lost, doubled or reordered", () =>
    Effect.gen(function*() {
      const { atA, ends, wire } = yield* connected({ relays: 3 })
      yield* Effect.forkScoped(stream(ends.a, 1_300, 3_000))
      yield* Effect.forkScoped(stream(ends.b, 1_300, 3_000))
      yield* TestClock.adjust(30)
      for (const _ of range(2)) {
        wire.setRelay(atA.active!, false)
        yield* TestClock.adjust(40)
      }
      yield* TestClock.adjust(5_000)
      assert.deepStrictEqual(ends.b.lossless.map(numberOf), range(3_000))
      assert.deepStrictEqual(ends.a.lossless.map(numberOf), range(3_000))
      assert.deepStrictEqual([reasons(ends.a), reasons(ends.b)], [[], []])
    }))

  it.effect("only what was in flight over the lost carrier is sent again, once", () =>
    Effect.gen(function*() {
      const { atA, ends, wire } = yield* connected()
      for (const number of range(10)) ends.a.connection.trySend(numbered(number))
      yield* TestClock.adjust(100)
      wire.frozen.add(atA.active!)
      for (const number of range(10, 10)) ends.a.connection.trySend(numbered(number))
      yield* TestClock.adjust(2)
      wire.setRelay(atA.active!, false)
      // One millisecond until it is known, five on the way; asking the peer first would take longer.
      yield* TestClock.adjust(7)
      assert.deepStrictEqual(ends.b.lossless.map(numberOf), range(20))
      yield* TestClock.adjust(1_000)
      assert.strictEqual(ends.a.connection.stats().resentPackets, 10)
    }))

  for (const [latency, limit] of [[5, 650], [150, 1_600]] as const) {
    it.effect(`T33: a relay that drops everything is left within ${limit} ms (one-way latency ${latency} ms)`, () =>
      Effect.gen(function*() {
        const { atA, ends, wire } = yield* connected({ adjust: (wire) => (wire.conditions.latency = latency) })
        for (const number of range(200)) ends.a.connection.trySend(numbered(number))
        yield* TestClock.adjust(2_000)
        wire.frozen.add(atA.active!)
        ends.a.connection.trySend(numbered(200))
        let waited = 0
        for (; ends.b.lossless.length < 201 && waited < 5_000; waited += 10) yield* TestClock.adjust(10)
        assert.isAtMost(waited, limit)
        assert.isAtLeast(atA.moves, 1)
      }))
  }

  it.effect("T33: a relay that passes the peer's questions and ours but none of our data is left within 700 ms", () =>
    Effect.gen(function*() {
      const { a, atA, ends, wire } = yield* connected()
      yield* Effect.forkScoped(
        Effect.forever(Effect.andThen(
          Effect.sync(() => ends.a.connection.trySend(numbered(ends.a.connection.stats().sentPackets, 1_000))),
          Effect.sleep(2)
        ))
      )
      yield* TestClock.adjust(1_500)
      const broken = atA.active
      wire.fate = ({ bytes, from, relay }) =>
        from === a.at.id && relay === broken && bytes.length > 500 ? "lose" : "deliver"
      const before = ends.b.lossless.length
      let waited = 0
      for (; ends.b.lossless.length < before + 10 && waited < 5_000; waited += 10) yield* TestClock.adjust(10)
      assert.isAtMost(waited, 700)
      assert.notStrictEqual(atA.active, broken)
    }))

  it.effect("T22: a path that works is not left: no moves over a minute of silence, trickle and bulk", () =>
    Effect.gen(function*() {
      const { atA, atB, ends, wire } = yield* connected({
        adjust: (wire) => Object.assign(wire.conditions, { latency: 30, jitter: 20 })
      })
      wire.records = false
      yield* TestClock.adjust(20_000)
      for (const number of range(200)) {
        ends.a.connection.trySend(numbered(number))
        yield* TestClock.adjust(100)
      }
      yield* Effect.forkScoped(stream(ends.a, 1_300, 5_000))
      yield* TestClock.adjust(20_000)
      assert.strictEqual(ends.b.lossless.length, 5_200)
      assert.deepStrictEqual([atA.moves, atB.moves], [0, 0])
    }))

  it.effect("T23: a full carrier hands over to the next relay in the middle of a send: nothing lost or doubled", () =>
    Effect.gen(function*() {
      const { ends } = yield* connected({
        adjust: (wire) => {
          Object.assign(wire.conditions, { rate: 200, buffer: 8_000 })
          wire.spills = true
        }
      })
      yield* Effect.forkScoped(stream(ends.a, 1_300, 2_000))
      yield* TestClock.adjust(30_000)
      assert.deepStrictEqual(ends.b.lossless.map(numberOf), range(2_000))
      const { inFlightPackets, queuedPackets, sentPackets } = ends.a.connection.stats()
      assert.deepStrictEqual([inFlightPackets, queuedPackets, sentPackets], [0, 0, 2_000])
    }))

  it.effect("T24: a full carrier is back-pressure: it drops nothing and is not left", () =>
    Effect.gen(function*() {
      const { atA, ends } = yield* connected({
        adjust: (wire) => Object.assign(wire.conditions, { rate: 200, buffer: 8_000 })
      })
      yield* Effect.forkScoped(stream(ends.a, 1_300, 2_000))
      yield* TestClock.adjust(30_000)
      assert.deepStrictEqual(ends.b.lossless.map(numberOf), range(2_000))
      assert.strictEqual(atA.moves, 0)
      assert.isAtMost(ends.a.connection.stats().resentPackets, 20)
    }))

  it.effect(
    "a held connection holds the peer back, is not taken for dead, and loses nothing",
    () =>
      Effect.gen(function*() {
        const { atA, ends, wire } = yield* connected()
        ends.b.connection.hold(true)
        const sending = yield* Effect.forkScoped(stream(ends.a, 1_300, 6_000))
        yield* TestClock.adjust(60_000)
        assert.isUndefined(sending.pollUnsafe())
        assert.strictEqual(ends.b.lossless.length, 0)
        const { inFlightPackets, queuedPackets } = ends.a.connection.stats()
        assert.isAtMost((inFlightPackets + queuedPackets) * 1_300, (4 + 0.6) * 1024 * 1024)
        assert.strictEqual(atA.moves, 0)
        assert.deepStrictEqual([reasons(ends.a), reasons(ends.b)], [[], []])
        const before = wire.count.sent
        ends.b.connection.hold(false)
        yield* Fiber.join(sending).pipe(Effect.raceFirst(TestClock.adjust(2_000)))
        yield* TestClock.adjust(1_000)
        assert.deepStrictEqual(ends.b.lossless.map(numberOf), range(6_000))
        assert.isAbove(wire.count.sent, before)
      }),
    20_000
  )

  it.effect("after a release the peer may send again at once, not after the next request", () =>
    Effect.gen(function*() {
      const { ends } = yield* connected()
      ends.b.connection.hold(true)
      for (const number of range(10)) ends.a.connection.trySend(numbered(number))
      yield* TestClock.adjust(1_500)
      assert.strictEqual(ends.a.connection.stats().inFlightPackets, 10)
      ends.b.connection.hold(false)
      yield* TestClock.adjust(15)
      assert.strictEqual(ends.a.connection.stats().inFlightPackets, 0)
    }))

  it.effect("trySend refuses beyond the send buffer and tells once there is room; sendAll waits", () =>
    Effect.gen(function*() {
      const { ends, wire } = yield* connected({ sendBuffer: 20_000 })
      wire.frozen.add(0)
      wire.frozen.add(1)
      let taken = 0
      while (ends.a.connection.trySend(numbered(taken, 1_000))) taken++
      assert.isTrue(taken >= 20 && taken < 60, `${taken}`)
      const sending = yield* Effect.forkScoped(
        ends.a.connection.sendAll(range(50, taken).map((i) => numbered(i, 1_000)))
      )
      yield* TestClock.adjust(1_000)
      assert.isUndefined(sending.pollUnsafe())
      assert.strictEqual(ends.a.writable, 0)
      wire.frozen.clear()
      yield* TestClock.adjust(4_000)
      yield* Fiber.join(sending)
      assert.isAtLeast(ends.a.writable, 1)
      assert.deepStrictEqual(ends.b.lossless.map(numberOf), range(taken + 50))
    }))

  it.effect("our event loop stands still for 3 s: nobody is suspected or timed out", () =>
    withPauses((pause) =>
      Effect.gen(function*() {
        const { atA, atB, ends, wire } = yield* connected({ connectionTimeout: 2_500 })
        // Over the relay that carries, that is: standbys are probed with them now and then.
        const cookies = (): number =>
          wire.log.filter(({ bytes, relay }) => bytes[0] === 24 && relay === atA.active).length
        const before = cookies()
        for (const round of range(10)) {
          ends.a.connection.trySend(numbered(round))
          pause(37 * round, 3_000)
          yield* TestClock.adjust(5_000)
        }
        assert.strictEqual(cookies(), before)
        assert.deepStrictEqual([atA.moves, atB.moves], [0, 0])
        assert.deepStrictEqual([reasons(ends.a), reasons(ends.b)], [[], []])
        assert.deepStrictEqual(ends.b.lossless.map(numberOf), range(10))
      })
    ))

  it.effect("it stands still while a probe is being answered: the relay is not blamed", () =>
    withPauses((pause) =>
      Effect.gen(function*() {
        const { atA, ends, wire } = yield* connected({ adjust: (wire) => (wire.conditions.latency = 50) })
        for (const number of range(20)) {
          ends.a.connection.trySend(numbered(number))
          yield* TestClock.adjust(200)
        }
        // The next packet is lost, so that a probe is sent; everything after it gets through.
        const sent = wire.log.length
        wire.fate = () => wire.log.length === sent + 1 ? "lose" : "deliver"
        ends.a.connection.trySend(numbered(20))
        const before = wire.log.length
        for (let waited = 0; wire.log.length === before && waited < 400; waited++) yield* TestClock.adjust(1)
        pause(5, 2_000)
        yield* TestClock.adjust(4_000)
        assert.strictEqual(atA.moves, 0)
        assert.deepStrictEqual(ends.b.lossless.map(numberOf), range(21))
      })
    ))
})
