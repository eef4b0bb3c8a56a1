/**
 * Chooses between the two `ToxCrypto` layers. `ToxCrypto.implementation` says which one it was. For Node only; elsewhere use
 * `ToxCryptoWasm`.
 */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { ToxCrypto } from "../services/ToxCrypto.ts"
import type { ToxCryptoUnavailable } from "../services/ToxCryptoUnavailable.ts"
import * as ToxCryptoNative from "./ToxCryptoNative.ts"
import * as ToxCryptoWasm from "./ToxCryptoWasm.ts"

/** `CAUSEWAY_CRYPTO`: `auto` (the default), `native` or `wasm`. */
export const choice = Config.Literals(["auto", "native", "wasm"], "CAUSEWAY_CRYPTO").pipe(
  Config.withDefault("auto" as const)
)

/**
 * The choice among these two, for tests.
 *
 * @internal
 */
export const layerAmong = <E1, E2>(
  native: Layer.Layer<ToxCrypto, E1>,
  wasm: Layer.Layer<ToxCrypto, E2>
): Layer.Layer<ToxCrypto, E1 | E2 | Config.ConfigError> =>
  Layer.unwrap(
    Effect.map(choice, (chosen): Layer.Layer<ToxCrypto, E1 | E2> => {
      switch (chosen) {
        case "native":
          return native
        case "wasm":
          return wasm
        case "auto":
          return Layer.catch(native, () => wasm)
      }
    })
  )

/**
 * sodium-native where it can be loaded, else libsodium-wrappers. `CAUSEWAY_CRYPTO=native` or `wasm` insists on one of them: the
 * layer then fails with `ToxCryptoUnavailable` when that one cannot be loaded, and with a `ConfigError` on any other word.
 */
export const layer: Layer.Layer<ToxCrypto, ToxCryptoUnavailable | Config.ConfigError> = layerAmong(
  ToxCryptoNative.layer,
  ToxCryptoWasm.layer
)
