/**
 * The cryptography of the upper bound: two layers of XSalsa20-Poly1305 with counting nonces, called as directly as each library
 * allows. It knows nothing of ours, so that the bound does not move with the library.
 */
import { createRequire } from "node:module"

export type CryptoName = "native" | "wasm"

/** Reads `length` bytes of `source`, writes the result to `target` and returns how long that is. */
export type Step = (target: Buffer, targetAt: number, source: Buffer, sourceAt: number, length: number) => number

/** What the three processes do with a message. Every call makes steps with nonces of their own, starting at the same value. */
export interface BoundCiphers {
  readonly sealTwice: (inner: Uint8Array, outer: Uint8Array) => Step
  readonly exchange: (from: Uint8Array, to: Uint8Array) => Step
  readonly openTwice: (outer: Uint8Array, inner: Uint8Array) => Step
}

const tag = 16
const nonceSize = 24

const advance = (bytes: Uint8Array, at: number): void => {
  for (let i = at + nonceSize - 1; i >= at; i--) {
    bytes[i] = (bytes[i]! + 1) & 0xff
    if (bytes[i] !== 0) return
  }
}

const refuse = (): never => {
  throw new Error("a message of the upper bound did not authenticate")
}

interface SodiumNative {
  readonly crypto_secretbox_easy: (target: Uint8Array, source: Uint8Array, nonce: Uint8Array, key: Uint8Array) => void
  readonly crypto_secretbox_open_easy: (
    target: Uint8Array,
    source: Uint8Array,
    nonce: Uint8Array,
    key: Uint8Array
  ) => boolean
}

const native = (): BoundCiphers => {
  const sodium = createRequire(import.meta.url)("sodium-native") as SodiumNative
  const sealer = (key: Uint8Array): Step => {
    const nonce = new Uint8Array(nonceSize)
    return (target, targetAt, source, sourceAt, length) => {
      advance(nonce, 0)
      sodium.crypto_secretbox_easy(
        target.subarray(targetAt, targetAt + length + tag),
        source.subarray(sourceAt, sourceAt + length),
        nonce,
        key
      )
      return length + tag
    }
  }
  const opener = (key: Uint8Array): Step => {
    const nonce = new Uint8Array(nonceSize)
    return (target, targetAt, source, sourceAt, length) => {
      advance(nonce, 0)
      const fine = sodium.crypto_secretbox_open_easy(
        target.subarray(targetAt, targetAt + length - tag),
        source.subarray(sourceAt, sourceAt + length),
        nonce,
        key
      )
      return fine ? length - tag : refuse()
    }
  }
  const between = Buffer.alloc(4096)
  const chain = (first: Step, second: Step): Step => (target, targetAt, source, sourceAt, length) =>
    second(target, targetAt, between, 0, first(between, 0, source, sourceAt, length))
  return {
    sealTwice: (inner, outer) => chain(sealer(inner), sealer(outer)),
    exchange: (from, to) => chain(opener(from), sealer(to)),
    openTwice: (outer, inner) => chain(opener(outer), opener(inner))
  }
}

interface Libsodium {
  readonly HEAPU8: Uint8Array
  readonly _malloc: (size: number) => number
  readonly _crypto_secretbox_easy: SecretBox
  readonly _crypto_secretbox_open_easy: SecretBox
}
type SecretBox = (to: number, from: number, length: number, lengthHigh: number, nonce: number, key: number) => number

/** A message stays in the WebAssembly heap between its two layers; sealing grows it towards the front, where the tag goes. */
const wasm = async (): Promise<BoundCiphers> => {
  const { default: wrappers } = await import("libsodium-wrappers")
  await wrappers.ready
  const sodium = (wrappers as unknown as { readonly libsodium: Libsodium }).libsodium
  const { _crypto_secretbox_easy: easy, _crypto_secretbox_open_easy: openEasy } = sodium
  const front = sodium._malloc(8192) + 64
  const keyed = (key: Uint8Array) => {
    const keyAt = sodium._malloc(key.length)
    const nonceAt = sodium._malloc(nonceSize)
    sodium.HEAPU8.set(key, keyAt)
    sodium.HEAPU8.fill(0, nonceAt, nonceAt + nonceSize)
    return { keyAt, nonceAt }
  }
  // After the keys are placed nothing allocates, so the heap stays where it is.
  const heap = sodium.HEAPU8
  const bytes = Buffer.from(heap.buffer)
  type Keyed = ReturnType<typeof keyed>
  const seal = (key: Keyed, at: number, length: number) => {
    advance(heap, key.nonceAt)
    easy(at - tag, at, length, 0, key.nonceAt, key.keyAt)
  }
  const open = (key: Keyed, at: number, length: number) => {
    advance(heap, key.nonceAt)
    if (openEasy(at + tag, at, length, 0, key.nonceAt, key.keyAt) !== 0) refuse()
  }
  return {
    sealTwice: (inner, outer) => {
      const first = keyed(inner)
      const second = keyed(outer)
      return (target, targetAt, source, sourceAt, length) => {
        source.copy(bytes, front + 2 * tag, sourceAt, sourceAt + length)
        seal(first, front + 2 * tag, length)
        seal(second, front + tag, length + tag)
        bytes.copy(target, targetAt, front, front + length + 2 * tag)
        return length + 2 * tag
      }
    },
    exchange: (from, to) => {
      const first = keyed(from)
      const second = keyed(to)
      return (target, targetAt, source, sourceAt, length) => {
        source.copy(bytes, front, sourceAt, sourceAt + length)
        open(first, front, length)
        seal(second, front + tag, length - tag)
        bytes.copy(target, targetAt, front, front + length)
        return length
      }
    },
    openTwice: (outer, inner) => {
      const first = keyed(outer)
      const second = keyed(inner)
      return (target, targetAt, source, sourceAt, length) => {
        source.copy(bytes, front, sourceAt, sourceAt + length)
        open(first, front, length)
        open(second, front + tag, length - tag)
        bytes.copy(target, targetAt, front + 2 * tag, front + length)
        return length - 2 * tag
      }
    }
  }
}

export const boundCiphers = (name: CryptoName): BoundCiphers | Promise<BoundCiphers> =>
  name === "native" ? native() : wasm()
