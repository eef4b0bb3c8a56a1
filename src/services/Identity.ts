import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type { KeyPair } from "../protocol/crypto/Crypto.ts"
import { allocateSecret } from "../schema/secretBytes.ts"
import { Entropy } from "./Entropy.ts"
import { ToxCrypto } from "./ToxCrypto.ts"

/** The two long-lived key pairs of a node (net_crypto, section 2). */
export interface IdentityKeys {
  /** The long-term pair, by which peers know the node. Relays never learn its public key. */
  readonly identity: KeyPair
  /** The pair that relays see. */
  readonly dht: KeyPair
}

/**
 * Who this node is. The layer that provides it owns the secret keys and wipes them when its scope closes. Layers: `IdentityFile`
 * (kept in a file) and `IdentityFresh` (new for every run).
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import { Identity } from "effect-causeway"
 *
 * const publicKey = Effect.map(Identity, (keys) => keys.identity.publicKey)
 * ```
 */
export class Identity extends Context.Service<Identity, IdentityKeys>()("causeway/services/Identity") {}

/**
 * Takes ownership of 32 secret bytes, best in an `ArrayBuffer` of their own, and derives the public key. When the scope closes the bytes are overwritten and the
 * `Redacted` forgets them: a use after that is a defect, not a key of zeros.
 */
export const keyPair = Effect.fnUntraced(function*(
  secret: Uint8Array
): Effect.fn.Return<KeyPair, never, ToxCrypto | Scope.Scope> {
  const crypto = yield* ToxCrypto
  const secretKey = yield* Effect.acquireRelease(
    Effect.sync(() => Redacted.make(secret, { label: "SecretKey" })),
    (secretKey) =>
      Effect.sync(() => {
        crypto.wipe(secret)
        Redacted.wipeUnsafe(secretKey)
      })
  )
  return { publicKey: crypto.publicKey(secretKey), secretKey }
})

/** A new random key pair, wiped when the scope closes. */
export const generateKeyPair: Effect.Effect<KeyPair, never, Entropy | ToxCrypto | Scope.Scope> = Effect.gen(
  function*() {
    const entropy = yield* Entropy
    const secret = allocateSecret()
    entropy.fill(secret)
    return yield* keyPair(secret)
  }
)

/** A new identity with a new DHT key, both wiped when the scope closes. Nothing is stored. */
export const generate: Effect.Effect<IdentityKeys, never, Entropy | ToxCrypto | Scope.Scope> = Effect.gen(function*() {
  const identity = yield* generateKeyPair
  const dht = yield* generateKeyPair
  return { identity, dht }
})
