/** One XSalsa20-Poly1305 key at work in sodium-native. Nothing is allocated for a packet but the views it is passed as. */
import type { Cipher } from "../protocol/crypto/Crypto.ts"
import { macSize } from "../schema/Bytes.ts"
import { requireOpenable, requireSealable, wipe } from "./cryptoInput.ts"

/** The part of sodium-native that is used. All of them throw on a wrong length and when libsodium refuses. */
export interface SodiumNative {
  readonly crypto_secretbox_easy: (
    target: Uint8Array,
    source: Uint8Array,
    nonce: Uint8Array,
    key: Uint8Array
  ) => void
  readonly crypto_secretbox_open_easy: (
    target: Uint8Array,
    source: Uint8Array,
    nonce: Uint8Array,
    key: Uint8Array
  ) => boolean
  readonly crypto_scalarmult: (shared: Uint8Array, secretKey: Uint8Array, publicKey: Uint8Array) => void
  readonly crypto_scalarmult_base: (publicKey: Uint8Array, secretKey: Uint8Array) => void
  readonly crypto_hash_sha512: (target: Uint8Array, source: Uint8Array) => void
}

/** A cipher that owns `key` and wipes it on `dispose`. `live` holds the `dispose` of every cipher still in use. */
export const nativeCipher = (sodium: SodiumNative, key: Uint8Array, live: Set<() => void>): Cipher => {
  let disposed = false
  const dispose = (): void => {
    disposed = true
    wipe(key)
    live.delete(dispose)
  }
  live.add(dispose)
  return {
    seal: (target, targetAt, source, sourceAt, length, nonce) => {
      if (disposed) throw new Error("this cipher is disposed of")
      requireSealable(target, targetAt, source, sourceAt, length, nonce)
      sodium.crypto_secretbox_easy(
        target.subarray(targetAt, targetAt + length + macSize),
        source.subarray(sourceAt, sourceAt + length),
        nonce,
        key
      )
    },
    open: (target, targetAt, source, sourceAt, length, nonce) => {
      if (disposed || !(length > macSize)) return false
      requireOpenable(target, targetAt, source, sourceAt, length, nonce)
      return sodium.crypto_secretbox_open_easy(
        target.subarray(targetAt, targetAt + length - macSize),
        source.subarray(sourceAt, sourceAt + length),
        nonce,
        key
      )
    },
    dispose
  }
}
