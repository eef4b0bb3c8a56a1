import * as Redacted from "effect/Redacted"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { FrameSealer } from "../../../src/protocol/relay/FrameSealer.ts"
import { RelayFrames } from "../../../src/protocol/relay/RelayFrames.ts"
import { hex, plainCrypto } from "../../utils/plainCrypto.ts"

const cipher = plainCrypto.secretBox(Redacted.make(new Uint8Array(32).fill(9)))
const nonce = new Uint8Array(24)
const open = (bytes: Uint8Array): Array<string> => {
  const seen: Array<string> = []
  expect(new RelayFrames(cipher, nonce).push(bytes, (plain) => void seen.push(hex(plain)))).toBeUndefined()
  return seen
}

describe("FrameSealer", () => {
  it("property: batches, however they are cut, join to one valid stream", () => {
    fc.assert(fc.property(
      fc.array(fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 100 }), fc.boolean()), { maxLength: 30 }),
      (steps) => {
        const sealer = new FrameSealer(cipher, nonce)
        const batches: Array<Uint8Array> = []
        for (const [plain, take] of steps) {
          const before = sealer.size
          sealer.append(plain, plain.length)
          expect(sealer.size).toBe(before + plain.length + 18)
          if (take) batches.push(sealer.take()!)
        }
        const last = sealer.take()
        if (last !== undefined) batches.push(last)
        expect(open(Uint8Array.from(Buffer.concat(batches)))).toEqual(steps.map(([plain]) => hex(plain)))
      }
    ))
  })

  it("gives right-sized batches that belong to the caller", () => {
    const sealer = new FrameSealer(cipher, nonce)
    expect(sealer.take()).toBeUndefined()
    sealer.append(Uint8Array.of(1), 1)
    const first = sealer.take()!
    expect(first.length).toBe(19)
    expect(first.buffer.byteLength).toBe(19)
    expect(sealer.take()).toBeUndefined()
    expect(sealer.size).toBe(0)
    const copy = hex(first)
    for (let i = 0; i < 100; i++) sealer.append(new Uint8Array(2032), 2032)
    expect(hex(first)).toBe(copy)
  })

  it("seals only the given length", () => {
    const sealer = new FrameSealer(cipher, nonce)
    sealer.append(Uint8Array.of(1, 2, 3, 4), 2)
    expect(open(sealer.take()!)).toEqual(["0102"])
  })

  it("keeps a batch that outgrows its scratch in order", () => {
    const sealer = new FrameSealer(cipher, nonce)
    const expected: Array<string> = []
    for (let i = 0; i < 400; i++) {
      const plain = new Uint8Array(1 + (i * 37) % 2032).fill(i)
      sealer.append(plain, plain.length)
      expected.push(hex(plain))
    }
    const bytes = sealer.take()!
    expect(bytes.length).toBeGreaterThan(3 * 65_536)
    expect(open(bytes)).toEqual(expected)
    sealer.append(Uint8Array.of(1), 1)
    expect(sealer.size).toBe(19)
  })

  it("shares its scratches between many sealers with open batches", () => {
    const sealers = Array.from({ length: 40 }, () => new FrameSealer(cipher, nonce))
    for (let round = 0; round < 3; round++) {
      sealers.forEach((sealer, i) => sealer.append(Uint8Array.of(i, round), 2))
    }
    for (const [i, sealer] of sealers.entries()) {
      expect(open(sealer.take()!)).toEqual([0, 1, 2].map((round) => hex(Uint8Array.of(i, round))))
    }
  })

  it.each([0, -1, 2033])("refuses a frame of %i bytes as a bug, and the stream stays intact", (length) => {
    const sealer = new FrameSealer(cipher, nonce)
    expect(() => sealer.append(new Uint8Array(4000), length)).toThrow(RangeError)
    sealer.append(Uint8Array.of(1), 1)
    expect(open(sealer.take()!)).toEqual(["01"])
  })

  it("drops its batch when disposed of, and ignores what comes after", () => {
    const own = plainCrypto.secretBox(Redacted.make(new Uint8Array(32)))
    const sealer = new FrameSealer(own, nonce)
    sealer.append(Uint8Array.of(1), 1)
    sealer.dispose()
    own.dispose()
    sealer.append(Uint8Array.of(2), 1)
    expect(sealer.size).toBe(0)
    expect(sealer.take()).toBeUndefined()
    sealer.dispose()
  })
})
