/**
 * Measures the round trip to a peer over every relay that it is online on, the carrier included, when somebody asks: one cookie request
 * over each, all at once. It measures and does nothing else: what relays are good for is judged by `PathProbes`.
 *
 * A peer of ours answers by the relay that asked, so both directions are that relay's. Other peers may answer by any relay.
 */
import { toHex } from "../../schema/Bytes.ts"
import { echoIdSize } from "../../schema/NetCryptoPacket.ts"
import { type Fill, randomBytes } from "../crypto/ephemeral.ts"
import type { PeerPath, PeerWay } from "../registry/PeerPath.ts"

/** So long an answer is waited for. Milliseconds, as all below. */
const patience = 2_000

/** A way to the peer with what is known of its speed. */
export interface MeasuredWay extends PeerWay {
  /** Whether it is the one that carries the data. */
  readonly carries: boolean
  /** Undefined when it has not been asked or has not answered in time. */
  readonly roundTrip: number | undefined
}

export type SurveyResult = (ways: ReadonlyArray<MeasuredWay>) => void

/** All questions of one survey. */
interface Round {
  /** As they were when they were asked. */
  readonly ways: ReadonlyArray<MeasuredWay>
  /** Echo ids that have not come back. */
  readonly asked: Map<string, { readonly carrier: number; at: number }>
  readonly roundTrips: Map<number, number>
  until: number
  readonly onDone: SurveyResult
}

export class PathSurvey {
  readonly #fill: Fill
  readonly #now: () => number
  readonly #rounds = new Set<Round>()
  /** Of the survey that ended last, by carrier: no later spell of a relay has the number of an earlier one. */
  #latest: ReadonlyMap<number, number> = new Map()

  /** `now`: monotonic milliseconds, read for each question. */
  constructor(fill: Fill, now: () => number) {
    this.#fill = fill
    this.#now = now
  }

  /** When `onTimer` has something to do. */
  get deadline(): number {
    let at = Infinity
    for (const { until } of this.#rounds) at = Math.min(at, until)
    return at
  }

  /** The ways as they are now, with the round trips of the last survey. */
  waysOf(path: PeerPath): ReadonlyArray<MeasuredWay> {
    return measured(path, this.#latest)
  }

  /**
   * Asks over all ways at once. `onDone` is called once, when all have answered or the time is up; inside this call when nothing could be
   * asked. `question` and `frame`: see `PathProbes.onTimer`. Returns what gives the survey up.
   */
  start(
    path: PeerPath,
    frame: Uint8Array,
    question: (echoId: Uint8Array) => Uint8Array,
    onDone: SurveyResult
  ): () => void {
    const ways = measured(path, new Map())
    const round: Round = { ways, asked: new Map(), roundTrips: new Map(), until: this.#now() + patience, onDone }
    this.#rounds.add(round)
    // All are made before the first is sent: none waits for another one's encryption, and no early answer seems to be the last.
    const questions = ways.filter(({ carrier }) => carrier !== 0).map(({ carrier }) => {
      const echoId = randomBytes(this.#fill, echoIdSize)
      const asked = { carrier, at: Infinity }
      const echo = toHex(echoId)
      round.asked.set(echo, asked)
      return { asked, echo, packet: question(echoId) }
    })
    for (const { asked, echo, packet } of questions) {
      frame.set(packet, 1)
      asked.at = this.#now()
      if (!path.sendVia(asked.carrier, frame, packet.length + 1)) round.asked.delete(echo)
    }
    if (round.asked.size === 0) this.#end(round)
    return () => void this.#rounds.delete(round)
  }

  /** Takes the echo of a cookie response; false when it answers none of our questions. */
  onAnswer(echoId: Uint8Array, now: number): boolean {
    const echo = toHex(echoId)
    for (const round of this.#rounds) {
      const asked = round.asked.get(echo)
      if (asked === undefined) continue
      round.asked.delete(echo)
      round.roundTrips.set(asked.carrier, now - asked.at)
      if (round.asked.size === 0) this.#end(round)
      return true
    }
    return false
  }

  /** Ends what has had its time. `lag`, see `CryptoSession.onTimer`, is given back to the relays, as far as it was theirs. */
  onTimer(now: number, lag: number): void {
    for (const round of this.#rounds) {
      round.until = Math.min(now + patience, round.until + lag)
      if (round.until <= now) this.#end(round)
    }
  }

  #end(round: Round): void {
    if (!this.#rounds.delete(round)) return
    this.#latest = round.roundTrips
    round.onDone(round.ways.map((way) => ({ ...way, roundTrip: round.roundTrips.get(way.carrier) })))
  }
}

const measured = (path: PeerPath, roundTrips: ReadonlyMap<number, number>): ReadonlyArray<MeasuredWay> => {
  const active = path.carrier()
  return path.ways().map((way) => ({
    ...way,
    carries: way.carrier !== 0 && way.carrier === active,
    roundTrip: roundTrips.get(way.carrier)
  }))
}
