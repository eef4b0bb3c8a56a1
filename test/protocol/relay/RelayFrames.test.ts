import * as Redacted from "effect/Redacted"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { FrameSealer } from "../../../src/protocol/relay/FrameSealer.ts"
import { RelayFrames } from "../../../src/protocol/relay/RelayFrames.ts"
import { hex, plainCrypto } from "../../utils/plainCrypto.ts"

const cipher = plainCrypto.secretBox(Redacted.make(new Uint8Array(32).fill(7)))
const nonce = new Uint8Array(24).fill(0xff)
const sealAll = (plains: ReadonlyArray<Uint8Array>): Uint8Array => {
  const sealer = new FrameSealer(cipher, nonce)
  for (const plain of plains) sealer.append(plain, plain.length)
  return sealer.take() ?? new Uint8Array(0)
}
const receive = (chunks: ReadonlyArray<Uint8Array>) => {
  const frames = new RelayFrames(cipher, nonce)
  const seen: Array<string> = []
  let violation: string | undefined
  for (const chunk of chunks) violation = frames.push(chunk, (plain) => void seen.push(hex(plain))) ?? violation
  return { frames, seen, violation }
}
const lengthPrefix = (length: number) => Uint8Array.of(length >> 8, length & 0xff)
const cut = (bytes: Uint8Array, sizes: ReadonlyArray<number>): Array<Uint8Array> => {
  const chunks: Array<Uint8Array> = []
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes.length === 0 ? bytes.length : sizes[i % sizes.length]!
    chunks.push(bytes.slice(at, at + size))
    at += size
  }
  return chunks
}
const plain = fc.uint8Array({ minLength: 1, maxLength: 200 })

describe("RelayFrames", () => {
  it("property: finds the same frames however the bytes are chunked", () => {
    fc.assert(
      fc.property(
        fc.array(plain, { maxLength: 8 }),
        fc.array(fc.integer({ min: 1, max: 300 }), { maxLength: 6 }),
        (plains, sizes) => {
          const result = receive(cut(sealAll(plains), sizes))
          expect(result.violation).toBeUndefined()
          expect(result.seen).toEqual(plains.map(hex))
          expect(result.frames.waiting).toBe(false)
          expect(result.frames.opened).toBe(plains.length)
        }
      ),
      { numRuns: 200 }
    )
  })

  it("is split at every byte", () => {
    const plains = [Uint8Array.of(1), new Uint8Array(2032).fill(2), Uint8Array.of(3, 4)]
    const bytes = sealAll(plains)
    for (let at = 0; at <= bytes.length; at++) {
      const result = receive([bytes.slice(0, at), bytes.slice(at)])
      expect(result.seen.length, `split at ${at}`).toBe(3)
      expect(result.violation).toBeUndefined()
    }
    expect(receive(cut(bytes, [1])).seen).toEqual(plains.map(hex))
  })

  it("property: any flipped bit is a violation, and nothing from that frame on is handed over", () => {
    fc.assert(
      fc.property(
        fc.array(plain, { minLength: 1, maxLength: 5 }),
        fc.nat(),
        fc.integer({ min: 0, max: 7 }),
        fc.integer({ min: 1, max: 64 }),
        (plains, position, bit, size) => {
          const bytes = sealAll(plains)
          const at = position % bytes.length
          bytes[at]! ^= 1 << bit
          // A flipped bit of a length may announce more bytes than follow; these are what it is then judged by.
          const result = receive([...cut(bytes, [size]), new Uint8Array(2048)])
          expect(result.violation).toBeDefined()
          let end = 0
          const intact = plains.filter((p) => (end += p.length + 18) <= at)
          expect(result.seen).toEqual(intact.map(hex))
        }
      ),
      { numRuns: 300 }
    )
  })

  it("property: a frame that is left out, doubled or moved is a violation", () => {
    fc.assert(fc.property(
      fc.array(plain, { minLength: 2, maxLength: 5 }),
      fc.nat(),
      fc.constantFrom("drop", "double", "swap"),
      (plains, pick, how) => {
        const sealer = new FrameSealer(cipher, nonce)
        const sealed = plains.map((p) => (sealer.append(p, p.length), sealer.take()!))
        const at = pick % (sealed.length - 1)
        if (how === "drop") sealed.splice(at, 1)
        else if (how === "double") sealed.splice(at, 0, sealed[at]!)
        else sealed.splice(at, 2, sealed[at + 1]!, sealed[at]!)
        const result = receive(sealed)
        expect(result.violation).toBe("a frame that does not authenticate")
        expect(result.seen).toEqual(plains.slice(0, how === "double" ? at + 1 : at).map(hex))
      }
    ))
  })

  it.each([0, 1, 2, 15, 16])("framing: a length of %i is a violation", (length) => {
    const result = receive([Uint8Array.from([...lengthPrefix(length), ...new Uint8Array(40)])])
    expect(result.violation).toBe(`a frame length of ${length}`)
    expect(result.seen).toEqual([])
  })

  it.each([2049, 65_535])("framing: a length of %i is a violation before the body arrives", (length) => {
    expect(receive([lengthPrefix(length)]).violation).toBe(`a frame length of ${length}`)
    const [high, low] = lengthPrefix(length)
    expect(receive([Uint8Array.of(high!), Uint8Array.of(low!)]).violation).toBe(`a frame length of ${length}`)
  })

  it("C10: accepts bodies of 17 and of 2048 bytes", () => {
    const plains = [Uint8Array.of(9), new Uint8Array(2032).fill(8)]
    const bytes = sealAll(plains)
    expect([...bytes.subarray(0, 2)]).toEqual([0, 17])
    expect([...bytes.subarray(19, 21)]).toEqual([8, 0])
    expect(receive([bytes]).seen).toEqual(plains.map(hex))
  })

  it("knows whether a frame is waiting, and whether it is still the same one", () => {
    const bytes = sealAll([Uint8Array.of(1), Uint8Array.of(2)])
    const frames = new RelayFrames(cipher, nonce)
    const ignore = () => {}
    expect(frames.waiting).toBe(false)
    frames.push(bytes.subarray(0, 1), ignore)
    expect([frames.waiting, frames.opened]).toEqual([true, 0])
    frames.push(bytes.subarray(1, 18), ignore)
    expect([frames.waiting, frames.opened]).toEqual([true, 0])
    frames.push(bytes.subarray(18, 20), ignore)
    expect([frames.waiting, frames.opened]).toEqual([true, 1])
    frames.push(bytes.subarray(20), ignore)
    expect([frames.waiting, frames.opened]).toEqual([false, 2])
  })

  it("stops for good when onFrame returns false", () => {
    const bytes = sealAll([Uint8Array.of(1), Uint8Array.of(2), Uint8Array.of(3)])
    const frames = new RelayFrames(cipher, nonce)
    const seen: Array<string> = []
    expect(frames.push(bytes.subarray(0, 45), (p) => (seen.push(hex(p)), p[0] !== 2))).toBeUndefined()
    expect(frames.push(bytes.subarray(45), (p) => void seen.push(hex(p)))).toBeUndefined()
    expect(seen).toEqual(["01", "02"])
    expect(frames.waiting).toBe(false)
  })

  it.each([19, 10])("survives onFrame disposing of the connection, first chunk of %i bytes", (size) => {
    const own = plainCrypto.secretBox(Redacted.make(new Uint8Array(32).fill(7)))
    const bytes = sealAll([Uint8Array.of(1), Uint8Array.of(2)])
    const frames = new RelayFrames(own, nonce)
    const seen: Array<string> = []
    const onFrame = (p: Uint8Array) => {
      seen.push(hex(p))
      frames.stop()
      own.dispose()
    }
    expect(frames.push(bytes.subarray(0, size), onFrame)).toBeUndefined()
    expect(frames.push(bytes.subarray(size), onFrame)).toBeUndefined()
    expect(seen).toEqual(["01"])
  })

  it("repeats its violation and takes nothing after it", () => {
    const frames = new RelayFrames(cipher, nonce)
    const seen: Array<string> = []
    expect(frames.push(lengthPrefix(3), (p) => void seen.push(hex(p)))).toBe("a frame length of 3")
    expect(frames.push(sealAll([Uint8Array.of(1)]), (p) => void seen.push(hex(p)))).toBe("a frame length of 3")
    expect(seen).toEqual([])
  })

  it("hands over frames of several parsers that call each other", () => {
    const bytes = sealAll([Uint8Array.of(1, 1, 1), Uint8Array.of(2, 2, 2)])
    const outer = new RelayFrames(cipher, nonce)
    const seen: Array<string> = []
    outer.push(bytes, (p) => {
      const inner = new RelayFrames(cipher, nonce)
      inner.push(sealAll([Uint8Array.of(9, 9, 9)]), (q) => void seen.push(hex(q)))
      seen.push(hex(p))
    })
    expect(seen).toEqual(["090909", "010101", "090909", "020202"])
  })

  it("does not move its base nonce, and does not mind the caller reusing the array", () => {
    const base = nonce.slice()
    const frames = new RelayFrames(cipher, base)
    base.fill(0)
    const seen: Array<string> = []
    expect(frames.push(sealAll([Uint8Array.of(5)]), (p) => void seen.push(hex(p)))).toBeUndefined()
    expect(seen).toEqual(["05"])
  })

  it("F1: takes a burst of 10 MB, in one chunk and in pieces", () => {
    const packet = new Uint8Array(1401).fill(3)
    const sealer = new FrameSealer(cipher, nonce)
    const count = Math.ceil(10_000_000 / 1419)
    for (let i = 0; i < count; i++) sealer.append(packet, packet.length)
    const bytes = sealer.take()!
    for (const size of [bytes.length, 65_536, 1000]) {
      const frames = new RelayFrames(cipher, nonce)
      let sum = 0
      for (let at = 0; at < bytes.length; at += size) {
        expect(frames.push(bytes.subarray(at, at + size), (p) => void (sum += p.length))).toBeUndefined()
      }
      expect(sum).toBe(count * 1401)
    }
  })
})
