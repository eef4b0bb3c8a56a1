import { describe, expect, it } from "vitest"
import { Suspicion } from "../../../src/protocol/registry/Suspicion.ts"
import * as EntropySeeded from "../../../src/testing/EntropySeeded.ts"

const second = 1_000

/** Until when the relay is shunned, by looking every second. */
const quarantine = (suspicion: Suspicion, from: number): number => {
  let at = from
  while (suspicion.isQuarantined(at)) at += second
  return at - from
}

describe("Suspicion", () => {
  it("T33: nobody is suspected at first, at whatever time", () => {
    const suspicion = new Suspicion()
    for (const now of [0, 1, 1e9]) expect([suspicion.at(now), suspicion.isQuarantined(now)]).toEqual([0, false])
    expect(suspicion.quarantinedUntil).toBe(-Infinity)
  })

  it("T33: one failure is half a minute of quarantine, and suspicion halves in each half minute", () => {
    const suspicion = new Suspicion()
    suspicion.accuse(7_000)
    expect(suspicion.at(7_000)).toBe(1)
    expect(suspicion.at(37_000)).toBeCloseTo(0.5, 9)
    expect(suspicion.at(67_000)).toBeCloseTo(0.25, 9)
    expect(suspicion.isQuarantined(36_999)).toBe(true)
    expect(suspicion.isQuarantined(37_001)).toBe(false)
    expect(suspicion.quarantinedUntil).toBeCloseTo(37_000, 6)
  })

  it("T33: who fails again after that is away for twice as long, and who fails many times in a row for four minutes", () => {
    const suspicion = new Suspicion()
    suspicion.accuse(0)
    expect(quarantine(suspicion, 0)).toBeLessThanOrEqual(31 * second)
    suspicion.accuse(31 * second)
    expect(quarantine(suspicion, 31 * second)).toBeGreaterThan(58 * second)
    for (let i = 0; i < 20; i++) suspicion.accuse(100 * second)
    expect(quarantine(suspicion, 100 * second)).toBe(241 * second)
  })

  it("T33: what is seen to deliver is forgiven by half each time, what is not seen is not", () => {
    const suspicion = new Suspicion()
    for (let i = 0; i < 3; i++) suspicion.accuse(0)
    expect(suspicion.at(0)).toBe(7)
    suspicion.clear(0)
    expect(suspicion.at(0)).toBe(3.5)
    for (let i = 0; i < 3; i++) suspicion.clear(0)
    expect(suspicion.isQuarantined(0)).toBe(false)
  })

  it("T33: whatever was said about a relay, it is between 0 and the ceiling, decays, and is trusted again after four minutes", () => {
    const entropy = EntropySeeded.make(33)
    for (let run = 0; run < 300; run++) {
      const suspicion = new Suspicion()
      let now = 0
      for (let i = 0; i < 30; i++) {
        now += entropy.fraction() * 60_000
        const before = suspicion.at(now)
        if (entropy.fraction() < 0.5) {
          suspicion.accuse(now)
          expect(suspicion.at(now)).toBeGreaterThanOrEqual(before)
        } else {
          suspicion.clear(now)
          expect(suspicion.at(now)).toBeLessThanOrEqual(before)
        }
        expect(suspicion.at(now)).toBeLessThanOrEqual(128)
        expect(suspicion.at(now + 1)).toBeLessThanOrEqual(suspicion.at(now))
        expect(suspicion.isQuarantined(now)).toBe(suspicion.quarantinedUntil >= now)
      }
      expect(suspicion.isQuarantined(now + 240_001)).toBe(false)
    }
  })
})
