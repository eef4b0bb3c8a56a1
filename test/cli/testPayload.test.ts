/** The test payload: the exact bytes that the reference peer writes, and that no damage goes unnoticed. */
import * as FastCheck from "fast-check"
import { describe, expect, it } from "vitest"
import * as Payload from "../../src/cli/testPayload.ts"

describe("testPayload", () => {
  it("writes the layout of the reference peer", () => {
    const packet = Payload.encode(160, 0x01020304, 16, 0x1122334455667788n)
    expect([...packet]).toEqual([
      0xa0,
      0x01,
      0x02,
      0x03,
      0x04,
      0x11,
      0x22,
      0x33,
      0x44,
      0x55,
      0x66,
      0x77,
      0x88,
      0x04 + 13,
      0x04 + 14,
      0x04 + 15
    ])
  })

  it("leaves the time out where it does not fit", () => {
    expect([...Payload.encode(200, 7, 12, 1n)]).toEqual([200, 0, 0, 0, 7, 12, 13, 14, 15, 16, 17, 18])
    expect([...Payload.encode(160, 255, 5, 1n)]).toEqual([160, 0, 0, 0, 255])
  })

  it("wraps the pattern at 256", () => {
    const packet = Payload.encode(160, 250, 1373, 0n)
    expect(packet[13]).toBe((250 + 13) & 0xff)
    expect(packet[1372]).toBe((250 + 1372) & 0xff)
  })

  it("ends a flood with 161 and the count", () => {
    expect([...Payload.encodeFinal(0x00010203)]).toEqual([161, 0, 1, 2, 3])
    expect(Payload.sequenceOf(Payload.encodeFinal(66_051))).toBe(66_051)
  })

  it("has no sequence number below five bytes", () => {
    expect(Payload.sequenceOf(Uint8Array.of(160, 0, 0, 0))).toBeUndefined()
    expect(Payload.isIntact(Uint8Array.of(160, 0, 0, 0))).toBe(false)
  })

  it("accepts what it wrote, also inside a larger buffer, and notices every changed byte of the pattern", () => {
    FastCheck.assert(
      FastCheck.property(
        FastCheck.nat(0xffffffff),
        FastCheck.integer({ min: 14, max: 1373 }),
        FastCheck.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
        FastCheck.nat(),
        FastCheck.integer({ min: 1, max: 255 }),
        (sequence, size, micros, where, change) => {
          const buffer = new Uint8Array(size + 9)
          buffer.set(Payload.encode(160, sequence, size, micros), 5)
          const packet = buffer.subarray(5, 5 + size)
          expect(Payload.isIntact(packet)).toBe(true)
          expect(Payload.sequenceOf(packet)).toBe(sequence)
          const at = 13 + where % (size - 13)
          packet[at] = packet[at]! ^ change
          expect(Payload.isIntact(packet)).toBe(false)
        }
      )
    )
  })
})
