/** `Entropy` from the operating system, through node:crypto. */
import * as Layer from "effect/Layer"
import { randomFillSync } from "node:crypto"
import { Entropy } from "../services/Entropy.ts"
import { pooledEntropy } from "./pooledEntropy.ts"

/** Needs no set-up. */
export const layer: Layer.Layer<Entropy> = Layer.effect(
  Entropy,
  pooledEntropy((target) => {
    randomFillSync(target)
  })
)
