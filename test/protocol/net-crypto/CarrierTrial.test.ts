import { describe, expect, it } from "vitest"
import { CarrierLoss } from "../../../src/protocol/net-crypto/CarrierLoss.ts"
import { CarrierTrial } from "../../../src/protocol/net-crypto/CarrierTrial.ts"
import * as EntropySeeded from "../../../src/testing/EntropySeeded.ts"

const roundTrip = 40

/** Lets a trial run to its end: echoes over way n come back unless they are lost with probability `shares[n]`. Way 0 carries. */
const run = (shares: ReadonlyArray<number>, seed: number, options: { burst?: number; data?: number } = {}) => {
  const { burst = 1, data = 0 } = options
  const { fraction } = EntropySeeded.make(seed)
  const losses = new CarrierLoss()
  losses.onLost(0, 0, 0)
  const trial = new CarrierTrial(losses, 100, shares.slice(1).map((_, i) => 101 + i), 0)
  const coming: Array<readonly [at: number, echo: string]> = []
  const losing = shares.map(() => 0)
  let [echoes, number] = [0, 1]
  for (let now = 0;; now++) {
    for (; number < now * data / 1_000; number++) if (fraction() < shares[0]!) losses.onLost(number, now, 0)
    trial.onTimer(now, (carrier) => {
      const way = carrier - 100
      if (losing[way] === 0 && fraction() < shares[way]!) losing[way] = 1 + Math.floor(fraction() * burst)
      const echo = String(echoes++)
      if (losing[way]! > 0) losing[way]!--
      else coming.push([now + roundTrip, echo])
      return echo
    })
    while (coming[0] !== undefined && coming[0][0] <= now) trial.onAnswer(coming.shift()![1], now)
    if (trial.better !== undefined) return { better: trial.better, now }
    if (trial.isOver(now)) return { better: undefined, now }
  }
}

const share = (of: number, holds: (seed: number) => boolean): number =>
  Array.from({ length: of }, (_, seed) => seed).filter(holds).length / of

describe("CarrierTrial", () => {
  it("T33: finds within 1.2 s nearly always that a carrier loses 30 % each way and a standby 1 %", () => {
    const both = 1 - 0.7 ** 2
    expect(share(500, (seed) => run([both, 0.02, 0.02], seed).now < 1_200)).toBeGreaterThan(0.98)
    expect(share(500, (seed) => run([both, 0.02, 0.02], seed).better !== undefined)).toBeGreaterThan(0.9)
    // Of two standbys it takes the good one.
    for (let seed = 0; seed < 100; seed++) expect(run([both, both, 0.02], seed).better).not.toBe(101)
  })

  it("T33: finds as well that a carrier loses nearly everything, most of it in long runs", () => {
    expect(share(200, (seed) => run([0.9, 0.02, 0.02], seed, { data: 200 }).better !== undefined)).toBeGreaterThan(0.95)
  })

  it("T33: finds next to never that one is better when all lose 10 %, or all 30 %, or all 1 %", () => {
    for (const one of [0.01, 0.1, 0.3]) {
      const echo = 1 - (1 - one) ** 2
      for (const data of [0, 50]) {
        const moved = share(2_000, (seed) => run([echo, echo, echo], seed, { data }).better !== undefined)
        expect(moved).toBeLessThan(0.005)
      }
    }
  })

  it("T33: bursts of up to eight lost packets are as good as single ones: a healthy carrier is not left", () => {
    expect(share(2_000, (seed) => run([0.02, 0.02], seed, { burst: 8 }).better !== undefined)).toBe(0)
    expect(share(2_000, (seed) => run([0.02, 0], seed, { burst: 8 }).better !== undefined)).toBe(0)
  })

  it("T33: a standby that loses nothing is not enough: the carrier must be accused", () => {
    for (const [every, isLeft] of [[8, false], [3, true]] as const) {
      const losses = new CarrierLoss()
      losses.onLost(0, 0, 0)
      const trial = new CarrierTrial(losses, 7, [8], 0)
      let better: number | undefined
      for (let round = 0; round < 64; round++) {
        const echoes: Array<string> = []
        trial.onTimer(round * 15, (carrier) => {
          const echo = `${carrier}/${round}`
          if (carrier === 8 || round % every !== 0) echoes.push(echo)
          return echo
        })
        for (const echo of echoes) trial.onAnswer(echo, round * 15)
        better ??= trial.better
      }
      expect([losses.bursts > 6, losses.isAccused, better]).toEqual([true, isLeft, isLeft ? 8 : undefined])
    }
  })

  it("is over as soon as the carrier is cleared, and costs few echoes then", () => {
    const { now } = run([0, 0], 1)
    // The ninth answer; a round trip after it was asked.
    expect(now).toBeLessThanOrEqual(8 * 15 + roundTrip)
  })

  it("asks every way once a round, 64 rounds 15 ms apart, and waits a second for the rest", () => {
    const losses = new CarrierLoss()
    losses.onLost(0, 0, 0)
    const trial = new CarrierTrial(losses, 7, [8, 9], 0)
    const asked: Array<number> = []
    const at = (now: number) =>
      trial.onTimer(now, (carrier) => {
        asked.push(carrier)
        return String(asked.length)
      })
    at(0)
    at(14)
    expect([asked, trial.deadline]).toEqual([[7, 8, 9], 15])
    for (let now = 15; now < 5_000; now++) at(now)
    expect([asked.length, trial.deadline]).toEqual([3 * 64, 63 * 15 + 1_000])
    expect([trial.isOver(63 * 15 + 999), trial.isOver(63 * 15 + 1_000)]).toEqual([false, true])
    expect(trial.better).toBeUndefined()
  })

  it("an echo is lost when the third after it has been answered; a late or second answer changes nothing", () => {
    const losses = new CarrierLoss()
    losses.onLost(0, 0, 0)
    const trial = new CarrierTrial(losses, 7, [8], 0)
    for (let round = 0; round < 10; round++) trial.onTimer(round * 15, (carrier) => `${carrier}/${round}`)
    const before = losses.packets
    for (const echo of [1, 2]) expect(trial.onAnswer(`7/${echo}`, 200)).toBe(true)
    expect(losses.packets - before).toBe(0)
    trial.onAnswer("7/3", 200)
    expect([losses.packets - before, losses.bursts]).toEqual([4, 2])
    expect([trial.onAnswer("7/0", 210), trial.onAnswer("7/3", 210), trial.onAnswer("x", 210)]).toEqual([
      true,
      false,
      false
    ])
    expect([losses.packets - before, losses.bursts]).toEqual([4, 2])
  })

  it("a way that takes nothing is not blamed", () => {
    const losses = new CarrierLoss()
    losses.onLost(0, 0, 0)
    const trial = new CarrierTrial(losses, 7, [8], 0)
    trial.onTimer(0, (carrier) => carrier === 7 ? "a" : undefined)
    expect(trial.onAnswer("a", 40)).toBe(true)
    expect([losses.bursts, trial.better]).toEqual([1, undefined])
  })
})
