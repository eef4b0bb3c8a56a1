/**
 * The peer's lossless packets from the next expected to the highest known (net_crypto protocol, section 8.2): puts them in order and
 * knows what is missing. Bounded in numbers by the protocol and in bytes by a budget; what does not fit is dropped and will be
 * requested again. A pure data structure.
 */
import { windowSize } from "./SendWindow.ts"

/** Bytes that all receive windows of a node may hold together. */
export interface ReceiveBudget {
  used: number
  readonly limit: number
}

export type Received = "stored" | "duplicate" | "outside" | "full"

export class ReceiveWindow {
  readonly #limit: number
  readonly #budget: ReceiveBudget
  #mask = 63
  #payloads: Array<Uint8Array | undefined> = new Array<Uint8Array | undefined>(64)
  /** Next number to deliver: the `buffer_start` of our packets. */
  start: number
  /** One past the highest number that is known to exist. */
  end: number
  /** Payload bytes held. */
  bytes = 0
  /** Packets held. */
  count = 0

  constructor(limit: number, budget: ReceiveBudget, first = 0) {
    this.#limit = limit
    this.#budget = budget
    this.start = this.end = first >>> 0
  }

  /** Whether a packet before `end` has not arrived. */
  get isMissing(): boolean {
    return ((this.end - this.start) >>> 0) !== this.count
  }

  has(number: number): boolean {
    return ((number - this.start) >>> 0) <= this.#mask && this.#payloads[number & this.#mask] !== undefined
  }

  /**
   * What would become of this packet. Asked before it is stored, so that a packet that is dropped costs nothing. The packet that is
   * due next always fits, or a full window could never drain.
   */
  judge(number: number, size: number): Received {
    const offset = (number - this.start) >>> 0
    if (offset >= windowSize) return (number - this.start | 0) < 0 ? "duplicate" : "outside"
    if (offset <= this.#mask && this.#payloads[number & this.#mask] !== undefined) return "duplicate"
    if (offset === 0) return "stored"
    return this.bytes + size > this.#limit || this.#budget.used + size > this.#budget.limit ? "full" : "stored"
  }

  /** Stores a packet that `judge` called "stored". It keeps the payload. */
  store(number: number, payload: Uint8Array): void {
    const offset = (number - this.start) >>> 0
    while (offset > this.#mask) this.#grow()
    this.#payloads[number & this.#mask] = payload
    this.bytes += payload.length
    this.#budget.used += payload.length
    this.count++
    this.#raise((number + 1) >>> 0)
  }

  /** Takes the packet that is due next, or undefined. */
  take(): Uint8Array | undefined {
    const at = this.start & this.#mask
    const payload = this.#payloads[at]
    if (payload === undefined) return undefined
    this.#payloads[at] = undefined
    this.start = (this.start + 1) >>> 0
    this.bytes -= payload.length
    this.#budget.used -= payload.length
    this.count--
    return payload
  }

  /** Passes over the packet that is due next, because it was delivered straight from the wire. */
  passOne(): void {
    const wasEnd = this.end === this.start
    this.start = (this.start + 1) >>> 0
    if (wasEnd) this.end = this.start
  }

  /** A lossy or request packet tells the peer's next number: packets before it exist, though they may be lost. */
  learnEnd(number: number): void {
    if (((number - this.start) >>> 0) <= windowSize) this.#raise(number)
  }

  /** Gives everything back. */
  clear(): void {
    this.#budget.used -= this.bytes
    this.bytes = this.count = 0
    this.#payloads.fill(undefined)
    this.end = this.start
  }

  #raise(end: number): void {
    if (((end - this.end) | 0) > 0) this.end = end
  }

  #grow(): void {
    const size = (this.#mask + 1) * 2
    const payloads = new Array<Uint8Array | undefined>(size)
    for (let i = 0; i <= this.#mask; i++) {
      const number = (this.start + i) >>> 0
      payloads[number & (size - 1)] = this.#payloads[number & this.#mask]
    }
    this.#payloads = payloads
    this.#mask = size - 1
  }
}
