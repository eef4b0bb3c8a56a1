/**
 * A connection table whose relays behave by themselves, and which is tended as the layer tends it: after every change, and when the
 * plan asked for it. It has no clock: `pass` is how time goes by.
 */
import { FakeHost, type FakeLink, type OpenPeer, relayAt } from "./FakeLinks.ts"

export class TendedHost extends FakeHost {
  /** Relays that do not answer when they are dialled. */
  readonly down = new Set<number>()
  /** Relays that refuse every routing request. */
  readonly refusing = new Set<number>()
  /** Who is where: a peer on its set of relays. It comes online as soon as it is asked for there. */
  readonly whereabouts = new Map<number, Set<number>>()
  #nextAt = Infinity
  #tendedAt = -1

  /** A peer that is on some relays and tied to some, by default the same. */
  meet(peer: number, on: ReadonlyArray<number>, tied: ReadonlyArray<number> = on): OpenPeer {
    this.whereabouts.set(peer, new Set(on))
    const opened = this.open(peer)
    for (const relay of tied) opened.path.tie(relayAt(relay))
    this.settle()
    return opened
  }

  /** Our own relays. */
  own(...relays: ReadonlyArray<number>): void {
    for (const relay of relays) this.table.addRelay(relayAt(relay))
    this.settle()
  }

  /** Everything that happens without time passing: relays confirm and answer, and the table is tended as often as it asks. */
  settle(): void {
    for (let round = 0;; round++) {
      if (round > 50) throw new Error("the table never rests")
      const before = this.#activity
      this.#serve()
      if (this.changes > this.#tendedAt) this.#tend()
      if (this.#activity === before) return
    }
  }

  /** Lets milliseconds go by. */
  pass(time: number): void {
    const until = this.now + time
    this.settle()
    for (let turns = 0; this.#nextAt <= until; turns++) {
      if (turns > time / 100 + 100) throw new Error("the table asks to be tended without end")
      this.now = Math.max(this.now, this.#nextAt)
      this.#tend()
      this.settle()
    }
    this.now = until
    this.settle()
  }

  /** The present link to a relay, undefined while it is not connected. */
  linkOf(relay: number): FakeLink | undefined {
    return this.relays.links.findLast((link) => !link.isLost && link.relay.host === relayAt(relay).host)
  }

  /** Connected relays, in the order of their numbers. */
  get connected(): ReadonlyArray<number> {
    return this.#numbers((n) => this.linkOf(n) !== undefined)
  }

  /** Relays that the table wants to be connected to, whether they answer or not. */
  get wanted(): ReadonlyArray<number> {
    return this.#numbers((n) => this.entryOf(n)?.intent === "up")
  }

  get onion(): ReadonlyArray<number> {
    return this.#numbers((n) => this.entryOf(n)?.isOnion === true)
  }

  /** Relays on which a peer is online, tied or not being no question. */
  onlineOn(peer: number): ReadonlyArray<number> {
    return this.#numbers((n) => this.slots(peer).includes(`${relayAt(n).host} online`))
  }

  /** The relay that carries a peer's data, by what has been reported. */
  carrierOf(peer: number): string | undefined {
    const last = this.log.findLast((event) => event.startsWith(`${peer} over `))?.slice(`${peer} over `.length)
    return last === "none" ? undefined : last
  }

  get #activity(): number {
    return this.relays.kept.length + this.relays.links.length + this.relays.left.length + this.log.length + this.changes
  }

  #tend(): void {
    this.#tendedAt = this.changes
    this.#nextAt = this.table.tend()
  }

  #numbers(isIt: (n: number) => boolean): ReadonlyArray<number> {
    return Array.from({ length: 40 }, (_, i) => i + 1).filter(isIt)
  }

  #serve(): void {
    for (const entry of [...this.table.relays]) {
      const n = entry.relay.publicKey[0]! - 100
      const link = this.linkOf(n)
      if (link === undefined) {
        if (entry.intent === "up" && !this.down.has(n)) this.relays.confirm(n)
        continue
      }
      // What is reported may be answered by closing or leaving: look again before each step.
      for (const hex of [...link.outstanding]) {
        if (!link.outstanding.has(hex)) continue
        const peer = Number.parseInt(hex.slice(0, 2), 16)
        if (this.refusing.has(n)) link.refuse(peer)
        else link.grant(peer)
      }
      for (const id of [...link.ids.keys()]) {
        const { peer, state } = link.ids.get(id) ?? {}
        if (peer === undefined) continue
        const isThere = this.whereabouts.get(Number.parseInt(peer.slice(0, 2), 16))?.has(n) === true
        if (isThere && state === "registered") link.online(id)
        if (!isThere && state === "online") link.offline(id)
      }
    }
  }
}
