/**
 * First dials to relays for which we have only a peer's word. Their number at a time and in a minute is limited, so that a hostile list
 * cannot make us scan other people's ports. Whose turn it is goes round the peers: one that tells us of many relays waits for them itself.
 * What the application names is no trial and never waits.
 */
import type { PeerSlots } from "./PeerSlots.ts"
import { isUntested, type RelayEntry } from "./RelayEntry.ts"
import type { TableNumbers } from "./TableHost.ts"

/** Milliseconds in which `trialsPerMinute` are begun. */
const window = 60_000

export class DialTrials {
  readonly #numbers: Pick<TableNumbers, "desiredRelays" | "trialsAtOnce" | "trialsPerMinute">
  /** When the trials of the last minute began. */
  readonly #begun: Array<number> = []
  readonly #lastOf = new WeakMap<PeerSlots, number>()
  #round = 0
  #dueAt = Infinity

  constructor(numbers: Pick<TableNumbers, "desiredRelays" | "trialsAtOnce" | "trialsPerMinute">) {
    this.#numbers = numbers
  }

  /** When a trial that waits may begin although nothing happens, Infinity when none does. */
  get dueAt(): number {
    return this.#dueAt
  }

  /** The next relay to be tried now, which is charged for; undefined when none waits or the budget is spent. */
  next(entries: Iterable<RelayEntry>, now: number): RelayEntry | undefined {
    const { trialsAtOnce, trialsPerMinute } = this.#numbers
    this.#dueAt = Infinity
    let running = 0
    const waiting: Array<RelayEntry> = []
    for (const entry of entries) {
      if (!isUntested(entry)) continue
      if (entry.intent === "up") running++
      else if (entry.isTrialWanted && this.#wanting(entry).length > 0) waiting.push(entry)
      else entry.isTrialWanted = false
    }
    const chosen = waiting.toSorted((a, b) => this.#turnOf(a) - this.#turnOf(b))[0]
    if (chosen === undefined || running >= trialsAtOnce) return undefined
    while (this.#begun.length > 0 && this.#begun[0]! + window <= now) this.#begun.shift()
    if (this.#begun.length >= trialsPerMinute) {
      this.#dueAt = this.#begun[0]! + window
      return undefined
    }
    this.#begun.push(now)
    this.#round++
    for (const peer of this.#wanting(chosen)) this.#lastOf.set(peer, this.#round)
    return chosen
  }

  /** The peers that would have something of it. */
  #wanting({ slots }: RelayEntry): ReadonlyArray<PeerSlots> {
    return [...slots]
      .map(({ peer }) => peer)
      .filter((peer) => peer.onlineCount < peer.needs(this.#numbers.desiredRelays))
  }

  #turnOf(entry: RelayEntry): number {
    return Math.min(...this.#wanting(entry).map((peer) => this.#lastOf.get(peer) ?? 0))
  }
}
