/**
 * Judges whether a path still works while something sent over it is unacknowledged: first a probe is due, then, if nothing comes back
 * for the stall time, the path counts as stalled. Time in which our own event loop did not run counts for nobody. Times are
 * monotonic milliseconds.
 */
/** So many probes follow each other closely: one or two of them are lost too often where every relay loses some. */
const quickProbes = 4
/**
 * The peer may say by another relay what it misses, so its requests prove nothing about ours any more once it has missed so many packets
 * and got none. Even where 30 % is lost each way, the packets or the news of them, that is not chance.
 */
const lostInVain = 16

export class ProgressWatch {
  readonly #minStall: number
  readonly #maxInterval: number
  /** How long an answer may take, and how long no answer is a stall: both follow the round trip. */
  #patience = 1_000
  #stallTime = 1_500
  /** Between the first probes: they are answered at once, unlike data, which a slow flow waits for. */
  #quickInterval = 1_000
  #since = 0
  #probeAt = Infinity
  /** The first probe since the last progress, and the latest. */
  #firstProbeAt = Infinity
  #probedAt = -Infinity
  #probes = 0
  /** Packets that the peer has missed since it got one. */
  #lost = 0

  /** `minStall` is the stall timeout of the settings, `maxInterval` the longest pause between two probes. */
  constructor(minStall: number, maxInterval: number) {
    this.#minStall = minStall
    this.#maxInterval = maxInterval
  }

  /** When the next probe is due. */
  get probeAt(): number {
    return this.#probeAt
  }

  /** When the path counts as stalled: after the stall time, of which a probe had at least half to be answered. */
  get stallAt(): number {
    return Math.max(this.#since + this.#stallTime, this.#firstProbeAt + this.#stallTime / 2)
  }

  /** Something came back, or something was sent after a quiet time. */
  restart(now: number, patience: number, roundTrip: number | undefined): void {
    this.#patience = patience
    this.#stallTime = Math.max(this.#minStall, 3 * (roundTrip ?? 500))
    this.#quickInterval = Math.min(patience, 10 + 1.5 * (roundTrip ?? 500))
    this.#since = now
    this.#probes = 0
    this.#firstProbeAt = Infinity
    this.#probeAt = now + Math.max(10, Math.min(2 * patience, this.#stallTime / 2))
  }

  /** A probe is being sent. After the first few they become rarer, up to the longest interval. */
  onProbe(now: number): void {
    this.#probes++
    this.#probedAt = now
    this.#firstProbeAt = Math.min(this.#firstProbeAt, now)
    this.#probeAt = now + (this.#probes < quickProbes
      ? this.#quickInterval
      : Math.min(this.#patience * 2 ** (this.#probes - quickProbes), this.#maxInterval))
  }

  /** The peer misses a packet, which is sent again. */
  onLost(): void {
    this.#lost++
  }

  /** The peer got packets, or they go another way now. */
  onDelivered(): void {
    this.#lost = 0
  }

  /** Whether something that arrives now can be the answer to the latest probe. */
  isAnswer(now: number): boolean {
    return this.#lost < lostInVain && now - this.#probedAt <= 2 * this.#patience + 10
  }

  /** Our event loop did not run for this long. */
  excuse(lag: number): void {
    this.#since += lag
    this.#probeAt += lag
    this.#firstProbeAt += lag
  }
}
