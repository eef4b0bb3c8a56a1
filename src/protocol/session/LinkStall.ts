/**
 * Judges whether a link still works while the peer owes an answer: after max(3 round trips, the stall time) without a byte of the peer a
 * probe is due, and after the same time again the link has stalled. A link that is merely silent is probed now and then. Time in which
 * our own event loop did not run counts for nobody. Times are monotonic milliseconds.
 *
 * It neither sends nor waits: the layer looks at every deadline, and when something is sent over a link that owed nothing.
 */

export interface LinkStallNumbers {
  readonly stallTimeout: number
  /** How often a link that is otherwise silent is probed. */
  readonly idleProbeInterval: number
}

/** What can be seen of the link. */
export interface LinkSigns {
  /** When the peer's latest bytes came; of several streams, on the one that has been silent for longest. */
  readonly heardAt: number
  /** Something of ours over this link is unanswered. */
  readonly isOwed: boolean
  readonly roundTrip: number | undefined
}

/** `probe`: send a ping now. `stalled` is said again at every look while nothing comes. */
export type LinkVerdict = "fine" | "probe" | "stalled"

/** Until it has been measured. */
const presumedRoundTrip = 500

export class LinkStall {
  /** When to look again at the latest. */
  deadline: number
  private readonly numbers: LinkStallNumbers
  /** Since when the peer has owed an answer and has said nothing; or has said nothing at all. */
  private quietSince: number
  private wasOwed = false
  /** The probe since the last byte of the peer. */
  private probedAt: number | undefined = undefined

  constructor(numbers: LinkStallNumbers, now: number) {
    this.numbers = numbers
    this.quietSince = now
    this.deadline = now
  }

  /** `lag`: for how long before `now` our own event loop did not run. */
  look(now: number, lag: number, signs: LinkSigns): LinkVerdict {
    if (this.probedAt !== undefined) {
      this.probedAt = signs.heardAt >= this.probedAt ? undefined : Math.min(now, this.probedAt + lag)
    }
    this.quietSince = Math.max(Math.min(now, this.quietSince + lag), signs.heardAt)
    if (signs.isOwed && !this.wasOwed) this.quietSince = now
    this.wasOwed = signs.isOwed
    const patience = Math.max(3 * (signs.roundTrip ?? presumedRoundTrip), this.numbers.stallTimeout)
    if (this.probedAt !== undefined) {
      this.deadline = this.probedAt + patience
      return now >= this.deadline ? "stalled" : "fine"
    }
    this.deadline = this.quietSince + (signs.isOwed ? patience : this.numbers.idleProbeInterval)
    if (now < this.deadline) return "fine"
    this.onProbe(now)
    this.deadline = now + patience
    return "probe"
  }

  /** A ping is being sent for another reason: it counts as the probe. */
  onProbe(now: number): void {
    this.probedAt ??= now
    this.deadline = Math.min(this.deadline, now)
  }
}
