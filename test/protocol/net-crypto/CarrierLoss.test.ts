import { describe, expect, it } from "vitest"
import { CarrierLoss } from "../../../src/protocol/net-crypto/CarrierLoss.ts"
import * as EntropySeeded from "../../../src/testing/EntropySeeded.ts"

/** Sends `rate` packets a second, of which a share is lost; the peer reports every 50 ms. Returns when the carrier is left, or Infinity. */
const leavesAfter = (share: number, duration: number, options: { rate?: number; seed?: number } = {}): number => {
  const { rate = 200, seed = 1 } = options
  const entropy = EntropySeeded.make(seed)
  const losses = new CarrierLoss()
  losses.reset(0)
  let [missing, sent] = [0, 0]
  for (let now = 1; now <= duration; now++) {
    for (; sent < now * rate / 1_000; sent++) {
      losses.onSent()
      if (entropy.fraction() < share) missing++
    }
    if (now % 50 !== 0 || missing === 0) continue
    if (losses.onLost(missing, now)) return now
    missing = 0
  }
  return Infinity
}

describe("CarrierLoss", () => {
  it("T33: a carrier that drops 35 % or more is left within 2.5 s from 60 packets a second on, one that drops 30 % of many within 2 s", () => {
    // At exactly the share that counts as too much, chance decides; clearly above it does not.
    for (const share of [0.35, 0.5, 0.9]) {
      for (const rate of [60, 200, 2_000]) {
        for (let seed = 0; seed < 20; seed++) expect(leavesAfter(share, 10_000, { rate, seed })).toBeLessThan(2_500)
      }
    }
    expect(leavesAfter(0.3, 2_000, { rate: 1_000 })).toBeLessThan(2_000)
  })

  it("T33: one that loses 1 % is never left in an hour, and one that loses 5 % in ten minutes neither", () => {
    for (const seed of [1, 2, 3]) expect(leavesAfter(0.01, 3_600_000, { rate: 50, seed })).toBe(Infinity)
    for (const seed of [1, 2, 3]) expect(leavesAfter(0.05, 600_000, { rate: 200, seed })).toBe(Infinity)
  })

  it("T33: a single burst, however large, is no reason to leave", () => {
    const losses = new CarrierLoss()
    losses.reset(0)
    for (let now = 0, left = 0; now < 60_000; now++) {
      losses.onSent()
      // Each five seconds a queue overflows: the losses are reported in two stretches, and then a good one follows.
      const isBurst = now % 5_000 === 1_000 || now % 5_000 === 1_250
      if (isBurst && losses.onLost(200, now)) left++
      else if (now % 100 === 0 && losses.onLost(1, now)) left++
      expect(left).toBe(0)
    }
  })

  it("judges only stretches of 16 packets and 200 ms, and three bad ones in a row", () => {
    const stretch = (losses: CarrierLoss, sent: number, lost: number, now: number): boolean => {
      for (let i = 0; i < sent; i++) losses.onSent()
      return losses.onLost(lost, now)
    }
    const few = new CarrierLoss()
    few.reset(0)
    // Fifteen packets are none; the sixteenth makes the stretch complete.
    expect([stretch(few, 15, 15, 1_000), stretch(few, 1, 0, 1_001)]).toEqual([false, false])
    expect([stretch(few, 16, 16, 1_100), stretch(few, 0, 0, 1_201), stretch(few, 16, 16, 1_401)]).toEqual([
      false,
      false,
      true
    ])
    const mixed = new CarrierLoss()
    mixed.reset(0)
    const verdicts = [20, 20, 0, 20, 20, 4, 20, 20, 20].map((lost, i) => stretch(mixed, 20, lost, 300 * (i + 1)))
    // Four of twenty is not too much, five of twenty is.
    expect(verdicts).toEqual([false, false, false, false, false, false, false, false, true])
    const exact = new CarrierLoss()
    exact.reset(0)
    expect([1, 2, 3].map((i) => stretch(exact, 20, 5, 300 * i))).toEqual([false, false, true])
  })

  it("another carrier starts with a clean record", () => {
    const losses = new CarrierLoss()
    losses.reset(0)
    const bad = (now: number): boolean => {
      for (let i = 0; i < 20; i++) losses.onSent()
      return losses.onLost(20, now)
    }
    expect([bad(300), bad(600)]).toEqual([false, false])
    losses.reset(700)
    expect([bad(800), bad(1_000), bad(1_300), bad(1_600)]).toEqual([false, false, false, true])
  })
})
