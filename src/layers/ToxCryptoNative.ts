/**
 * `ToxCrypto` on sodium-native, libsodium compiled for the platform: the fast one. The package is an optional dependency and is
 * loaded when the layer is built, never by importing this module.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { createRequire } from "node:module"
import type { SecretKey } from "../protocol/crypto/Crypto.ts"
import { equalConstantTime } from "../protocol/crypto/equalConstantTime.ts"
import { keySize, type PublicKey } from "../schema/Bytes.ts"
import { allocateSecret } from "../schema/secretBytes.ts"
import { ToxCrypto } from "../services/ToxCrypto.ts"
import { ToxCryptoUnavailable } from "../services/ToxCryptoUnavailable.ts"
import { requireKey, wipe } from "./cryptoInput.ts"
import { hsalsa20 } from "./hsalsa20.ts"
import { nativeCipher, type SodiumNative } from "./nativeCipher.ts"

/** The package has no types of its own. */
const load = (name: string): Effect.Effect<SodiumNative, ToxCryptoUnavailable> =>
  Effect.try({
    try: () => createRequire(import.meta.url)(name) as SodiumNative,
    catch: (cause) =>
      new ToxCryptoUnavailable({
        implementation: "sodium-native",
        detail: cause instanceof Error ? cause.message.split("\n", 1)[0]! : "no reason given"
      })
  })

/** The layer on a package of another name with sodium-native's interface, such as one that is not installed. */
export const layerFrom = (name: string): Layer.Layer<ToxCrypto, ToxCryptoUnavailable> =>
  Layer.effect(
    ToxCrypto,
    Effect.gen(function*() {
      const sodium = yield* load(name)
      const live = new Set<() => void>()
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          for (const dispose of live) dispose()
        })
      )
      const cipherOf = (key: Uint8Array) => nativeCipher(sodium, key, live)

      const sharedSecret = (theirs: Uint8Array, ours: SecretKey): Uint8Array | undefined => {
        requireKey(theirs)
        const secret = requireKey(Redacted.value(ours))
        const shared = allocateSecret()
        try {
          sodium.crypto_scalarmult(shared, secret, theirs)
        } catch {
          // The lengths are right, so this is libsodium's refusal of a low-order point.
          wipe(shared)
          return undefined
        }
        return shared
      }

      return ToxCrypto.of({
        implementation: "sodium-native",
        publicKey: (secretKey) => {
          const publicKey = new Uint8Array(keySize)
          sodium.crypto_scalarmult_base(publicKey, requireKey(Redacted.value(secretKey)))
          return publicKey as PublicKey
        },
        box: (theirs, ours) => {
          const key = sharedSecret(theirs, ours)
          if (key === undefined) return undefined
          hsalsa20(key, key)
          return cipherOf(key)
        },
        sharedSecret,
        secretBox: (secretKey) => {
          const key = allocateSecret()
          key.set(requireKey(Redacted.value(secretKey)))
          return cipherOf(key)
        },
        sha512: (bytes) => {
          const hash = new Uint8Array(64)
          sodium.crypto_hash_sha512(hash, bytes)
          return hash
        },
        equal: equalConstantTime,
        wipe
      })
    })
  )

/**
 * Loads sodium-native; fails with `ToxCryptoUnavailable` when it is not installed or not built for this platform. When the scope
 * closes, the keys of all ciphers that were not disposed of are wiped.
 */
export const layer: Layer.Layer<ToxCrypto, ToxCryptoUnavailable> = layerFrom("sodium-native")
