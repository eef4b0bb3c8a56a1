/**
 * `Entropy` on a generator that is cheap per byte and dear per call: small requests are cut from a pool, and what was handed out
 * is erased there, so that memory read later does not reveal keys made before.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { Entropy } from "../services/Entropy.ts"

/** A few hundred keys or nonces. Also far below the 65,536 bytes that Web Crypto gives at once. */
const poolSize = 8192

/** The service on `generate`, which overwrites the whole array with random bytes. The pool is erased when the scope closes. */
export const pooledEntropy = (
  generate: (target: Uint8Array) => void
): Effect.Effect<Entropy["Service"], never, Scope.Scope> =>
  Effect.gen(function*() {
    const pool = new Uint8Array(poolSize)
    const view = new DataView(pool.buffer)
    let at = poolSize

    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        pool.fill(0)
        // Zeros must never be handed out as random bytes: whoever still asks starts a new pool.
        at = poolSize
      })
    )

    /** Where the next `size` unused bytes of the pool are. */
    const take = (size: number): number => {
      if (poolSize - at < size) {
        generate(pool)
        at = 0
      }
      const start = at
      at += size
      return start
    }

    const fill = (target: Uint8Array): void => {
      if (target.length > poolSize / 8) return generate(target)
      const start = take(target.length)
      target.set(pool.subarray(start, at))
      pool.fill(0, start, at)
    }

    return Entropy.of({
      fill,
      bytes: (size) => {
        const bytes = new Uint8Array(size)
        fill(bytes)
        return bytes
      },
      fraction: () => {
        const start = take(8)
        // 53 random bits, all that a number below 1 can hold evenly.
        const fraction = ((view.getUint32(start) >>> 5) * 0x4000000 + (view.getUint32(start + 4) >>> 6)) / 2 ** 53
        pool.fill(0, start, at)
        return fraction
      }
    })
  })
