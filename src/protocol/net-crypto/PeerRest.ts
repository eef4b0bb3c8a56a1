/**
 * What parking means for a peer beside its session (rows T26 to T32): its path sleeps and wakes, nobody is probed, and requests for
 * cookies are answered by the session or not. When a session rests is `Parking`'s business.
 */
import type { PeerPath, ReplyRoute } from "../registry/PeerPath.ts"
import type { CookieExchange } from "./CookieExchange.ts"
import type { CryptoSession } from "./CryptoSession.ts"
import type { WokenBy } from "./Parking.ts"
import type { PeerHost } from "./PeerHost.ts"
import type { SilenceWatch } from "./SilenceWatch.ts"

/** What there is of a peer at the moment. */
export interface PeerParts {
  readonly current: CryptoSession | undefined
  readonly path: PeerPath
  readonly cookies: CookieExchange
  /** Whether a handshake over `path` is complete but unproven. */
  readonly isChanging: boolean
  /** The deadline may have come nearer. */
  readonly wake: () => void
}

export class PeerRest {
  readonly #parts: PeerParts
  readonly #host: PeerHost
  /** Relays that the path keeps while it sleeps. */
  keptRelays = 0
  /** The path that was put to sleep from here: one that sleeps for another reason is left as it is. */
  #slept: PeerPath | undefined

  constructor(parts: PeerParts, host: PeerHost) {
    this.#parts = parts
    this.#host = host
  }

  /** The path sleeps while a session rests that has no use for it, unless the peer calls anew. */
  settlePath(): void {
    const { current, isChanging, path } = this.#parts
    const isIdle = current?.parking.isPathIdle === true && !isChanging
    if (isIdle === (this.#slept === path)) return
    this.#slept = isIdle ? path : undefined
    if (isIdle) path.sleep(this.keptRelays)
    else path.wake()
  }

  /** The path takes packets again, or (out of band) for the first time since it woke: then the peer is asked at once. */
  onWritable(now: number): void {
    const { current } = this.#parts
    if (current?.parking.isUnasked === true) current.sendRequest(now)
    current?.pump(now)
  }

  onWaking(session: CryptoSession): void {
    this.settlePath()
    const now = this.#host.now()
    // The path may have found a carrier at once, and the peer been asked.
    if (session.parking.isAskDue(now)) session.sendRequest(now)
    this.#parts.wake()
  }

  /** It is answered before the application may do something that ends the session. */
  onWoken(session: CryptoSession, by: WokenBy, route: ReplyRoute): void {
    const now = this.#host.now()
    this.#parts.cookies.beginProbes(now, session.losses)
    this.settlePath()
    if (this.#parts.path.carrier() === 0) session.answerBy(route.reply)
    session.sendRequest(now)
    this.#host.onWoken(session, by)
    this.#parts.wake()
  }

  /**
   * Whoever asks for a cookie beside a session doubts that it still exists. The session answers on every way that the cookie may take: a
   * cookie that comes alone proves that there is no session. Not while it is parked: a request for a cookie may be an old one that a relay
   * has kept, and would wake both.
   */
  vouch(route: ReplyRoute, byPath: boolean): void {
    const { current } = this.#parts
    if (current === undefined || current.parking.state === "parked") return
    current.answerBy(route.reply)
    if (byPath) current.sendRequest(this.#host.now())
  }

  /** When the working session is suspected of having no peer any more. */
  suspectAt({ lastReceivedAt, parking }: CryptoSession, silence: SilenceWatch): number {
    if (parking.isResting) return Infinity
    return parking.state === "waking" ? parking.suspectAt : silence.suspectAt(lastReceivedAt)
  }
}
