/**
 * Remembers which nonce indices have been used, so that no packet is taken twice (reliability F7). Covers the 65,536 indices that the
 * two nonce bytes of a data packet can name; 8 KiB.
 */
const span = 65_536

export class ReplayWindow {
  readonly #bits = new Uint32Array(span >>> 5)

  /** Whether the index has been taken. `index` counts from the peer's base nonce; only its low 16 bits matter. */
  has(index: number): boolean {
    const bit = index & (span - 1)
    return (this.#bits[bit >>> 5]! & (1 << (bit & 31))) !== 0
  }

  add(index: number): void {
    const bit = index & (span - 1)
    this.#bits[bit >>> 5]! |= 1 << (bit & 31)
  }

  /** Forgets `count` indices from `from`: they have left the window, and their bits stand for new indices. */
  forget(from: number, count: number): void {
    for (let i = 0; i < count; i++) {
      const bit = (from + i) & (span - 1)
      if ((bit & 31) === 0 && count - i >= 32) {
        this.#bits[bit >>> 5] = 0
        i += 31
      } else this.#bits[bit >>> 5]! &= ~(1 << (bit & 31))
    }
  }
}
