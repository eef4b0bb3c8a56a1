import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import * as Nonce from "../../../src/protocol/crypto/nonce.ts"
import { DataCipher, type DataDrop, maxPayload } from "../../../src/protocol/net-crypto/DataCipher.ts"
import { ReplayWindow } from "../../../src/protocol/net-crypto/ReplayWindow.ts"
import { consecutive, hex, keyPairFrom, plainCrypto, unhex } from "../../utils/plainCrypto.ts"
import { readVectors } from "../../vectors/vectors.ts"

const vectors = readVectors<{
  readonly baseNonce: string
  readonly data: ReadonlyArray<{ readonly number: number; readonly payload: string; readonly wire: string }>
}>("net-crypto")

const mine = keyPairFrom(0x81)
const theirs = keyPairFrom(0xa1)
const base = unhex(vectors.baseNonce)
const sender = (nonce = base) =>
  new DataCipher(plainCrypto.box(theirs.publicKey, mine.secretKey)!, nonce, new Uint8Array(24))
const receiver = (nonce = base) =>
  new DataCipher(plainCrypto.box(mine.publicKey, theirs.secretKey)!, new Uint8Array(24), nonce)

const seal = (cipher: DataCipher, payload: Uint8Array, number = 0, acknowledged = 0): Uint8Array => {
  const frame = new Uint8Array(1401)
  return frame.slice(1, cipher.seal(frame, acknowledged, number, payload))
}

const target = new Uint8Array(1381)
const open = (cipher: DataCipher, packet: Uint8Array): Uint8Array | DataDrop =>
  cipher.open(packet, target, 0) ?? target.slice(cipher.payloadAt, cipher.payloadAt + cipher.payloadLength)

describe("DataCipher", () => {
  it("known answers: data packets 1 and 2, sealed and opened", () => {
    const [a, b] = [sender(), receiver()]
    for (const { number, payload, wire } of vectors.data) {
      assert.strictEqual(hex(seal(a, unhex(payload), number)), wire)
      assert.deepStrictEqual(open(b, unhex(wire)), unhex(payload))
      assert.deepStrictEqual([b.number, b.acknowledged], [number, 0])
    }
  })

  it("pads to 5 modulo 8 with zeros, and every payload of 1..1373 bytes comes back with its numbers", () => {
    const [a, b] = [sender(), receiver()]
    for (let size = 1; size <= maxPayload; size++) {
      const payload = consecutive(size, size)
      payload[0] = 160
      const packet = seal(a, payload, 2 ** 32 - size, 2 ** 31 + size)
      assert.strictEqual((packet.length - 3 - 16 - 8) % 8, 5)
      assert.isBelow(packet.length - 27 - size, 8)
      assert.deepStrictEqual(open(b, packet), payload)
      assert.deepStrictEqual([b.number, b.acknowledged], [2 ** 32 - size, 2 ** 31 + size])
    }
  })

  it("strips any number of leading zeros; nothing but zeros is empty", () => {
    const cipher = plainCrypto.box(theirs.publicKey, mine.secretKey)!
    const raw = (plain: Uint8Array, nonce: Uint8Array): Uint8Array => {
      const packet = new Uint8Array(3 + plain.length + 16)
      packet.set([27, nonce[22]!, nonce[23]!])
      cipher.seal(packet, 3, plain, 0, plain.length, nonce)
      return packet
    }
    const nonce = base.slice()
    const b = receiver()
    for (const zeros of [0, 1, 7, 8, 100, 1372]) {
      const plain = new Uint8Array(8 + zeros + 1)
      plain[plain.length - 1] = 18
      assert.deepStrictEqual(open(b, raw(plain, nonce)), Uint8Array.of(18))
      Nonce.increment(nonce)
      assert.strictEqual(open(b, raw(new Uint8Array(8 + zeros + 1), nonce)), "empty")
      Nonce.increment(nonce)
    }
  })

  it("drops what is too short, too long or forged, and goes on", () => {
    const [a, b] = [sender(), receiver()]
    const packet = seal(a, Uint8Array.of(160, 1))
    for (const size of [0, 1, 3, 19, 27, 1401, 2048]) assert.strictEqual(open(b, new Uint8Array(size)), "length")
    fc.assert(
      fc.property(fc.integer({ min: 8, max: packet.length * 8 - 1 }), (bit) => {
        const bad = packet.slice()
        bad[bit >>> 3]! ^= 1 << (bit & 7)
        assert.strictEqual(open(b, bad), "forged")
      }),
      { numRuns: 200 }
    )
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 28, maxLength: 1400 }), (bytes) => {
        assert.strictEqual(open(b, bytes), "forged")
      }),
      { numRuns: 200 }
    )
    assert.deepStrictEqual(open(b, packet), Uint8Array.of(160, 1))
  })

  it("F7: nothing opens twice, in any order, over 140,000 packets and two rollovers of the nonce bytes", () => {
    const [a, b] = [sender(), receiver()]
    const recent: Array<Uint8Array> = []
    for (let i = 0; i < 140_000; i++) {
      const packet = seal(a, Uint8Array.of(160), i)
      assert.notStrictEqual(typeof open(b, packet), "string", `packet ${i}`)
      if (i % 97 === 0) recent.push(packet)
      if (i % 7_001 === 0) {
        // Those inside the window are known; those beyond it open under no nonce.
        for (const old of recent.slice(-225)) assert.strictEqual(open(b, old), "replayed")
        assert.strictEqual(typeof open(b, recent[0]!), "string")
      }
    }
  })

  it("a packet may be 21,845 late wherever it falls, and is still taken once", () => {
    for (const start of [0, 43_600]) {
      const [a, b] = [sender(), receiver()]
      for (let i = 0; i < start; i++) seal(a, Uint8Array.of(160))
      const late = seal(a, Uint8Array.of(161))
      for (let i = 0; i < 21_845; i++) {
        const packet = seal(a, Uint8Array.of(160))
        assert.notStrictEqual(typeof open(b, packet), "string", `${start} + ${i}`)
      }
      assert.deepStrictEqual(open(b, late), Uint8Array.of(161))
      assert.isFalse(b.isNewest)
      assert.strictEqual(open(b, late), "replayed")
    }
  })

  it("takes a jump ahead of up to 65,535 packets; after a gap of 65,536 nothing opens any more", () => {
    const [a, b] = [sender(), receiver()]
    const frame = new Uint8Array(1401)
    const skip = (count: number): void => {
      for (let i = 0; i < count; i++) a.seal(frame, 0, 0, Uint8Array.of(160))
    }
    skip(65_535)
    assert.deepStrictEqual(open(b, seal(a, Uint8Array.of(160, 1))), Uint8Array.of(160, 1))
    // The base stands at 21,845 now, so 65,536 + 21,845 is one too far.
    skip(21_845)
    assert.strictEqual(open(b, seal(a, Uint8Array.of(160, 2))), "forged")
    for (let i = 0; i < 100; i++) assert.strictEqual(typeof open(b, seal(a, Uint8Array.of(160, 3))), "string")
  })

  it("a nonce of all ones is followed by zero", () => {
    const [a, b] = [sender(new Uint8Array(24).fill(0xff)), receiver(new Uint8Array(24).fill(0xff))]
    for (let i = 0; i < 10; i++) assert.deepStrictEqual(open(b, seal(a, Uint8Array.of(160, i))), Uint8Array.of(160, i))
  })

  it("G1: after dispose nothing opens and sealing is a bug", () => {
    const [a, b] = [sender(), receiver()]
    const packet = seal(a, Uint8Array.of(160))
    a.dispose()
    b.dispose()
    assert.strictEqual(open(b, packet), "forged")
    assert.throws(() => seal(a, Uint8Array.of(160)))
  })
})

describe("ReplayWindow", () => {
  it("agrees with a set under any additions and forgetting", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(200_000), fc.integer({ min: 0, max: 22_000 }), fc.boolean()), { maxLength: 60 }),
        (steps) => {
          const window = new ReplayWindow()
          const known = new Set<number>()
          for (const [at, count, adds] of steps) {
            if (adds) {
              for (let i = 0; i < Math.min(count, 70); i++) {
                window.add(at + i)
                known.add((at + i) & 0xffff)
              }
            } else {
              window.forget(at, count)
              for (let i = 0; i < count; i++) known.delete((at + i) & 0xffff)
            }
            for (const near of [at - 1, at, at + 31, at + 32, at + count - 1, at + count]) {
              assert.strictEqual(window.has(near), known.has(near & 0xffff))
            }
          }
        }
      ),
      { numRuns: 200 }
    )
  })
})
