/**
 * How much one relay is distrusted for one peer (row T33): grows when the relay did not deliver, and decays, so that a relay which was
 * only unlucky is soon trusted again. A relay that keeps failing stays away for longer each time.
 */

/** Milliseconds in which suspicion halves. */
const halfLife = 30_000
/** From here on the relay is not used for the peer if another is there. */
const threshold = 0.5
/** Suspicion does not grow beyond this: four minutes of quarantine. */
const ceiling = 128

export class Suspicion {
  #value = 0
  #at = 0

  /** What is left of it now, monotonic milliseconds. 0: trusted. */
  at(now: number): number {
    return this.#value === 0 ? 0 : this.#value * 2 ** ((this.#at - now) / halfLife)
  }

  isQuarantined(now: number): boolean {
    return this.at(now) >= threshold
  }

  /** When the quarantine ends, or -Infinity. */
  get quarantinedUntil(): number {
    return this.#value < threshold ? -Infinity : this.#at + halfLife * Math.log2(this.#value / threshold)
  }

  /** It did not deliver: suspicion doubles and grows by one. */
  accuse(now: number): void {
    this.#value = Math.min(ceiling, 2 * this.at(now) + 1)
    this.#at = now
  }

  /** It has been seen to deliver: half of the suspicion goes. */
  clear(now: number): void {
    this.#value = this.at(now) / 2
    this.#at = now
  }
}
