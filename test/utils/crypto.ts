/** Both implementations of `ToxCrypto`, and the shorthand that their tests share. */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as ToxCryptoNative from "../../src/layers/ToxCryptoNative.ts"
import * as ToxCryptoWasm from "../../src/layers/ToxCryptoWasm.ts"
import type { Cipher } from "../../src/protocol/crypto/Crypto.ts"
import { ToxCrypto } from "../../src/services/ToxCrypto.ts"

export const implementations = [["native", ToxCryptoNative.layer], ["wasm", ToxCryptoWasm.layer]] as const

/** The body of a test that gets the service of one implementation. */
export const withCrypto =
  (layer: (typeof implementations)[number][1]) => (body: (crypto: ToxCrypto["Service"]) => void) => () =>
    Effect.provide(Effect.map(ToxCrypto, body), layer)

export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")
export const unhex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, "hex"))
/** 32 consecutive byte values, the secret keys of the known-answer vectors. */
export const consecutive = (first: number) => Redacted.make(Uint8Array.from({ length: 32 }, (_, i) => first + i))
export const nonce = new Uint8Array(24).fill(0x5a)

export const seal = (cipher: Cipher, plain: Uint8Array, nonce: Uint8Array): Uint8Array => {
  const sealed = new Uint8Array(plain.length + 16)
  cipher.seal(sealed, 0, plain, 0, plain.length, nonce)
  return sealed
}
export const open = (cipher: Cipher, sealed: Uint8Array, nonce: Uint8Array): Uint8Array | undefined => {
  const plain = new Uint8Array(Math.max(0, sealed.length - 16))
  return cipher.open(plain, 0, sealed, 0, sealed.length, nonce) ? plain : undefined
}
