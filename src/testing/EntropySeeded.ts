/**
 * `Entropy` that replays a seed: the same seed gives the same keys, nonces and jitter, so that a simulated network can be repeated.
 * FOR TESTS ONLY: everything it returns can be computed from the seed.
 *
 * The generator is xoshiro128** seeded by splitmix32, in plain 32-bit arithmetic.
 */
import * as Layer from "effect/Layer"
import { Entropy } from "../services/Entropy.ts"

const rotateLeft = (word: number, bits: number): number => (word << bits) | (word >>> (32 - bits))

/** A function that returns the next 32-bit word, signed. */
const xoshiro = (seed: number): () => number => {
  // Seeds beyond 32 bits count in full.
  let state = (seed ^ Math.imul(Math.floor(seed / 2 ** 32), 0x85ebca6b)) | 0
  const splitmix = (): number => {
    state = (state + 0x9e3779b9) | 0
    let word = Math.imul(state ^ (state >>> 16), 0x21f0aaad)
    word = Math.imul(word ^ (word >>> 15), 0x735a2d97)
    return word ^ (word >>> 15)
  }
  let a = splitmix(), b = splitmix(), c = splitmix(), d = splitmix()
  return () => {
    const word = Math.imul(rotateLeft(Math.imul(b, 5), 7), 9)
    const shifted = b << 9
    c ^= a
    d ^= b
    b ^= c
    a ^= d
    c ^= shifted
    d = rotateLeft(d, 11)
    return word
  }
}

/**
 * The service for `seed`, a safe integer of at least 0. Two services with one seed give the same bytes for the same calls, and
 * bytes do not depend on where they are written.
 *
 * @example
 * ```ts
 * import { EntropySeeded } from "effect-causeway/testing"
 *
 * const nonce = EntropySeeded.make(42).bytes(24)
 * ```
 */
export const make = (seed: number): Entropy["Service"] => {
  if (!Number.isSafeInteger(seed) || seed < 0) throw new RangeError("a seed is a safe integer of at least 0")
  const next = xoshiro(seed)
  const fill = (target: Uint8Array): void => {
    for (let at = 0; at < target.length; at += 4) {
      const word = next()
      const end = Math.min(at + 4, target.length)
      for (let i = at, bits = 0; i < end; i++, bits += 8) target[i] = word >>> bits
    }
  }
  return Entropy.of({
    fill,
    bytes: (size) => {
      const bytes = new Uint8Array(size)
      fill(bytes)
      return bytes
    },
    fraction: () => ((next() >>> 5) * 0x4000000 + (next() >>> 6)) / 2 ** 53
  })
}

/** The service of `make` as a layer. */
export const layer = (seed: number): Layer.Layer<Entropy> => Layer.sync(Entropy, () => make(seed))
