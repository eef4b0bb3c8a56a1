/**
 * Events on their way to one reader who may be slow. It is bounded, and what strangers cause (packets of the onion and of forwarders) has a
 * small share of it: however many of them a relay sends, they push out only each other. Plain code; waiting is somebody else's work.
 */
export class EventBacklog<Event> {
  readonly #limit: number
  readonly #foreignLimit: number
  #events: Array<{ readonly event: Event; readonly isForeign: boolean }> = []
  #foreign = 0

  /** At most so many events in all, and so many of strangers among them. */
  constructor(limit: number, foreignLimit: number) {
    this.#limit = limit
    this.#foreignLimit = foreignLimit
  }

  get size(): number {
    return this.#events.length
  }

  /** Appends an event. True when one had to go: the oldest of a stranger, and only where there is none the oldest of all. */
  push(event: Event, isForeign: boolean): boolean {
    const isOver = isForeign && this.#foreign >= this.#foreignLimit
    const isFull = this.#events.length >= this.#limit
    // All others are ours: then it is the stranger's new one.
    if (isForeign && isFull && this.#foreign === 0) return true
    if (isOver || isFull) {
      const oldest = this.#foreign > 0 ? this.#events.findIndex((held) => held.isForeign) : 0
      if (this.#foreign > 0) this.#foreign--
      this.#events.splice(oldest, 1)
    }
    this.#events.push({ event, isForeign })
    if (isForeign) this.#foreign++
    return isOver || isFull
  }

  /** Takes everything, the oldest first. */
  takeAll(): ReadonlyArray<Event> {
    const taken = this.#events.map(({ event }) => event)
    this.#events = []
    this.#foreign = 0
    return taken
  }
}
