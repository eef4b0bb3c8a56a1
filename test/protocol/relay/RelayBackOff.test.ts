import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { RelayBackOff } from "../../../src/protocol/relay/RelayBackOff.ts"

const numbers = { reconnectMin: 250, reconnectMax: 3_000, quarantine: 300_000, stableAfter: 10_000 }
const nearOne = 1 - Number.EPSILON

describe("RelayBackOff", () => {
  it("doubles up to its cap, and goes on for ever", () => {
    const backOff = new RelayBackOff(numbers)
    const pauses = Array.from({ length: 2_000 }, () => Math.round(backOff.next(undefined, false, nearOne)))
    expect(pauses.slice(0, 6)).toEqual([250, 500, 1_000, 2_000, 3_000, 3_000])
    expect(new Set(pauses.slice(5))).toEqual(new Set([3_000]))
  })

  it("picks from the upper half of the pause", () => {
    expect(new RelayBackOff(numbers).next(undefined, false, 0)).toBe(125)
    expect(new RelayBackOff(numbers).next(undefined, false, 0.5)).toBe(187.5)
  })

  it("starts afresh only after a connection that was confirmed for 10 s", () => {
    const backOff = new RelayBackOff(numbers)
    for (let i = 0; i < 5; i++) backOff.next(undefined, false, 0)
    expect(backOff.next(9_999, false, nearOne)).toBeCloseTo(3_000)
    expect(backOff.next(10_000, false, nearOne)).toBeCloseTo(250)
    expect(backOff.next(0, false, nearOne)).toBeCloseTo(500)
  })

  it("leaves a relay that breaks the protocol alone for longer and longer, up to the quarantine", () => {
    const backOff = new RelayBackOff(numbers)
    const pauses = Array.from({ length: 5 }, () => Math.round(backOff.next(20_000, true, nearOne)))
    expect(pauses).toEqual([12_000, 48_000, 192_000, 300_000, 300_000])
    // Another failure in between is treated like any other.
    expect(backOff.next(undefined, false, nearOne)).toBeLessThanOrEqual(3_000)
    expect(backOff.next(undefined, true, nearOne)).toBeCloseTo(300_000)
    backOff.next(10_000, false, 0)
    expect(backOff.next(undefined, true, nearOne)).toBeCloseTo(12_000)
  })

  it("property: every pause is positive, finite and under its cap", () => {
    const end = fc.tuple(fc.option(fc.integer({ min: 0, max: 100_000 }), { nil: undefined }), fc.boolean())
    const fraction = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
    fc.assert(fc.property(fc.array(fc.tuple(end, fraction), { maxLength: 100 }), (ends) => {
      const backOff = new RelayBackOff(numbers)
      for (const [[confirmedFor, isViolation], fraction] of ends) {
        const pause = backOff.next(confirmedFor, isViolation, fraction)
        expect(pause).toBeGreaterThanOrEqual(125)
        expect(pause).toBeLessThanOrEqual(isViolation ? 300_000 : 3_000)
      }
    }))
  })
})
