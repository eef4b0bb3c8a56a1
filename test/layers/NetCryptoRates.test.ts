/** How fast net_crypto gets on wires of many kinds, in virtual time. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { collect, forkNow, node, numberOf, within } from "../utils/cryptoNode.ts"
import * as FakeWire from "../utils/FakeWire.ts"

/** Sends payloads of 1373 bytes for `time` milliseconds, the wire always full, and returns what has arrived by when. */
const pour = Effect.fnUntraced(function*(
  conditions: Partial<FakeWire.Conditions>,
  time: number,
  options: { readonly every?: number; readonly seed?: number } = {}
) {
  const wire = yield* FakeWire.make({ relays: 2, seed: options.seed ?? 3 })
  wire.records = false
  Object.assign(wire.conditions, conditions)
  const a = yield* node(wire, 1, 65)
  const b = yield* node(wire, 33, 97)
  const accepting = yield* forkNow(b.netCrypto.accept)
  const calling = yield* forkNow(a.netCrypto.connect(b.address))
  const from = yield* within(calling, 12_000)
  const to = yield* within(accepting, 3_000)
  const arrivals: Array<number> = []
  const delays: Array<number> = []
  to.handle({
    onLossless: (payload) => {
      arrivals.push(wire.now())
      if (payload[0] === 161) delays.push(wire.now() - numberOf(payload) / 8)
    },
    onLossy: () => {},
    onWritable: () => {},
    onClosed: () => {}
  })
  const bulk = new Uint8Array(1373).fill(160)
  const fill = (): void => {
    while (from.trySend(bulk));
  }
  from.handle({ onLossless: () => {}, onLossy: () => {}, onWritable: fill, onClosed: () => {} })
  const start = wire.now()
  const before = wire.count.sent
  const { every } = options
  if (every === undefined) fill()
  else {
    // An application that keeps its own queue short, and now and then says something that must not wait.
    yield* Effect.forkScoped(Effect.gen(function*() {
      for (let i = 0;; i++) {
        while (from.stats().queuedPackets < 3 && from.trySend(bulk));
        if (i % every === 0) {
          const payload = new Uint8Array(5).fill(161, 0, 1)
          new DataView(payload.buffer).setUint32(1, wire.now() * 8)
          from.trySend(payload)
        }
        yield* Effect.sleep(5)
      }
    }))
  }
  yield* TestClock.adjust(time)
  const stats = from.stats()
  /** Bytes a millisecond that arrived in this span after the start. */
  const rate = (since: number, until: number): number =>
    arrivals.filter((at) => at >= start + since && at < start + until).length * 1373 / (until - since)
  return { rate, delays, stats, sent: wire.count.sent - before, moves: [...a.at.paths.values()][0]!.moves }
})

describe("NetCryptoLive fills a wire", () => {
  it.effect("10 MB/s and 20 ms: full within a second, next to nothing sent twice", () =>
    Effect.gen(function*() {
      const { rate, stats } = yield* pour({ rate: 10_000, latency: 10 }, 1_400)
      assert.isAbove(rate(1_000, 1_400), 8_500)
      assert.isAtMost(stats.resentPackets, 0.01 * stats.sentPackets)
    }))

  it.effect("64 kB/s: a control message under bulk takes less than two seconds", () =>
    Effect.gen(function*() {
      const { delays, rate } = yield* pour({ rate: 64, latency: 20 }, 30_000, { every: 20 })
      assert.isAbove(rate(5_000, 30_000), 50)
      const sorted = delays.sort((a, b) => a - b)
      assert.isAtLeast(sorted.length, 200)
      assert.isBelow(sorted[Math.floor(sorted.length * 0.99)]!, 2_000)
    }))

  it.effect("1 % and 10 % lost: at least 90 % and 60 % of the clean rate", () =>
    Effect.gen(function*() {
      // Which packets are lost moves a single rate by a few percent.
      const seeds = [1, 2, 3, 4]
      const rateOf = (loss: number, seed: number) =>
        Effect.scoped(
          Effect.map(pour({ rate: 1_000, latency: 10, loss }, 5_000, { seed }), ({ rate }) => rate(1_000, 5_000))
        )
      const rateAt = (loss: number) =>
        Effect.map(
          Effect.forEach(seeds, (seed) => rateOf(loss, seed)),
          (rates) => rates.reduce((sum, rate) => sum + rate, 0) / rates.length
        )
      const clean = yield* rateAt(0)
      assert.isAbove(clean, 900)
      const [little, much] = [yield* rateAt(0.01), yield* rateAt(0.1)]
      assert.isAtLeast(little / clean, 0.9)
      assert.isAtLeast(much / clean, 0.6)
    }))

  it.effect("1 % and 10 % reordered: at least 90 % and 60 % of the clean rate", () =>
    Effect.gen(function*() {
      const rateAt = (reorder: number) =>
        Effect.scoped(Effect.map(pour({ rate: 1_000, latency: 10, reorder }, 4_000), ({ rate }) => rate(1_000, 4_000)))
      const clean = yield* rateAt(0)
      assert.isAtLeast((yield* rateAt(0.01)) / clean, 0.9)
      assert.isAtLeast((yield* rateAt(0.1)) / clean, 0.6)
    }))

  it.effect("300 ms latency: no move to another relay, at most 5 % sent again", () =>
    Effect.gen(function*() {
      const { moves, rate, stats } = yield* pour({ rate: 1_000, latency: 150 }, 10_000)
      assert.strictEqual(moves, 0)
      assert.isAtMost(stats.resentPackets, 0.05 * stats.sentPackets)
      assert.isAbove(rate(5_000, 10_000), 700)
      assert.isAtLeast(stats.roundTrip!, 300)
    }))

  it.effect("an echo of small packets takes one round trip each, not a timer", () =>
    Effect.gen(function*() {
      const wire = yield* FakeWire.make()
      wire.conditions.latency = 10
      const a = yield* node(wire, 1, 65)
      const b = yield* node(wire, 33, 97)
      const accepting = yield* forkNow(b.netCrypto.accept)
      const calling = yield* forkNow(a.netCrypto.connect(b.address))
      const from = yield* within(calling, 1_000)
      const to = yield* within(accepting, 1_000)
      to.handle({
        onLossless: (payload) => void to.trySend(payload),
        onLossy: () => {},
        onWritable: () => {},
        onClosed: () => {}
      })
      const echoed = collect(from)
      for (let i = 1; i <= 50; i++) {
        from.trySend(Uint8Array.of(160, i))
        yield* TestClock.adjust(20.5)
        assert.strictEqual(echoed.lossless.length, i)
      }
    }))
})
