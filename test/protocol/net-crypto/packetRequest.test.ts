import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { decodeRequest, encodeRequest } from "../../../src/protocol/net-crypto/packetRequest.ts"
import { hex, readVectors, unhex } from "../../vectors/vectors.ts"

interface Table {
  readonly requests: ReadonlyArray<{ start: number; end: number; missing: ReadonlyArray<number>; payload: string }>
}

const encode = (start: number, end: number, missing: ReadonlySet<number>, size = 1373): Uint8Array => {
  const target = new Uint8Array(size).fill(0xee)
  return target.slice(0, encodeRequest(target, start, end, (number) => !missing.has(number)))
}

/** What a list says about the packets [start, end). */
const decode = (payload: Uint8Array, start: number, end: number) => {
  const missing: Array<number> = []
  const received: Array<number> = []
  decodeRequest(payload, start, end, (number) => missing.push(number), (number) => received.push(number))
  return { missing, received }
}

/** A window anywhere among the numbers, the wrap-around included, and what is missing in it. */
const windows = fc.record({
  start: fc.oneof(fc.constant(0), fc.integer({ min: 2 ** 32 - 3_000, max: 2 ** 32 - 1 }), fc.nat(2 ** 32 - 1)),
  length: fc.nat(3_000),
  offsets: fc.array(fc.nat(2_999), { maxLength: 40 })
}).map(({ length, offsets, start }) => ({
  start,
  end: (start + length) >>> 0,
  missing: new Set(
    [...new Set(offsets)].filter((at) => at < length).sort((a, b) => a - b).map((at) => (start + at) >>> 0)
  )
}))

describe("the request packet", () => {
  for (const { start, end, missing, payload } of readVectors<Table>("net-crypto").requests) {
    it(`golden ${payload}`, () => {
      assert.strictEqual(hex(encode(start, end, new Set(missing))), payload)
      assert.deepStrictEqual(decode(unhex(payload), start, end).missing, [...missing])
    })
  }

  it("what is written is read again, in order, also over the wrap-around at 2^32", () => {
    fc.assert(
      fc.property(windows, ({ end, missing, start }) => {
        const { missing: read, received } = decode(encode(start, end, missing), start, end)
        assert.deepStrictEqual(read, [...missing])
        for (const number of received) assert.isFalse(missing.has(number))
        // Everything before the last missing one has been spoken about.
        const last = [...missing].at(-1)
        if (last !== undefined) {
          assert.isAtLeast(read.length + received.length, ((last - start) >>> 0) + 1)
        }
      }),
      { numRuns: 300 }
    )
  })

  it("a full packet ends the list: what it names is right, the rest is left for the next one", () => {
    const missing = new Set(Array.from({ length: 5_000 }, (_, i) => i))
    const packet = encode(0, 5_000, missing)
    assert.strictEqual(packet.length, 1373)
    assert.deepStrictEqual(decode(packet, 0, 5_000), { missing: [...missing].slice(0, 1372), received: [] })
  })

  it("every byte sequence is bounded: at most one verdict a number, none outside [start, end)", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 1373 }),
        fc.nat(2 ** 32 - 1),
        fc.nat(2_000),
        (payload, start, length) => {
          const { missing, received } = decode(payload, start, (start + length) >>> 0)
          const offsets = [...missing, ...received].map((number) => (number - start) >>> 0)
          assert.strictEqual(new Set(offsets).size, offsets.length)
          for (const offset of offsets) assert.isBelow(offset, length)
          assert.isAtMost(missing.length, Math.max(0, payload.length - 1))
        }
      ),
      { numRuns: 300 }
    )
  })

  it("a window of 32,768 with nothing and with everything missing", () => {
    assert.strictEqual(hex(encode(7, 7 + 32_768, new Set())).slice(0, 6), "010000")
    assert.deepStrictEqual(decode(encode(7, 7 + 32_768, new Set()), 7, 7 + 32_768).missing, [])
    const last = 7 + 32_767
    assert.deepStrictEqual(decode(encode(7, 7 + 32_768, new Set([last])), 7, 7 + 32_768).missing, [last])
  })
})
