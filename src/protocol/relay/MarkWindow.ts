/**
 * What a relay has consumed of the bytes we sent (reliability F1). Relays answer pings in order, so a ping in the stream is a mark:
 * its pong says that everything before it was taken. This keeps the bytes beyond the last answered mark under a window, and
 * with the same pings judges whether the relay is alive. Plain state: times come in as monotonic milliseconds, and it never sends.
 */
import { maxPlaintext } from "../../schema/RelayPacket.ts"
import { frameOverhead } from "./RelayFrames.ts"

/** The numbers of `RelaySettings` that matter here. */
export interface MarkNumbers {
  readonly markWindow: number
  readonly markInterval: number
  readonly causewayMarkWindow: number
  readonly pingInterval: number
  readonly pingTimeout: number
  readonly stuckTimeout: number
}

/** A ping on the wire. */
export const markSize = 9 + frameOverhead
/** How far urgent packets may overdraw the window. Both together stay below what wedges a stock relay (200 KiB). */
export const urgentOverdraw = 64 * 1024
/** With less room than this the window counts as full: the largest frame and the mark behind it. */
const largestStep = maxPlaintext + frameOverhead + markSize
/** The window is halved while its bytes add more delay than this (ms), so that urgent packets do not wait long behind them. */
const tooMuchDelay = 500
/** It grows only while they add less than this, milliseconds. */
const littleDelay = 200
/** It is never halved below this many bytes. */
const smallestWindow = 32 * 1024

interface Mark {
  readonly high: number
  readonly low: number
  readonly sentAt: number
  /** Bytes of the stream up to the end of this mark. */
  readonly end: number
}

export class MarkWindow {
  readonly #numbers: MarkNumbers
  readonly #marks: Array<Mark> = []
  #window: number
  #ceiling: number
  #sent = 0
  #covered = 0
  #lastMarkEnd = 0
  #unmarked = false
  #lastMarkAt: number
  #lastPongAt: number
  #forgivenAt: number
  #roundTrip: number | undefined
  #leastRoundTrip = Infinity
  #halvedAt = -Infinity
  #fullSince: number | undefined
  /** The stream's length when the window was last full: only bytes before it tell that a larger window would help. */
  #fullAt = 0

  constructor(numbers: MarkNumbers, now: number) {
    this.#numbers = numbers
    this.#window = numbers.markWindow
    this.#ceiling = numbers.markWindow
    this.#lastMarkAt = this.#lastPongAt = this.#forgivenAt = now
  }

  /** The relay is a Causeway relay: from now on the window grows, while it is in use, up to its larger size. */
  allowGrowth(): void {
    this.#ceiling = Math.max(this.#ceiling, this.#numbers.causewayMarkWindow)
  }

  /** Bytes on the wire that no pong covers yet. */
  get uncovered(): number {
    return this.#sent - this.#covered
  }

  get size(): number {
    return this.#window
  }

  /** Bytes that may be sent now without overdrawing, with room kept for a mark. */
  get room(): number {
    return Math.max(0, this.#window - this.uncovered - markSize)
  }

  get isFull(): boolean {
    return this.#window - this.uncovered < largestStep
  }

  /** Whether a frame of so many bytes on the wire may be sent now. */
  fits(bytes: number, urgent: boolean): boolean {
    return this.uncovered + bytes + markSize <= this.#window + (urgent ? urgentOverdraw : 0)
  }

  /** Counts a frame. `needsMark`: a mark must follow even when nothing else does; not so for an answer to the relay's own ping. */
  sent(bytes: number, needsMark: boolean): void {
    this.#sent += bytes
    if (needsMark) this.#unmarked = true
  }

  /** Whether so much was sent since the last mark that one is due now. */
  get isMarkDue(): boolean {
    const interval = this.#ceiling > this.#numbers.markWindow
      ? Math.max(this.#numbers.markInterval, this.#window >> 6)
      : this.#numbers.markInterval
    return this.#sent - this.#lastMarkEnd >= interval
  }

  /** Whether, at the end of a burst, a mark is due: without one its bytes would stay uncovered. */
  get isTrailingMarkDue(): boolean {
    return this.#unmarked && this.#marks.length === 0
  }

  /** Notes that a ping with this 8-byte id, as two 32-bit halves, was appended to the stream. */
  mark(high: number, low: number, now: number): void {
    this.#sent += markSize
    this.#lastMarkEnd = this.#sent
    this.#lastMarkAt = now
    this.#unmarked = false
    this.#marks.push({ high, low, sentAt: now, end: this.#sent })
  }

  /**
   * Takes a pong. It covers everything up to its mark, earlier marks included. False when no outstanding mark has this id: a wrong or
   * late pong, which changes nothing.
   */
  pong(high: number, low: number, now: number): boolean {
    const at = this.#marks.findIndex((mark) => mark.low === low && mark.high === high)
    if (at < 0) return false
    const mark = this.#marks[at]!
    this.#marks.splice(0, at + 1)
    const covered = mark.end - this.#covered
    this.#covered = mark.end
    this.#roundTrip = now - mark.sentAt
    this.#lastPongAt = now
    this.#adapt(covered, mark, now)
    return true
  }

  /** Notes that packets must wait, because of this window or of the socket. */
  noteFull(now: number): void {
    this.#fullSince ??= now
    this.#fullAt = this.#sent
  }

  /** Notes that they need not wait any longer. */
  noteRoom(): void {
    this.#fullSince = undefined
  }

  /** Since when packets have been waiting while the relay took nothing, monotonic milliseconds; undefined while none wait. */
  get stuckSince(): number | undefined {
    return this.#fullSince === undefined ? undefined : Math.max(this.#fullSince, this.#lastPongAt)
  }

  /** Of the latest pong, milliseconds. */
  get roundTrip(): number | undefined {
    return this.#roundTrip
  }

  /** How many pings wait for their pongs. */
  get outstanding(): number {
    return this.#marks.length
  }

  /**
   * When `isExpired` or `isPingDue` may become true next. The time of a ping begins when it is sent, or when the pong before it
   * arrives: marks behind bulk on a slow line are answered late but in turn.
   */
  get nextCheck(): number {
    const oldest = this.#marks[0]
    return oldest === undefined
      ? this.#lastMarkAt + this.#numbers.pingInterval
      : Math.max(oldest.sentAt, this.#lastPongAt, this.#forgivenAt) + this.#numbers.pingTimeout
  }

  /** Whether a ping has waited too long for its pong: the relay is lost. */
  isExpired(now: number): boolean {
    return this.#marks.length > 0 && (now >= this.nextCheck || this.#isWedged(now))
  }

  /**
   * Whether a relay that is not ours has stopped reading: the window is full, and no pong has come for much longer than they took. It
   * does not recover (reliability F1).
   */
  #isWedged(now: number): boolean {
    const { stuckSince } = this
    if (stuckSince === undefined || this.#roundTrip === undefined) return false
    if (this.#ceiling > this.#numbers.markWindow) return false
    return now - Math.max(stuckSince, this.#forgivenAt) >= Math.max(this.#numbers.stuckTimeout, 8 * this.#roundTrip)
  }

  /** Whether the line has been quiet for so long that a ping must ask whether the relay is there. */
  isPingDue(now: number): boolean {
    return this.#marks.length === 0 && now >= this.nextCheck
  }

  /** Our own program stood still: outstanding pings get their full time again from now on. */
  forgive(now: number): void {
    this.#forgivenAt = now
  }

  #adapt(covered: number, mark: Mark, now: number): void {
    const roundTrip = now - mark.sentAt
    this.#leastRoundTrip = Math.min(this.#leastRoundTrip, roundTrip)
    const delay = roundTrip - this.#leastRoundTrip
    if (delay > tooMuchDelay) {
      // Once per round trip: later marks were sent before the halving could help.
      if (mark.sentAt < this.#halvedAt) return
      this.#halvedAt = now
      this.#window = Math.max(Math.min(smallestWindow, this.#numbers.markWindow), this.#window >> 1)
    } else if (delay < littleDelay && mark.end <= this.#fullAt) {
      this.#window = Math.min(this.#ceiling, this.#window + covered)
    }
  }
}
