/**
 * Pauses between tries: none at first, then one that doubles up to a maximum. Half of each is random, so that those who lost the same thing
 * at the same time do not keep in step. Pure arithmetic: it never sleeps and draws no randomness.
 */
export class GrowingPause {
  readonly #least: number
  readonly #most: number
  #next = 0

  /** The first pause that is one, and the longest, milliseconds. */
  constructor(least: number, most: number) {
    this.#least = least
    this.#most = most
  }

  /** The pause before the next try, milliseconds. `fraction` in [0, 1) picks from its upper half. */
  take(fraction: number): number {
    const pause = this.#next
    this.#next = Math.min(Math.max(pause * 2, this.#least), this.#most)
    return pause * (1 + fraction) / 2
  }

  /** The next try needs no pause. */
  reset(): void {
    this.#next = 0
  }

  /** The next pause is the shortest again. */
  shorten(): void {
    this.#next = this.#least
  }
}
