/**
 * Cookie requests to one peer and their answers (net_crypto, section 3), with the key that the two DHT keys share. A request keeps no
 * state at the peer, so a session asks by them which relays deliver, and how fast they are. What a cookie is good for, a call or the proof that a peer has been
 * restarted, is `CryptoPeer`'s business.
 */
import * as Packet from "../../schema/NetCryptoPacket.ts"
import type { Cipher } from "../crypto/Crypto.ts"
import type { PeerPath } from "../registry/PeerPath.ts"
import type { CarrierLoss } from "./CarrierLoss.ts"
import { cookieQuestion } from "./handshakeOffer.ts"
import { openCookieResponse } from "./netCryptoHandshake.ts"
import { PathProbes } from "./PathProbes.ts"
import { type MeasuredWay, PathSurvey, type SurveyResult } from "./PathSurvey.ts"
import type { PeerHost } from "./PeerHost.ts"

export class CookieExchange {
  readonly #host: PeerHost
  readonly #path: PeerPath
  readonly #frame = new Uint8Array(1 + Packet.cookieRequestSize)
  #cipher: Cipher | undefined
  #probes: PathProbes | undefined
  readonly #survey: PathSurvey
  #isResting = false

  constructor(host: PeerHost, path: PeerPath) {
    this.#host = host
    this.#path = path
    this.#cipher = host.crypto.box(path.peer, host.dht.secretKey)
    this.#survey = new PathSurvey(host.fill, host.now)
  }

  /** Whether the peer's DHT key can be used at all. */
  get isPossible(): boolean {
    return this.#cipher !== undefined
  }

  /** A session works from now on: its standbys are probed. `losses`: see `PathProbes`. */
  beginProbes(now: number, losses: CarrierLoss): void {
    this.#isResting = false
    this.#probes = new PathProbes(this.#host.fill, now, losses)
  }

  /** The session rests: nothing is asked, and nothing that was asked before counts, until `beginProbes` is called again. */
  rest(): void {
    this.#isResting = true
    this.#probes = undefined
  }

  /** The relays tied to the peer, with the round trips of the last survey. */
  get ways(): ReadonlyArray<MeasuredWay> {
    return this.#survey.waysOf(this.#path)
  }

  /** Measures them all: see `PathSurvey.start`. While the session rests nobody is asked. */
  survey(onDone: SurveyResult): () => void {
    if (this.#isResting) {
      onDone(this.ways.map((way) => ({ ...way, roundTrip: undefined })))
      return () => undefined
    }
    return this.#survey.start(this.#path, this.#frame, (echoId) => this.question(echoId), onDone)
  }

  /** When `onTimer` wants to be called. */
  get deadline(): number {
    const { deadline } = this.#survey
    return this.#path.isAsleep ? deadline : Math.min(deadline, this.#probes?.deadline ?? Infinity)
  }

  /** `lag`: see `CryptoSession.onTimer`. */
  onTimer(now: number, lag: number): void {
    this.#survey.onTimer(now, lag)
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
    const now = this.#host.now()
    if (this.#survey.onAnswer(response.echoId, now)) return undefined
    const isProbe = this.#probes?.onAnswer(response.echoId, now, this.#path, leastRoundTrip) === true
    return isProbe ? undefined : response
  }

  dispose(): void {
    this.#cipher?.dispose()
    this.#cipher = undefined
  }
}
