/**
 * How much one session may receive ahead of its reader: a window that doubles while the reader keeps up with it, to about four times
 * the bandwidth-delay product. Growth comes out of a budget that all sessions with a peer share, so that a peer cannot fill
 * the memory by opening sessions that nobody reads.
 */

/** Frame bytes that the windows of one peer's sessions may still grow by. */
export interface WindowBudget {
  left: number
}

/** What windows depend on: the time and the link's round trip, in milliseconds, and what is left to grow by. */
export interface WindowSurroundings {
  readonly now: () => number
  readonly roundTrip: () => number | undefined
  readonly budget: WindowBudget
}

/** Round trips of a window's half that still count as being held back by it. */
const heldBackRoundTrips = 2
/** A round trip of the sessions is longer than that of the link: event loops take turns. Milliseconds. */
const leastRoundTrip = 10

export class CreditWindow {
  /** Frame bytes that may wait for the application. */
  size: number
  private least: number
  private consumedAtMark = 0
  private markedAt = 0

  constructor(size: number) {
    this.size = size
    this.least = size
  }

  /** The window to begin with, once it is known. */
  start(size: number): void {
    if (size <= this.least) return
    this.size += size - this.least
    this.least = size
  }

  /** The first frame has come. */
  begin(now: number): void {
    this.markedAt = now
  }

  /** Frame bytes that the application has consumed in all; may widen the window, to `most`. */
  consumed(total: number, most: number, around: WindowSurroundings): void {
    if (total - this.consumedAtMark < this.size / 2) return
    const now = around.now()
    const isHeldBack = now - this.markedAt < heldBackRoundTrips * Math.max(around.roundTrip() ?? 0, leastRoundTrip)
    this.consumedAtMark = total
    this.markedAt = now
    const growth = Math.min(this.size, most - this.size, around.budget.left)
    if (!isHeldBack || growth <= 0) return
    this.size += growth
    around.budget.left -= growth
  }

  /** Gives back what it took from the budget. */
  release(budget: WindowBudget): void {
    budget.left += this.size - this.least
    this.size = this.least
  }
}
