/**
 * How many bytes may be in flight to a peer. The window follows the rate at which acknowledgements come back: twice what the path holds
 * at its best rate and its shortest round trip, and what arrives between two acknowledgements, because peers collect them (a stock
 * peer for 50 ms). Loss alone says little on a path of TCP connections, so only heavy loss slows it down. A pure model: the caller
 * tells it what happened and when, in milliseconds and bytes.
 *
 * It starts by doubling each round trip until the rate stops growing or a queue builds up, and empties the path for one round every ten seconds to see the
 * true round trip again. (Beyond Tox, whose rate follows a fixed 50 ms tick.)
 */

/** Payload bytes allowed at the start, and always. */
const initialWindow = 16 * 1373
const minWindow = 4 * 1373
/** The best rate is remembered for this many round trips, the shortest round trip for this long. */
const rateRounds = 10
const roundTripLife = 10_000
/** Rounds without a quarter more rate after which starting is over. */
const plateauRounds = 3
/** Milliseconds of queue that starting may build up on top of twice the shortest round trip. */
const startQueue = 50
const gain = 2
/** More than this share lost in one round is overload rather than accident. */
const heavyLoss = 0.2
const maxAckGap = 200
/** One sample may have been held up by our own event loop, this many not. */
const minSamples = 8

export class CongestionControl {
  readonly #max: number
  #window = initialWindow
  #isStarting = true
  /** Bytes per millisecond: best of each of the last rounds, newest last. */
  #rates: Array<number> = []
  #plateau = 0
  #plateauRate = 0
  #roundEnd = 0
  #roundLost = 0
  #roundDelivered = 0
  #minRoundTrip = Infinity
  #minBefore = Infinity
  #samples = 0
  #minRoundTripAt = 0
  #drainUntil = 0
  #ackGap = 0
  #lastAckAt = -1
  /** Smoothed round trip and its deviation, milliseconds; undefined before the first sample. */
  roundTrip: number | undefined = undefined
  deviation = 0

  constructor(maxWindow: number) {
    this.#max = maxWindow
  }

  /** Bytes that may be in flight. */
  get window(): number {
    return this.#drainUntil > 0 ? Math.max(minWindow, this.#window / (2 * gain)) : this.#window
  }

  /** The best rate of the last rounds, bytes per millisecond. */
  get rate(): number {
    let best = 0
    for (const rate of this.#rates) if (rate > best) best = rate
    return best
  }

  /** The shortest round trip of late, mostly without our own queue; Infinity while there are too few samples to go by. */
  get leastRoundTrip(): number {
    return this.#samples < minSamples ? Infinity : Math.min(this.#minRoundTrip, this.#minBefore)
  }

  /**
   * An acknowledgement freed `acked` bytes. `sentAt` and `deliveredThen` belong to the newest packet it freed that was sent once (-1:
   * none), `delivered` is the total now, `inFlight` what is left, `isLimited` whether the window (and not a lack of data) held us back.
   */
  onAck(
    now: number,
    acked: number,
    sentAt: number,
    deliveredThen: number,
    delivered: number,
    inFlight: number,
    isLimited: boolean
  ): void {
    this.#roundDelivered += acked
    if (this.#lastAckAt >= 0) {
      const gap = Math.min(now - this.#lastAckAt, maxAckGap)
      // Fast up, slow down: one late acknowledgement must find the window large enough.
      this.#ackGap = gap > this.#ackGap ? gap : this.#ackGap * 0.98 + gap * 0.02
    }
    this.#lastAckAt = inFlight > 0 ? now : -1
    if (sentAt >= 0) {
      const sample = Math.max(now - sentAt, 0.05)
      this.#measureRoundTrip(now, sample)
      // A queue of our own says that the path is full long before its rate is seen to stop growing.
      if (sample > 2 * (this.#minRoundTrip + this.#ackGap) + startQueue) this.#isStarting = false
      const rate = (delivered - deliveredThen) / sample
      const last = this.#rates.length - 1
      if (last < 0) this.#rates.push(rate)
      else if (rate > this.#rates[last]!) this.#rates[last] = rate
      if (deliveredThen >= this.#roundEnd) this.#nextRound(delivered, isLimited)
    }
    if (this.#drainUntil > 0 && (now >= this.#drainUntil || inFlight <= minWindow)) {
      this.#drainUntil = 0
      this.#minRoundTripAt = now
    }
    if (this.#isStarting) {
      if (isLimited) this.#window = Math.min(this.#max, this.#window + acked)
      return
    }
    const target = gain * this.rate * (this.#minRoundTrip + this.#ackGap)
    const goal = Math.min(this.#max, Math.max(minWindow, target))
    // Growth is bounded by what was acknowledged, so that one odd sample cannot open the window at once.
    this.#window = goal > this.#window ? Math.min(goal, this.#window + acked) : goal
  }

  /** Packets that were lost (not merely moved to another relay) are sent again. */
  onLoss(bytes: number): void {
    this.#roundLost += bytes
    this.#isStarting = false
  }

  /** The data goes another way now: its rate and round trip have to be found again, from half of what worked before. */
  onPathChange(): void {
    this.#window = Math.max(initialWindow, this.#window / 2)
    this.#isStarting = true
    this.#plateau = 0
    this.#plateauRate = 0
    this.#rates = []
    this.#minRoundTrip = this.#minBefore = Infinity
    this.#samples = 0
    this.#drainUntil = 0
    this.#lastAckAt = -1
  }

  /** How long an acknowledgement may take before its absence means something, milliseconds. */
  get patience(): number {
    return this.roundTrip === undefined ? 1_000 : this.roundTrip + 4 * this.deviation + this.#ackGap
  }

  #measureRoundTrip(now: number, sample: number): void {
    this.#samples++
    if (this.roundTrip === undefined) {
      this.roundTrip = sample
      this.deviation = sample / 2
    } else {
      this.deviation += (Math.abs(sample - this.roundTrip) - this.deviation) / 4
      this.roundTrip += (sample - this.roundTrip) / 8
    }
    if (sample <= this.#minRoundTrip) {
      this.#minRoundTrip = sample
      this.#minRoundTripAt = now
    } else if (now - this.#minRoundTripAt > roundTripLife && this.#drainUntil === 0) {
      // What we see includes our own queue by now: empty it, then measure.
      this.#minBefore = this.#minRoundTrip
      this.#minRoundTrip = sample
      this.#minRoundTripAt = now
      this.#drainUntil = now + Math.max(2 * sample, 10)
    }
  }

  #nextRound(delivered: number, isLimited: boolean): void {
    this.#roundEnd = delivered
    const lossy = this.#roundLost > heavyLoss * (this.#roundLost + this.#roundDelivered)
    this.#roundLost = this.#roundDelivered = 0
    if (lossy) {
      this.#isStarting = false
      this.#rates = this.#rates.map((rate) => rate * 0.7)
    }
    if (this.#isStarting && isLimited) {
      const rate = this.rate
      if (rate > this.#plateauRate * 1.25) {
        this.#plateauRate = rate
        this.#plateau = 0
      } else if (++this.#plateau >= plateauRounds) this.#isStarting = false
    }
    this.#rates.push(0)
    if (this.#rates.length > rateRounds) this.#rates.shift()
  }
}
