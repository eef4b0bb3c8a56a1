import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as fc from "fast-check"
import { createHash } from "node:crypto"
import { inspect } from "node:util"
import * as ToxCryptoNative from "../../src/layers/ToxCryptoNative.ts"
import * as ToxCryptoWasm from "../../src/layers/ToxCryptoWasm.ts"
import { ToxCrypto } from "../../src/services/ToxCrypto.ts"
import { consecutive, hex, implementations, nonce, open, seal, unhex, withCrypto } from "../utils/crypto.ts"

/** Every X25519 public key of small order, with the encodings above the field prime. The top bit of the last byte is ignored. */
const lowOrderKeys = [
  "00".repeat(32),
  "01" + "00".repeat(31),
  "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
  "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"
].flatMap((key) => {
  const withTopBit = unhex(key)
  withTopBit[31]! |= 0x80
  return [unhex(key), withTopBit]
})

/** RFC 7748, section 6.1. */
const aliceSecret = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"
const bobSecret = "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"
const aliceAndBob = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"

for (const [name, layer] of implementations) {
  const check = withCrypto(layer)

  describe(`ToxCrypto ${name}`, () => {
    it.effect(
      "names its implementation",
      check((crypto) => {
        expect(crypto.implementation).toBe(name === "native" ? "sodium-native" : "libsodium-wrappers")
      })
    )

    it.effect(
      "derives the public keys of the relay vectors",
      check((crypto) => {
        expect(hex(crypto.publicKey(consecutive(0x01))))
          .toBe("07a37cbc142093c8b755dc1b10e86cb426374ad16aa853ed0bdfc0b2b86d1c7c")
        expect(hex(crypto.publicKey(consecutive(0x21))))
          .toBe("5869aff450549732cbaaed5e5df9b30a6da31cb0e5742bad5ad4a1a768f1a67b")
      })
    )

    it.effect(
      "box is the precomputed key of the vectors, the same from both sides",
      check((crypto) => {
        const vector = crypto.secretBox(
          Redacted.make(unhex("ec88f6e13b22bf9f04d480e0d8525c08ac7e2f48e212742bcbcafa104a74b08d"))
        )
        const fromClient = crypto.box(crypto.publicKey(consecutive(0x01)), consecutive(0x21))!
        const fromRelay = crypto.box(crypto.publicKey(consecutive(0x21)), consecutive(0x01))!
        const plain = Uint8Array.of(1, 2, 3)
        expect(hex(seal(fromClient, plain, nonce))).toBe(hex(seal(vector, plain, nonce)))
        expect(hex(seal(fromRelay, plain, nonce))).toBe(hex(seal(vector, plain, nonce)))
      })
    )

    it.effect(
      "seals and opens the first client frames and the first relay frame of the vectors",
      check((crypto) => {
        const session = crypto.box(crypto.publicKey(consecutive(0x61)), consecutive(0x41))!
        const ping = unhex("040102030405060708")
        const clientNonce = unhex("b1".repeat(23) + "ff")
        expect(hex(seal(session, ping, clientNonce))).toBe("c1855be951746934dbf1822c0ee82939d70dab8b3e8e5fcf44")
        const request = unhex("00" + hex(crypto.publicKey(consecutive(0x01))))
        expect(hex(seal(session, request, unhex("b1".repeat(22) + "b200")))).toBe(
          "459206ff8a667cb411113b9e40c088db603166a247edfd17c5c8c3d8cc81ed41028fe7b6f67ca01988ffff47ede344fd0c"
        )
        const pong = unhex("5a60d471c3acf4145542d0902d4c5840f60bb48ed524b6b799")
        expect(hex(open(session, pong, new Uint8Array(24).fill(0xd1))!)).toBe("050102030405060708")
      })
    )

    it.effect(
      "seals the data packets of the net_crypto vectors",
      check((crypto) => {
        const session = crypto.box(crypto.publicKey(consecutive(0xa1)), consecutive(0x81))!
        const online = unhex("00000000000000000000000018")
        const alive = unhex("00000000000000010000000010")
        expect(hex(seal(session, online, unhex("b1".repeat(22) + "ffff"))))
          .toBe("365c4af382294663b34a29a4fc29db0f06ac74f6daa83039a830174e32")
        expect(hex(seal(session, alive, unhex("b1".repeat(21) + "b20000"))))
          .toBe("9e613f6ab28db3ad5983f2f37f704466e5eef91a161cbcdbb0fa4e7610")
      })
    )

    it.effect(
      "sha512 is that of the platform, also for more than the scratch area",
      check((crypto) => {
        for (const length of [0, 3, 112, 127, 128, 5_000, 1_000_000]) {
          const bytes = new Uint8Array(length).fill(0x61)
          expect(hex(crypto.sha512(bytes))).toBe(createHash("sha512").update(bytes).digest("hex"))
        }
      })
    )

    it.effect(
      "low-order and zero public keys give no cipher",
      check((crypto) => {
        for (const key of lowOrderKeys) expect(crypto.box(key, consecutive(1)), hex(key)).toBeUndefined()
      })
    )

    it.effect(
      "sharedSecret is X25519 of RFC 7748, the same from both sides",
      check((crypto) => {
        // Section 6.1: the keys of Alice and Bob.
        const alice = Redacted.make(unhex(aliceSecret))
        const bob = Redacted.make(unhex(bobSecret))
        expect(hex(crypto.sharedSecret(crypto.publicKey(bob), alice)!)).toBe(aliceAndBob)
        expect(hex(crypto.sharedSecret(crypto.publicKey(alice), bob)!)).toBe(aliceAndBob)
        // Section 5.2: the first pair of scalar and coordinate.
        const scalar = Redacted.make(unhex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4"))
        const coordinate = unhex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c")
        expect(hex(crypto.sharedSecret(coordinate, scalar)!))
          .toBe("c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552")
      })
    )

    it.effect(
      "sharedSecret belongs to the caller: a second one does not change the first",
      check((crypto) => {
        const first = crypto.sharedSecret(crypto.publicKey(consecutive(1)), consecutive(2))!
        const kept = hex(first)
        const second = crypto.sharedSecret(crypto.publicKey(consecutive(3)), consecutive(2))!
        expect(hex(first)).toBe(kept)
        expect(hex(second)).not.toBe(kept)
      })
    )

    it.effect(
      "low-order and zero public keys give no shared secret, keys of another length are a bug",
      check((crypto) => {
        for (const key of lowOrderKeys) expect(crypto.sharedSecret(key, consecutive(1)), hex(key)).toBeUndefined()
        expect(() => crypto.sharedSecret(new Uint8Array(31), consecutive(1))).toThrow(RangeError)
        expect(() => crypto.sharedSecret(new Uint8Array(33), consecutive(1))).toThrow(RangeError)
      })
    )

    it.effect(
      "the key of secretBox is copied: the caller may wipe its own",
      check((crypto) => {
        const key = Redacted.value(consecutive(1)).slice()
        const cipher = crypto.secretBox(Redacted.make(key))
        const sealed = seal(cipher, Uint8Array.of(7), nonce)
        crypto.wipe(key)
        expect(key).toEqual(new Uint8Array(32))
        expect(hex(seal(cipher, Uint8Array.of(7), nonce))).toBe(hex(sealed))
      })
    )

    it.effect(
      "a disposed cipher throws when sealing and opens nothing; disposing again is harmless",
      check((crypto) => {
        const cipher = crypto.secretBox(consecutive(1))
        const other = crypto.secretBox(consecutive(2))
        const sealed = seal(cipher, Uint8Array.of(7), nonce)
        const sealedByOther = seal(other, Uint8Array.of(7), nonce)
        cipher.dispose()
        const third = crypto.secretBox(consecutive(3))
        cipher.dispose()
        expect(() => seal(cipher, Uint8Array.of(7), nonce)).toThrow()
        expect(open(cipher, sealed, nonce)).toBeUndefined()
        // A wiped key is a key of zeros, and anyone can seal with that.
        const sealedWithZeros = seal(crypto.secretBox(Redacted.make(new Uint8Array(32))), Uint8Array.of(7), nonce)
        expect(open(cipher, sealedWithZeros, nonce)).toBeUndefined()
        expect(hex(open(other, sealedByOther, nonce)!)).toBe("07")
        expect(open(third, seal(third, Uint8Array.of(7), nonce), nonce)).toBeDefined()
      })
    )

    it.effect("G1: closing the layer disposes of every cipher that is left", () =>
      Effect.gen(function*() {
        const scope = yield* Scope.make()
        const context = yield* Layer.buildWithScope(Layer.fresh(layer), scope)
        const crypto = yield* Effect.provide(ToxCrypto, context)
        const cipher = crypto.secretBox(consecutive(1))
        const boxed = crypto.box(crypto.publicKey(consecutive(1)), consecutive(2))!
        const sealed = seal(cipher, Uint8Array.of(7), nonce)
        yield* Scope.close(scope, Exit.void)
        expect(() => seal(cipher, Uint8Array.of(7), nonce)).toThrow()
        expect(() => seal(boxed, Uint8Array.of(7), nonce)).toThrow()
        expect(open(cipher, sealed, nonce)).toBeUndefined()
        cipher.dispose()
      }))

    it.effect(
      "equal compares contents and lengths",
      check((crypto) => {
        expect(crypto.equal(new Uint8Array(0), new Uint8Array(0))).toBe(true)
        expect(crypto.equal(Uint8Array.of(1, 2), Uint8Array.of(1, 2))).toBe(true)
        expect(crypto.equal(Uint8Array.of(1, 2), Uint8Array.of(1, 3))).toBe(false)
        expect(crypto.equal(Uint8Array.of(0x81, 2), Uint8Array.of(0x01, 2))).toBe(false)
        expect(crypto.equal(Uint8Array.of(1, 2), Uint8Array.of(1, 2, 0))).toBe(false)
      })
    )

    it.effect(
      "G2: no key shows in a cipher or in the service, printed in any way",
      check((crypto) => {
        const secret = consecutive(0x61)
        const cipher = crypto.secretBox(secret)
        for (const value of [cipher, crypto, secret]) {
          const shown = inspect(value, { depth: 9, showHidden: true }) + String(value) + JSON.stringify(value)
          expect(shown).not.toMatch(/97, ?98|616263|abcdefgh/)
        }
      })
    )
  })
}

describe("ToxCrypto native and wasm", () => {
  it.effect("agree on every result", () =>
    Effect.gen(function*() {
      const native = yield* Effect.provide(ToxCrypto, yield* Layer.build(ToxCryptoNative.layer))
      const wasm = yield* Effect.provide(ToxCrypto, yield* Layer.build(ToxCryptoWasm.layer))
      const key = fc.uint8Array({ minLength: 32, maxLength: 32 })
      fc.assert(
        fc.property(
          key,
          key,
          fc.uint8Array({ minLength: 24, maxLength: 24 }),
          fc.uint8Array({ minLength: 1, maxLength: 2032, size: "max" }),
          (secretBytes, theirs, nonce, plain) => {
            const secret = Redacted.make(secretBytes)
            expect(hex(native.publicKey(secret))).toBe(hex(wasm.publicKey(secret)))
            expect(hex(native.sha512(plain))).toBe(hex(wasm.sha512(plain)))
            expect(native.sharedSecret(theirs, secret)).toEqual(wasm.sharedSecret(theirs, secret))
            const boxes = [native.box(theirs, secret), wasm.box(theirs, secret)] as const
            const ciphers = boxes[0] === undefined || boxes[1] === undefined
              ? [native.secretBox(secret), wasm.secretBox(secret)] as const
              : [boxes[0], boxes[1]] as const
            expect(boxes[0] === undefined).toBe(boxes[1] === undefined)
            const sealed = seal(ciphers[0], plain, nonce)
            expect(hex(sealed)).toBe(hex(seal(ciphers[1], plain, nonce)))
            expect(hex(open(ciphers[1], sealed, nonce)!)).toBe(hex(plain))
            for (const cipher of ciphers) cipher.dispose()
          }
        ),
        { numRuns: 200 }
      )
    }))
})
