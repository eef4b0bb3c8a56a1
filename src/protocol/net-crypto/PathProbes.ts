/**
 * Asks over each standby relay whether it delivers, end to end (row T33): a cookie request keeps no state at the peer, and its answer
 * carries an echo. A relay that says nothing back is accused; one that answers much sooner than the carrier becomes the carrier. While
 * the carrier is suspected of losing packets, all of them are asked in quick succession, and it is left for one that is clearly better.
 */
import { toHex } from "../../schema/Bytes.ts"
import { echoIdSize } from "../../schema/NetCryptoPacket.ts"
import { type Fill, randomBytes } from "../crypto/ephemeral.ts"
import type { PeerPath } from "../registry/PeerPath.ts"
import type { CarrierLoss } from "./CarrierLoss.ts"
import { CarrierTrial } from "./CarrierTrial.ts"

/** After a session has been established, and between two rounds. Milliseconds, as all below. */
const firstRound = 1_000
const roundInterval = 30_000
/** It is asked again after so long, so that one lost packet is no proof, and accused when the last question has had as long. */
const askInterval = 1_000
const asks = 3
/** The carrier is left for a relay with less than half its round trip, if that saves at least this much. */
const worthMoving = 50
/** Standbys in one trial, the most trusted. */
const trialStandbys = 2
/** After a trial that found nothing better the next one has to wait, twice as long each time. */
const minTrialPause = 2_000
const maxTrialPause = 64_000

interface Asked {
  readonly echoId: Uint8Array
  readonly carrier: number
  /** When it was asked first: an answer is not taken for a quicker one than it is. */
  sentAt: number
  nextAt: number
  tries: number
}

export class PathProbes {
  readonly #fill: Fill
  /** Echo ids that have not come back, oldest first. */
  readonly #asked = new Map<string, Asked>()
  readonly #losses: CarrierLoss
  #roundAt: number
  #trial: CarrierTrial | undefined
  #lastTried = 0
  #trialPause = minTrialPause
  #noTrialBefore = -Infinity

  /** `losses` is what the session has noticed about its carrier. */
  constructor(fill: Fill, now: number, losses: CarrierLoss) {
    this.#fill = fill
    this.#losses = losses
    this.#roundAt = now + firstRound
  }

  /** When `onTimer` has something to do. */
  get deadline(): number {
    let at = Math.min(this.#roundAt, this.#trial?.deadline ?? this.#trialAt)
    for (const { nextAt } of this.#asked.values()) at = Math.min(at, nextAt)
    return at
  }

  /**
   * Judges what has not been answered and asks again when it is time. `question` makes a cookie request with this echo id, `frame` has
   * room for it behind its first byte. `lag`: see `CryptoSession.onTimer`.
   */
  onTimer(
    now: number,
    lag: number,
    path: PeerPath,
    frame: Uint8Array,
    question: (echoId: Uint8Array) => Uint8Array
  ): void {
    const send = (asked: Asked): boolean => {
      const packet = question(asked.echoId)
      frame.set(packet, 1)
      asked.tries++
      asked.nextAt = now + askInterval
      return path.sendVia(asked.carrier, frame, packet.length + 1)
    }
    for (const [echo, asked] of this.#asked) {
      asked.sentAt += lag
      asked.nextAt += lag
      if (asked.nextAt > now) continue
      if (asked.tries < asks) {
        send(asked)
        continue
      }
      this.#asked.delete(echo)
      path.judge(asked.carrier, false)
    }
    this.#try(now, path, (carrier) => {
      const echoId = randomBytes(this.#fill, echoIdSize)
      const packet = question(echoId)
      frame.set(packet, 1)
      return path.sendVia(carrier, frame, packet.length + 1) ? toHex(echoId) : undefined
    })
    if (now < this.#roundAt) return
    this.#roundAt = now + roundInterval
    for (const carrier of path.standbys()) {
      const asked: Asked = {
        echoId: randomBytes(this.#fill, echoIdSize),
        carrier,
        sentAt: now,
        nextAt: now,
        tries: 0
      }
      if (send(asked)) this.#asked.set(toHex(asked.echoId), asked)
    }
  }

  /**
   * Takes the echo of a cookie response; false when it answers none of our probes. `leastRoundTrip` is the carrier's, without its queue.
   */
  onAnswer(echoId: Uint8Array, now: number, path: PeerPath, leastRoundTrip = Infinity): boolean {
    const echo = toHex(echoId)
    if (this.#trial?.onAnswer(echo, now) === true) {
      this.#conclude(this.#trial, now, path)
      return true
    }
    const asked = this.#asked.get(echo)
    if (asked === undefined) return false
    this.#asked.delete(echo)
    path.judge(asked.carrier, true)
    const roundTrip = now - asked.sentAt
    if (leastRoundTrip < Infinity && leastRoundTrip > 2 * roundTrip && leastRoundTrip - roundTrip > worthMoving) {
      path.prefer(asked.carrier)
    }
    return true
  }

  get #trialAt(): number {
    return Math.max(this.#noTrialBefore, this.#losses.trialAt)
  }

  /** Begins a trial when it is time, and goes on with it. `ask`: see `CarrierTrial`. */
  #try(now: number, path: PeerPath, ask: (carrier: number) => string | undefined): void {
    const carrier = path.carrier()
    if (this.#trial !== undefined) this.#conclude(this.#trial, now, path)
    if (this.#trial === undefined && now >= this.#trialAt) {
      const standbys = path.standbys().slice(0, trialStandbys)
      // Nowhere to go: look again in a while.
      if (standbys.length === 0) this.#noTrialBefore = now + minTrialPause
      else {
        if (carrier !== this.#lastTried) this.#trialPause = minTrialPause
        this.#lastTried = carrier
        this.#trial = new CarrierTrial(this.#losses, carrier, standbys, now)
      }
    }
    this.#trial?.onTimer(now, ask)
  }

  /** Moves if a standby turns out to be better, and ends a trial that is over. */
  #conclude(trial: CarrierTrial, now: number, path: PeerPath): void {
    const isMoot = path.carrier() !== trial.carrier || this.#losses.trialAt === Infinity
    const better = isMoot ? undefined : trial.better
    if (better === undefined && !isMoot && !trial.isOver(now)) return
    this.#trial = undefined
    if (isMoot) return
    if (better !== undefined) {
      path.judge(trial.carrier, false)
      return path.prefer(better)
    }
    this.#noTrialBefore = now + this.#trialPause
    this.#trialPause = Math.min(2 * this.#trialPause, maxTrialPause)
  }
}
