/**
 * Which of several connections becomes a stream of a link, when both sides dial at once (design, "Direct links"; row M15). One race for each
 * stream id on each side. The greater identity decides, once: as the dialling side when it has the acknowledgement, as the listening side by
 * sending it. The lower one follows: it acknowledges whatever the greater dials, and takes what the greater begins to use. So both end up
 * with the same connection, or with none when that one breaks; never with two.
 *
 * It knows connections by numbers of the caller's and touches none. Deadlines are the caller's, who reports them as `closed`.
 */

/** Connections of the greater identity that the lower one acknowledges for one stream: one for each endpoint it can be dialled at. */
const maxCandidates = 8

/** What is to be done, in this order. */
export interface RaceAction {
  /** `Acknowledge`: send the acknowledgement on it. `Close`: it has lost, or comes too late. */
  readonly _tag: "Acknowledge" | "Close"
  readonly connection: number
}

/** What both kinds of sides have: the connections of ours and of the peer's that may still win. */
export class StreamRace {
  readonly #greater: boolean
  /** Our own dials that are past TLS and not acknowledged. */
  #dials: Array<number> = []
  /** The greater's: calls that wait for our own dials. The lower's: those that it has acknowledged. */
  #calls: Array<number> = []
  #winner: number | undefined = undefined
  #over = false

  /** `greater`: ours is the greater identity, which decides. */
  constructor(greater: boolean) {
    this.#greater = greater
  }

  /** The connection that is the stream. Never another one after it. No dial of ours can win any more once there is one. */
  get winner(): number | undefined {
    return this.#winner
  }

  /** There was a winner, and it broke: the stream is lost with it. */
  get isLost(): boolean {
    return this.#over
  }

  /** The peer has called and may yet win. */
  get isCalled(): boolean {
    return this.#calls.length > 0
  }

  /** A dial of ours is past TLS: its hello goes out now. */
  dialled(connection: number): ReadonlyArray<RaceAction> {
    if (this.#decided) return [{ _tag: "Close", connection }]
    this.#dials.push(connection)
    return []
  }

  /** The peer has acknowledged it. The lower identity learns by this that the greater one has decided. */
  acknowledged(connection: number): ReadonlyArray<RaceAction> {
    return this.#dials.includes(connection) ? this.#decide(connection, false) : []
  }

  /** A call of the peer with a good hello. */
  called(connection: number): ReadonlyArray<RaceAction> {
    if (this.#decided || this.#calls.length >= maxCandidates) return [{ _tag: "Close", connection }]
    if (this.#greater && this.#dials.length === 0) return this.#decide(connection, true)
    this.#calls.push(connection)
    return this.#greater ? [] : [{ _tag: "Acknowledge", connection }]
  }

  /** Bytes behind the handshake: the peer uses it. Of the greater identity that means that it has decided. */
  used(connection: number): ReadonlyArray<RaceAction> {
    return !this.#greater && this.#calls.includes(connection) ? this.#decide(connection, false) : []
  }

  /** The connection is over, whoever ended it. */
  closed(connection: number): ReadonlyArray<RaceAction> {
    if (this.#winner === connection) this.#over = true
    this.#dials = this.#dials.filter((dial) => dial !== connection)
    this.#calls = this.#calls.filter((call) => call !== connection)
    const next = this.#calls[0]
    if (!this.#greater || this.#decided || this.#dials.length > 0 || next === undefined) return []
    return this.#decide(next, true)
  }

  get #decided(): boolean {
    return this.#winner !== undefined
  }

  #decide(winner: number, acknowledge: boolean): ReadonlyArray<RaceAction> {
    const losers = [...this.#dials, ...this.#calls].filter((connection) => connection !== winner)
    this.#winner = winner
    this.#dials = []
    this.#calls = []
    return [
      ...(acknowledge ? [{ _tag: "Acknowledge" as const, connection: winner }] : []),
      ...losers.map((connection) => ({ _tag: "Close" as const, connection }))
    ]
  }
}
