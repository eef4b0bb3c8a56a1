/**
 * Whether a session rests because another way to its peer works (rows T26 to T32): a small state machine that is told what happens and
 * when, and says what is due. It sends nothing and judges nobody. Times are monotonic milliseconds.
 *
 * - awake: the session does what it always does.
 * - parking: nothing is sent unasked. What the peer had on its way is answered, and wakes nobody.
 * - parked: nothing at all is sent, the path sleeps, and any packet of the peer ends it.
 * - waking: the peer is asked until any packet of it opens.
 */
export type ParkState = "awake" | "parking" | "parked" | "waking"

/** Whose wish it was that the session does not rest any more. */
export type WokenBy = "us" | "peer"

export interface ParkingNumbers {
  readonly parkGrace: number
  readonly wakeTimeout: number
  readonly requestInterval: number
}

/** Between two questions to a peer that is being woken. */
const askInterval = 250
/** By this many of its request intervals an awake peer has said something again. */
const patientIntervals = 1.25

export class Parking {
  readonly #numbers: ParkingNumbers
  state: ParkState = "awake"
  /** Whether the path is not needed. It sleeps a little later than the session if the peer seems not to have parked. */
  isPathIdle = false
  /** Since when silence counts again, at the earliest. */
  since = -Infinity
  #graceUntil = Infinity
  #idleAt = Infinity
  #askAt = Infinity
  #asks = 0
  #firstAskedAt = Infinity

  constructor(numbers: ParkingNumbers) {
    this.#numbers = numbers
  }

  /** Whether nothing may be sent unasked, and nobody be judged. */
  get isResting(): boolean {
    return this.state === "parking" || this.state === "parked"
  }

  /** When `onTimer` wants to be called, or a question is due. */
  get deadline(): number {
    switch (this.state) {
      case "awake":
        return Infinity
      case "parking":
        return this.#graceUntil
      case "parked":
        return this.isPathIdle ? Infinity : this.#idleAt
      case "waking":
        return this.#askAt
    }
  }

  /** Whether the peer is to be asked now. */
  isAskDue(now: number): boolean {
    return this.state === "waking" && now >= this.#askAt
  }

  /** Whether the peer is being woken, and no relay has taken a question yet. */
  get isUnasked(): boolean {
    return this.state === "waking" && this.#asks === 0
  }

  /** Whether the peer has been asked over one relay, and has not answered: from then on it is asked over all. */
  get isRepeating(): boolean {
    return this.#asks > 0
  }

  /** When a peer that is being woken and does not answer is asked for a cookie as well. Infinity before the first question has left. */
  get suspectAt(): number {
    return this.#firstAskedAt + this.#numbers.wakeTimeout / 2
  }

  /** Until when it has time: only from then on a cookie, but no answer of the session, means that the session is gone. */
  get waitUntil(): number {
    return this.state === "waking" ? this.#firstAskedAt + this.#numbers.wakeTimeout : -Infinity
  }

  /** Begins to rest. False while the peer is being woken: nobody knows what it does. */
  park(now: number): boolean {
    if (this.state !== "awake") return this.isResting
    this.state = "parking"
    this.#graceUntil = this.#idleAt = now + this.#numbers.parkGrace
    return true
  }

  /** Ends the rest. False when there is none. */
  wake(now: number): boolean {
    if (!this.isResting) return false
    this.#reset("waking")
    this.since = now
    this.#askAt = now
    return true
  }

  /**
   * A packet of the peer has opened. `isNews`: it carries what a peer that has parked does not send. Returns who has ended the rest, if
   * that is what it did.
   */
  onPacket(now: number, isNews: boolean): WokenBy | undefined {
    const before = this.state
    if (before === "awake") return undefined
    if (before === "parking" && !isNews) {
      // It may have crossed our word, or come from a peer that does not rest: whose next packet must find us, so the relays are kept for it.
      this.#idleAt = Math.max(this.#idleAt, now + patientIntervals * this.#numbers.requestInterval)
      return undefined
    }
    this.#reset("awake")
    return before === "waking" ? "us" : "peer"
  }

  /** A request packet has been sent, or (`wasSent` is false) no relay took it. */
  onRequest(now: number, wasSent: boolean): void {
    if (this.state !== "waking") return
    this.#askAt = now + askInterval
    if (!wasSent) return
    this.#asks++
    this.#firstAskedAt = Math.min(this.#firstAskedAt, now)
  }

  /** `lag` is how long our own event loop did not run: what arrived meanwhile is still to be read. */
  onTimer(now: number, lag: number): void {
    this.since = Math.min(now, this.since + lag)
    this.#graceUntil += lag
    this.#idleAt += lag
    this.#firstAskedAt += lag
    if (this.state === "parking" && now >= this.#graceUntil) this.state = "parked"
    if (this.state === "parked" && now >= this.#idleAt) this.isPathIdle = true
  }

  #reset(state: ParkState): void {
    this.state = state
    this.isPathIdle = false
    this.#graceUntil =
      this.#idleAt =
      this.#askAt =
      this.#firstAskedAt =
        Infinity
    this.#asks = 0
  }
}
