import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as EntropyLive from "../../src/layers/EntropyLive.ts"
import * as EntropyWebCrypto from "../../src/layers/EntropyWebCrypto.ts"
import { pooledEntropy } from "../../src/layers/pooledEntropy.ts"
import { Entropy } from "../../src/services/Entropy.ts"

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")

for (
  const [name, layer] of [["EntropyLive", EntropyLive.layer], ["EntropyWebCrypto", EntropyWebCrypto.layer]] as const
) {
  describe(name, () => {
    it.effect("fills every byte, also above the limit of one request", () =>
      Effect.gen(function*() {
        const entropy = yield* Entropy
        for (const size of [1, 24, 32, 1024, 1025, 65_536, 65_537, 200_000]) {
          const seen = new Uint8Array(size)
          // A byte that stays zero in ten fillings is one that is never filled.
          for (let i = 0; i < 10; i++) entropy.bytes(size).forEach((byte, at) => seen[at]! |= byte)
          expect(seen.every((byte) => byte !== 0), `${size} bytes`).toBe(true)
        }
      }).pipe(Effect.provide(layer)))

    it.effect("fill writes a view and nothing beside it; an empty one is allowed", () =>
      Effect.gen(function*() {
        const entropy = yield* Entropy
        const buffer = new Uint8Array(40)
        entropy.fill(buffer.subarray(4, 36))
        expect([...buffer.subarray(0, 4), ...buffer.subarray(36)]).toEqual(Array.from({ length: 8 }, () => 0))
        entropy.fill(buffer.subarray(0, 0))
        expect(entropy.bytes(0).length).toBe(0)
      }).pipe(Effect.provide(layer)))

    it.effect("never gives the same 16 bytes twice, across many pools", () =>
      Effect.gen(function*() {
        const entropy = yield* Entropy
        const seen = new Set<string>()
        for (let i = 0; i < 5000; i++) seen.add(hex(entropy.bytes(16)))
        expect(seen.size).toBe(5000)
      }).pipe(Effect.provide(layer)))

    it.effect("fraction is in [0, 1), spread evenly", () =>
      Effect.gen(function*() {
        const entropy = yield* Entropy
        const tenths = Array.from({ length: 10 }, () => 0)
        for (let i = 0; i < 20_000; i++) {
          const fraction = entropy.fraction()
          expect(fraction >= 0 && fraction < 1).toBe(true)
          tenths[Math.floor(fraction * 10)]! += 1
        }
        // 2000 expected; eleven standard deviations either way.
        for (const count of tenths) expect(Math.abs(count - 2000)).toBeLessThan(480)
      }).pipe(Effect.provide(layer)))
  })
}

describe("pooledEntropy", () => {
  /** Counts up, and keeps the pool in view. */
  const counting = () => {
    let next = 1
    const pools: Array<Uint8Array> = []
    const generate = (target: Uint8Array): void => {
      pools.push(target)
      for (let i = 0; i < target.length; i++) target[i] = (next++ % 255) + 1
    }
    return { generate, pools }
  }

  it.effect("asks the generator once for many small requests and hands out every byte once", () =>
    Effect.gen(function*() {
      const { generate, pools } = counting()
      const entropy = yield* pooledEntropy(generate)
      const handedOut = Array.from({ length: 100 }, () => [...entropy.bytes(24)]).flat()
      expect(pools.length).toBe(1)
      expect(handedOut).toEqual(Array.from({ length: 2400 }, (_, i) => ((i + 1) % 255) + 1))
    }))

  it.effect("G1: what was handed out is erased in the pool", () =>
    Effect.gen(function*() {
      const { generate, pools } = counting()
      const entropy = yield* pooledEntropy(generate)
      entropy.bytes(32)
      entropy.fraction()
      expect(pools[0]!.subarray(0, 40).every((byte) => byte === 0)).toBe(true)
      expect(pools[0]![40]).not.toBe(0)
    }))

  it.effect("G1: the pool is erased when the scope closes, and zeros are never handed out", () =>
    Effect.gen(function*() {
      const { generate, pools } = counting()
      const scope = yield* Scope.make()
      const entropy = yield* Scope.provide(pooledEntropy(generate), scope)
      entropy.bytes(1)
      yield* Scope.close(scope, Exit.void)
      expect(pools[0]!.every((byte) => byte === 0)).toBe(true)
      expect(entropy.bytes(32).every((byte) => byte !== 0)).toBe(true)
    }))
})
