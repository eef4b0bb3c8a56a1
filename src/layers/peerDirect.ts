/**
 * Direct links to one peer: they are announced over the relayed link, and carry the sessions while they last (design, "Direct links" and
 * "Direct up, relayed down, and back"). The greater identity announces; the lower one answers, and announces only when its own addresses
 * have changed. How streams are dialled and who may call is `DirectLinks`' business, what to do without a direct link `PeerLinks`'.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { connectToken, isConnectToken } from "../protocol/direct/connectToken.ts"
import { GrowingPause } from "../protocol/GrowingPause.ts"
import { TokenBucket } from "../protocol/TokenBucket.ts"
import { equalBytes, type PublicKey } from "../schema/Bytes.ts"
import { attemptSize } from "../schema/DirectPacket.ts"
import type { IpEndpoint } from "../schema/IpEndpoint.ts"
import { ConnectRequest, ConnectResponse } from "../schema/LinkControl.ts"
import type { DirectError } from "../services/DirectError.ts"
import type { DirectAttempt, DirectLinks } from "../services/DirectLinks.ts"
import type { DirectNumbers, PathPolicy } from "../services/DirectSettings.ts"
import type { Entropy } from "../services/Entropy.ts"
import * as DirectLinkCarrier from "./directLink.ts"
import type { PeerSessions } from "./peerSessions.ts"
import type { PeerControl, RelayedLink } from "./relayedLink.ts"
import type { Waiters } from "./waitUntil.ts"

/** Milliseconds a link has to last before the pauses begin anew. */
const stableAfter = 10_000

/**
 * Announcements of the peer that are answered a second, and at once: each makes us dial where it says. One that keeps its pauses, and
 * whose addresses change, makes fewer.
 */
const requestRate = 2
const requestBurst = 8

/** What every peer's direct links have in common. */
export interface DirectNode {
  readonly links: DirectLinks["Service"]
  readonly numbers: DirectNumbers
  readonly entropy: Entropy["Service"]
  /** 32 bytes, by which we know our own requests again. */
  readonly processKey: Uint8Array
  readonly now: () => number
}

export interface PeerDirectOptions extends DirectNode {
  readonly identityKey: PublicKey
  /** Our identity is the greater one. */
  readonly greater: boolean
  /** Woken whenever something that is asked for here may have changed. */
  readonly waiters: Waiters
  readonly relayed: () => RelayedLink | undefined
  readonly sessions: () => PeerSessions
  readonly policy: () => PathPolicy
  /** Where the application says that the peer can be dialled. */
  readonly known: () => ReadonlyArray<IpEndpoint>
  /** The sessions have lost the direct link. */
  readonly onLost: () => void
}

export class PeerDirect {
  readonly #options: PeerDirectOptions
  /** The peer's latest announcement and its latest answer, until somebody has taken them. */
  #request: ConnectRequest | undefined = undefined
  #response: ConnectResponse | undefined = undefined
  #carrier: DirectLinkCarrier.Attached | undefined = undefined
  readonly #retry: GrowingPause
  readonly #requests = new TokenBucket(requestRate, requestBurst)
  /** Not announced before this moment. */
  #dueAt = -Infinity
  /** Where the peer was told last that we can be reached; undefined: nowhere yet. */
  #told: string | undefined = undefined
  #lastError: DirectError | undefined = undefined

  constructor(options: PeerDirectOptions) {
    this.#options = options
    this.#retry = new GrowingPause(options.numbers.directRetryMin, options.numbers.directRetryMax)
    this.#retry.shorten()
  }

  /** The direct link that the sessions run over. */
  get carrier(): DirectLinkCarrier.Attached | undefined {
    const carrier = this.#carrier
    return carrier !== undefined && this.#options.sessions().mux.link === carrier.link ? carrier : undefined
  }

  /** Why the latest attempt came to nothing; undefined before the first, and when the peer did not answer. */
  get lastError(): DirectError | undefined {
    return this.#lastError
  }

  onControl(control: PeerControl): void {
    if (this.#options.policy() === "relayed") return
    if (control._tag === "ConnectRequest") {
      if (!this.#requests.take(this.#options.now())) return
      this.#request = control
    }
    if (control._tag === "ConnectResponse") this.#response = control
    this.#options.waiters.wake()
  }

  /** Makes a direct link whenever there is none, as far as the policy and the peer allow it. Until it is interrupted. */
  get run(): Effect.Effect<never> {
    return Effect.forever(Effect.scoped(this.#round))
  }

  /** One attempt, and the life of the link that came of it. Its scope owns the streams. */
  get #round(): Effect.Effect<void, never, Scope.Scope> {
    const { waiters } = this.#options
    // Not allowed any more; or the peer has announced another one, which it would not if this were of use to it.
    const ended = waiters.until(() => this.#isAllowed && this.#request === undefined ? undefined : Effect.void)
    return Effect.gen({ self: this }, function*() {
      const relayed = yield* waiters.until(() => this.#wanted && Effect.succeed(this.#wanted))
      const attempt = yield* Effect.raceFirst(this.#next(relayed), this.#unwanted(relayed))
      if (attempt === undefined) return
      yield* Effect.raceFirst(this.#use(attempt), ended)
      this.#postpone()
    })
  }

  get #isAllowed(): boolean {
    const { policy, sessions } = this.#options
    return policy() !== "relayed" && sessions().fault === undefined
  }

  /** The relayed link to announce over, when a direct link is wanted. */
  get #wanted(): RelayedLink | undefined {
    const link = this.#options.relayed()
    return this.#isAllowed && link?.isGreeted === true ? link : undefined
  }

  /** Waits until this is no longer the link to announce over. */
  #unwanted(relayed: RelayedLink): Effect.Effect<undefined> {
    return this.#options.waiters.until(() => this.#wanted === relayed ? undefined : Effect.succeed(undefined))
  }

  /** What both sides know of the next attempt: announced by the peer, or by us. Undefined: it came to nothing. */
  #next(relayed: RelayedLink): Effect.Effect<DirectAttempt | undefined, never, Scope.Scope> {
    const { greater, waiters } = this.#options
    const requested = waiters.until(() => {
      const request = this.#request
      this.#request = undefined
      return request && Effect.succeed(request)
    })
    const announce = this.#announce(relayed)
    if (!greater) {
      // When announcements cross, the greater identity's is the one that counts.
      const answer = Effect.flatMap(requested, (request) => this.#answer(relayed, request))
      return Effect.raceFirst(answer, Effect.andThen(this.#addressesChanged, announce))
    }
    const due = Effect.as(Effect.raceFirst(this.#due, this.#addressesChanged), undefined)
    return Effect.flatMap(
      Effect.raceFirst(due, requested),
      (request) => request === undefined ? announce : this.#answer(relayed, request)
    )
  }

  /** Answers the peer's announcement (row M09). */
  #answer(
    relayed: RelayedLink,
    request: ConnectRequest
  ): Effect.Effect<DirectAttempt | undefined, never, Scope.Scope> {
    const { identityKey, known, links } = this.#options
    const { attempt, endpoints, token } = request
    const announced = { identityKey, attempt: attempt.slice(), announcedBy: "peer" } as const
    return links.expect(announced).pipe(
      Effect.andThen(this.#tell),
      Effect.map((ours) => {
        // The policy may have changed since the announcement came; fibers learn of it a moment later.
        if (!this.#isAllowed) return undefined
        relayed.control(ConnectResponse.make({ attempt, endpoints: ours, token }))
        return { ...announced, endpoints, known: known() }
      }),
      Effect.catch((error) => this.#noteFailure(error))
    )
  }

  /** Announces an attempt and waits for the answer (row M10). */
  #announce(relayed: RelayedLink): Effect.Effect<DirectAttempt | undefined, never, Scope.Scope> {
    const { entropy, greater, identityKey, known, links, numbers, processKey, waiters } = this.#options
    return Effect.gen({ self: this }, function*() {
      const attempt = entropy.bytes(attemptSize)
      const endpoints = yield* this.#tell
      const token = connectToken(processKey, attempt, identityKey, endpoints)
      const announced = { identityKey, attempt, announcedBy: "us" } as const
      yield* links.expect(announced)
      if (!this.#isAllowed) return undefined
      relayed.control(ConnectRequest.make({ attempt, endpoints, token }))
      const answer = yield* waiters.until(() => {
        const response = this.#response
        this.#response = undefined
        const isOurs = response !== undefined && equalBytes(response.attempt, attempt) &&
          isConnectToken(response.token, processKey, attempt, identityKey, endpoints)
        return isOurs ? Effect.succeed(response) : undefined
      }).pipe(Effect.timeoutOption(Duration.millis(numbers.attemptTimeout)))
      // What the peer has announced meanwhile crossed ours.
      if (greater) this.#request = undefined
      if (answer._tag === "None") {
        this.#lastError = undefined
        return undefined
      }
      return { ...announced, endpoints: answer.value.endpoints, known: known() }
    }).pipe(
      Effect.catch((error) => this.#noteFailure(error)),
      Effect.tap((attempt) => Effect.sync(() => attempt === undefined && this.#postpone()))
    )
  }

  /** Meets the peer and lets the sessions run over the link that comes of it, until that is over. */
  #use(attempt: DirectAttempt): Effect.Effect<void, never, Scope.Scope> {
    const { links, now, numbers, onLost, sessions, waiters } = this.#options
    return Effect.gen({ self: this }, function*() {
      const patience = this.#patience(attempt, yield* links.endpoints)
      const link = yield* links.meet({ ...attempt, patience })
      const { mux } = sessions()
      const begun = now()
      const carrier = DirectLinkCarrier.attach(link, mux)
      this.#carrier = carrier
      waiters.wake()
      // The lower identity attaches, and the sessions move when the greater has begun.
      const taken = waiters.until(() => this.carrier === carrier ? Effect.void : undefined)
      const left = waiters.until(() => this.carrier === carrier ? undefined : Effect.void)
      const moved = Effect.timeoutOption(taken, Duration.millis(numbers.handshakeTimeout)).pipe(Effect.andThen(left))
      const stalled = carrier.stalled(numbers.stallTimeout, numbers.idleProbeInterval)
      yield* Effect.raceAllFirst([carrier.closed, stalled, moved]).pipe(
        Effect.ensuring(Effect.sync(() => {
          this.#carrier = undefined
          // A peer that broke the rules is told so: then the scope ends the streams, after what is queued.
          if (mux.fault?._tag !== "Violation") carrier.destroy()
          if (now() - begun >= stableAfter) this.#retry.shorten()
          onLost()
        }))
      )
    }).pipe(Effect.catch((error) => this.#noteFailure(error)))
  }

  /**
   * How long an attempt may take, milliseconds: one side does not learn that the other has dialled in vain, so no longer than the pause
   * between two, unless the lower identity dials late.
   */
  #patience({ endpoints, known = [] }: DirectAttempt, ours: ReadonlyArray<IpEndpoint>): number {
    const { attemptTimeout, dialTimeout, directRetryMax, lowerDialDelay } = this.#options.numbers
    const bothListen = ours.length > 0 && endpoints.length + known.length > 0
    return Math.min(attemptTimeout, Math.max(directRetryMax, bothListen ? lowerDialDelay + dialTimeout : 0))
  }

  /** An attempt came to nothing, or its link has ended: the next announcement has to wait, longer each time. */
  #postpone(): void {
    const { entropy, now } = this.#options
    this.#dueAt = now() + this.#retry.take(entropy.fraction())
  }

  /** Waits until another announcement may be made. */
  get #due(): Effect.Effect<void> {
    return Effect.suspend(() => Effect.sleep(Duration.millis(Math.max(0, this.#dueAt - this.#options.now()))))
  }

  /** Where we can be reached now, of which the peer is about to be told. */
  get #tell(): Effect.Effect<ReadonlyArray<IpEndpoint>> {
    return Effect.tap(this.#options.links.endpoints, (endpoints) => {
      this.#told = JSON.stringify(endpoints)
      return Effect.void
    })
  }

  /** Waits until this machine can be reached at other addresses than the peer was told. */
  get #addressesChanged(): Effect.Effect<void> {
    const { links, numbers } = this.#options
    const look = Effect.map(links.endpoints, (endpoints) => {
      const now = JSON.stringify(endpoints)
      this.#told ??= now
      return now !== this.#told
    })
    return Effect.gen(function*() {
      while (!(yield* look)) yield* Effect.sleep(Duration.millis(numbers.addressInterval))
    })
  }

  /** An attempt that came to nothing is no news: there will be another one, and the relays carry the sessions. */
  #noteFailure(error: DirectError): Effect.Effect<undefined> {
    this.#lastError = error
    return Effect.as(Effect.logDebug("No direct link", { reason: error.message }), undefined)
  }
}
