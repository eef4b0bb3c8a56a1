/**
 * The attempts of one peer of a static group that were used already (design, "Direct links"): the dialling side draws them, so the listening
 * side has to remember which it has seen (row M14). Bounded; the oldest go first.
 */
import { toHex } from "../../schema/Bytes.ts"

/** Attempts that are remembered for each peer. */
const maxRemembered = 1_024

export class UsedAttempts {
  readonly #seen = new Set<string>()

  has(attempt: Uint8Array): boolean {
    return this.#seen.has(toHex(attempt))
  }

  add(attempt: Uint8Array): void {
    this.#seen.add(toHex(attempt))
    if (this.#seen.size <= maxRemembered) return
    for (const oldest of this.#seen) {
      this.#seen.delete(oldest)
      return
    }
  }
}
