import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import sodium, { ready } from "libsodium-wrappers"
import { createRequire } from "node:module"
import { hsalsa20 } from "../../src/layers/hsalsa20.ts"
import { nativeCipher, type SodiumNative } from "../../src/layers/nativeCipher.ts"
import * as ToxCryptoNative from "../../src/layers/ToxCryptoNative.ts"
import { ToxCrypto } from "../../src/services/ToxCrypto.ts"

const native = createRequire(import.meta.url)("sodium-native") as SodiumNative
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")

describe("nativeCipher", () => {
  it("G1: dispose overwrites the key and leaves the set of live ciphers", () => {
    const key = new Uint8Array(32).fill(7)
    const live = new Set<() => void>()
    const cipher = nativeCipher(native, key, live)
    expect(live.size).toBe(1)
    cipher.dispose()
    expect(key).toEqual(new Uint8Array(32))
    expect(live.size).toBe(0)
  })
})

describe("hsalsa20", () => {
  it("answers the first example of the NaCl paper: the shared secret of Alice and Bob", () => {
    const key = Buffer.from("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742", "hex")
    const target = new Uint8Array(32)
    hsalsa20(target, key)
    expect(hex(target)).toBe("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389")
    hsalsa20(key, key)
    expect(hex(key)).toBe(hex(target))
  })

  it("after X25519 it is crypto_box_beforenm of libsodium, for any keys", async () => {
    await ready
    const bytes = fc.uint8Array({ minLength: 32, maxLength: 32 })
    fc.assert(
      fc.property(bytes, bytes, (secret, seed) => {
        const theirs = sodium.crypto_scalarmult_base(seed)
        const key = sodium.crypto_scalarmult(secret, theirs)
        hsalsa20(key, key)
        expect(hex(key)).toBe(hex(sodium.crypto_box_beforenm(theirs, secret)))
      }),
      { numRuns: 300 }
    )
  })
})

describe("ToxCryptoNative", () => {
  it.effect("a package that is not installed is a typed error that says what to do", () =>
    Effect.gen(function*() {
      const error = yield* ToxCrypto.pipe(
        Effect.provide(ToxCryptoNative.layerFrom("sodium-native-that-is-not-installed")),
        Effect.flip
      )
      expect(error._tag).toBe("ToxCryptoUnavailable")
      expect(error.implementation).toBe("sodium-native")
      expect(error.message).toContain("npm install sodium-native")
      expect(error.message).toContain("CAUSEWAY_CRYPTO=wasm")
      expect(error.message).not.toContain("\n")
    }))
})
