/**
 * The receiving half of a session: values that wait for the application, and the credit that bounds them.
 *
 * *Received* counts numbered frames, whatever the application does, and frees the sender's copies; *consumed* counts what the
 * application took and opens credit. So an application that stops reading does not make its link look dead (design, "Credit").
 */
import type { Payload } from "../../schema/Payload.ts"
import { CreditWindow, type WindowSurroundings } from "./CreditWindow.ts"
import { ValueInbox } from "./ValueInbox.ts"

/** How urgent a Credit is: `later` is within the credit interval. */
export type CreditNeed = "none" | "later" | "now"

/** What it needs to know of its surroundings. Bytes. */
export interface ReceiverSurroundings extends WindowSurroundings {
  readonly maxWindow: number
  /** Consumed bytes after which a Credit goes at once, unless the window is so large that it can wait for more. */
  readonly creditStep: number
}

/** The part of a large window after which a Credit goes at once: seldom, and long before the sender has to wait for it. */
const creditPart = 1 / 8

export class FrameReceiver {
  /** Numbered frames received. */
  received = 0
  /** Numbered frames that the link in use is to bring again, which an earlier link has brought. */
  repeated = 0
  /** Payload bytes received in all. */
  receivedBytes = 0
  /** The peer has ended its direction. */
  closed = false
  /** The next Credit must not wait. */
  urgent = false
  /** Values that the application has not taken. */
  readonly inbox = new ValueInbox()
  private readonly around: ReceiverSurroundings
  private readonly window: CreditWindow
  private released = false
  private receivedCost = 0
  private consumedCost = 0
  /** Cost the peer may send in all, as it has been told, and the received frames it has been told of. */
  private granted: number
  private told = 0
  /** What the last Resume said was received. */
  private resumedAt = 0

  /** `granted`: cost the peer may send without being told. */
  constructor(around: ReceiverSurroundings, window: number, granted: number) {
    this.around = around
    this.window = new CreditWindow(window)
    this.granted = granted
  }

  /** The credit of an Open or Accept, which counts from the beginning of the session: the whole of the first window. */
  grant(window: number): number {
    this.window.start(window)
    this.granted = Math.max(this.granted, this.window.size)
    return this.granted
  }

  /** The peer has been allowed to send. */
  get hasGranted(): boolean {
    return this.granted > 0
  }

  /** Counts a numbered frame. False: it is one that has been received before. */
  count(): boolean {
    if (this.repeated > 0) {
      this.repeated--
      return false
    }
    this.received++
    return true
  }

  /** Takes a value that has been counted. False: the peer sent it without credit. The payload then belongs to the session. */
  value(descriptor: number, length: number, payload: Payload, size: number, cost: number): boolean {
    if (this.receivedCost >= this.granted) return false
    if (this.receivedCost === 0) this.window.begin(this.around.now())
    this.receivedCost += cost
    this.receivedBytes += size
    this.inbox.push(descriptor, length, payload, size)
    return true
  }

  /** The application has taken this much. */
  consume(cost: number): void {
    this.consumedCost += cost
    // What is read after the end needs no window, and would keep what it took from the budget.
    if (!this.closed && !this.released) this.window.consumed(this.consumedCost, this.around.maxWindow, this.around)
  }

  /** Counts everything received as consumed and forgets it. */
  discard(): void {
    this.inbox.clear()
    this.consumedCost = this.receivedCost
  }

  /** The session is over: its window goes back to the budget. */
  release(): void {
    this.released = true
    this.window.release(this.around.budget)
  }

  /** Whether the peer has to be told something. */
  get need(): CreditNeed {
    const opened = this.closed ? 0 : this.consumedCost + this.window.size - this.granted
    if (this.received === this.told && opened <= 0 && !this.urgent) return "none"
    const { size } = this.window
    const step = Math.min(Math.max(this.around.creditStep, size * creditPart), size / 2)
    return this.urgent || opened >= step ? "now" : "later"
  }

  /** The contents of the next Credit, which counts as told. */
  credit(): { readonly received: number; readonly credit: number } {
    this.urgent = false
    this.told = this.received
    if (!this.closed) this.granted = Math.max(this.granted, this.consumedCost + this.window.size)
    return { received: this.received, credit: Math.min(0xffff_ffff, Math.max(0, this.granted - this.receivedCost)) }
  }

  /** What a Resume says was received, which counts as told. */
  resume(): number {
    this.resumedAt = this.told = this.received
    return this.received
  }

  /** The peer has our Resume: from here on it sends what that Resume did not count, and nothing over the earlier link. */
  resumed(): void {
    this.repeated = this.received - this.resumedAt
  }

  /** The last Credit may have been lost with the earlier link. */
  tellAgain(): void {
    if (!this.closed) this.urgent = true
  }
}
