import { describe, expect, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as ToxCryptoAuto from "../../src/layers/ToxCryptoAuto.ts"
import * as ToxCryptoNative from "../../src/layers/ToxCryptoNative.ts"
import * as ToxCryptoWasm from "../../src/layers/ToxCryptoWasm.ts"
import { ToxCrypto } from "../../src/services/ToxCrypto.ts"

const implementation = <E>(layer: Layer.Layer<ToxCrypto, E>, config: Readonly<Record<string, string>>) =>
  Effect.map(ToxCrypto, (crypto) => crypto.implementation).pipe(
    Effect.provide(layer),
    Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromUnknown(config))
  )
const withoutNative = ToxCryptoAuto.layerAmong(
  ToxCryptoNative.layerFrom("sodium-native-that-is-not-installed"),
  ToxCryptoWasm.layer
)

describe("ToxCryptoAuto", () => {
  it.effect("prefers sodium-native when nothing is configured", () =>
    Effect.gen(function*() {
      expect(yield* implementation(ToxCryptoAuto.layer, {})).toBe("sodium-native")
      expect(yield* implementation(ToxCryptoAuto.layer, { CAUSEWAY_CRYPTO: "auto" })).toBe("sodium-native")
    }))

  it.effect("takes libsodium-wrappers when sodium-native cannot be loaded", () =>
    Effect.gen(function*() {
      expect(yield* implementation(withoutNative, {})).toBe("libsodium-wrappers")
    }))

  it.effect("CAUSEWAY_CRYPTO=wasm and native are obeyed", () =>
    Effect.gen(function*() {
      expect(yield* implementation(ToxCryptoAuto.layer, { CAUSEWAY_CRYPTO: "wasm" })).toBe("libsodium-wrappers")
      expect(yield* implementation(ToxCryptoAuto.layer, { CAUSEWAY_CRYPTO: "native" })).toBe("sodium-native")
    }))

  it.effect("CAUSEWAY_CRYPTO=native does not fall back", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(implementation(withoutNative, { CAUSEWAY_CRYPTO: "native" }))
      expect(error._tag).toBe("ToxCryptoUnavailable")
    }))

  it.effect("any other word is a configuration error that names the setting", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(implementation(ToxCryptoAuto.layer, { CAUSEWAY_CRYPTO: "openssl" }))
      expect(error._tag).toBe("ConfigError")
      expect(error.message).toContain("CAUSEWAY_CRYPTO")
    }))
})
