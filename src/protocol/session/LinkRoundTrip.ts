/**
 * The round trip of a link, measured by pings of the multiplexer: a few when sessions begin to flow, since the first ones run through code
 * that is not warm yet, then at most one a second while bytes of the peer come. It is asked for each batch of bytes and has no time of its own.
 */
import type { MuxLink } from "./MuxLink.ts"
import type { SessionMux } from "./SessionMux.ts"

/** Milliseconds between the first two pings at the least. Each interval is twice the one before, up to the longest. */
const firstInterval = 10
const longestInterval = 1_000
/** How much a new measurement counts, as in TCP. */
const gain = 1 / 8

export class LinkRoundTrip {
  /** Milliseconds, smoothed; undefined before the first answer. */
  value: number | undefined = undefined
  /** The shortest one so far, milliseconds: that of the path alone, without what waits on it. */
  least: number | undefined = undefined
  private readonly now: () => number
  private askedAt = -Infinity
  private interval = 0

  constructor(now: () => number) {
    this.now = now
  }

  /** Bytes of the peer have come over the link, at `asked`. */
  onBytes(mux: SessionMux, link: MuxLink, asked: number): void {
    if (asked - this.askedAt < this.interval || mux.link !== link || !link.isUp) return
    this.interval = Math.min(longestInterval, Math.max(firstInterval, 2 * this.interval))
    this.askedAt = asked
    mux.ping(() => {
      const measured = this.now() - asked
      this.value = this.value === undefined ? measured : this.value + gain * (measured - this.value)
      this.least = Math.min(this.least ?? measured, measured)
    })
  }
}
