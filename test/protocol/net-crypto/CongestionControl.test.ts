import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { CongestionControl } from "../../../src/protocol/net-crypto/CongestionControl.ts"

const mebi = 1024 * 1024
const packet = 1373

/**
 * A path of `rate` bytes a millisecond and `roundTrip` milliseconds whose receiver acknowledges every `gap`: sends as much as the
 * window allows for `time` milliseconds and returns the bytes delivered in the last fifth, a millisecond.
 */
const run = (
  control: CongestionControl,
  options: {
    rate: number
    roundTrip: number
    gap?: number
    time: number
    loss?: number
    from?: number
    before?: number
  }
): { rate: number; queue: number; delivered: number } => {
  const { before = 0, from = 0, gap = 2, loss = 0, rate, roundTrip, time } = options
  const flying: Array<{ sentAt: number; deliveredThen: number; arrives: number; lost: boolean }> = []
  let [delivered, late, free, count, queue] = [before, 0, 0, 0, 0]
  for (let now = from; now < from + time; now += 1) {
    if (now % gap === 0) {
      let [acked, sentAt, then, lost] = [0, -1, 0, 0]
      while (flying.length > 0 && flying[0]!.arrives <= now) {
        const one = flying.shift()!
        if (one.lost) lost += packet
        else {
          acked += packet
          delivered += packet
          sentAt = one.sentAt
          then = one.deliveredThen
        }
      }
      if (lost > 0) control.onLoss(lost)
      if (acked > 0) control.onAck(now, acked, sentAt, then, delivered, flying.length * packet, true)
      if (now >= from + time * 0.8) late += acked
    }
    while (flying.length * packet < control.window) {
      free = Math.max(free, now) + packet / rate
      const lost = loss > 0 && count++ % Math.round(1 / loss) === 0
      flying.push({ sentAt: now, deliveredThen: delivered, arrives: free + roundTrip, lost })
      if (now > from + time / 2) queue = Math.max(queue, free - now)
    }
  }
  return { rate: late / (time * 0.2), queue, delivered }
}

describe("CongestionControl", () => {
  it("reaches a fast wire's rate within a second", () => {
    const { rate } = run(new CongestionControl(4 * mebi), { rate: 10_000, roundTrip: 20, time: 1_000 })
    assert.isAbove(rate, 9_000)
  })

  it("does not fill a slow wire: the queue stays short", () => {
    const { queue, rate } = run(new CongestionControl(4 * mebi), { rate: 64, roundTrip: 40, time: 20_000 })
    assert.isAbove(rate, 58)
    assert.isBelow(queue, 1_000)
  })

  it("peers that collect acknowledgements for 50 ms are no slower", () => {
    const { rate } = run(new CongestionControl(4 * mebi), { rate: 5_000, roundTrip: 2, gap: 50, time: 4_000 })
    assert.isAbove(rate, 4_000)
  })

  it("a little loss is an accident, much of it is overload", () => {
    const control = () => new CongestionControl(4 * mebi)
    const path = { rate: 2_000, roundTrip: 30, time: 4_000 }
    const clean = run(control(), path).rate
    assert.isAbove(run(control(), { ...path, loss: 0.01 }).rate, 0.95 * clean)
    assert.isAbove(run(control(), { ...path, loss: 0.1 }).rate, 0.8 * clean)
    const [calm, heavy] = [control(), control()]
    run(calm, path)
    run(heavy, { ...path, loss: 0.5 })
    assert.isBelow(heavy.window, calm.window)
  })

  it("never goes beyond its maximum nor below four packets, whatever it is told", () => {
    const number = fc.double({ min: 0, max: 1e7, noNaN: true })
    fc.assert(
      fc.property(fc.array(fc.tuple(number, number, fc.boolean(), fc.nat(3))), (steps) => {
        const control = new CongestionControl(mebi)
        let [now, delivered] = [0, 0]
        for (const [pause, acked, isLimited, kind] of steps) {
          now += pause
          delivered += acked
          if (kind === 0) control.onLoss(acked)
          else if (kind === 1) control.onPathChange()
          else control.onAck(now, acked, now - pause, Math.max(0, delivered - acked), delivered, acked, isLimited)
          assert.isAtMost(control.window, mebi)
          assert.isAtLeast(control.window, 4 * packet)
          assert.isAtLeast(control.patience, 0)
        }
      })
    )
  })

  it("does not grow while the application has nothing to send", () => {
    const control = new CongestionControl(4 * mebi)
    const before = control.window
    for (let now = 20; now < 2_000; now += 20) control.onAck(now, packet, now - 20, now, now + packet, 0, false)
    assert.strictEqual(control.window, before)
    assert.approximately(control.roundTrip!, 20, 0.1)
    assert.approximately(control.deviation, 0, 1)
  })

  it("finds a new rate after a change of path", () => {
    const control = new CongestionControl(4 * mebi)
    const before = run(control, { rate: 10_000, roundTrip: 20, time: 2_000 }).delivered
    control.onPathChange()
    const { queue, rate } = run(control, { rate: 500, roundTrip: 60, time: 8_000, from: 2_000, before })
    assert.isAbove(rate, 430)
    assert.isBelow(queue, 1_500)
  })
})
