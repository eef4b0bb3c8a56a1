import { beforeAll, describe, expect, it } from "@effect/vitest"
import * as Redacted from "effect/Redacted"
import * as fc from "fast-check"
import sodium, { ready } from "libsodium-wrappers"
import { consecutive, hex, implementations, nonce, open, seal, withCrypto } from "../utils/crypto.ts"

beforeAll(() => ready)

for (const [name, layer] of implementations) {
  const check = withCrypto(layer)

  describe(`ToxCrypto input ${name}`, () => {
    it.effect(
      "round trip at 1, 2, 16, 1316 and 2032 bytes",
      check((crypto) => {
        const cipher = crypto.secretBox(consecutive(1))
        for (const length of [1, 2, 16, 1316, 2032]) {
          const plain = Uint8Array.from({ length }, (_, i) => i * 7)
          const sealed = seal(cipher, plain, nonce)
          expect(hex(open(cipher, sealed, nonce)!)).toBe(hex(plain))
        }
      })
    )

    it.effect(
      "a message longer than any packet is sealed and opened all the same",
      check((crypto) => {
        const cipher = crypto.secretBox(consecutive(1))
        const plain = Uint8Array.from({ length: 100_000 }, (_, i) => i * 7)
        expect(hex(open(cipher, seal(cipher, plain, nonce), nonce)!) === hex(plain)).toBe(true)
      })
    )

    it.effect(
      "an empty plaintext is refused, and nothing of 0..16 bytes opens",
      check((crypto) => {
        const cipher = crypto.secretBox(consecutive(1))
        expect(() => cipher.seal(new Uint8Array(16), 0, new Uint8Array(0), 0, 0, nonce)).toThrow(RangeError)
        for (let length = 0; length <= 16; length++) {
          expect(cipher.open(new Uint8Array(32), 0, new Uint8Array(32), 0, length, nonce)).toBe(false)
        }
        // A tag that is right for the empty plaintext, which is why only the length can refuse it.
        const sealedNothing = sodium.crypto_secretbox_easy(new Uint8Array(0), nonce, Redacted.value(consecutive(1)))
        expect(sealedNothing.length).toBe(16)
        expect(cipher.open(new Uint8Array(32), 0, sealedNothing, 0, 16, nonce)).toBe(false)
      })
    )

    it.effect(
      "any flipped bit, another nonce and another key do not open",
      check((crypto) => {
        const cipher = crypto.secretBox(consecutive(1))
        const sealed = seal(cipher, Uint8Array.of(1, 2, 3, 4, 5), nonce)
        for (let bit = 0; bit < sealed.length * 8; bit++) {
          const tampered = sealed.slice()
          tampered[bit >> 3]! ^= 1 << (bit & 7)
          expect(open(cipher, tampered, nonce)).toBeUndefined()
        }
        for (let bit = 0; bit < 24 * 8; bit++) {
          const other = nonce.slice()
          other[bit >> 3]! ^= 1 << (bit & 7)
          expect(open(cipher, sealed, other)).toBeUndefined()
        }
        expect(open(cipher, sealed.subarray(0, sealed.length - 1), nonce)).toBeUndefined()
        expect(open(crypto.secretBox(consecutive(2)), sealed, nonce)).toBeUndefined()
        expect(open(cipher, sealed, nonce)).toBeDefined()
      })
    )

    it.effect(
      "a message that does not open leaves the bytes outside its range alone",
      check((crypto) => {
        const cipher = crypto.secretBox(consecutive(1))
        const target = new Uint8Array(20).fill(9)
        expect(cipher.open(target, 5, new Uint8Array(21), 0, 21, nonce)).toBe(false)
        expect([...target.subarray(0, 5), ...target.subarray(10)]).toEqual(Array.from({ length: 15 }, () => 9))
      })
    )

    it.effect(
      "works on unaligned views at any offset, writes only its range and changes no input",
      check((crypto) => {
        const cipher = crypto.secretBox(consecutive(1))
        fc.assert(fc.property(
          fc.uint8Array({ minLength: 1, maxLength: 300 }),
          fc.nat(40),
          fc.nat(40),
          fc.nat(40),
          (plain, sourceAt, targetAt, viewAt) => {
            const source = new Uint8Array(viewAt + sourceAt + plain.length + 3).fill(1).subarray(viewAt)
            source.set(plain, sourceAt)
            const sourceBefore = hex(source)
            const nonceView = new Uint8Array(64).fill(3).subarray(viewAt, viewAt + 24)
            const target = new Uint8Array(viewAt + targetAt + plain.length + 16 + 5).fill(2).subarray(viewAt)
            cipher.seal(target, targetAt, source, sourceAt, plain.length, nonceView)
            expect(hex(source)).toBe(sourceBefore)
            expect(hex(nonceView)).toBe("03".repeat(24))
            const end = targetAt + plain.length + 16
            expect([...target.subarray(0, targetAt), ...target.subarray(end)].every((byte) => byte === 2)).toBe(true)

            const targetBefore = hex(target)
            const back = Buffer.alloc(sourceAt + plain.length + 7, 4)
            expect(cipher.open(back, sourceAt, target, targetAt, plain.length + 16, nonceView)).toBe(true)
            expect(hex(back)).toBe("04".repeat(sourceAt) + hex(plain) + "04".repeat(7))
            expect(hex(target)).toBe(targetBefore)
          }
        ))
      })
    )

    it.effect(
      "ranges outside the arrays, wrong nonces and wrong keys are refused before anything is written",
      check((crypto) => {
        const cipher = crypto.secretBox(consecutive(1))
        const target = new Uint8Array(40)
        const source = new Uint8Array(40).fill(1)
        const wrong: ReadonlyArray<readonly [targetAt: number, sourceAt: number, length: number, nonce: Uint8Array]> = [
          [0, 31, 10, nonce],
          [15, 0, 10, nonce],
          [-1, 0, 10, nonce],
          [0, -1, 10, nonce],
          [0, 0, -1, nonce],
          [0, 0, Number.NaN, nonce],
          [Number.NaN, 0, 10, nonce],
          [0, 0, 10, nonce.subarray(1)],
          [0, 0, 10, new Uint8Array(25)]
        ]
        for (const [targetAt, sourceAt, length, nonce] of wrong) {
          expect(() => cipher.seal(target, targetAt, source, sourceAt, length, nonce)).toThrow(RangeError)
        }
        expect(() => cipher.open(target, 0, source, 20, 30, nonce)).toThrow(RangeError)
        expect(() => cipher.open(target, 35, source, 0, 30, nonce)).toThrow(RangeError)
        expect(() => cipher.open(target, 0, source, 0, 30, nonce.subarray(1))).toThrow(RangeError)
        expect(target).toEqual(new Uint8Array(40))
        for (const size of [0, 31, 33]) {
          const key = Redacted.make(new Uint8Array(size).fill(1))
          expect(() => crypto.publicKey(key)).toThrow(RangeError)
          expect(() => crypto.secretBox(key)).toThrow(RangeError)
          expect(() => crypto.box(crypto.publicKey(consecutive(1)), key)).toThrow(RangeError)
          expect(() => crypto.box(new Uint8Array(size).fill(9), consecutive(1))).toThrow(RangeError)
        }
      })
    )
  })
}
