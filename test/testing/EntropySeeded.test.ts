import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Entropy } from "../../src/services/Entropy.ts"
import * as EntropySeeded from "../../src/testing/EntropySeeded.ts"

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")

describe("EntropySeeded", () => {
  it("B2: the same seed gives the same bytes and fractions, wherever they are written", () => {
    const one = EntropySeeded.make(7)
    const two = EntropySeeded.make(7)
    const unaligned = new Uint8Array(50)
    two.fill(unaligned.subarray(3, 27))
    expect(hex(one.bytes(24))).toBe(hex(unaligned.subarray(3, 27)))
    expect(one.fraction()).toBe(two.fraction())
    expect(hex(one.bytes(33))).toBe(hex(two.bytes(33)))
  })

  it("B2: golden bytes, so that recorded seeds stay valid", () => {
    expect(hex(EntropySeeded.make(0).bytes(16))).toBe("2037b06a9e34ae0224504996391367e5")
    expect(hex(EntropySeeded.make(42).bytes(16))).toBe("3d945d27b4aab9d94e30a10421104136")
  })

  it("different seeds differ, also beyond 32 bits", () => {
    const seeds = [0, 1, 2, 3, 2 ** 32, 2 ** 32 + 1, 2 ** 33, Number.MAX_SAFE_INTEGER]
    expect(new Set(seeds.map((seed) => hex(EntropySeeded.make(seed).bytes(16)))).size).toBe(seeds.length)
  })

  it("bits are balanced and fractions spread evenly over [0, 1)", () => {
    const entropy = EntropySeeded.make(1)
    let ones = 0
    for (const byte of entropy.bytes(50_000)) for (let bits = byte; bits > 0; bits &= bits - 1) ones++
    expect(Math.abs(ones - 200_000)).toBeLessThan(2_000)
    const tenths = Array.from({ length: 10 }, () => 0)
    for (let i = 0; i < 20_000; i++) {
      const fraction = entropy.fraction()
      expect(fraction >= 0 && fraction < 1).toBe(true)
      tenths[Math.floor(fraction * 10)]! += 1
    }
    for (const count of tenths) expect(Math.abs(count - 2000)).toBeLessThan(300)
  })

  it("a seed that is not a safe integer of at least 0 is refused", () => {
    for (const seed of [-1, 0.5, Number.NaN, 2 ** 60]) expect(() => EntropySeeded.make(seed)).toThrow(RangeError)
  })

  it.effect("every layer of one seed starts from the beginning", () =>
    Effect.gen(function*() {
      const first = Effect.map(Entropy, (entropy) => hex(entropy.bytes(8)))
      expect(yield* Effect.provide(first, EntropySeeded.layer(5))).toBe(
        yield* Effect.provide(first, EntropySeeded.layer(5))
      )
    }))
})
