/**
 * The receiving half of a byte session: bytes that wait for the application, and the credit that bounds them.
 *
 * *Received* counts numbered frames, whatever the application does, and frees the sender's copies; *consumed* counts what the
 * application took and opens credit. So an application that stops reading does not make its link look dead (design, "Credit").
 */
import { prefixedHeaderSize } from "../../schema/SessionFrame.ts"

/** Payloads below this are copied together: a view would keep a whole packet alive for a few bytes. */
const smallPayload = 4 * 1024
const slabSize = 16 * 1024

/** How urgent a Credit is: `later` is within the credit interval. */
export type CreditNeed = "none" | "later" | "now"

export class ByteSessionReceiver {
  /** Numbered frames received. */
  receivedFrames = 0
  /** Payload bytes received in all, and those that wait for the application. */
  receivedBytes = 0
  waitingBytes = 0
  /** The peer has ended its direction. */
  closed = false
  /** The next Credit must not wait. */
  urgent = false
  private readonly creditStep: number
  private inbox: Array<Uint8Array> = []
  /** Small payloads are collected in `slab`; those between `start` and `end` are the last of the inbox in spirit. */
  private slab = new Uint8Array(0)
  private start = 0
  private end = 0
  private receivedFrameBytes = 0
  private consumedFrameBytes = 0
  /** Frame bytes that may wait for the application. */
  private window: number
  /** Frame bytes the peer may send in all, as it has been told, and the received frames it has been told of. */
  private granted: number
  private toldFrames = 0

  /** `creditStep`: consumed bytes after which a Credit goes at once. */
  constructor(window: number, creditStep: number) {
    this.window = window
    this.granted = window
    this.creditStep = creditStep
  }

  /** Widens the window when the session is accepted: an Accept's credit counts from the beginning of the session. */
  widen(window: number): number {
    this.window = Math.max(this.window, window)
    this.granted = Math.max(this.granted, this.window)
    return this.granted
  }

  /** Takes a value frame. False: the peer sent it without credit. The payload then belongs to the session. */
  bytes(payload: Uint8Array): boolean {
    if (this.receivedFrameBytes >= this.granted) return false
    const size = prefixedHeaderSize + payload.length
    this.receivedFrameBytes += size
    this.receivedBytes += payload.length
    this.waitingBytes += payload.length
    if (payload.length === 0) this.consumedFrameBytes += size
    else if (payload.length < smallPayload) this.collect(payload)
    else {
      this.closeSlab()
      this.inbox.push(payload)
    }
    return true
  }

  /** Everything that has arrived, for the application; `undefined` when there is nothing. */
  take(): [Uint8Array, ...Array<Uint8Array>] | undefined {
    this.closeSlab()
    const [first, ...others] = this.inbox
    if (first === undefined) return undefined
    this.discard()
    return [first, ...others]
  }

  /** Counts everything received as consumed and forgets it. */
  discard(): void {
    this.inbox = []
    this.start = this.end
    this.waitingBytes = 0
    this.consumedFrameBytes = this.receivedFrameBytes
  }

  /** Whether the peer has to be told something. */
  get need(): CreditNeed {
    const opened = this.closed ? 0 : this.consumedFrameBytes + this.window - this.granted
    if (this.receivedFrames === this.toldFrames && opened <= 0) return "none"
    return this.urgent || opened >= this.creditStep ? "now" : "later"
  }

  /** The contents of the next Credit, which counts as told. */
  credit(): { readonly received: number; readonly credit: number } {
    this.urgent = false
    this.toldFrames = this.receivedFrames
    if (!this.closed) this.granted = Math.max(this.granted, this.consumedFrameBytes + this.window)
    return { received: this.receivedFrames, credit: Math.max(0, this.granted - this.receivedFrameBytes) }
  }

  private collect(payload: Uint8Array): void {
    if (this.end + payload.length > this.slab.length) {
      this.closeSlab()
      this.slab = new Uint8Array(slabSize)
      this.start = this.end = 0
    }
    this.slab.set(payload, this.end)
    this.end += payload.length
  }

  /** Puts what has been collected where it belongs in order. */
  private closeSlab(): void {
    if (this.start === this.end) return
    this.inbox.push(this.slab.subarray(this.start, this.end))
    this.start = this.end
  }
}
