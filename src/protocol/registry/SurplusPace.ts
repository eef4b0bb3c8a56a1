/**
 * When relays are left on which peers are online, but which those peers do not need (row T25). Both ends of a connection may find the
 * same number of relays too many and choose differently, because each keeps its own: if both left at once, nothing would be left between
 * them. So they go one at a time, each after a pause in which the other end's choice is heard of, and the two pauses differ.
 */
import type { RelayEntry } from "./RelayEntry.ts"

/** The pause is this long and, by the peer's key, up to so much longer. Milliseconds. */
const leastPause = 500
const spread = 4_000

export class SurplusPace {
  #dueAt = Infinity
  #round = 0

  /** When to look again, Infinity while nothing is too many. */
  get dueAt(): number {
    return this.#dueAt
  }

  /** Which of these is left now. */
  next(surplus: ReadonlyArray<RelayEntry>, now: number): RelayEntry | undefined {
    const [first, second] = surplus
    if (first === undefined) {
      this.#dueAt = Infinity
      return undefined
    }
    if (this.#dueAt === Infinity) this.#dueAt = now + this.#pauseOf(first)
    if (now < this.#dueAt) return undefined
    this.#dueAt = second === undefined ? Infinity : now + this.#pauseOf(second)
    return first
  }

  /** Another one for the other end, which sees our key where we see its; and another one each time, should two be much the same. */
  #pauseOf(entry: RelayEntry): number {
    const slot = [...entry.slots].find(({ peer, status }) => status === "online" && peer.needs(1) > 0)
    const key = slot?.peer.key ?? entry.relay.publicKey
    const at = this.#round++ % (key.length - 1)
    return leastPause + Math.floor(spread * (key[at]! * 256 + key[at + 1]!) / 65_536)
  }
}
