/**
 * What a receiver of test packets has seen: order, gaps and rate (`cli/testPayload.ts`). Plain bookkeeping, once per packet; times
 * are passed in, in nanoseconds of the monotonic clock.
 */
import { isIntact, sequenceOf } from "./testPayload.ts"

const nanosPerMilli = 1e6

/** The receiver's account of one flood, or of one series of pings. */
export class PacketCheck {
  readonly #ordered: boolean
  #packets = 0
  #bytes = 0
  #damaged = 0
  #displaced = 0
  #next: number | undefined
  #first = 0n
  #last = 0n
  #longestGap = 0n
  /** Slot `sequence mod 65536` holds `sequence + 1`: doubles are noticed within that distance, in bounded memory. */
  readonly #recent: Float64Array | undefined

  /**
   * `ordered` is false for lossy packets, which may be missing and may overtake each other but must not come twice. `first` is the
   * sequence number to begin with; undefined takes whatever comes, as pings of the reference peer begin with 1.
   */
  constructor(options: { readonly ordered: boolean; readonly first: number | undefined }) {
    this.#ordered = options.ordered
    this.#next = options.first
    this.#recent = options.ordered ? undefined : new Float64Array(65_536)
  }

  get packets(): number {
    return this.#packets
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Counts one packet that arrived at `now`. */
  add(packet: Uint8Array, now: bigint): void {
    if (this.#packets === 0) this.#first = now
    else if (now - this.#last > this.#longestGap) this.#longestGap = now - this.#last
    this.#last = now
    this.#packets++
    this.#bytes += packet.length
    const sequence = sequenceOf(packet)
    if (sequence === undefined || !isIntact(packet)) {
      this.#damaged++
      return
    }
    if (sequence !== (this.#next ?? sequence)) this.#displaced++
    this.#next = sequence + 1
    if (this.#recent !== undefined) {
      const slot = sequence & 0xffff
      if (this.#recent[slot] === sequence + 1) this.#damaged++
      this.#recent[slot] = sequence + 1
    }
  }

  /** Whether every packet so far was intact and directly followed the one before it. */
  get inOrder(): boolean {
    return this.#damaged === 0 && this.#displaced === 0
  }

  /** Whether nothing happened that the kind of packet forbids, once the sender said that it sent `count` packets. */
  isFine(count: number): boolean {
    return this.#ordered
      ? this.inOrder && this.#packets === count
      : this.#damaged === 0 && this.#packets <= count
  }

  /** Payload megabytes per second from the first packet to the last; undefined before the second one. */
  get megabytesPerSecond(): number | undefined {
    const nanos = Number(this.#last - this.#first)
    return nanos === 0 ? undefined : this.#bytes * 1e3 / nanos
  }

  /** The longest time between two packets, milliseconds; undefined before the second one. */
  get longestGap(): number | undefined {
    return this.#packets < 2 ? undefined : Number(this.#longestGap) / nanosPerMilli
  }
}

/** The value below which `fraction` of the samples lie; undefined without samples. Sorts a copy. */
export const percentile = (samples: ReadonlyArray<number>, fraction: number): number | undefined => {
  const sorted = samples.toSorted((a, b) => a - b)
  return sorted[Math.round(fraction * (sorted.length - 1))]
}
