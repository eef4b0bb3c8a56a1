import * as Context from "effect/Context"

/**
 * The only source of randomness: keys, nonces, ping ids and jitter. The production layer reads the operating system's generator;
 * `testing/EntropySeeded` replays a seed, so that a simulated network can be repeated.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import { Entropy } from "effect-causeway"
 *
 * const nonce = Effect.map(Entropy, (entropy) => entropy.bytes(24))
 * ```
 */
export class Entropy extends Context.Service<Entropy, {
  /** Fills the whole array. */
  readonly fill: (target: Uint8Array) => void
  /** `size` fresh bytes. */
  readonly bytes: (size: number) => Uint8Array
  /** A number in [0, 1), for jitter and for random choices. */
  readonly fraction: () => number
}>()("causeway/services/Entropy") {}
