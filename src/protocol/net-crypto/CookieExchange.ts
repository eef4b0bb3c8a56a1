/**
 * Cookie requests to one peer and their answers (net_crypto, section 3), with the key that the two DHT keys share. A request keeps no
 * state at the peer, so a session asks by them which relays deliver. What a cookie is good for, a call or the proof that a peer has been
 * restarted, is `CryptoPeer`'s business.
 */
import * as Packet from "../../schema/NetCryptoPacket.ts"
import type { Cipher } from "../crypto/Crypto.ts"
import type { PeerPath } from "../registry/PeerPath.ts"
import { cookieQuestion } from "./handshakeOffer.ts"
import { openCookieResponse } from "./netCryptoHandshake.ts"
import { PathProbes } from "./PathProbes.ts"
import type { PeerHost } from "./PeerHost.ts"

export class CookieExchange {
  readonly #host: PeerHost
  readonly #path: PeerPath
  readonly #frame = new Uint8Array(1 + Packet.cookieRequestSize)
  #cipher: Cipher | undefined
  #probes: PathProbes | undefined

  constructor(host: PeerHost, path: PeerPath) {
    this.#host = host
    this.#path = path
    this.#cipher = host.crypto.box(path.peer, host.dht.secretKey)
  }

  /** Whether the peer's DHT key can be used at all. */
  get isPossible(): boolean {
    return this.#cipher !== undefined
  }

  /** A session works from now on: its standbys are probed. */
  beginProbes(now: number): void {
    this.#probes = new PathProbes(this.#host.fill, now)
  }

  /** When `onTimer` wants to be called. */
  get deadline(): number {
    return this.#path.isAsleep ? Infinity : this.#probes?.deadline ?? Infinity
  }

  /** `lag`: see `CryptoSession.onTimer`. */
  onTimer(now: number, lag: number): void {
    if (this.#path.isAsleep) return
    this.#probes?.onTimer(now, lag, this.#path, this.#frame, (echoId) => this.question(echoId))
  }

  /** A cookie request with this echo id; empty when the key cannot be used. */
  question(echoId: Uint8Array): Uint8Array {
    return this.#cipher === undefined ? new Uint8Array(0) : cookieQuestion(this.#host, this.#cipher, echoId)
  }

  /**
   * Opens a cookie response. Undefined when it is none of this peer's, and when it answers a question about the relays.
   * `leastRoundTrip` is the carrier's, without its queue.
   */
  take(bytes: Uint8Array, leastRoundTrip: number | undefined): Packet.CookieResponseContent | undefined {
    const response = this.#cipher && openCookieResponse(bytes, this.#cipher)
    if (response === undefined) return undefined
    const isProbe = this.#probes?.onAnswer(response.echoId, this.#host.now(), this.#path, leastRoundTrip) === true
    return isProbe ? undefined : response
  }

  dispose(): void {
    this.#cipher?.dispose()
    this.#cipher = undefined
  }
}
