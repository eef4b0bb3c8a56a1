import { describe, expect, it } from "vitest"
import { CarrierLoss } from "../../../src/protocol/net-crypto/CarrierLoss.ts"
import * as EntropySeeded from "../../../src/testing/EntropySeeded.ts"

const patience = 60

/**
 * Sends so many packets, of which each begins a loss with this probability, of 1 to `burst` packets in a row. Everything is reported in
 * the order of numbers. Returns how many it took until the carrier was accused, or Infinity.
 */
const accusedAfter = (share: number, packets: number, options: { burst?: number; seed?: number } = {}): number => {
  const { burst = 1, seed = 1 } = options
  const { fraction } = EntropySeeded.make(seed)
  const losses = new CarrierLoss()
  for (let number = 0; number < packets;) {
    // What lies between two losses is delivered: nothing else happens in between.
    number += Math.floor(Math.log(1 - fraction()) / Math.log(1 - share))
    for (let left = 1 + Math.floor(fraction() * burst); left > 0; left--) losses.onLost(number++ >>> 0, 0, patience)
    if (losses.isAccused) return number
  }
  return Infinity
}

/**
 * Packets until a false alarm on average, from the chain over the score and whether the last packet was lost: its slowest eigenvalue by
 * iteration, on a grid of fortieths of what a delivered packet takes away.
 */
const meanRunLength = (share: number): number => {
  const [bearable, unbearable, threshold, steps] = [0.02, 0.3, 15, 40]
  const grain = Math.log((1 - bearable) / (1 - unbearable)) / steps
  const size = Math.ceil(threshold / grain)
  const up = Math.round(Math.log(unbearable / bearable) / grain)
  let delivered = new Float64Array(size)
  let lost = new Float64Array(size)
  delivered[0] = 1
  let escaping = 1
  for (let round = 0; round < 1_500; round++) {
    const [nextDelivered, nextLost] = [new Float64Array(size), new Float64Array(size)]
    escaping = 0
    for (let i = 0; i < size; i++) {
      if (i + up < size) nextLost[i + up]! += delivered[i]! * share
      else escaping += delivered[i]! * share
      // What is lost after a lost one says nothing.
      nextLost[i]! += lost[i]! * share
      nextDelivered[Math.max(0, i - steps)]! += (delivered[i]! + lost[i]!) * (1 - share)
    }
    delivered = nextDelivered.map((part) => part / (1 - escaping))
    lost = nextLost.map((part) => part / (1 - escaping))
  }
  return 1 / escaping
}

describe("CarrierLoss", () => {
  it("T33: with 1 % lost a false alarm comes once in more than 10^9 packets, and the test runs as its model says", () => {
    expect(meanRunLength(0.01)).toBeGreaterThan(1e9)
    // Where false alarms are frequent enough to be counted, the chain and the implementation agree.
    let packets = 0
    for (let seed = 0; seed < 300; seed++) packets += accusedAfter(0.06, Infinity, { seed })
    const model = meanRunLength(0.06)
    expect(packets / 300 / model).toBeGreaterThan(0.8)
    expect(packets / 300 / model).toBeLessThan(1.25)
  })

  it("T33: one that loses 1 % is not accused in 50 hours at 500 packets a second, nor when a loss takes up to 8 in a row", () => {
    for (const burst of [1, 8]) {
      for (const seed of [1, 2]) expect(accusedAfter(0.01, 50 * 3_600 * 500, { burst, seed })).toBe(Infinity)
    }
  })

  it("T33: one that loses 30 % is accused after some forty packets, hardly ever after more than a hundred", () => {
    const lengths = Array.from({ length: 2_000 }, (_, seed) => accusedAfter(0.3, 10_000, { seed })).sort((a, b) =>
      a - b
    )
    expect(lengths[1_000]).toBeLessThan(50)
    expect(lengths[1_980]).toBeLessThan(110)
    // Half of them, and nine of ten: runs of losses are longer, but still many.
    for (const share of [0.5, 0.9]) expect(accusedAfter(share, 1_000)).toBeLessThan(300)
  })

  it("a burst is one loss, however long and in however many reports", () => {
    const losses = new CarrierLoss()
    for (let number = 100; number < 300; number++) losses.onLost(number, number, patience)
    expect([losses.bursts, losses.packets, losses.isAccused]).toEqual([1, 101, false])
    // One packet got through: that is another burst. Sent again and lost again: one more each.
    losses.onLost(301, 400, patience)
    losses.onLost(301, 500, patience)
    losses.onLost(100, 500, patience)
    losses.onLost(101, 500, patience)
    expect(losses.bursts).toBe(4)
  })

  it("is the same whether losses are reported one by one or in one clump, and across the wrap of the numbers", () => {
    const start = 0xffff_ff00
    for (const clump of [1, 7]) {
      const losses = new CarrierLoss()
      for (const passed of [0x4000_0000, 0x8000_0000, 0xc000_0000, start]) losses.onDelivered(passed)
      const before = losses.packets
      for (let i = 0, said = 0; i < 1_000; i += 100) {
        losses.onLost((start + i) >>> 0, i, patience)
        // In between it may have acknowledged what it has, again and again.
        if (++said % clump === 0) { for (const _ of [1, 2]) losses.onDelivered((start + i + 1) >>> 0) }
      }
      losses.onDelivered((start + 1_000) >>> 0)
      expect([losses.isAccused, losses.bursts, losses.packets - before]).toEqual([false, 10, 1_000])
      expect(losses.trialAt).toBe(Infinity)
    }
  })

  it("a suspicion is worth a trial when it has lasted for twice the patience, and no longer when packets have cleared it", () => {
    const losses = new CarrierLoss()
    losses.onLost(50, 1_000, 80)
    losses.onLost(55, 1_100, 80)
    expect(losses.trialAt).toBe(1_160)
    losses.onDelivered(64)
    expect(losses.trialAt).toBe(1_160)
    losses.onDelivered(100)
    expect(losses.trialAt).toBe(Infinity)
    losses.onLost(100, 2_000, 10)
    expect(losses.trialAt).toBe(2_100)
  })

  it("echoes count like packets, and lost ones in a row as one", () => {
    const losses = new CarrierLoss()
    for (let i = 0; i < 50; i++) losses.onEcho(true, 0)
    expect([losses.bursts, losses.isAccused]).toEqual([1, false])
    for (let i = 0; i < 9; i++) losses.onEcho(false, 0)
    expect(losses.trialAt).toBe(Infinity)
    for (let i = 0; i < 12; i++) losses.onEcho(i % 2 === 0, 0)
    expect([losses.bursts, losses.packets, losses.isAccused]).toEqual([7, 22, false])
    for (let i = 0; i < 2; i++) losses.onEcho(i % 2 === 0, 0)
    expect(losses.isAccused).toBe(true)
  })

  it("another carrier starts with a clean record", () => {
    const losses = new CarrierLoss()
    for (let number = 0; number < 20; number += 2) losses.onLost(number, 0, patience)
    expect(losses.isAccused).toBe(true)
    losses.reset()
    expect([losses.isAccused, losses.trialAt]).toEqual([false, Infinity])
    for (let number = 20; number < 30; number += 2) losses.onLost(number, 0, patience)
    expect(losses.isAccused).toBe(false)
  })
})
