import * as Context from "effect/Context"
import type { Crypto } from "../protocol/crypto/Crypto.ts"

/**
 * The cryptography of Tox as a service: synchronous methods, available at once when the layer is built. Two layers exist,
 * `ToxCryptoNative` (sodium-native) and `ToxCryptoWasm` (libsodium-wrappers); `ToxCryptoAuto` prefers the first where it is
 * installed. `implementation` says which one is in use.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import { ToxCrypto } from "effect-causeway"
 *
 * const which = Effect.map(ToxCrypto, (crypto) => crypto.implementation)
 * ```
 */
export class ToxCrypto extends Context.Service<ToxCrypto, Crypto>()("causeway/services/ToxCrypto") {}
