/**
 * `Entropy` from the platform's Web Crypto, for programs that do not run on Node. It imports nothing of the platform, so the main
 * entry point can offer it.
 */
import * as Layer from "effect/Layer"
import { Entropy } from "../services/Entropy.ts"
import { pooledEntropy } from "./pooledEntropy.ts"

/** Web Crypto refuses more than this in one call, bytes. */
const largestRequest = 65_536

/** Needs `globalThis.crypto`. */
export const layer: Layer.Layer<Entropy> = Layer.effect(
  Entropy,
  pooledEntropy((target) => {
    for (let at = 0; at < target.length; at += largestRequest) {
      // The type of Web Crypto excludes views of shared memory, which it would refuse with an error of its own.
      globalThis.crypto.getRandomValues(target.subarray(at, at + largestRequest) as Uint8Array<ArrayBuffer>)
    }
  })
)
