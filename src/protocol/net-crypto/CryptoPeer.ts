/**
 * One peer of net_crypto: the handshake in both roles and the sessions it leads to (protocol, sections 4 to 6). At any time there is
 * at most one call in progress (`#attempt`), one session that works (`#current`) and one whose handshake is complete but unproven
 * (`#candidate`). A candidate takes over when a packet opens under its key, and only then does the old session end: make before break.
 *
 * A session that has gone silent is not given up: the peer is asked for a cookie beside it. A peer that answers that, but no
 * packet of the session, has been restarted, and is called anew; the same process answers both, and nothing happens.
 */
import { equalBytes, type PublicKey, toHex } from "../../schema/Bytes.ts"
import * as Packet from "../../schema/NetCryptoPacket.ts"
import type { Cipher } from "../crypto/Crypto.ts"
import type { PeerPath, PeerPathEvents, ReplyRoute } from "../registry/PeerPath.ts"
import { CryptoSession } from "./CryptoSession.ts"
import { askForCookie, makeOffer, type Offer, toHandshake } from "./handshakeOffer.ts"
import * as Handshake from "./netCryptoHandshake.ts"
import type { EndReason, PeerHost } from "./PeerHost.ts"
import type { SessionHost } from "./SessionHost.ts"

interface Candidate {
  readonly session: CryptoSession
  readonly offer: Offer
  /** The peer's session key that made it: a repetition of that handshake changes nothing. */
  readonly origin: PublicKey
  readonly path: PeerPath
}

/** Silence after which a working session is suspected: twice and a half what a peer lets pass between two packets. */
const suspectAfter = 2_500
/** The same when the peer is online on no relay. */
const suspectOffline = 300
/** Between two questions to a suspected peer, and how long it has to answer within the session once it has answered at all. */
const recallInterval = 500
const recallGrace = 250
/** It is asked again within that time, so that one lost packet does not end a session that works. */
const lastAskInterval = 80
/** A repeated handshake is answered again, but not more often than this. */
const answerInterval = 100

export class CryptoPeer implements PeerPathEvents {
  readonly identityKey: PublicKey
  /** The identity key in hexadecimal. */
  readonly id: string
  readonly #host: PeerHost
  readonly #sessionHost: SessionHost
  path: PeerPath
  #dhtCipher: Cipher | undefined
  #attempt: Offer | undefined
  #current: CryptoSession | undefined
  #currentOrigin: PublicKey | undefined
  #candidate: Candidate | undefined
  /** The cookie of a suspected peer, and when it may be used if the session stays silent. */
  #recall: { readonly cookie: Uint8Array; readonly at: number } | undefined
  #offlineSince: number | undefined
  #isClosed = false
  readonly #frame = new Uint8Array(1 + Packet.maxDataSize)

  constructor(host: PeerHost, identityKey: PublicKey, dhtKey: PublicKey) {
    this.#host = host
    this.identityKey = identityKey
    this.id = toHex(identityKey)
    this.#sessionHost = {
      ...host,
      onConfirmed: (session) => this.#onConfirmed(session),
      onKilled: (session) => this.#end(session, "Closed")
    }
    this.path = host.openPath(dhtKey, this)
    this.#dhtCipher = host.crypto.box(dhtKey, host.dht.secretKey)
  }

  get current(): CryptoSession | undefined {
    return this.#current
  }

  /** Whether nothing is going on: the peer can be forgotten. */
  get isIdle(): boolean {
    return this.#attempt === undefined && this.#current === undefined && this.#candidate === undefined
  }

  /** Whether the peer's DHT key can be used at all. */
  get isReachable(): boolean {
    return this.#dhtCipher !== undefined
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

  /** The application has done something to a session: its deadline may have changed. */
  wake(): void {
    this.#host.wake(this)
  }

  /**
   * A data packet or a cookie request that this peer sent out of band over a relay which is not tied to it, as happens when the two know
   * different relays. Without this a peer that finds us by such a relay would hear cookies but nothing of the session, and take us for
   * restarted.
   */
  onUnboundPacket(bytes: Uint8Array, route: ReplyRoute): void {
    if (bytes[0] === 24) return this.#current?.answerBy(route.reply)
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
          // Whoever asks beside a session doubts that it still exists.
          this.#current?.sendRequest(this.#host.now())
          return this.#sendPacket(packet, this.path)
        })
    }
  }

  onWritable(): void {
    const now = this.#host.now()
    this.#current?.pump(now)
    // A first try that found no relay need not wait any longer.
    for (const offer of [this.#attempt, this.#candidate?.offer]) if (offer?.tries === 0) offer.nextAt = now
    this.#repeat(now)
    this.#host.wake(this)
  }

  onCarrierChange(lost: number): void {
    const now = this.#host.now()
    this.#offlineSince = this.path.carrier() === 0 ? now : undefined
    this.#current?.onCarrierChange(lost, now)
    this.#candidate?.session.onCarrierChange(lost, now)
    this.#repeat(now)
    this.#host.wake(this)
  }

  /** A handshake that passed all checks and names this peer's identity key. */
  onHandshake(opened: Handshake.OpenedHandshake, route: ReplyRoute): void {
    const now = this.#host.now()
    const key = opened.sessionKey
    if (this.#currentOrigin !== undefined && equalBytes(key, this.#currentOrigin)) return this.path.tie(route.relay)
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
    const path = this.#pathTo(opened.bearer.dhtKey)
    path.tie(route.relay)
    if (offer !== this.#attempt) path.tieHome()
    const session = new CryptoSession(this.#sessionHost, path, cipher, offer.baseNonce, opened.baseNonce)
    this.#attempt = undefined
    this.#recall = undefined
    this.#candidate = { session, offer, origin: key, path }
    // A peer that has another key than before has not kept what we sent it.
    if (!offer.isHandshake || waiting !== undefined) {
      this.#answer(offer, opened.innerCookie, opened.bearer.dhtKey, now)
      this.#send(offer, path)
    }
    session.sendRequest(now)
    this.#host.wake(this)
  }

  /** When `onTimer` wants to be called. */
  get deadline(): number {
    let at = Math.min(this.#current?.deadline ?? Infinity, this.#attempt?.nextAt ?? Infinity)
    if (this.#candidate !== undefined) at = Math.min(at, this.#candidate.offer.nextAt, this.#candidate.session.deadline)
    if (this.#recall !== undefined) return Math.min(at, this.#recall.at)
    return this.#attempt === undefined ? Math.min(at, this.#suspectAt()) : at
  }

  onTimer(now: number, lag: number): void {
    const current = this.#current
    if (current?.hasTimedOut(now - lag) === true) return this.#end(current, "TimedOut")
    current?.onTimer(now, lag)
    this.#candidate?.session.onTimer(now, lag)
    this.#repeat(now)
    if (this.#current !== undefined) this.#watch(this.#current, now)
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
    this.#dhtCipher?.dispose()
    this.#dhtCipher = undefined
  }

  /** Whether it was a data packet of one of our sessions. */
  #open(bytes: Uint8Array, route: ReplyRoute): boolean {
    return this.#current?.receive(bytes, route) === true || this.#candidate?.session.receive(bytes, route) === true
  }

  /** Suspects a silent session: asks for a cookie, and calls the peer anew if that is all that is answered. */
  #watch(session: CryptoSession, now: number): void {
    if (this.#recall !== undefined && now >= this.#recall.at) {
      const { cookie } = this.#recall
      this.#recall = undefined
      const offer = this.#attempt
      if (offer === undefined) return
      this.#answer(offer, cookie, this.path.peer, now)
      this.#send(offer, this.path)
      return
    }
    const isSilent = now >= this.#suspectAt()
    if (!isSilent && this.#attempt !== undefined && !this.#attempt.isHandshake) this.#forgetAttempt()
    if (isSilent && this.#attempt === undefined && this.#candidate === undefined) {
      this.#attempt = this.#question(now)
      session.sendRequest(now)
      this.#send(this.#attempt, this.path)
    }
  }

  #suspectAt(): number {
    if (this.#current === undefined || this.#candidate !== undefined) return Infinity
    const heard = this.#current.lastReceivedAt
    return this.#offlineSince === undefined
      ? heard + suspectAfter
      : Math.min(heard + suspectAfter, Math.max(this.#offlineSince, heard) + suspectOffline)
  }

  #onCookieResponse(bytes: Uint8Array): void {
    const offer = this.#attempt
    if (offer === undefined || offer.isHandshake || this.#dhtCipher === undefined) return
    const response = Handshake.openCookieResponse(bytes, this.#dhtCipher)
    if (response === undefined || !equalBytes(response.echoId, offer.echoId)) return
    const now = this.#host.now()
    if (this.#current !== undefined) {
      if (this.#recall === undefined) offer.nextAt = Math.min(offer.nextAt, now + lastAskInterval)
      this.#recall ??= { cookie: response.cookie.slice(), at: now + recallGrace }
      return this.#host.wake(this)
    }
    this.#answer(offer, response.cookie, this.path.peer, now)
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
    this.#currentOrigin = candidate.origin
    this.path = candidate.path
    this.#offlineSince = this.path.carrier() === 0 ? this.#host.now() : undefined
    candidate.offer.ephemeral.wipe()
    this.#forgetAttempt()
    if (before !== undefined) {
      before.dispose()
      this.#host.onEnded(this, before, "Restarted")
    }
    if (oldPath !== candidate.path) {
      oldPath.close()
      this.#dhtCipher?.dispose()
      this.#dhtCipher = this.#host.crypto.box(this.path.peer, this.#host.dht.secretKey)
    }
    this.#host.onEstablished(this, session)
    this.#host.wake(this)
  }

  #end(session: CryptoSession, reason: EndReason): void {
    if (this.#current !== session) return
    this.#current = undefined
    this.#currentOrigin = undefined
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
        this.#send(attempt, this.path)
      } else {
        const stage = attempt.isHandshake ? "Handshake" : "CookieRequest"
        this.#forgetAttempt()
        if (this.#current === undefined && this.#candidate === undefined) this.#host.onEnded(this, undefined, stage)
      }
    }
    const candidate = this.#candidate
    if (candidate === undefined || now < candidate.offer.nextAt) return
    if (candidate.offer.tries < handshakeTries) return this.#send(candidate.offer, candidate.path)
    this.#forgetCandidate()
    if (this.#current === undefined) this.#host.onEnded(this, undefined, "Handshake")
  }

  #question(now: number): Offer | undefined {
    if (this.#dhtCipher === undefined) return undefined
    const { crypto, dht, fill, identity } = this.#host
    const offer = makeOffer(crypto, fill, now)
    askForCookie(offer, this.#dhtCipher, { realKey: identity.publicKey, dhtKey: dht.publicKey }, fill)
    return offer
  }

  #answer(offer: Offer, cookie: Uint8Array, dhtKey: PublicKey, now: number): void {
    const { crypto, fill, identity, jar } = this.#host
    const inner = jar.issue({ realKey: this.identityKey, dhtKey }, now)
    toHandshake(offer, crypto, identity.secretKey, this.identityKey, cookie, inner, fill, now)
  }

  /** Only what a route accepted counts as a try (protocol, section 5): otherwise a new relay is waited for. */
  #send(offer: Offer | undefined, path: PeerPath): void {
    if (offer === undefined) return
    const wasTaken = this.#sendPacket(offer.packet, path)
    if (wasTaken) offer.tries++
    const interval = this.#current === undefined || offer.isHandshake
      ? this.#host.numbers.handshakeInterval
      : this.#recall === undefined
      ? recallInterval
      : lastAskInterval
    offer.nextAt = this.#host.now() + (wasTaken ? interval : Math.min(interval, 100))
  }

  #sendPacket(packet: Uint8Array, path: PeerPath): boolean {
    this.#frame.set(packet, 1)
    return path.send(this.#frame, packet.length + 1, true) === "sent"
  }

  /** The path to this DHT key: ours, or a new one beside ours. The candidate is forgotten before, and its path with it. */
  #pathTo(dhtKey: PublicKey): PeerPath {
    return equalBytes(this.path.peer, dhtKey) ? this.path : this.#host.openPath(dhtKey, this)
  }

  #forgetAttempt(): void {
    this.#attempt?.ephemeral.wipe()
    this.#attempt = undefined
    this.#recall = undefined
  }

  #forgetCandidate(): void {
    const candidate = this.#candidate
    if (candidate === undefined) return
    this.#dropCandidate(candidate)
    candidate.offer.ephemeral.wipe()
  }

  /** Ends the session that is not proven; our offer lives on. Such a session has sent nothing but empty requests. */
  #dropCandidate(candidate: Candidate): void {
    this.#candidate = undefined
    candidate.session.dispose()
    if (candidate.path !== this.path) candidate.path.close()
  }
}
