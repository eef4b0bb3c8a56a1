import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as IdentityFresh from "../../src/layers/IdentityFresh.ts"
import * as ToxCryptoWasm from "../../src/layers/ToxCryptoWasm.ts"
import { generate, generateKeyPair, Identity } from "../../src/services/Identity.ts"
import { ToxCrypto } from "../../src/services/ToxCrypto.ts"
import * as EntropySeeded from "../../src/testing/EntropySeeded.ts"

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")
const services = (seed: number) => Layer.mergeAll(EntropySeeded.layer(seed), ToxCryptoWasm.layer)

describe("Identity", () => {
  it.effect("B2: the same entropy gives the same identity, other entropy another", () =>
    Effect.gen(function*() {
      const publicKeys = (seed: number) =>
        Effect.map(generate, (keys) => hex(keys.identity.publicKey) + hex(keys.dht.publicKey)).pipe(
          Effect.provide(services(seed))
        )
      expect(yield* publicKeys(1)).toBe(yield* publicKeys(1))
      expect(yield* publicKeys(1)).not.toBe(yield* publicKeys(2))
    }))

  it.effect("a public key belongs to its secret key", () =>
    Effect.gen(function*() {
      const crypto = yield* ToxCrypto
      const pair = yield* generateKeyPair
      expect(hex(pair.publicKey)).toBe(hex(crypto.publicKey(pair.secretKey)))
    }).pipe(Effect.provide(services(3))))

  it.effect("G1: a generated key pair is wiped when its scope closes", () =>
    Effect.gen(function*() {
      const { pair, secret } = yield* Effect.scoped(
        Effect.map(generateKeyPair, (pair) => ({ pair, secret: Redacted.value(pair.secretKey) }))
      )
      expect(secret).toEqual(new Uint8Array(32))
      expect(() => Redacted.value(pair.secretKey)).toThrow()
      expect(pair.publicKey.some((byte) => byte !== 0)).toBe(true)
    }).pipe(Effect.provide(services(4))))

  it.effect("IdentityFresh makes another identity every time it is built", () =>
    Effect.gen(function*() {
      const publicKey = Effect.map(Identity, (keys) => hex(keys.identity.publicKey)).pipe(
        Effect.provide(Layer.fresh(IdentityFresh.layer))
      )
      expect(yield* publicKey).not.toBe(yield* publicKey)
    }).pipe(Effect.provide(services(5))))
})
