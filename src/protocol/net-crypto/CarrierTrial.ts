/**
 * Compares a suspected carrier with its standbys (row T33): over each of them echoes go out at the same pace, and a standby must lose
 * clearly less. So nobody moves from bad to equally bad, back and forth; and a flow of few packets a second learns from the echoes what its
 * own packets would tell too late. Plain code: it decides, `PathProbes` acts.
 */
import type { CarrierLoss } from "./CarrierLoss.ts"

/** Between two rounds of echoes, and how many rounds a trial has. Milliseconds. */
const interval = 15
const maxRounds = 64
/** The last echoes are waited for. */
const patience = 1_000
/** An echo is lost when one so much later on the same way has been answered. */
const overtaken = 3
/**
 * A standby is better when it should have lost so many bursts, were it like the carrier, and so many more for each that it did lose. If it
 * is like the carrier, it loses none where 6 are expected with probability e^-6, one where 9 are with 10 e^-9: a quarter per cent at most.
 */
const proof = 6
const perBurst = 3

interface Way {
  readonly carrier: number
  /** What has been answered, in the order of asking. */
  readonly answered: Array<boolean>
  newest: number
  /** So many echoes have been looked at; of those that count, a burst as one, so many bursts were lost. */
  seen: number
  judged: number
  bursts: number
  wasLost: boolean
}

const makeWay = (carrier: number): Way => ({
  carrier,
  answered: [],
  newest: -1,
  seen: 0,
  judged: 0,
  bursts: 0,
  wasLost: false
})

export class CarrierTrial {
  readonly carrier: number
  readonly #losses: CarrierLoss
  readonly #way: Way
  readonly #standbys: ReadonlyArray<Way>
  readonly #asked = new Map<string, readonly [way: Way, at: number]>()
  readonly #packetsBefore: number
  readonly #burstsBefore: number
  #rounds = 0
  /** When `onTimer` wants to be called. */
  deadline: number

  constructor(losses: CarrierLoss, carrier: number, standbys: ReadonlyArray<number>, now: number) {
    this.#losses = losses
    this.carrier = carrier
    this.#way = makeWay(carrier)
    this.#standbys = standbys.map(makeWay)
    this.#packetsBefore = losses.packets
    this.#burstsBefore = losses.bursts
    this.deadline = now
  }

  /** Asks over every way when it is time. `ask` returns the echo id as text, or undefined if the way took nothing. */
  onTimer(now: number, ask: (carrier: number) => string | undefined): void {
    if (now < this.deadline || this.#rounds >= maxRounds) return
    this.#rounds++
    this.deadline = now + (this.#rounds < maxRounds ? interval : patience)
    for (const way of [this.#way, ...this.#standbys]) {
      const echo = ask(way.carrier)
      if (echo !== undefined) this.#asked.set(echo, [way, way.answered.push(false) - 1])
    }
  }

  /** Takes an answer; false when it is not to an echo of this trial. */
  onAnswer(echo: string, now: number): boolean {
    const [way, at] = this.#asked.get(echo) ?? []
    if (way === undefined || at === undefined) return false
    this.#asked.delete(echo)
    way.answered[at] = true
    way.newest = Math.max(way.newest, at)
    while (way.seen < way.answered.length) {
      const isLost = !way.answered[way.seen]!
      if (isLost && way.seen > way.newest - overtaken) break
      way.seen++
      if (!isLost || !way.wasLost) way.judged++
      if (isLost && !way.wasLost) way.bursts++
      way.wasLost = isLost
      if (way === this.#way) this.#losses.onEcho(isLost, now)
    }
    return true
  }

  /** The standby that is clearly better than the carrier, if there is one. */
  get better(): number | undefined {
    if (!this.#losses.isAccused) return undefined
    const share = (this.#losses.bursts - this.#burstsBefore) / (this.#losses.packets - this.#packetsBefore)
    return this.#standbys.find(({ bursts, judged }) => judged * share >= proof + perBurst * bursts)?.carrier
  }

  /** Whether nothing more is to be learnt: the carrier is as good as any, or no standby is better. */
  isOver(now: number): boolean {
    return this.#losses.trialAt === Infinity || (this.#rounds >= maxRounds && now >= this.deadline)
  }
}
