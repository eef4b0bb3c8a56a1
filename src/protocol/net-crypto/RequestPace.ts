/**
 * When a session owes its peer a request packet: as an acknowledgement, because something is missing, or as a sign of life (net_crypto
 * protocol, section 9). It knows times and bytes, and sends nothing. Times are monotonic milliseconds.
 */

/** Answers to request packets that a burst of received packets is worth; ends the ping-pong of two idle peers. */
const answersPerBurst = 4
/** While the application takes nothing, the peer's questions are answered, but two who both wait must not answer each other. */
const heldAnswerInterval = 50
/** Milliseconds until an acknowledgement that the path did not take is tried again. */
const blockedRetry = 10

export interface PaceNumbers {
  readonly requestInterval: number
  readonly ackBytes: number
  readonly ackDelay: number
}

export class RequestPace {
  readonly #numbers: PaceNumbers
  /** When an acknowledgement is due, and when the next sign of life; Infinity when none is. */
  ackAt = Infinity
  aliveAt: number
  #unacknowledged = 0
  #answers = 0
  #requestedAt = -Infinity

  constructor(numbers: PaceNumbers, now: number) {
    this.#numbers = numbers
    this.aliveAt = now
  }

  /** So many bytes of the peer wait to be acknowledged. */
  onTaken(bytes: number): void {
    this.#unacknowledged += bytes
  }

  /** A burst begins, after which the peer may want to know what has arrived. */
  onBurst(): void {
    this.#answers = answersPerBurst
  }

  /** The peer has asked: perhaps because an acknowledgement of ours was lost, or because we take nothing. */
  onQuestion(now: number, isHeld: boolean): void {
    if (this.#answers <= 0 && !(isHeld && now - this.#requestedAt >= heldAnswerInterval)) return
    this.#answers--
    this.#unacknowledged += this.#numbers.ackBytes
  }

  /** Nothing need be received for what has been taken late, so no end of a batch will see to its acknowledgement. */
  onLateTaken(now: number): void {
    if (this.#unacknowledged > 0) this.ackAt = Math.min(this.ackAt, now + this.#numbers.ackDelay)
  }

  /** All packets of a read have been seen. Whether an acknowledgement must leave now, rather than a little later. */
  isDueAfterBatch(now: number): boolean {
    if (this.#unacknowledged >= this.#numbers.ackBytes) return true
    if (this.#unacknowledged > 0 && this.ackAt === Infinity) this.ackAt = now + this.#numbers.ackDelay
    return false
  }

  /** When what is missing is asked for again. */
  repeatAt(repeatAfter: number): number {
    return this.#requestedAt + repeatAfter
  }

  /** A request packet is about to be sent. */
  onRequest(now: number): void {
    this.#requestedAt = now
    this.aliveAt = now + this.#numbers.requestInterval
  }

  /** The path did not take it. */
  onRefused(now: number): void {
    if (this.ackAt <= now) this.ackAt = now + blockedRetry
  }

  /** Any packet has been sent: each acknowledges. */
  onSent(): void {
    this.#unacknowledged = 0
    this.ackAt = Infinity
  }
}
