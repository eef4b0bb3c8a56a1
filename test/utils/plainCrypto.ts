/**
 * The cryptography and seeded randomness for tests of plain code, which has no Effect to ask for a service. Built once per test
 * file and never closed: the process ends first.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as ToxCryptoWasm from "../../src/layers/ToxCryptoWasm.ts"
import type { Cipher, Crypto, KeyPair } from "../../src/protocol/crypto/Crypto.ts"
import { ToxCrypto } from "../../src/services/ToxCrypto.ts"

export const plainCrypto: Crypto = Context.get(
  await Effect.runPromise(Layer.buildWithScope(ToxCryptoWasm.layer, Scope.makeUnsafe())),
  ToxCrypto
)

/** The key pair whose secret is 32 consecutive byte values, as in the vectors of the relay protocol, section 15. */
export const keyPairFrom = (first: number): KeyPair => {
  const secretKey = Redacted.make(consecutive(first))
  return { publicKey: plainCrypto.publicKey(secretKey), secretKey }
}

export const consecutive = (first: number, length = 32): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (first + i) & 0xff)

export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")
export const unhex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, "hex"))

/** The same cryptography, with the ciphers of key agreements that have not been disposed of. */
export const watchedCrypto = (): { readonly crypto: Crypto; readonly open: Set<Cipher> } => {
  const open = new Set<Cipher>()
  const crypto: Crypto = {
    ...plainCrypto,
    box: (theirs, ours) => {
      const inner = plainCrypto.box(theirs, ours)
      if (inner === undefined) return undefined
      const cipher: Cipher = {
        ...inner,
        dispose: () => {
          open.delete(cipher)
          inner.dispose()
        }
      }
      open.add(cipher)
      return cipher
    }
  }
  return { crypto, open }
}
