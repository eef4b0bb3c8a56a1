/**
 * One member of a group: keeps a link to it, from the greater identity to the lesser, and knows with which process of the peer the
 * sessions are. Links are offered to the worker, which says when they may carry sessions; see `groupWorker.ts`.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { GrowingPause } from "../protocol/GrowingPause.ts"
import { faultOfGoodbye } from "../protocol/session/sessionFault.ts"
import { equalBytes, type PublicKey, toHex } from "../schema/Bytes.ts"
import type { IpEndpoint } from "../schema/IpEndpoint.ts"
import { instanceIdSize } from "../schema/LinkControl.ts"
import type { Peer } from "../services/Causeway.ts"
import { DirectError, HandshakeFailed } from "../services/DirectError.ts"
import type { DirectLink, DirectLinks } from "../services/DirectLinks.ts"
import type { Entropy } from "../services/Entropy.ts"
import type { PeerConnectionState } from "../services/PeerConnectionBuilder.ts"
import type { SessionNumbers } from "../services/SessionSettings.ts"
import { GroupLink } from "./groupLink.ts"
import { PeerHandle, type PeerRelation } from "./peerHandle.ts"
import { PeerSessions } from "./peerSessions.ts"
import * as WaitUntil from "./waitUntil.ts"

/** Milliseconds that a link has to last for the first dial after it to go without a pause. */
const stableAfter = 1_000

/** What all members of a group have in common. */
export interface GroupNode {
  readonly links: DirectLinks["Service"]
  readonly entropy: Entropy["Service"]
  readonly numbers: SessionNumbers
  readonly stallTimeout: number
  readonly idleProbeInterval: number
  /** The most streams of a link; undefined: what the settings of direct links say. */
  readonly streams: number | undefined
  readonly now: () => number
  /** Runs a fiber for as long as there is the group. */
  readonly fork: (what: string, effect: Effect.Effect<unknown>) => void
}

export interface GroupPeerOptions extends GroupNode {
  readonly identityKey: PublicKey
  readonly endpoints: ReadonlyArray<IpEndpoint>
  /** Our identity is the greater one, so we dial (row I17). */
  readonly greater: boolean
  /** A link is there, to a process of the peer. */
  readonly onArrived: (link: GroupLink, peerInstance: Uint8Array) => Effect.Effect<void>
  /** Sessions have begun or ceased to flow. */
  readonly onChanged: Effect.Effect<void>
  /** `state` has changed. */
  readonly onProgress: () => void
}

export class GroupPeer implements PeerRelation {
  readonly identityKey: PublicKey
  /** There are no relays, and nothing to probe. */
  readonly connection = { probe: Effect.succeed([]) }
  /** With the present process of the peer. */
  sessions: PeerSessions
  readonly #options: GroupPeerOptions
  readonly #waiters = WaitUntil.make()
  #peer: Peer
  /** Ours, 16 bytes: another one whenever we have given the peer up, so that it notices. */
  #instanceId: Uint8Array
  #link: GroupLink | undefined = undefined
  /** No link to it is wanted. */
  #left = false
  #attempts = 0
  #lastError: DirectError | undefined = undefined
  /** Before the next dial. */
  readonly #redial: GrowingPause
  #hurried = false

  constructor(options: GroupPeerOptions) {
    this.#options = options
    this.identityKey = options.identityKey
    this.#redial = new GrowingPause(options.numbers.redialPause, options.numbers.maxRedialPause)
    this.#instanceId = options.entropy.bytes(instanceIdSize)
    this.sessions = this.#begin()
    this.#peer = new PeerHandle(this, this.sessions, options.now)
  }

  /** What the application uses the sessions with the present process by. */
  get peer(): Peer {
    return this.#peer
  }

  get path(): "direct" | undefined {
    return this.sessions.isUp ? "direct" : undefined
  }

  get state(): PeerConnectionState {
    const { link } = this.sessions.mux
    if (link?.isUp === true) return { _tag: "Connected", streams: link.streams.length }
    const lastError = this.#lastError
    return this.#options.greater
      ? { _tag: "Dialling", attempts: this.#attempts, lastError }
      : { _tag: "Waiting", lastError }
  }

  /** There is only one way to a member. */
  readonly setPolicy = (): Effect.Effect<void> => Effect.void

  /** Sees to it that there is a link, until it is interrupted. */
  get run(): Effect.Effect<never> {
    const wanted = this.#waiters.until(() => this.#left ? undefined : Effect.void)
    return Effect.forever(Effect.andThen(wanted, this.#options.greater ? this.#dial : this.#accept))
  }

  /** Makes a link without delay if there is none, also to a peer that was turned away. */
  hurry(): void {
    this.#left = false
    // A link that is about to carry the sessions needs no other one beside it.
    this.#hurried = this.#link === undefined || this.sessions.fault !== undefined
    this.#waiters.wake()
  }

  /** Makes the sessions with this process of the peer run over the link, unless that is not wanted any more. */
  use(link: GroupLink, peerInstance: Uint8Array): void {
    if (this.#link !== link) return
    // Our hello named the process of sessions that have ended: the next link names another.
    if (this.sessions.fault !== undefined) return this.#drop()
    const known = this.sessions.peerInstance
    if (known !== undefined && !equalBytes(known, peerInstance)) {
      this.sessions.mux.fail({ _tag: "PeerRestarted" })
      this.#renew()
    }
    this.sessions.peerInstance = peerInstance
    link.carry(this.sessions)
  }

  /** Says goodbye, gives what was sent time to arrive, and ends everything. Never fails. */
  leave(sessions: PeerSessions, code: number, message: string): Effect.Effect<void> {
    const { mux, numbers, waiters } = sessions
    const answered = Effect.callback<void>((resume) => {
      if (!mux.ping(() => resume(Effect.void))) resume(Effect.void)
    })
    const down = waiters.until(() => sessions.isUp ? undefined : Effect.void)
    const goodbye = Effect.suspend(() => {
      if (mux.fault !== undefined) return Effect.void
      mux.goAway(code, message)
      return Effect.asVoid(Effect.timeoutOption(Effect.raceFirst(answered, down), numbers.drainTimeout))
    })
    const end = Effect.sync(() => {
      mux.fail({ _tag: "LinkLost", detail: "this side has ended it" })
      this.#left = true
      this.#waiters.wake()
    })
    return Effect.suspend(() => this.sessions === sessions ? Effect.ensuring(goodbye, end) : Effect.void)
  }

  /** Dials, and stays with the link until it is over. */
  get #dial(): Effect.Effect<void> {
    const { endpoints, links, onProgress, streams } = this.#options
    return Effect.gen({ self: this }, function*() {
      yield* this.#backOff
      this.#attempts++
      onProgress()
      const link = yield* Effect.raceFirst(links.dial(this.identityKey, endpoints, streams), this.#unwanted)
      if (link !== undefined) yield* this.#keep(link)
    }).pipe(Effect.scoped, Effect.catch((error) => this.#note(error)))
  }

  /** Waits for a link, and goes on while it lives: a peer that dials again has no use for the one before. */
  get #accept(): Effect.Effect<void> {
    const { links, streams } = this.#options
    return Effect.gen({ self: this }, function*() {
      const taken = Deferred.makeUnsafe<void>()
      const round = Effect.gen({ self: this }, function*() {
        const link = yield* Effect.raceFirst(links.accept(this.identityKey, streams), this.#unwanted)
        yield* Deferred.succeed(taken, undefined)
        if (link !== undefined) yield* this.#keep(link)
      }).pipe(
        Effect.scoped,
        Effect.catch((error) => Effect.andThen(this.#note(error), this.#backOff)),
        Effect.ensuring(Deferred.succeed(taken, undefined))
      )
      yield* Effect.forkChild(round)
      yield* Deferred.await(taken)
    })
  }

  /** Stays with a link until it is over, or another has taken its place. */
  #keep(direct: DirectLink): Effect.Effect<void> {
    const { now, numbers, onArrived, onChanged } = this.#options
    return Effect.suspend(() => {
      if (this.sessions.fault !== undefined) {
        this.#instanceId = this.#options.entropy.bytes(instanceIdSize)
        this.#renew()
      }
      const link = new GroupLink(direct, this.#instanceId)
      const begun = now()
      this.#link = link
      this.#hurried = false
      this.#waiters.wake()
      const used = link.greeting.pipe(
        Effect.flatMap((peerInstance) =>
          peerInstance === undefined
            ? Effect.succeed("its streams belong to different processes")
            : onArrived(link, peerInstance).pipe(
              Effect.andThen(Effect.raceFirst(this.#neverUp(link), link.stalled(this.#options)))
            )
        )
      )
      const unused = Effect.as(this.#waiters.until(() => this.#isUseful(link) ? undefined : Effect.void), undefined)
      return Effect.raceAllFirst([link.life(numbers.helloTimeout), used, unused]).pipe(
        Effect.tap((why) => why === undefined ? Effect.void : this.#lost(link, why)),
        Effect.ensuring(Effect.sync(() => {
          if (this.#link === link) this.#link = undefined
          // A peer that broke the rules is told so: then the scope ends the streams, after what is queued.
          if (link.sessions?.fault?._tag !== "Violation") link.destroy()
          if (now() - begun >= stableAfter && link.sessions !== undefined) this.#redial.reset()
        })),
        Effect.andThen(onChanged)
      )
    })
  }

  /** The peer has to begin on a link in time. */
  #neverUp(link: GroupLink): Effect.Effect<string> {
    const { helloTimeout } = this.#options.numbers
    return this.#waiters.until(() => link.sessions?.isUp === true ? Effect.void : undefined).pipe(
      Effect.timeoutOption(helloTimeout),
      Effect.flatMap((inTime) => {
        if (inTime._tag === "None") return Effect.succeed(`it did not begin within ${helloTimeout} ms`)
        this.#redial.shorten()
        return Effect.never
      })
    )
  }

  /** Whether the link is the one in use, or will be. */
  #isUseful(link: GroupLink): boolean {
    return this.#link === link && !this.#left && link.sessions?.fault === undefined
  }

  /** A link has ended that nobody wanted to end. */
  #lost(link: GroupLink, why: string): Effect.Effect<void> {
    const { sessions } = link
    if (sessions === undefined) {
      const reason = new HandshakeFailed({ detail: why })
      return this.#note(new DirectError({ peer: toHex(this.identityKey), reason }))
    }
    const { goneAway } = sessions.mux
    if (goneAway !== undefined) {
      sessions.mux.fail(faultOfGoodbye(goneAway, "it said goodbye"))
    }
    return Effect.logDebug("A direct link of a group is lost", { peer: toHex(this.identityKey), why })
  }

  #note(error: DirectError): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#lastError = error
      this.#options.onProgress()
      return Effect.logDebug("No direct link in a group", { reason: error.message })
    })
  }

  /** None at first and after a link that lasted, a short one after a link that worked, then longer each time. Half of it is random. */
  get #backOff(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const pause = this.#redial.take(this.#options.entropy.fraction())
      if (pause === 0) return Effect.void
      const hurried = this.#waiters.until(() => {
        if (!this.#hurried) return undefined
        this.#hurried = false
        return Effect.void
      })
      return Effect.raceFirst(Effect.sleep(Duration.millis(pause)), hurried)
    })
  }

  get #unwanted(): Effect.Effect<undefined> {
    return this.#waiters.until(() => this.#left ? Effect.succeed(undefined) : undefined)
  }

  #drop(): void {
    this.#link = undefined
    this.#waiters.wake()
  }

  #renew(): void {
    this.sessions = this.#begin()
    this.#peer = new PeerHandle(this, this.sessions, this.#options.now)
  }

  /** New sessions, with the fibers that keep their times and tell the worker. */
  #begin(): PeerSessions {
    const { fork, greater, now, numbers, onChanged } = this.#options
    const sessions = new PeerSessions({
      identityKey: this.identityKey,
      instanceId: this.#instanceId,
      greater,
      numbers,
      now,
      onChange: () => this.#waiters.wake()
    })
    const up = sessions.waiters.until(() => sessions.isUp ? Effect.void : undefined)
    const down = sessions.waiters.until(() => sessions.isUp ? undefined : Effect.void)
    const noteUp = Effect.suspend(() => {
      this.#attempts = 0
      this.#lastError = undefined
      return onChanged
    })
    const told = Effect.forever(up.pipe(Effect.andThen(noteUp), Effect.andThen(down), Effect.andThen(onChanged)))
    fork("a member's sessions", Effect.andThen(Effect.raceFirst(sessions.run, told), onChanged))
    return sessions
  }
}
