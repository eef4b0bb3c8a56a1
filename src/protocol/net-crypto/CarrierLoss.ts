/**
 * Notices a carrier that loses packets while it passes others on (row T33). It looks at stretches of at least so many packets and so much
 * time, and wants several bad ones in a row: a burst lost to a full queue is no reason to leave, and one per cent of accidents never is.
 */
const minPackets = 16
/** Milliseconds. */
const minTime = 200
const tooMuch = 0.2
const stretches = 3

export class CarrierLoss {
  #sent = 0
  #lost = 0
  #since = 0
  #bad = 0

  /** Another carrier, or none. */
  reset(now: number): void {
    this.#sent = this.#lost = this.#bad = 0
    this.#since = now
  }

  onSent(): void {
    this.#sent++
  }

  /** So many packets are missing at the peer. True when that is a reason to leave the carrier. */
  onLost(packets: number, now: number): boolean {
    this.#lost += packets
    return this.#judge(now)
  }

  #judge(now: number): boolean {
    if (this.#sent < minPackets || now - this.#since < minTime) return false
    this.#bad = this.#lost > tooMuch * this.#sent ? this.#bad + 1 : 0
    this.#sent = this.#lost = 0
    this.#since = now
    return this.#bad >= stretches
  }
}
