/** Random choices of a simulation, all of which follow from one seed. */
import * as EntropySeeded from "../EntropySeeded.ts"

export class Dice {
  readonly #fraction: () => number

  constructor(seed: number) {
    this.#fraction = EntropySeeded.make(seed).fraction
  }

  /** A whole number from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + Math.floor(this.#fraction() * (high - low + 1))
  }

  chance(probability: number): boolean {
    return this.#fraction() < probability
  }

  /** One of them; undefined when there is none. The dice are thrown in any case. */
  pick<A>(from: ReadonlyArray<A>): A | undefined {
    return from[Math.floor(this.#fraction() * from.length)]
  }

  /** One of them, as often as its weight says. */
  weighted<A extends { readonly weight: number }>(from: ReadonlyArray<A>): A {
    let left = this.#fraction() * from.reduce((sum, { weight }) => sum + weight, 0)
    for (const candidate of from) {
      left -= candidate.weight
      if (left < 0) return candidate
    }
    return from.at(-1)!
  }

  /** So many different ones, in random order. */
  sample<A>(from: ReadonlyArray<A>, count: number): Array<A> {
    const left = Array.from(from)
    const taken: Array<A> = []
    while (taken.length < count && left.length > 0) taken.push(...left.splice(this.between(0, left.length - 1), 1))
    return taken
  }
}
