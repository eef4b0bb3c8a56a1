import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "fast-check"
import { CreditWindow } from "../../../src/protocol/session/CreditWindow.ts"

const kib = 1024
const most = 16 * kib * kib

const surroundings = (left = 64 * kib * kib) => {
  const times: { now: number; roundTrip: number | undefined; least: number | undefined } = {
    now: 0,
    roundTrip: 100,
    least: 100
  }
  return {
    times,
    around: {
      now: () => times.now,
      roundTrip: () => times.roundTrip,
      leastRoundTrip: () => times.least,
      budget: { left }
    }
  }
}

/** Consumes at this rate, in bytes a millisecond, for five seconds; what has come in so many milliseconds at once. */
const read = (
  window: CreditWindow,
  rate: number,
  { around, times }: ReturnType<typeof surroundings>,
  burst = 1
): void => {
  const start = times.now
  window.begin(start)
  for (let total = 0; times.now < start + 5_000;) {
    times.now += burst
    for (let i = 0; i < burst; i++) window.consumed(total += rate, most, around)
  }
}

describe("CreditWindow", () => {
  it("grows while it is read fast, to about what is read in four round trips", () => {
    for (const rate of [100, 500, 2_000, 6_000]) {
      const around = surroundings()
      const window = new CreditWindow(64 * kib)
      read(window, rate, around)
      const product = rate * 100
      assert.isAtLeast(window.size, Math.max(64 * kib, 2 * product))
      assert.isAtMost(window.size, Math.max(64 * kib, 4.5 * product))
    }
  })

  it("doubles at most", () => {
    const { around, times } = surroundings()
    const window = new CreditWindow(64 * kib)
    window.begin(0)
    window.consumed(32 * kib, most, around)
    assert.strictEqual(window.size, 128 * kib)
    times.now = 1
    window.consumed(96 * kib, most, around)
    assert.strictEqual(window.size, 256 * kib)
  })

  it("grows beyond 3 MiB as before on a path of 5 ms and more, and on a nearer one hardly, however long the usual round trip", () => {
    for (const [least, size] of [[5, 12e6], [30, 12e6], [4.9, 3 * kib * kib], [undefined, 3 * kib * kib]] as const) {
      const around = surroundings()
      around.times.roundTrip = 30
      around.times.least = least
      const window = new CreditWindow(64 * kib)
      read(window, 100_000, around)
      assert.isAtLeast(window.size, 0.95 * size)
      assert.isAtMost(window.size, size)
    }
  })

  it("beyond 3 MiB on a near path it grows to what is read in two of the shortest round trips, also in bursts", () => {
    const free = 3 * kib * kib
    for (const [least, size] of [[0, free], [1.5, free], [4, 8e6]] as const) {
      for (const burst of [1, 7, 15]) {
        const around = surroundings()
        around.times.least = least
        const window = new CreditWindow(64 * kib)
        read(window, 1_000_000, around, burst)
        assert.isAtLeast(window.size, 0.95 * size)
        // It is measured over at least 20 ms, into which one burst more can fall.
        assert.isAtMost(window.size, size === 8e6 ? size * (1 + burst / 20) : size)
      }
    }
  })

  it("beyond 3 MiB on a near path it is measured over at least 20 ms, and doubles at most", () => {
    const size = 4 * kib * kib
    for (const [span, grown] of [[19.9, 1], [20, 2]] as const) {
      const { around, times } = surroundings()
      times.least = 4
      const window = new CreditWindow(size)
      window.begin(0)
      times.now = span
      window.consumed(6 * size, most, around)
      assert.strictEqual(window.size, grown * size)
    }
    const { around, times } = surroundings()
    times.least = 4
    const window = new CreditWindow(size)
    window.begin(0)
    for (const [now, total] of [[19, 18e6], [25, 20e6]] as const) {
      times.now = now
      window.consumed(total, most, around)
    }
    // What came before the 20 ms were over counts as well: 20 MB in 25 ms.
    assert.strictEqual(window.size, 6.4e6)
  })

  it("follows the latest rate, not that since the beginning", () => {
    for (const [first, slow, fast] of [[64 * kib, 100, 2_000], [3 * kib * kib, 1_000, 1_000_000]] as const) {
      const { around, times } = surroundings()
      times.least = 4
      const window = new CreditWindow(first)
      window.begin(0)
      let total = 0
      for (; times.now < 100_000; times.now++) window.consumed(total += slow, most, around)
      const before = window.size
      for (; times.now < 101_000; times.now++) window.consumed(total += fast, most, around)
      assert.deepStrictEqual([before, window.size > 1.5 * first], [first, true])
    }
  })

  it("grows to its own limit at most, and not beyond the budget", () => {
    const tight = surroundings(kib)
    const held = new CreditWindow(64 * kib)
    read(held, 1_000_000, tight)
    assert.deepStrictEqual([held.size, tight.around.budget.left], [65 * kib, 0])
    const { around } = surroundings()
    const limited = new CreditWindow(64 * kib)
    for (let i = 1; i < 10; i++) limited.consumed(i * kib * kib, 100_000, around)
    assert.strictEqual(limited.size, 100_000)
  })

  it("stays as it is for a slow reader, and for one that does not read", () => {
    const around = surroundings()
    const window = new CreditWindow(64 * kib)
    read(window, 100, around)
    around.times.now += 5_000
    window.consumed(600_000, most, around.around)
    assert.strictEqual(window.size, 64 * kib)
  })

  it("the time before the first frame does not count", () => {
    const { around, times } = surroundings()
    const window = new CreditWindow(64 * kib)
    times.now = 1_000_000
    window.begin(times.now)
    times.now += 50
    window.consumed(32 * kib, most, around)
    assert.strictEqual(window.size, 128 * kib)
  })

  it("without a measured round trip, and with a very short one, it assumes ten milliseconds", () => {
    for (const roundTrip of [undefined, 0, 1]) {
      const { around, times } = surroundings(most)
      times.roundTrip = roundTrip
      const window = new CreditWindow(64 * kib)
      window.begin(0)
      times.now = 10
      window.consumed(32 * kib, most, around)
      assert.strictEqual(window.size, 128 * kib)
      times.now += 20
      window.consumed(96 * kib, most, around)
      assert.strictEqual(window.size, 128 * kib)
    }
  })

  it("begins again with a larger least window", () => {
    const window = new CreditWindow(64 * kib)
    window.start(32 * kib)
    assert.strictEqual(window.size, 64 * kib)
    window.start(256 * kib)
    assert.strictEqual(window.size, 256 * kib)
    const budget = { left: 5 }
    window.release(budget)
    assert.deepStrictEqual([window.size, budget.left], [256 * kib, 5])
  })

  it("I24: all windows together grow by the budget at most, each to its own limit, and give everything back", () => {
    const step = FastCheck.record({
      index: FastCheck.nat(7),
      consumed: FastCheck.nat(400 * kib),
      pause: FastCheck.nat(40),
      release: FastCheck.nat(30).map((dice) => dice === 0)
    })
    FastCheck.assert(
      FastCheck.property(
        FastCheck.nat(2 * kib * kib),
        FastCheck.array(step, { maxLength: 300, size: "max" }),
        (left, steps) => {
          const { around, times } = surroundings(left)
          const windows = Array.from({ length: 8 }, () => ({ window: new CreditWindow(64 * kib), total: 0 }))
          for (const { consumed, index, pause, release } of steps) {
            const one = windows[index]
            if (one === undefined) continue
            times.now += pause
            if (release) one.window.release(around.budget)
            else one.window.consumed(one.total += consumed, kib * kib, around)
            assert.isAtMost(one.window.size, kib * kib)
            const grown = windows.reduce((sum, { window }) => sum + window.size - 64 * kib, 0)
            assert.strictEqual(grown + around.budget.left, left)
            assert.isAtLeast(around.budget.left, 0)
          }
          for (const { window } of windows) window.release(around.budget)
          assert.strictEqual(around.budget.left, left)
        }
      ),
      { numRuns: 100 }
    )
  })
})
