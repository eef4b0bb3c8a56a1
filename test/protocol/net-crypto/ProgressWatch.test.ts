import { assert, describe, it } from "@effect/vitest"
import { ProgressWatch } from "../../../src/protocol/net-crypto/ProgressWatch.ts"

describe("ProgressWatch", () => {
  it("T33: a probe comes first, the stall after max(3 round trips, 400 ms)", () => {
    for (const [roundTrip, stall] of [[1, 400], [100, 400], [200, 600], [1_000, 3_000]] as const) {
      const watch = new ProgressWatch(400, 1_000)
      watch.restart(5_000, roundTrip, roundTrip)
      assert.isBelow(watch.probeAt, watch.stallAt)
      assert.strictEqual(watch.stallAt, Infinity)
      watch.onProbe(watch.probeAt)
      assert.strictEqual(watch.stallAt, 5_000 + stall)
    }
  })

  it("without a measured round trip it is patient", () => {
    const watch = new ProgressWatch(400, 1_000)
    watch.restart(0, 1_000, undefined)
    watch.onProbe(watch.probeAt)
    assert.strictEqual(watch.stallAt, 1_500)
  })

  it("a probe that was sent late has half of the stall time to be answered", () => {
    const watch = new ProgressWatch(400, 1_000)
    watch.restart(0, 10, 10)
    watch.onProbe(350)
    assert.strictEqual(watch.stallAt, 550)
    watch.onProbe(500)
    assert.strictEqual(watch.stallAt, 550)
  })

  const pausesOf = (patience: number, roundTrip: number | undefined): Array<number> => {
    const watch = new ProgressWatch(400, 1_000)
    watch.restart(0, patience, roundTrip)
    return Array.from({ length: 7 }, () => {
      const at = watch.probeAt
      watch.onProbe(at)
      return watch.probeAt - at
    })
  }

  it("three probes come as soon as each can have been answered, then they become rarer, up to the longest interval", () => {
    assert.deepStrictEqual(pausesOf(50, 50), [50, 50, 50, 50, 100, 200, 400])
    // Patience with the data of a slow flow is not what a probe needs.
    assert.deepStrictEqual(pausesOf(200, 40), [70, 70, 70, 200, 400, 800, 1_000])
    assert.deepStrictEqual(pausesOf(1_000, undefined), [760, 760, 760, 1_000, 1_000, 1_000, 1_000])
  })

  it("T33: where all relays lose some, a slow flow asks three times before the stall", () => {
    const watch = new ProgressWatch(400, 1_000)
    watch.restart(0, 200, 40)
    let probes = 0
    for (let now = 0; now < watch.stallAt; now++) {
      if (now < watch.probeAt) continue
      watch.onProbe(now)
      probes++
    }
    assert.deepStrictEqual([probes, watch.stallAt], [3, 400])
  })

  it("knows an answer by its time, and progress starts over", () => {
    const watch = new ProgressWatch(400, 1_000)
    watch.restart(0, 20, 20)
    assert.isFalse(watch.isAnswer(0))
    watch.onProbe(40)
    assert.isTrue(watch.isAnswer(90))
    assert.isFalse(watch.isAnswer(91))
    watch.restart(90, 20, 20)
    assert.strictEqual(watch.probeAt, 130)
    assert.strictEqual(watch.stallAt, Infinity)
  })

  it("time in which our event loop did not run counts for nobody", () => {
    const watch = new ProgressWatch(400, 1_000)
    watch.restart(0, 20, 20)
    watch.onProbe(40)
    const { probeAt, stallAt } = watch
    watch.excuse(2_000)
    assert.deepStrictEqual([watch.probeAt, watch.stallAt], [probeAt + 2_000, stallAt + 2_000])
  })

  it("T33: once sixteen packets were missed and none arrived, the peer's requests are no answers, until one arrives", () => {
    const watch = new ProgressWatch(400, 1_000)
    watch.restart(0, 40, 40)
    watch.onProbe(0)
    for (let lost = 0; lost < 15; lost++) watch.onLost()
    assert.isTrue(watch.isAnswer(1))
    watch.onLost()
    assert.isFalse(watch.isAnswer(1))
    watch.restart(0, 40, 40)
    watch.onProbe(0)
    assert.isFalse(watch.isAnswer(1))
    watch.onDelivered()
    assert.isTrue(watch.isAnswer(1))
  })
})
