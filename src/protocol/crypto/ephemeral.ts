/** Keys and nonces that live for one handshake or one connection. */
import * as Redacted from "effect/Redacted"
import { nonceSize, type PublicKey } from "../../schema/Bytes.ts"
import { allocateSecret } from "../../schema/secretBytes.ts"
import type { Crypto, SecretKey } from "./Crypto.ts"

/** Fills an array with random bytes, as `Entropy.fill` does. */
export type Fill = (target: Uint8Array) => void

/** A fresh key pair. `wipe` is idempotent; the secret is unusable after it. */
export interface Ephemeral {
  readonly publicKey: PublicKey
  readonly secretKey: SecretKey
  readonly wipe: () => void
}

export const makeEphemeral = (crypto: Crypto, fill: Fill): Ephemeral => {
  const secret = allocateSecret()
  fill(secret)
  const secretKey = Redacted.make(secret)
  const publicKey = crypto.publicKey(secretKey)
  let live = true
  return {
    publicKey,
    secretKey,
    wipe: () => {
      if (!live) return
      live = false
      crypto.wipe(secret)
      Redacted.wipeUnsafe(secretKey)
    }
  }
}

export const randomNonce = (fill: Fill): Uint8Array => randomBytes(fill, nonceSize)

export const randomBytes = (fill: Fill, size: number): Uint8Array => {
  const bytes = new Uint8Array(size)
  fill(bytes)
  return bytes
}
