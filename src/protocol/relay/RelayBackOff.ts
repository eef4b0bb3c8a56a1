/**
 * How long to wait before a relay is dialled again. Pure arithmetic over what happened: it never sleeps and draws no randomness. It
 * never says "give up".
 */

/** The numbers of `RelaySettings` that matter here, milliseconds. */
export interface BackOffNumbers {
  readonly reconnectMin: number
  readonly reconnectMax: number
  readonly quarantine: number
  readonly stableAfter: number
}

/** Each further violation multiplies the wait. */
const quarantineFactor = 4

export class RelayBackOff {
  readonly #numbers: BackOffNumbers
  #failures = 0
  #violations = 0

  constructor(numbers: BackOffNumbers) {
    this.#numbers = numbers
  }

  /**
   * The pause, milliseconds, after a connection has ended. `confirmedFor` is how long it was confirmed, undefined if it never was.
   * `fraction` in [0, 1) picks from the upper half of the pause, so that many clients do not return to a relay at once.
   */
  next(confirmedFor: number | undefined, isViolation: boolean, fraction: number): number {
    const { quarantine, reconnectMax, reconnectMin, stableAfter } = this.#numbers
    if (confirmedFor !== undefined && confirmedFor >= stableAfter) {
      this.#failures = 0
      // A relay that breaks the protocol after a while is still one that breaks the protocol.
      if (!isViolation) this.#violations = 0
    }
    const longest = isViolation
      ? Math.min(quarantine, reconnectMax * quarantineFactor ** ++this.#violations)
      : Math.min(reconnectMax, reconnectMin * 2 ** this.#failures)
    this.#failures++
    return longest / 2 + fraction * (longest / 2)
  }
}
