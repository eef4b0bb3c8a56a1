/** Everything that happens in a simulated world, in order, as a hash: two runs of one seed must give the same. Also counts. */

/** How often something happened, by name. */
export type Counts = Readonly<Record<string, number>>

export class Trace {
  readonly #millis: () => number
  readonly #onLine: ((line: string) => void) | undefined
  readonly #counts: Record<string, number> = {}
  #low = 0x811c9dc5
  #high = 0x1b873593
  /** Lines so far. */
  length = 0

  /** `millis` is the time of the world; `onLine` sees every line, for a human who replays a seed. */
  constructor(millis: () => number, onLine: ((line: string) => void) | undefined) {
    this.#millis = millis
    this.#onLine = onLine
  }

  /** The time of the world, milliseconds. */
  get now(): number {
    return this.#millis()
  }

  /** Adds one line. */
  note(text: string): void {
    const line = `${this.#millis()} ${text}`
    this.length++
    let low = this.#low
    let high = this.#high
    for (let i = 0; i < line.length; i++) {
      const unit = line.charCodeAt(i)
      low = Math.imul(low ^ unit, 0x01000193)
      high = Math.imul(high ^ unit ^ (low >>> 13), 0x85ebca6b)
    }
    this.#low = low
    this.#high = high
    this.#onLine?.(line)
  }

  /** Adds one line and counts it under a name. */
  count(name: string, detail = ""): void {
    this.#counts[name] = (this.#counts[name] ?? 0) + 1
    this.note(`${name} ${detail}`)
  }

  /** Only counts. */
  tally(name: string, by = 1): void {
    this.#counts[name] = (this.#counts[name] ?? 0) + by
  }

  get counts(): Counts {
    return { ...this.#counts }
  }

  get hash(): string {
    return [this.#low, this.#high].map((word) => (word >>> 0).toString(16).padStart(8, "0")).join("")
  }
}
