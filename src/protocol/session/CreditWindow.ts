/**
 * How much one session may receive ahead of its reader: a window that grows while the reader keeps up with it, to about four times
 * the bandwidth-delay product. Growth comes out of a budget that all sessions with a peer share, so that a peer cannot fill
 * the memory by opening sessions that nobody reads.
 *
 * On a near path a window beyond what the system's own buffers hold is filled by waiting, which makes the round trip longer, and is no
 * use: that costs the sender's TCP more than it moves. So there it grows only as far as the path itself needs (docs/adr/0014-windows.md).
 */

/** Frame bytes that the windows of one peer's sessions may still grow by. */
export interface WindowBudget {
  left: number
}

/** What windows depend on: the time and the link's round trips, in milliseconds, and what is left to grow by. */
export interface WindowSurroundings {
  readonly now: () => number
  /** Smoothed, with what waits on the link. */
  readonly roundTrip: () => number | undefined
  /** Of the path alone. */
  readonly leastRoundTrip: () => number | undefined
  readonly budget: WindowBudget
}

/** Shortest round trip, milliseconds, below which a path is near, and bytes beyond which a window on it is filled by waiting. */
const farRoundTrip = 5
const nearSize = 3 * 1024 * 1024
/** Elsewhere a window holds what is read in so many round trips. One of the sessions is longer than that of the link: event loops take turns. */
const freeRoundTrips = 4
const leastRoundTrip = 10
/** There it holds what is read in so many of the shortest ones, measured over so many milliseconds: turns of the event loop bring bursts. */
const neededRoundTrips = 2
const leastSpan = 20

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
    const read = total - this.consumedAtMark
    if (read < this.size / 2) return
    const shortest = around.leastRoundTrip() ?? 0
    const isNear = shortest < farRoundTrip
    const isWaiting = isNear && this.size >= nearSize
    const now = around.now()
    const elapsed = now - this.markedAt
    if (isWaiting && elapsed < leastSpan) return
    this.consumedAtMark = total
    this.markedAt = now
    const delay = isWaiting
      ? neededRoundTrips * shortest
      : freeRoundTrips * Math.max(around.roundTrip() ?? 0, leastRoundTrip)
    const limit = isNear && !isWaiting ? Math.min(most, nearSize) : most
    const needed = Math.min(read * delay / elapsed, 2 * this.size, limit)
    const growth = Math.min(Math.floor(needed) - this.size, around.budget.left)
    if (growth <= 0) return
    this.size += growth
    around.budget.left -= growth
  }

  /** Gives back what it took from the budget. */
  release(budget: WindowBudget): void {
    budget.left += this.size - this.least
    this.size = this.least
  }
}
