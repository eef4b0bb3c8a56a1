/**
 * The boxes between our DHT key and those of recent callers. A key agreement costs as much as forty packets, so a caller who repeats
 * itself must not cost one each time. Bounded; the least recently used go first and are wiped.
 */
import { toHex } from "../../schema/Bytes.ts"
import type { Cipher, Crypto, SecretKey } from "../crypto/Crypto.ts"

const maxCiphers = 256

export class DhtCiphers {
  readonly #crypto: Crypto
  readonly #ours: SecretKey
  readonly #ciphers = new Map<string, Cipher>()

  constructor(crypto: Crypto, ours: SecretKey) {
    this.#crypto = crypto
    this.#ours = ours
  }

  /** The box with this DHT key; undefined when it is unusable. It belongs to the cache: use it at once. */
  get(theirs: Uint8Array): Cipher | undefined {
    const id = toHex(theirs)
    const known = this.#ciphers.get(id)
    const cipher = known ?? this.#crypto.box(theirs, this.#ours)
    if (cipher === undefined) return undefined
    this.#ciphers.delete(id)
    this.#ciphers.set(id, cipher)
    if (this.#ciphers.size > maxCiphers) {
      const [oldest, evicted] = this.#ciphers.entries().next().value!
      evicted.dispose()
      this.#ciphers.delete(oldest)
    }
    return cipher
  }

  dispose(): void {
    for (const cipher of this.#ciphers.values()) cipher.dispose()
    this.#ciphers.clear()
  }
}
