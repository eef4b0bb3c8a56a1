/**
 * Notices a carrier that loses packets while it passes others on (row T33): a sequential test (CUSUM) between two hypotheses, that it
 * loses what a healthy one may and that it loses what nobody should bear. Each packet adds the logarithm of how much likelier the second
 * makes what became of it, and the score never falls below zero, so that a good past excuses nothing. It only accuses: whether
 * leaving helps is found out by `CarrierTrial`.
 *
 * The threshold follows from the mean run length to a false alarm, by the exact Markov chain over the score, which the test solves as well.
 * Where 1 % is lost the score passes 15 once in 10^11 packets, where 2 % is lost, as of echoes, once in 5 * 10^8. An hour of 5,000 packets a
 * second has 1.8 * 10^7: that is one hour in thousands, and then the trial has yet to find a standby that loses clearly less. Where
 * 30 % is lost, 15 takes some forty packets. A slow flow has too few in the time; the echoes of the trial are packets to this test.
 *
 * Losses of one burst are not independent: consecutive packets count as one loss, however many they are. Packets are judged in the order
 * of their numbers, not when they are sent or reported: reports come in clumps, in which the score would run up.
 */
/** Lost by a healthy carrier: 1 % of the data, 2 % of the echoes, which travel both ways. */
const bearable = 0.02
const unbearable = 0.3
const perLoss = Math.log(unbearable / bearable)
const perDelivery = Math.log((1 - bearable) / (1 - unbearable))
const threshold = 15
/** A suspicion that lasts for so long is worth a trial, milliseconds: a fast flow has cleared most by then. */
const minDoubt = 100

export class CarrierLoss {
  #score = 0
  /** The newest data packet that has been judged, and the one lost last. */
  #judged = -1
  #lastLost: number | undefined
  #wasEchoLost = false
  /** When the carrier should be tried against its standbys, monotonic milliseconds; Infinity while nothing speaks against it. */
  trialAt = Infinity
  /** Packets judged, a burst as one, and bursts lost, on all carriers so far and with echoes: to be compared with what they were. */
  packets = 0
  bursts = 0

  /** Whether the carrier loses more than is bearable. */
  get isAccused(): boolean {
    return this.#score >= threshold
  }

  /** Another carrier, or none. */
  reset(): void {
    this.#score = 0
    this.#lastLost = undefined
    this.#wasEchoLost = false
    this.trialAt = Infinity
  }

  /** The peer has all data packets before this number. */
  onDelivered(upTo: number): void {
    const packets = (upTo - this.#judged - 1) | 0
    if (packets <= 0) return
    this.#judged = (upTo - 1) >>> 0
    this.#lower(packets)
  }

  /** The peer misses this packet, for the first time since it was sent or sent again. `patience` is how long an answer may take. */
  onLost(number: number, now: number, patience: number): void {
    if (((number - this.#judged) | 0) > 0) {
      // Those in between have not been missed.
      this.onDelivered(number)
      this.#judged = number
    }
    const follows = this.#lastLost !== undefined && number === (this.#lastLost + 1) >>> 0
    this.#lastLost = number
    if (!follows) this.#raise(now + Math.max(minDoubt, 2 * patience))
  }

  /** What became of an echo over the carrier, in the order of asking. */
  onEcho(isLost: boolean, now: number): void {
    const follows = this.#wasEchoLost
    this.#wasEchoLost = isLost
    if (!isLost) return this.#lower(1)
    if (!follows) this.#raise(now + minDoubt)
  }

  #raise(trialAt: number): void {
    this.packets++
    this.bursts++
    this.#score += perLoss
    this.trialAt = Math.min(this.trialAt, trialAt)
  }

  #lower(packets: number): void {
    this.packets += packets
    this.#score -= packets * perDelivery
    if (this.#score > 0) return
    this.#score = 0
    this.trialAt = Infinity
  }
}
