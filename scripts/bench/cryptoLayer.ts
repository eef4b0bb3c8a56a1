/** The cryptography a process of the benchmark was told to use, by the name the rows use. */
import type * as Layer from "effect/Layer"
import * as ToxCryptoNative from "../../src/layers/ToxCryptoNative.ts"
import * as ToxCryptoWasm from "../../src/layers/ToxCryptoWasm.ts"
import type { ToxCrypto } from "../../src/services/ToxCrypto.ts"
import type { ToxCryptoUnavailable } from "../../src/services/ToxCryptoUnavailable.ts"

export const cryptoLayer = (name: string | undefined): Layer.Layer<ToxCrypto, ToxCryptoUnavailable> =>
  name === "wasm" ? ToxCryptoWasm.layer : ToxCryptoNative.layer
