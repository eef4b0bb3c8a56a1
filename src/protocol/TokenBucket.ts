/**
 * A token bucket that may go into debt: what has already arrived is always charged, and `delay` says how long to stop taking more.
 * One number holds its state, because a relay keeps several of them for every client. It never reads a clock.
 */
export class TokenBucket {
  /** Milliseconds that one token takes to come back. */
  readonly #interval: number
  /** Milliseconds that an empty bucket takes to fill. */
  readonly #depth: number
  /** When the bucket reaches zero again if nothing more is charged; in the past while it holds tokens. */
  #emptyAt = -Infinity

  /** A full bucket of `capacity` tokens that refills at `perSecond`; by default it holds one second's worth. */
  constructor(perSecond: number, capacity: number = perSecond) {
    this.#interval = 1_000 / perSecond
    this.#depth = capacity * this.#interval
  }

  /** Takes tokens whether they are there or not. `now` is monotonic milliseconds and must not go back. */
  charge(now: number, tokens: number = 1): void {
    this.#emptyAt = Math.max(this.#emptyAt, now - this.#depth) + tokens * this.#interval
  }

  /** Milliseconds until the debt is paid, 0 when there is none. */
  delay(now: number): number {
    return Math.max(0, this.#emptyAt - now)
  }

  /** Takes one token if it is there. */
  take(now: number): boolean {
    const next = Math.max(this.#emptyAt, now - this.#depth) + this.#interval
    if (next > now) return false
    this.#emptyAt = next
    return true
  }

  /** Whether it is as good as new, so that it need not be remembered. */
  isFull(now: number): boolean {
    return this.#emptyAt <= now - this.#depth
  }
}
