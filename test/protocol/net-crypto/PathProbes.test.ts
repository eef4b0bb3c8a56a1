import { describe, expect, it } from "vitest"
import { CarrierLoss } from "../../../src/protocol/net-crypto/CarrierLoss.ts"
import { PathProbes } from "../../../src/protocol/net-crypto/PathProbes.ts"
import type { PeerPath } from "../../../src/protocol/registry/PeerPath.ts"
import * as EntropySeeded from "../../../src/testing/EntropySeeded.ts"

/** A path with these standbys, which records what it is told. */
const pathWith = (standbys: Array<number>) => {
  const log: Array<string> = []
  const echoes: Array<Uint8Array> = []
  const full = new Set<number>()
  let carrier = 1
  const path = {
    carrier: () => carrier,
    standbys: () => standbys,
    sendVia: (carrier: number, frame: Uint8Array, length: number) => {
      if (full.has(carrier)) return false
      log.push(`ask ${carrier}`)
      echoes.push(frame.slice(2, length))
      return true
    },
    judge: (carrier: number, delivered: boolean) => log.push(`${carrier} ${delivered ? "delivers" : "fails"}`),
    prefer: (carrier: number) => log.push(`prefer ${carrier}`)
  } as unknown as PeerPath
  return { path, log, echoes, full, standbys, moveTo: (other: number) => (carrier = other) }
}

const question = (echoId: Uint8Array) => Uint8Array.of(24, ...echoId)
const frame = new Uint8Array(200)

const probing = (...standbys: Array<number>) => {
  const losses = new CarrierLoss()
  const probes = new PathProbes(EntropySeeded.make(1).fill, 0, losses)
  const fake = pathWith(standbys)
  const at = (now: number, lag = 0) => probes.onTimer(now, lag, fake.path, frame, question)
  const answer = (echo: number, now: number, least = 100) => probes.onAnswer(fake.echoes[echo]!, now, fake.path, least)
  return { ...fake, losses, probes, at, answer }
}

describe("PathProbes", () => {
  it("T33: each standby is asked a second after the session began, and then every half minute, with an echo of its own", () => {
    const { answer, at, echoes, log, probes } = probing(7, 8)
    expect(probes.deadline).toBe(1_000)
    at(999)
    expect(log).toEqual([])
    at(1_000)
    expect(log).toEqual(["ask 7", "ask 8"])
    expect(echoes.every((echo) => echo.length === 8)).toBe(true)
    expect(echoes[0]).not.toEqual(echoes[1])
    for (const echo of [0, 1]) answer(echo, 1_100)
    log.length = 0
    at(30_999)
    expect(log).toEqual([])
    expect(probes.deadline).toBe(31_000)
    at(31_000)
    expect(log).toEqual(["ask 7", "ask 8"])
  })

  it("T33: one that answers none of three questions in three seconds has failed, once; one that answers delivers", () => {
    const { answer, at, echoes, log, probes } = probing(7, 8)
    at(1_000)
    expect(answer(1, 1_050)).toBe(true)
    log.length = 0
    expect(probes.deadline).toBe(2_000)
    at(2_000)
    at(3_000)
    // The same echo id: whichever answer comes.
    expect(echoes.slice(2)).toEqual([echoes[0], echoes[0]])
    at(3_999)
    expect(log).toEqual(["ask 7", "ask 7"])
    at(4_000)
    at(5_000)
    expect(log).toEqual(["ask 7", "ask 7", "7 fails"])
    expect(probes.deadline).toBe(31_000)
    // Too late, and a second answer: they are nobody's.
    expect([answer(0, 4_100), answer(1, 4_100)]).toEqual([false, false])
    expect(log.length).toBe(3)
  })

  it("T33: one lost packet is no proof: an answer to the second or third question is as good, but not quick", () => {
    const { answer, at, log } = probing(7)
    at(1_000)
    at(2_000)
    at(3_000)
    log.length = 0
    expect(answer(2, 3_900, 2_000)).toBe(true)
    at(4_000)
    expect(log).toEqual(["7 delivers"])
  })

  it("an answer to somebody else's question is not ours", () => {
    const { at, log, path, probes } = probing(7)
    at(1_000)
    expect(probes.onAnswer(new Uint8Array(8), 1_010, path, 100)).toBe(false)
    expect(log).toEqual(["ask 7"])
  })

  it("a standby that is full is not asked, and not blamed for it", () => {
    const { at, full, log } = probing(7, 8)
    full.add(7)
    for (const now of [1_000, 2_000, 3_000, 4_000]) at(now)
    expect(log).toEqual(["ask 8", "ask 8", "ask 8", "8 fails"])
  })

  it("time in which our event loop did not run is nobody's failure", () => {
    const { answer, at, log, probes } = probing(7)
    at(1_000)
    at(5_999, 4_000)
    expect(log).toEqual(["ask 7"])
    expect(probes.deadline).toBe(6_000)
    // The time stood still does not make it slow either.
    expect(answer(0, 5_999, 3_000)).toBe(true)
    expect(log).toEqual(["ask 7", "7 delivers", "prefer 7"])
  })

  it("the carrier is left for a standby with less than half its round trip, if it saves more than 50 ms", () => {
    for (
      const [least, roundTrip, isBetter] of [
        [300, 100, true],
        [300, 149, true],
        [300, 151, false],
        [90, 30, true],
        [90, 41, false],
        [60, 1, true],
        [50, 1, false],
        [Infinity, 1, false]
      ] as const
    ) {
      const { answer, at, log } = probing(7)
      at(1_000)
      answer(0, 1_000 + roundTrip, least)
      expect([least, roundTrip, log.at(-1) === "prefer 7"]).toEqual([least, roundTrip, isBetter])
    }
  })

  it("standbys that come later are asked in the next round; with none there is nothing to do", () => {
    const { at, log, standbys } = probing()
    at(1_000)
    standbys.push(9)
    at(20_000)
    expect(log).toEqual([])
    at(31_000)
    expect(log).toEqual(["ask 9"])
  })

  describe("a carrier that is suspected of losing packets", () => {
    /** Every other packet is lost, from this number on. */
    const lose = (losses: CarrierLoss, from: number, count: number, now = 0): void => {
      for (let i = 0; i < count; i++) losses.onLost(from + 2 * i, now, 0)
    }
    /** Runs the timer whenever it wants to; echoes over these carriers are answered at once. Returns when it last acted. */
    const pass = (
      { at, echoes, log, path, probes }: ReturnType<typeof probing>,
      until: number,
      good: Array<number>
    ) => {
      for (let now = probes.deadline; now <= until; now = Math.max(now + 1, probes.deadline)) {
        const before = log.length
        at(now)
        const asked = log.slice(before).filter((line) => line.startsWith("ask"))
        const first = echoes.length - asked.length
        for (const [i, line] of asked.entries()) {
          if (good.includes(Number(line.slice(4)))) probes.onAnswer(echoes[first + i]!, now, path)
        }
      }
    }
    const countOf = (log: Array<string>, line: string): number => log.filter((entry) => entry === line).length

    it("T33: is tried against the two most trusted standbys, accused, and left for the one that is better", () => {
      for (const better of [7, 8]) {
        const probe = probing(7, 8, 9)
        probe.at(1_000)
        for (let echo = 0; echo < 3; echo++) probe.answer(echo, 1_000, Infinity)
        probe.log.length = 0
        lose(probe.losses, 0, 1, 930)
        pass(probe, 1_060, [7, 8])
        expect(probe.log).toEqual(["ask 1", "ask 7", "ask 8", "ask 1", "ask 7", "ask 8", "ask 1", "ask 7", "ask 8"])
        // Of the carrier and one standby every other echo comes back, of the other standby all.
        for (let now = 1_075; now < 2_500 && !probe.log.includes(`prefer ${better}`); now += 15) {
          pass(probe, now, now % 2 === 0 ? [1, 7, 8] : [better])
        }
        expect(probe.log.slice(-2)).toEqual(["1 fails", `prefer ${better}`])
        expect(countOf(probe.log, "ask 9")).toBe(0)
        expect(probe.log.filter((line) => line.startsWith("prefer"))).toHaveLength(1)
      }
    })

    it("T33: is tried no longer when the suspicion was cleared, or when another is the carrier, which gets a trial of its own", () => {
      for (const what of ["cleared", "moved"] as const) {
        const probe = probing(7)
        lose(probe.losses, 0, 1)
        pass(probe, 150, [])
        expect(countOf(probe.log, "ask 1")).toBeGreaterThan(2)
        probe.log.length = 0
        if (what === "cleared") probe.losses.onDelivered(100)
        else {
          probe.moveTo(7)
          probe.standbys[0] = 1
          probe.losses.reset()
          lose(probe.losses, 10, 1, 151)
        }
        pass(probe, 250, [])
        expect(probe.log).toEqual([])
        pass(probe, 260, [])
        expect(probe.log).toEqual(what === "cleared" ? [] : ["ask 7", "ask 1"])
      }
    })

    it("T33: after a trial that finds nothing better the next one waits for 2 s, then 4, up to 64", () => {
      const probe = probing(7)
      const starts: Array<number> = []
      let last = -Infinity
      lose(probe.losses, 0, 20)
      for (let now = 0; now < 300_000; now++) {
        const before = countOf(probe.log, "ask 1")
        if (now >= probe.probes.deadline) probe.at(now)
        if (countOf(probe.log, "ask 1") === before) continue
        if (now - last > 1_500) starts.push(now)
        last = now
        probe.log.length = 0
      }
      // 63 intervals of 15 ms and the second that the last echoes get.
      const trial = 63 * 15 + 1_000
      const pauses = starts.slice(1).map((start, i) => start - starts[i]! - trial)
      expect(pauses).toEqual([2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 64_000, 64_000])
    })

    it("with no standby nothing is asked, and the timer does not spin", () => {
      const probe = probing()
      lose(probe.losses, 0, 20)
      probe.at(probe.probes.deadline)
      expect(probe.probes.deadline).toBeGreaterThan(500)
      expect(probe.log).toEqual([])
    })
  })
})
