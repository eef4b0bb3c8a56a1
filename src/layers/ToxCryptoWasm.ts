/**
 * `ToxCrypto` on libsodium's WebAssembly build, for every platform. The module is called directly, without the wrappers'
 * allocations: keys live in the WebAssembly heap until they are disposed of, and packets pass through one scratch area there,
 * one copy in and one copy out. It never imports node:*.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type { Cipher } from "../protocol/crypto/Crypto.ts"
import { equalConstantTime } from "../protocol/crypto/equalConstantTime.ts"
import { keySize, macSize, type PublicKey } from "../schema/Bytes.ts"
import { allocateSecret } from "../schema/secretBytes.ts"
import { ToxCrypto } from "../services/ToxCrypto.ts"
import { ToxCryptoUnavailable } from "../services/ToxCryptoUnavailable.ts"
import { requireKey, requireOpenable, requireSealable, wipe } from "./cryptoInput.ts"

/** The part of the compiled module that is used. Pointers are byte offsets in `HEAPU8`; 64-bit lengths are passed as low, high. */
interface Libsodium {
  /** Replaced when the heap grows, which leaves earlier views empty: read it again after everything that may allocate. */
  readonly HEAPU8: Uint8Array
  readonly _malloc: (size: number) => number
  readonly _free: (pointer: number) => void
  readonly _crypto_secretbox_easy: SecretBox
  readonly _crypto_secretbox_open_easy: SecretBox
  readonly _crypto_box_beforenm: (shared: number, theirs: number, ours: number) => number
  readonly _crypto_scalarmult: (shared: number, secretKey: number, publicKey: number) => number
  readonly _crypto_scalarmult_base: (publicKey: number, secretKey: number) => number
  readonly _crypto_hash: (target: number, source: number, length: number, lengthHigh: number) => number
}
type SecretBox = (
  target: number,
  source: number,
  length: number,
  lengthHigh: number,
  nonce: number,
  key: number
) => number

const load = Effect.tryPromise({
  try: async () => {
    const { default: sodium } = await import("libsodium-wrappers")
    await sodium.ready
    return (sodium as unknown as { readonly libsodium: Libsodium }).libsodium
  },
  catch: (cause) =>
    new ToxCryptoUnavailable({
      implementation: "libsodium-wrappers",
      detail: cause instanceof Error ? cause.message : "no reason given"
    })
})

/** Offsets in the scratch area: the nonce, then a sealed message whose plaintext is opened and sealed in place. */
const sealedAt = 32
const plainAt = sealedAt + macSize
/** Enough for every packet of Tox. Longer input, which only the hash sees, grows the area. */
const initialScratchSize = 4096
const hashSize = 64

/**
 * Loads the module once. Fails with `ToxCryptoUnavailable` where there is no WebAssembly. When the scope closes, the scratch area
 * and the keys of all ciphers that were not disposed of are wiped.
 */
export const layer: Layer.Layer<ToxCrypto, ToxCryptoUnavailable> = Layer.effect(
  ToxCrypto,
  Effect.gen(function*() {
    const sodium = yield* load
    // The module is an object of several hundred properties: looking a function up for every packet would cost.
    const {
      _crypto_box_beforenm: beforenm,
      _crypto_secretbox_easy: easy,
      _crypto_secretbox_open_easy: openEasy
    } = sodium

    const allocate = (size: number): number => {
      const pointer = sodium._malloc(size)
      if (pointer === 0) throw new Error("libsodium's heap is exhausted")
      return pointer
    }
    const release = (pointer: number, size: number): void => {
      sodium.HEAPU8.fill(0, pointer, pointer + size)
      sodium._free(pointer)
    }

    let scratchSize = initialScratchSize
    let scratch = allocate(scratchSize)
    const live = new Set<() => void>()

    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        for (const dispose of live) dispose()
        release(scratch, scratchSize)
        scratch = 0
      })
    )

    /** The scratch area, with room for `size` bytes in all. */
    const reserve = (size: number): number => {
      if (scratch === 0) throw new Error("the layer of this ToxCrypto is closed")
      if (size > scratchSize) {
        const larger = allocate(size)
        release(scratch, scratchSize)
        scratch = larger
        scratchSize = size
      }
      return scratch
    }

    /** A cipher whose key is at `pointer`, which it owns from now on. */
    const cipherAt = (pointer: number): Cipher => {
      let key = pointer
      const dispose = (): void => {
        if (key === 0) return
        release(key, keySize)
        key = 0
        live.delete(dispose)
      }
      live.add(dispose)
      return {
        seal: (target, targetAt, source, sourceAt, length, nonce) => {
          if (key === 0) throw new Error("this cipher is disposed of")
          requireSealable(target, targetAt, source, sourceAt, length, nonce)
          const at = reserve(plainAt + length)
          const heap = sodium.HEAPU8
          heap.set(nonce, at)
          heap.set(source.subarray(sourceAt, sourceAt + length), at + plainAt)
          easy(at + sealedAt, at + plainAt, length, 0, at, key)
          target.set(heap.subarray(at + sealedAt, at + plainAt + length), targetAt)
        },
        open: (target, targetAt, source, sourceAt, length, nonce) => {
          if (key === 0 || !(length > macSize)) return false
          requireOpenable(target, targetAt, source, sourceAt, length, nonce)
          const at = reserve(sealedAt + length)
          const heap = sodium.HEAPU8
          heap.set(nonce, at)
          heap.set(source.subarray(sourceAt, sourceAt + length), at + sealedAt)
          if (openEasy(at + plainAt, at + sealedAt, length, 0, at, key) !== 0) return false
          target.set(heap.subarray(at + plainAt, at + sealedAt + length), targetAt)
          return true
        },
        dispose
      }
    }

    return ToxCrypto.of({
      implementation: "libsodium-wrappers",
      publicKey: (secretKey) => {
        const at = reserve(2 * keySize)
        const heap = sodium.HEAPU8
        heap.set(requireKey(Redacted.value(secretKey)), at)
        sodium._crypto_scalarmult_base(at + keySize, at)
        heap.fill(0, at, at + keySize)
        return heap.slice(at + keySize, at + 2 * keySize) as PublicKey
      },
      box: (theirs, ours) => {
        requireKey(theirs)
        const secret = requireKey(Redacted.value(ours))
        const at = reserve(2 * keySize)
        const key = allocate(keySize)
        const heap = sodium.HEAPU8
        heap.set(theirs, at)
        heap.set(secret, at + keySize)
        const usable = beforenm(key, at, at + keySize) === 0
        heap.fill(0, at + keySize, at + 2 * keySize)
        if (usable) return cipherAt(key)
        release(key, keySize)
        return undefined
      },
      sharedSecret: (theirs, ours) => {
        requireKey(theirs)
        const secret = requireKey(Redacted.value(ours))
        const at = reserve(3 * keySize)
        const heap = sodium.HEAPU8
        heap.set(theirs, at)
        heap.set(secret, at + keySize)
        const usable = sodium._crypto_scalarmult(at + 2 * keySize, at + keySize, at) === 0
        const shared = usable ? allocateSecret() : undefined
        shared?.set(heap.subarray(at + 2 * keySize, at + 3 * keySize))
        heap.fill(0, at + keySize, at + 3 * keySize)
        return shared
      },
      secretBox: (secretKey) => {
        const bytes = requireKey(Redacted.value(secretKey))
        reserve(0)
        const key = allocate(keySize)
        sodium.HEAPU8.set(bytes, key)
        return cipherAt(key)
      },
      sha512: (bytes) => {
        const at = reserve(hashSize + bytes.length)
        const heap = sodium.HEAPU8
        heap.set(bytes, at + hashSize)
        sodium._crypto_hash(at, at + hashSize, bytes.length, 0)
        return heap.slice(at, at + hashSize)
      },
      equal: equalConstantTime,
      wipe
    })
  })
)
