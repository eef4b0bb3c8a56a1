/** What a receiver makes of packets that are missing, doubled, displaced or damaged. */
import { describe, expect, it } from "vitest"
import { PacketCheck, percentile } from "../../src/cli/PacketCheck.ts"
import * as Payload from "../../src/cli/testPayload.ts"

const feed = (check: PacketCheck, sequences: ReadonlyArray<number>, size = 20) => {
  let now = 0n
  for (const sequence of sequences) check.add(Payload.encode(160, sequence, size, 0n), now += 1_000_000n)
}

describe("PacketCheck", () => {
  it("is fine with a complete run", () => {
    const check = new PacketCheck({ ordered: true, first: 0 })
    feed(check, [0, 1, 2, 3])
    expect(check.inOrder).toBe(true)
    expect(check.isFine(4)).toBe(true)
    expect(check.packets).toBe(4)
    expect(check.bytes).toBe(80)
  })

  for (
    const [what, sequences] of [
      ["a missing packet", [0, 1, 3]],
      ["a missing first packet", [1, 2, 3]],
      ["a doubled packet", [0, 1, 1, 2]],
      ["two exchanged packets", [0, 2, 1, 3]]
    ] as const
  ) {
    it(`notices ${what}`, () => {
      const check = new PacketCheck({ ordered: true, first: 0 })
      feed(check, sequences)
      expect(check.inOrder).toBe(false)
      expect(check.isFine(sequences.length)).toBe(false)
    })
  }

  it("notices a missing end", () => {
    const check = new PacketCheck({ ordered: true, first: 0 })
    feed(check, [0, 1, 2])
    expect(check.inOrder).toBe(true)
    expect(check.isFine(4)).toBe(false)
  })

  it("takes any beginning where none is asked for", () => {
    const check = new PacketCheck({ ordered: true, first: undefined })
    feed(check, [1, 2, 3])
    expect(check.isFine(3)).toBe(true)
    feed(check, [5])
    expect(check.inOrder).toBe(false)
  })

  it("notices a damaged pattern", () => {
    const check = new PacketCheck({ ordered: true, first: 0 })
    const packet = Payload.encode(160, 0, 20, 0n)
    packet[19] = packet[19]! ^ 1
    check.add(packet, 0n)
    expect(check.inOrder).toBe(false)
    expect(check.isFine(1)).toBe(false)
  })

  it("lets lossy packets be missing and overtake each other, but not come twice or damaged", () => {
    const check = new PacketCheck({ ordered: false, first: 0 })
    feed(check, [3, 1, 65_537])
    expect(check.inOrder).toBe(false)
    expect(check.isFine(70_000)).toBe(true)
    expect(check.isFine(2)).toBe(false)
    feed(check, [1 + 65_536])
    expect(check.isFine(70_000)).toBe(false)
  })

  it("measures the longest gap and the rate", () => {
    const check = new PacketCheck({ ordered: true, first: 0 })
    expect(check.longestGap).toBeUndefined()
    check.add(Payload.encode(160, 0, 1000, 0n), 5_000_000n)
    expect(check.megabytesPerSecond).toBeUndefined()
    check.add(Payload.encode(160, 1, 1000, 0n), 6_000_000n)
    check.add(Payload.encode(160, 2, 1000, 0n), 16_000_000n)
    check.add(Payload.encode(160, 3, 1000, 0n), 17_000_000n)
    expect(check.longestGap).toBe(10)
    expect(check.megabytesPerSecond).toBeCloseTo(4000 / 12_000, 6)
  })

  it("finds percentiles without sorting its input", () => {
    const samples = [5, 1, 4, 2, 3]
    expect(percentile(samples, 0.5)).toBe(3)
    expect(percentile(samples, 0.99)).toBe(5)
    expect(percentile(samples, 0)).toBe(1)
    expect(percentile([], 0.5)).toBeUndefined()
    expect(samples).toEqual([5, 1, 4, 2, 3])
  })
})
