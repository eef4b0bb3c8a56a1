/**
 * One peer of net_crypto: the handshake in both roles and the sessions it leads to (protocol, sections 4 to 6). At any time there is
 * at most one call in progress (`#attempt`), one session that works (`#current`) and one whose handshake is complete but unproven
 * (`#candidate`). A candidate takes over when a packet opens under its key, and only then does the old session end: make before break.
 *
 * A session that has gone silent is not given up: the peer is asked for a cookie beside it. A peer that answers that, but no
 * packet of the session, has been restarted, and is called anew; the same process answers both, and nothing happens.
 */
import { equalBytes, type PublicKey, toHex } from "../../schema/Bytes.ts"
import type { PeerPath, PeerPathEvents, ReplyRoute } from "../registry/PeerPath.ts"
import { CookieExchange } from "./CookieExchange.ts"
import { CryptoSession } from "./CryptoSession.ts"
import { type Candidate, makeOffer, makeQuestion, type Offer, OfferSender, toHandshake } from "./handshakeOffer.ts"
import type { OpenedHandshake } from "./netCryptoHandshake.ts"
import type { EndReason, PeerHost } from "./PeerHost.ts"
import { PeerRest } from "./PeerRest.ts"
import type { SessionHost } from "./SessionHost.ts"
import { SilenceWatch } from "./SilenceWatch.ts"

/** After so many unanswered tries of a call its carrier is suspected. */
const patientTries = 2
/** A repeated handshake is answered again, but not more often than this. */
const answerInterval = 100
/** A packet of an ended session may arrive this long after its sender has ended. */
const lateness = 250

export class CryptoPeer implements PeerPathEvents {
  readonly identityKey: PublicKey
  /** The identity key in hexadecimal. */
  readonly id: string
  readonly #host: PeerHost
  readonly #sessionHost: SessionHost
  path: PeerPath
  /** What is asked over `path`. Whoever starts a survey calls `wake` afterwards. */
  cookies: CookieExchange
  #attempt: Offer | undefined
  #current: CryptoSession | undefined
  /** The peer's session key that made the working session, and since when that works. */
  #origin: { readonly key: PublicKey; readonly since: number } | undefined
  #candidate: Candidate | undefined
  readonly #silence = new SilenceWatch()
  readonly #rest: PeerRest
  #isClosed = false
  readonly #sender = new OfferSender()

  constructor(host: PeerHost, identityKey: PublicKey, dhtKey: PublicKey) {
    this.#host = host
    this.identityKey = identityKey
    this.id = toHex(identityKey)
    this.#sessionHost = {
      ...host,
      onConfirmed: (session) => this.#onConfirmed(session),
      onKilled: (session) => this.#end(session, "Closed"),
      onWaking: (session) => this.#rest.onWaking(session),
      onWoken: (session, by, route) => this.#rest.onWoken(session, by, route)
    }
    this.#rest = new PeerRest(this, host)
    this.path = host.openPath(dhtKey, this)
    this.cookies = new CookieExchange(host, this.path)
  }

  get current(): CryptoSession | undefined {
    return this.#current
  }

  /** Whether nothing is going on: the peer can be forgotten. */
  get isIdle(): boolean {
    return this.#attempt === undefined && this.#current === undefined && this.#candidate === undefined
  }

  /** Whether a handshake over the present path is complete but unproven. */
  get isChanging(): boolean {
    return this.#candidate?.path === this.path
  }

  /** Whether the peer's DHT key can be used at all. */
  get isReachable(): boolean {
    return this.cookies.isPossible
  }

  /** Whether one of this peer's paths leads to this DHT key. */
  uses(dhtKey: PublicKey): boolean {
    return equalBytes(this.path.peer, dhtKey) ||
      (this.#candidate !== undefined && equalBytes(this.#candidate.path.peer, dhtKey))
  }

  /** Calls the peer, unless a call or a session exists. */
  call(): void {
    if (!this.isIdle) return
    this.#attempt = this.#question(this.#host.now())
    this.#send(this.#attempt, this.path)
    this.#host.wake(this)
  }

  /**
   * Lets the working session rest, and its path sleep but for `keptRelays` (rows T26 to T29). False while something is on its way to the peer, the peer is being
   * woken, or a handshake is under way.
   */
  park(session: CryptoSession, keptRelays: number): boolean {
    const isCalling = this.#candidate !== undefined || this.#attempt?.isHandshake === true
    if (this.#current !== session || isCalling || !session.park()) return false
    this.#rest.keptRelays = keptRelays
    this.#forgetAttempt()
    this.cookies.rest()
    this.#host.wake(this)
    return true
  }

  /** The application has done something to a session, or asked for a survey: the deadline may have changed. */
  wake(): void {
    this.#host.wake(this)
  }

  /**
   * A data packet or a cookie request that this peer sent out of band over a relay which is not tied to it, as happens when the two know
   * different relays. Without this a peer that finds us by such a relay would hear cookies but nothing of the session, and take us for
   * restarted.
   */
  onUnboundPacket(bytes: Uint8Array, route: ReplyRoute): void {
    if (bytes[0] === 24) return this.#rest.vouch(route, false)
    if (this.#open(bytes, route)) this.path.tie(route.relay)
  }

  onPacket(bytes: Uint8Array, route: ReplyRoute): void {
    switch (bytes[0]) {
      case 27:
        return void this.#open(bytes, route)
      case 26:
        return this.#host.onHandshake(bytes, route)
      case 25:
        return this.#onCookieResponse(bytes)
      case 24:
        return this.#host.answerCookieRequest(bytes, (packet) => {
          this.#rest.vouch(route, true)
          // Through the relay that asked, so that both directions of it are tried.
          return route.reply(packet) || this.#sender.sendPacket(packet, this.path)
        })
    }
  }

  onWritable(): void {
    const now = this.#host.now()
    this.#rest.onWritable(now)
    // A first try that found no relay need not wait any longer.
    for (const offer of [this.#attempt, this.#candidate?.offer]) if (offer?.tries === 0) offer.nextAt = now
    this.#repeat(now)
    this.#host.wake(this)
  }

  onCarrierChange(lost: number): void {
    const now = this.#host.now()
    this.#silence.online(this.path.carrier() !== 0, now)
    this.#current?.onCarrierChange(lost, now)
    this.#candidate?.session.onCarrierChange(lost, now)
    this.#repeat(now)
    this.#host.wake(this)
  }

  /** A handshake that passed all checks and names this peer's identity key. */
  onHandshake(opened: OpenedHandshake, route: ReplyRoute): void {
    const now = this.#host.now()
    const key = opened.sessionKey
    if (this.#origin !== undefined && equalBytes(key, this.#origin.key)) return this.path.tie(route.relay)
    // Held back by a relay: a peer that was restarted answers a cookie younger than the session, and than all its packets.
    const heard = (this.#current?.lastReceivedAt ?? -Infinity) - lateness
    if (opened.issuedAt < Math.max(heard, this.#origin?.since ?? -Infinity)) return
    const waiting = this.#candidate
    if (waiting !== undefined && equalBytes(key, waiting.origin)) {
      waiting.path.tie(route.relay)
      if (now - (waiting.offer.nextAt - this.#host.numbers.handshakeInterval) >= answerInterval) {
        this.#send(waiting.offer, waiting.path)
      }
      return
    }
    // One offer of ours until a session is proven, whatever handshakes come. Crossing calls meet in one key that way; with a new offer
    // for each, two answers on their way at once would replace each other's key on both sides and chase each other without end.
    const known = this.#attempt ?? waiting?.offer
    const offer = known ?? makeOffer(this.#host.crypto, this.#host.fill, now)
    const cipher = this.#host.crypto.box(key, offer.ephemeral.secretKey)
    if (cipher === undefined) {
      if (known === undefined) offer.ephemeral.wipe()
      return
    }
    if (waiting !== undefined) this.#dropCandidate(waiting)
    const { dhtKey } = opened.bearer
    const path = equalBytes(this.path.peer, dhtKey) ? this.path : this.#host.openPath(dhtKey, this, this.path.peer)
    path.tie(route.relay)
    if (offer !== this.#attempt) path.tieHome()
    const session = new CryptoSession(this.#sessionHost, path, cipher, offer.baseNonce, opened.baseNonce)
    this.#attempt = undefined
    this.#silence.reset()
    this.#candidate = { session, offer, origin: key, path }
    this.#rest.settlePath()
    // A peer that has another key than before has not kept what we sent it.
    if (!offer.isHandshake || waiting !== undefined) {
      toHandshake(offer, this.#host, this.identityKey, dhtKey, opened.innerCookie, now)
      this.#send(offer, path)
    }
    session.sendRequest(now)
    this.#host.wake(this)
  }

  /** When `onTimer` wants to be called. */
  get deadline(): number {
    let at = Math.min(this.#current?.deadline ?? Infinity, this.#attempt?.nextAt ?? Infinity)
    if (this.#candidate !== undefined) at = Math.min(at, this.#candidate.offer.nextAt, this.#candidate.session.deadline)
    if (this.#current === undefined) return at
    at = Math.min(at, this.cookies.deadline)
    if (this.#silence.isProving) return Math.min(at, Math.max(this.#silence.provenAt, this.#current.parking.waitUntil))
    return this.#attempt === undefined ? Math.min(at, this.#suspectAt(this.#current)) : at
  }

  onTimer(now: number, lag: number): void {
    const current = this.#current
    if (current?.hasTimedOut(now - lag) === true) return this.#end(current, "TimedOut")
    this.#silence.excuse(lag)
    current?.onTimer(now, lag)
    this.#candidate?.session.onTimer(now, lag)
    this.#rest.settlePath()
    this.#repeat(now)
    if (this.#current === undefined) return
    this.#watch(this.#current, now)
    this.cookies.onTimer(now, lag)
  }

  /** Ends everything, with a kill packet if a session works. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#current?.kill()
    // Before the end is reported: nothing may be going on by then, or the peer is not forgotten.
    this.#forgetAttempt()
    this.#forgetCandidate()
    if (this.#current !== undefined) this.#end(this.#current, "ClosedHere")
    this.path.close()
    this.cookies.dispose()
  }

  /** Whether it was a data packet of one of our sessions. */
  #open(bytes: Uint8Array, route: ReplyRoute): boolean {
    return this.#current?.receive(bytes, route) === true || this.#candidate?.session.receive(bytes, route) === true
  }

  /** Suspects a silent session: asks for a cookie, and calls the peer anew if that is all that is answered. */
  #watch(session: CryptoSession, now: number): void {
    const cookie = this.#silence.proof(now, session.lastReceivedAt, session.parking.waitUntil)
    if (cookie !== undefined && this.#attempt !== undefined) {
      toHandshake(this.#attempt, this.#host, this.identityKey, this.path.peer, cookie, now)
      return this.#send(this.#attempt, this.path)
    }
    const isSilent = now >= this.#suspectAt(session)
    const isNeedless = !isSilent || this.#silence.isRefuted(session.lastReceivedAt)
    if (isNeedless && this.#attempt !== undefined && !this.#attempt.isHandshake) this.#forgetAttempt()
    if (isSilent && this.#attempt === undefined) {
      this.#attempt = this.#question(now)
      this.#silence.asked(now)
      session.sendRequest(now)
      this.#send(this.#attempt, this.path)
    }
  }

  #suspectAt(session: CryptoSession): number {
    return this.#candidate === undefined ? this.#rest.suspectAt(session, this.#silence) : Infinity
  }

  #onCookieResponse(bytes: Uint8Array): void {
    const response = this.cookies.take(bytes, this.#current?.congestion.leastRoundTrip)
    const now = this.#host.now()
    const offer = this.#attempt
    if (
      response === undefined || offer === undefined || offer.isHandshake || !equalBytes(response.echoId, offer.echoId)
    ) return
    if (this.#current !== undefined) {
      this.#silence.answered(response.cookie, now)
      offer.nextAt = Math.min(offer.nextAt, now + this.#silence.askInterval)
      return this.#host.wake(this)
    }
    toHandshake(offer, this.#host, this.identityKey, this.path.peer, response.cookie, now)
    this.#send(offer, this.path)
    this.#host.wake(this)
  }

  #onConfirmed(session: CryptoSession): void {
    const candidate = this.#candidate
    if (candidate?.session !== session) return
    const before = this.#current
    const oldPath = this.path
    this.#candidate = undefined
    this.#current = session
    this.#origin = { key: candidate.origin, since: Math.floor(this.#host.now()) }
    this.path = candidate.path
    this.#silence.online(this.path.carrier() !== 0, this.#host.now())
    candidate.offer.ephemeral.wipe()
    this.#forgetAttempt()
    if (before !== undefined) {
      before.dispose()
      this.#host.onEnded(this, before, "Restarted")
    }
    if (oldPath !== candidate.path) {
      oldPath.close()
      this.cookies.dispose()
      this.cookies = new CookieExchange(this.#host, this.path)
    }
    this.cookies.beginProbes(this.#host.now(), session.losses)
    this.#host.onEstablished(this, session)
    this.#host.wake(this)
  }

  #end(session: CryptoSession, reason: EndReason): void {
    if (this.#current !== session) return
    this.#current = undefined
    this.#origin = undefined
    session.dispose()
    this.#forgetAttempt()
    this.#host.onEnded(this, session, reason)
  }

  /** Repeats what has not been answered, and gives up after the last try has had its time. */
  #repeat(now: number): void {
    const { handshakeTries } = this.#host.numbers
    const attempt = this.#attempt
    if (attempt !== undefined && now >= attempt.nextAt) {
      if (attempt.tries < handshakeTries || (this.#current !== undefined && !attempt.isHandshake)) {
        // A suspected session is asked in the same breath, over the same way.
        this.#current?.sendRequest(now)
        if (this.#current === undefined && attempt.tries >= patientTries) {
          // The relay that carries us may only say that the peer is there. A change of carrier comes back here.
          attempt.nextAt = Infinity
          this.path.moveOn()
        }
        this.#send(attempt, this.path)
      } else {
        const stage = attempt.isHandshake ? "Handshake" : "CookieRequest"
        this.#forgetAttempt()
        if (this.isIdle) this.#host.onEnded(this, undefined, stage)
      }
    }
    const candidate = this.#candidate
    if (candidate === undefined || now < candidate.offer.nextAt) return
    if (candidate.offer.tries < handshakeTries) return this.#send(candidate.offer, candidate.path)
    this.#forgetCandidate()
    if (this.#current === undefined) this.#host.onEnded(this, undefined, "Handshake")
  }

  #question(now: number): Offer {
    const { crypto, fill } = this.#host
    return makeQuestion(crypto, fill, now, (echoId) => this.cookies.question(echoId))
  }

  #send(offer: Offer | undefined, path: PeerPath): void {
    if (offer === undefined) return
    const isBeside = this.#current !== undefined && !offer.isHandshake
    const interval = isBeside ? this.#silence.askInterval : this.#host.numbers.handshakeInterval
    this.#sender.send(offer, path, this.#host.now(), interval)
  }

  #forgetAttempt(): void {
    this.#attempt?.ephemeral.wipe()
    this.#attempt = undefined
    this.#silence.reset()
  }

  #forgetCandidate(): void {
    const candidate = this.#candidate
    if (candidate !== undefined) this.#dropCandidate(candidate)
    candidate?.offer.ephemeral.wipe()
  }

  /** Ends the session that is not proven; our offer lives on. Such a session has sent nothing but empty requests. */
  #dropCandidate(candidate: Candidate): void {
    this.#candidate = undefined
    candidate.session.dispose()
    if (candidate.path !== this.path) candidate.path.close()
    this.#rest.settlePath()
  }
}
