/**
 * The round trip of a link, measured by pings of the multiplexer: one when sessions flow, then at most one a second while bytes of the
 * peer come. It is asked for each batch of bytes and has no time of its own.
 */
import type { MuxLink } from "./MuxLink.ts"
import type { SessionMux } from "./SessionMux.ts"

/** Milliseconds between two pings. */
const interval = 1_000
/** How much a new measurement counts, as in TCP. */
const gain = 1 / 8

export class LinkRoundTrip {
  /** Milliseconds, smoothed; undefined before the first answer. */
  value: number | undefined = undefined
  private readonly now: () => number
  private askedAt = -Infinity

  constructor(now: () => number) {
    this.now = now
  }

  /** Bytes of the peer have come over the link, at `asked`. */
  onBytes(mux: SessionMux, link: MuxLink, asked: number): void {
    if (asked - this.askedAt < interval || mux.link !== link || !link.isUp) return
    this.askedAt = asked
    mux.ping(() => {
      const measured = this.now() - asked
      this.value = this.value === undefined ? measured : this.value + gain * (measured - this.value)
    })
  }
}
