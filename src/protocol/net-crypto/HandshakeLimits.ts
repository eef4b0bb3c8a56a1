/**
 * How many cookie requests and handshakes of strangers are looked at: token buckets per relay and per source, asked before any key
 * agreement. Tox limits only those that come by UDP.
 */
import { TokenBucket } from "../TokenBucket.ts"

/** Buckets kept; full ones are forgotten first, and forgetting an unfilled one only favours its owner. */
const maxBuckets = 4_096

export class HandshakeLimits {
  readonly #perRelay: number
  readonly #perSource: number
  readonly #relays = new Map<string, TokenBucket>()
  readonly #sources = new Map<string, TokenBucket>()

  /** Rates per second; a bucket holds one second's worth. */
  constructor(perRelay: number, perSource: number) {
    this.#perRelay = perRelay
    this.#perSource = perSource
  }

  /** Whether a packet of this source may be looked at. The source is asked first, so that one of them cannot use up a relay. */
  allow(relay: string, source: string, now: number): boolean {
    return bucket(this.#sources, source, this.#perSource, now).take(now) &&
      bucket(this.#relays, relay, this.#perRelay, now).take(now)
  }
}

const bucket = (buckets: Map<string, TokenBucket>, key: string, rate: number, now: number): TokenBucket => {
  const known = buckets.get(key)
  if (known !== undefined) return known
  if (buckets.size >= maxBuckets) {
    for (const [id, old] of buckets) if (old.isFull(now)) buckets.delete(id)
    for (const id of buckets.keys()) if (buckets.size >= maxBuckets) buckets.delete(id)
  }
  const fresh = new TokenBucket(rate)
  buckets.set(key, fresh)
  return fresh
}
