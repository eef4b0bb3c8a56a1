/** `Identity` made new every time the layer is built and stored nowhere: for one-shot commands and for tests. */
import * as Layer from "effect/Layer"
import type { Entropy } from "../services/Entropy.ts"
import { generate, Identity } from "../services/Identity.ts"
import type { ToxCrypto } from "../services/ToxCrypto.ts"

/** A new identity, wiped when the scope closes. */
export const layer: Layer.Layer<Identity, never, Entropy | ToxCrypto> = Layer.effect(Identity, generate)
