import { describe, expect, it } from "@effect/vitest"
import * as fc from "fast-check"
import { addTo, equal, increment, low16 } from "../../../src/protocol/crypto/nonce.ts"

const nonceOf = (value: bigint): Uint8Array => Uint8Array.from(Buffer.from(value.toString(16).padStart(48, "0"), "hex"))
const valueOf = (nonce: Uint8Array): bigint => BigInt(`0x${Buffer.from(nonce).toString("hex")}`)
const modulus = 1n << 192n
/** Values near a byte boundary as often as others: that is where carries happen. */
const value = fc.oneof(
  fc.bigInt({ min: 0n, max: modulus - 1n }),
  fc.tuple(fc.integer({ min: 0, max: 192 }), fc.integer({ min: -3, max: 3 })).map(([bits, offset]) =>
    ((1n << BigInt(bits)) + BigInt(offset) + modulus) % modulus
  )
)

describe("nonce", () => {
  it("increment follows the relay vectors: 23 x b1 then ff becomes 22 x b1 then b200", () => {
    const nonce = new Uint8Array(24).fill(0xb1)
    nonce[23] = 0xff
    increment(nonce)
    expect(Buffer.from(nonce).toString("hex")).toBe("b1".repeat(22) + "b200")
  })

  it("increment wraps to zero after all ones", () => {
    const nonce = new Uint8Array(24).fill(0xff)
    increment(nonce)
    expect(nonce).toEqual(new Uint8Array(24))
  })

  it("increment is addition of one modulo 2^192", () => {
    fc.assert(fc.property(value, (start) => {
      const nonce = nonceOf(start)
      increment(nonce)
      expect(valueOf(nonce)).toBe((start + 1n) % modulus)
    }))
  })

  it("addTo is addition modulo 2^192, up to 2^32 - 1", () => {
    const amount = fc.oneof(
      fc.integer({ min: 0, max: 0xffffffff }),
      fc.constantFrom(0, 1, 21_845, 0x80000000, 0xffffffff)
    )
    fc.assert(fc.property(value, amount, (start, n) => {
      const nonce = nonceOf(start)
      addTo(nonce, n)
      expect(valueOf(nonce)).toBe((start + BigInt(n)) % modulus)
    }))
  })

  it("addTo refuses what is not an integer in its range, and leaves the nonce alone", () => {
    for (const n of [-1, 1.5, 2 ** 32, Number.NaN, Number.POSITIVE_INFINITY]) {
      const nonce = nonceOf(7n)
      expect(() => addTo(nonce, n)).toThrow(RangeError)
      expect(valueOf(nonce)).toBe(7n)
    }
  })

  it("low16 is the last two bytes, big-endian", () => {
    fc.assert(fc.property(value, (start) => {
      expect(low16(nonceOf(start))).toBe(Number(start & 0xffffn))
    }))
  })

  it("works on views into larger buffers and touches nothing outside", () => {
    const buffer = new Uint8Array(32).fill(0xff)
    increment(buffer.subarray(5, 29))
    addTo(buffer.subarray(5, 29), 0x102)
    expect([...buffer.subarray(0, 5), ...buffer.subarray(29)]).toEqual(Array.from({ length: 8 }, () => 0xff))
    expect(low16(buffer.subarray(5, 29))).toBe(0x102)
  })

  it("equal compares every byte and the length", () => {
    const nonce = nonceOf(0x1234n)
    expect(equal(nonce, nonce.slice())).toBe(true)
    expect(equal(nonce, nonce.subarray(1))).toBe(false)
    for (let i = 0; i < 24; i++) {
      const other = nonce.slice()
      other[i]! ^= 0x40
      expect(equal(nonce, other)).toBe(false)
    }
  })
})
