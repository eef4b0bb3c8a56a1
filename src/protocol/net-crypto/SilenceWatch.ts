/**
 * Decides when a session that works is suspected of having no peer any more, and when the suspicion is proven: the peer has answered a
 * cookie request, and after that nothing of the session. Times are monotonic milliseconds.
 */

/** Silence after which a session is suspected: twice and a half what a peer lets pass between two packets. */
const suspectAfter = 2_500
/** The same when the peer is online on no relay. */
const suspectOffline = 300
/** Between two questions to a suspected peer. */
const recallInterval = 500
/** It is asked again within that time once it has answered, so that one lost packet does not end a session that works. */
const lastAskInterval = 80
/** How long the peer has to answer within the session once it has answered at all. */
const grace = 250

export class SilenceWatch {
  #offlineSince: number | undefined
  #askedAt = Infinity
  #cookie: { readonly bytes: Uint8Array; at: number } | undefined

  /** The peer is online on a relay, or on none. */
  online(isOnline: boolean, now: number): void {
    this.#offlineSince = isOnline ? undefined : now
  }

  /** When a session that was last heard at this time is suspected. */
  suspectAt(heard: number): number {
    return this.#offlineSince === undefined
      ? heard + suspectAfter
      : Math.min(heard + suspectAfter, Math.max(this.#offlineSince, heard) + suspectOffline)
  }

  /** Whether the peer has answered, and the session is given its time. */
  get isProving(): boolean {
    return this.#cookie !== undefined
  }

  /** How long a question may wait for its answer before the peer is asked again. */
  get askInterval(): number {
    return this.isProving ? lastAskInterval : recallInterval
  }

  /** When the proof is complete. */
  get provenAt(): number {
    return this.#cookie?.at ?? Infinity
  }

  /** The peer is being asked, for the first time in this silence: by the session and for a cookie. */
  asked(now: number): void {
    this.#askedAt = now
  }

  /** Whether the session was heard since: then whatever silence follows is another one, and the peer is asked anew. */
  isRefuted(heard: number): boolean {
    return heard >= this.#askedAt
  }

  /** The suspected peer answered a cookie request. */
  answered(cookie: Uint8Array, now: number): void {
    this.#cookie ??= { bytes: cookie.slice(), at: now + grace }
  }

  /**
   * The cookie with which to call the peer anew, once: undefined while the proof is incomplete, or when the session was heard since the
   * first question. Its answer may come just before the cookie, so it is the question that counts. `notBefore`: when it is complete at the
   * earliest.
   */
  proof(now: number, heard: number, notBefore = -Infinity): Uint8Array | undefined {
    const cookie = this.#cookie
    if (cookie === undefined || now < Math.max(cookie.at, notBefore)) return undefined
    this.#cookie = undefined
    return this.isRefuted(heard) ? undefined : cookie.bytes
  }

  /**
   * Our event loop did not run for this long. The question moves with the time at which the session was heard, or it would look as
   * if the session had answered.
   */
  excuse(lag: number): void {
    this.#askedAt += lag
    if (this.#cookie !== undefined) this.#cookie.at += lag
    if (this.#offlineSince !== undefined) this.#offlineSince += lag
  }

  reset(): void {
    this.#cookie = undefined
  }
}
