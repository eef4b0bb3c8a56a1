/**
 * Our lossless packets from the oldest unacknowledged to the newest queued (net_crypto protocol, section 8.1): `[start, sent)` has
 * been sent at least once, `[sent, end)` waits. Numbers are unsigned 32-bit and wrap. A pure data structure: it sends nothing, it only
 * knows what should be sent next.
 */

/** The protocol's window: this many numbers may be unacknowledged, holes included. */
export const windowSize = 32_768

/** What an acknowledgement did. */
export type AckResult = "new" | "nothing" | "stale" | "ahead"

export class SendWindow {
  #mask = 255
  #payloads: Array<Uint8Array | undefined> = new Array<Uint8Array | undefined>(256)
  #sentAt = new Float64Array(256)
  #carrier = new Float64Array(256)
  #sizes = new Uint16Array(256)
  #deliveredAtSend = new Float64Array(256)
  /** 0 not sent, 1 in flight, 2 must be sent again, 3 received out of order (a hole); + 4: has been sent more than once. */
  #state = new Uint8Array(256)
  /** Oldest unacknowledged number, next number to send for the first time, next number to queue. */
  start = 0
  sent = 0
  end = 0
  /** Payload bytes in flight: sent, not acknowledged, not marked for resending. */
  inFlightBytes = 0
  /**
   * Payload bytes from the oldest unacknowledged packet to the newest sent, whether the peer has some of them or not: it has to keep
   * what is behind a hole.
   */
  spanBytes = 0
  /** Payload bytes that have never been sent. */
  queuedBytes = 0
  /** Packets marked for resending. */
  resendCount = 0
  #resendFrom = 0
  /** Payload bytes acknowledged since the beginning, in order or not. */
  deliveredBytes = 0
  /**
   * Of the newest packet that the last acknowledgement freed and that was sent once: when it was sent, and `deliveredBytes` at that
   * moment. -1: none.
   */
  sampleSentAt = -1
  sampleDelivered = 0

  constructor(first = 0) {
    this.start =
      this.sent =
      this.end =
      this.#resendFrom =
        first >>> 0
  }

  get unacknowledged(): number {
    return (this.end - this.start) >>> 0
  }

  /** Packets that have been sent, and those that wait to be sent for the first time. */
  get inFlightPackets(): number {
    return (this.sent - this.start) >>> 0
  }

  get queuedPackets(): number {
    return (this.end - this.sent) >>> 0
  }

  get isFull(): boolean {
    return this.unacknowledged >= windowSize
  }

  /** Whether something has been sent that the peer has not acknowledged. */
  get isOutstanding(): boolean {
    return this.sent !== this.start
  }

  /** Queues a payload and returns its number. The caller has checked `isFull`. */
  push(payload: Uint8Array): number {
    if (this.unacknowledged > this.#mask) this.#grow()
    const number = this.end
    const at = number & this.#mask
    this.#payloads[at] = payload
    this.#state[at] = 0
    this.end = (number + 1) >>> 0
    this.queuedBytes += payload.length
    return number
  }

  /** The next number to send, a resend first, or -1. */
  next(): number {
    if (this.resendCount > 0) {
      let i = this.#resendFrom
      while ((this.#state[i & this.#mask]! & 3) !== 2) i = (i + 1) >>> 0
      this.#resendFrom = i
      return i
    }
    return this.sent === this.end ? -1 : this.sent
  }

  payload(number: number): Uint8Array {
    return this.#payloads[number & this.#mask]!
  }

  /** When the packet was last sent, milliseconds. */
  sentAt(number: number): number {
    return this.#sentAt[number & this.#mask]!
  }

  /** Whether `next` gave a packet that has been sent before. */
  isResend(number: number): boolean {
    return number !== this.sent
  }

  /** Records that the packet given by `next` has been sent by a carrier. */
  markSent(number: number, now: number, carrier: number): void {
    const at = number & this.#mask
    const size = this.#payloads[at]!.length
    if (number === this.sent) {
      this.sent = (number + 1) >>> 0
      this.queuedBytes -= size
      this.#state[at] = 1
      this.#sizes[at] = size
      this.spanBytes += size
    } else {
      this.resendCount--
      this.#state[at] = 5
    }
    this.inFlightBytes += size
    this.#sentAt[at] = now
    this.#carrier[at] = carrier
    this.#deliveredAtSend[at] = this.deliveredBytes
  }

  /** Applies the peer's `buffer_start`: everything before it has been received. */
  acknowledge(upTo: number): AckResult {
    this.sampleSentAt = -1
    const ahead = (upTo - this.start) | 0
    if (ahead === 0) return "nothing"
    if (ahead < 0) return "stale"
    if (ahead > ((this.sent - this.start) >>> 0)) return "ahead"
    for (let i = this.start; i !== upTo; i = (i + 1) >>> 0) {
      this.spanBytes -= this.#sizes[i & this.#mask]!
      this.#free(i)
    }
    this.start = upTo
    if (this.resendCount === 0 || ((this.#resendFrom - upTo) | 0) < 0) this.#resendFrom = upTo
    return "new"
  }

  /** The peer has this packet although an earlier one is missing: a hole remains. */
  markReceived(number: number): void {
    this.#free(number)
  }

  /** The peer misses this packet: it is sent again unless its last sending is younger than `notAfter`. Returns whether it will be. */
  markMissing(number: number, notAfter: number): boolean {
    const at = number & this.#mask
    if ((this.#state[at]! & 3) !== 1 || this.#sentAt[at]! > notAfter) return false
    this.#resend(number)
    return true
  }

  /** Everything in flight that was sent by this carrier is sent again. */
  markLost(carrier: number): void {
    for (let i = this.start; i !== this.sent; i = (i + 1) >>> 0) {
      const at = i & this.#mask
      if ((this.#state[at]! & 3) === 1 && this.#carrier[at] === carrier) this.#resend(i)
    }
  }

  /** Forgets all payloads. */
  clear(): void {
    this.#payloads.fill(undefined)
    this.inFlightBytes =
      this.queuedBytes =
      this.spanBytes =
      this.resendCount =
        0
    this.start = this.sent = this.end
  }

  #resend(number: number): void {
    const at = number & this.#mask
    this.#state[at] = 6
    this.inFlightBytes -= this.#payloads[at]!.length
    if (this.resendCount === 0 || ((number - this.#resendFrom) | 0) < 0) this.#resendFrom = number
    this.resendCount++
  }

  #free(number: number): void {
    const at = number & this.#mask
    const payload = this.#payloads[at]
    if (payload === undefined) return
    const state = this.#state[at]!
    this.#payloads[at] = undefined
    this.#state[at] = 3
    this.deliveredBytes += payload.length
    if ((state & 3) === 2) this.resendCount--
    else this.inFlightBytes -= payload.length
    if (state === 1) {
      this.sampleSentAt = this.#sentAt[at]!
      this.sampleDelivered = this.#deliveredAtSend[at]!
    }
  }

  #grow(): void {
    const size = (this.#mask + 1) * 2
    const mask = size - 1
    const payloads = new Array<Uint8Array | undefined>(size)
    const sentAt = new Float64Array(size)
    const carrier = new Float64Array(size)
    const sizes = new Uint16Array(size)
    const delivered = new Float64Array(size)
    const state = new Uint8Array(size)
    for (let i = this.start; i !== this.end; i = (i + 1) >>> 0) {
      const from = i & this.#mask
      const to = i & mask
      payloads[to] = this.#payloads[from]
      sentAt[to] = this.#sentAt[from]!
      carrier[to] = this.#carrier[from]!
      sizes[to] = this.#sizes[from]!
      delivered[to] = this.#deliveredAtSend[from]!
      state[to] = this.#state[from]!
    }
    this.#mask = mask
    this.#payloads = payloads
    this.#sentAt = sentAt
    this.#carrier = carrier
    this.#sizes = sizes
    this.#deliveredAtSend = delivered
    this.#state = state
  }
}
