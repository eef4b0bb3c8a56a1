/**
 * A direct link as a link of sessions: passes bytes between its streams and the multiplexer, measures its round trip, and watches whether
 * it still works. One stream that ends is the end of all of them. Whether sessions should run over it is not decided here.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import { DirectOutput } from "../protocol/session/DirectOutput.ts"
import { LinkRoundTrip } from "../protocol/session/LinkRoundTrip.ts"
import { LinkStall, type LinkStallNumbers, type LinkVerdict } from "../protocol/session/LinkStall.ts"
import type { MuxLink } from "../protocol/session/MuxLink.ts"
import type { SessionMux } from "../protocol/session/SessionMux.ts"
import type { DirectLink } from "../services/DirectLinks.ts"
import { TransportError } from "../services/RelayTransport.ts"

/** A deadline that is met this late, in milliseconds, says that our own event loop did not run. */
const lagThreshold = 100
/** The shortest sleep, milliseconds: a rest that is lost in rounding would wake at the same moment for ever. */
const minSleep = 0.01

/** The use of a direct link by a multiplexer. */
export interface Attached {
  readonly link: MuxLink
  /** Why it is over. */
  readonly closed: Effect.Effect<TransportError>
  /**
   * Succeeds when the peer has owed an answer over this link for too long, in spite of a probe. Judges only while the sessions run over it.
   * One fiber at a time. `idleProbeInterval`: milliseconds after which a silent link is asked for a sign of life.
   */
  readonly stalled: (stallTimeout: number, idleProbeInterval?: number) => Effect.Effect<void>
  /** There is reason to doubt the link: asks the peer for a sign of life now, which `stalled` waits for. */
  readonly probe: () => void
  /** Ends the link at once. Idempotent. */
  readonly destroy: () => void
}

/** Gives the link to the sessions, which the greater identity begins at once. The link is no longer anybody else's. */
export const attach = (link: DirectLink, mux: SessionMux): Attached => {
  const { now } = mux.options
  const outputs = link.streams.map((stream) => new DirectOutput(stream))
  const roundTrip = new LinkRoundTrip(now)
  const attached = mux.attach(outputs, () => roundTrip.value, { leastRoundTrip: () => roundTrip.least })
  const closed = Deferred.makeUnsafe<TransportError>()
  const watch = new LinkWatch(mux, attached)
  /** When the bytes came that are being delivered: looked at once for all chunks of a turn. */
  let heardAt: number | undefined
  const forget = () => {
    heardAt = undefined
  }
  const hearing = (): number => {
    if (heardAt === undefined) {
      heardAt = now()
      queueMicrotask(forget)
    }
    return heardAt
  }
  let isOver = false
  const end = (error: TransportError): void => {
    if (isOver) return
    isOver = true
    mux.detach(attached)
    for (const stream of link.streams) stream.destroy()
    Deferred.doneUnsafe(closed, Effect.succeed(error))
  }
  for (const [index, stream] of link.streams.entries()) {
    stream.handle({
      onBytes: (bytes) => {
        const at = hearing()
        watch.onBytes(index, at)
        attached.receive(index, bytes)
        roundTrip.onBytes(mux, attached, at)
      },
      onWritable: () => {
        outputs[index]?.writable()
        attached.writable(index)
      },
      onClosed: end
    })
  }
  return {
    link: attached,
    closed: Deferred.await(closed),
    stalled: (stallTimeout, idleProbeInterval = Infinity) => watch.stalled({ stallTimeout, idleProbeInterval }),
    probe: () => watch.probe(),
    destroy: () => end(new TransportError({ kind: "Ended", detail: "ended by this side" }))
  }
}

/** `LinkStall` brought to life. */
class LinkWatch {
  readonly #mux: SessionMux
  readonly #link: MuxLink
  readonly #now: () => number
  readonly #nearer = Latch.makeUnsafe(false)
  /** When each stream has brought its latest bytes: one that is silent while the others work has to show that it does, too. */
  readonly #heardAt: Array<number>
  #stall: LinkStall | undefined = undefined
  /** The peer owed nothing at the last look. */
  #isCalm = false

  constructor(mux: SessionMux, link: MuxLink) {
    this.#mux = mux
    this.#link = link
    this.#now = mux.options.now
    this.#heardAt = link.streams.map(() => this.#now())
    link.onSend = () => {
      if (this.#isCalm) this.#nearer.openUnsafe()
    }
  }

  onBytes(index: number, at: number): void {
    this.#heardAt[index] = at
  }

  probe(): void {
    if (!this.#isJudged || !this.#ask()) return
    this.#stall?.onProbe(this.#now())
    this.#nearer.openUnsafe()
  }

  stalled(numbers: LinkStallNumbers): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      let armedAt = this.#now()
      let deadline = armedAt
      while (true) {
        const now = this.#now()
        // When the event loop stopped is unknown: perhaps as soon as we had begun to wait.
        const lag = now - deadline > lagThreshold ? now - armedAt : 0
        this.#nearer.closeUnsafe()
        if (this.#look(numbers, now, lag) === "stalled") return
        armedAt = now
        deadline = this.#stall === undefined ? Infinity : Math.max(this.#stall.deadline, now + minSleep)
        const wait = deadline === Infinity ? Effect.never : Effect.sleep(deadline - now)
        yield* Effect.raceFirst(wait, this.#nearer.await)
      }
    })
  }

  /** Sessions run over the link, or are about to: we have begun on it. */
  get #isJudged(): boolean {
    return this.#mux.link === this.#link && this.#link.epoch !== undefined
  }

  #look(numbers: LinkStallNumbers, now: number, lag: number): LinkVerdict {
    const isOwed = this.#isJudged && this.#mux.isOwedAnswer
    this.#isCalm = !isOwed
    if (!this.#isJudged) {
      this.#stall = undefined
      return "fine"
    }
    this.#stall ??= new LinkStall(numbers, now)
    const signs = { heardAt: Math.min(...this.#heardAt), isOwed, roundTrip: this.#link.roundTrip() }
    const verdict = this.#stall.look(now, lag, signs)
    if (verdict === "probe") this.#ask()
    return verdict
  }

  /** Pings on every stream. False: none can take one. */
  #ask(): boolean {
    let asked = false
    for (const index of this.#heardAt.keys()) asked = this.#mux.ping(() => undefined, index) || asked
    return asked
  }
}
