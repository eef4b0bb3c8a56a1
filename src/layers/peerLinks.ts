/**
 * The links to one peer: takes connections as they come, makes new ones when it is told whom to call, and knows which process of the
 * peer each belongs to. A peer that comes back as another process gets new sessions; the old ones end with `PeerRestarted`.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { SessionMux } from "../protocol/session/SessionMux.ts"
import { equalBytes, type PublicKey } from "../schema/Bytes.ts"
import type { Entropy } from "../services/Entropy.ts"
import type { NetCrypto, NetCryptoConnection, PeerAddress } from "../services/NetCrypto.ts"
import type { NetCryptoError } from "../services/NetCryptoError.ts"
import type { SessionNumbers } from "../services/SessionSettings.ts"
import type { PeerSessions } from "./peerSessions.ts"
import * as RelayedLink from "./relayedLink.ts"
import * as WaitUntil from "./waitUntil.ts"

export interface PeerLinksOptions {
  readonly identityKey: PublicKey
  /** Ours, 16 bytes: another one for every relation with the peer, so that the peer notices when we have given up. */
  readonly instanceId: Uint8Array
  readonly numbers: SessionNumbers
  readonly netCrypto: NetCrypto["Service"]
  readonly entropy: Entropy["Service"]
  /** Connections that have a receiver: it can be registered once, and `connect` and `accept` may give the same one. */
  readonly used: WeakSet<NetCryptoConnection>
  /** Sessions with a process of the peer that is not known yet; starts their times. */
  readonly begin: (links: PeerLinks) => PeerSessions
}

export class PeerLinks {
  readonly identityKey: PublicKey
  readonly instanceId: Uint8Array
  /** Done when there is nothing left of it. */
  readonly over = Deferred.makeUnsafe<void>()
  /** The sessions with the present process of the peer. */
  sessions: PeerSessions
  /** How to call the peer. */
  address: PeerAddress | undefined = undefined
  readonly #options: PeerLinksOptions
  readonly #waiters = WaitUntil.make()
  #connection: NetCryptoConnection | undefined = undefined
  #greeted = false
  #leaving = false
  /** Milliseconds before the next call; none after a link that worked. */
  #redialPause = 0

  constructor(options: PeerLinksOptions) {
    this.#options = options
    this.identityKey = options.identityKey
    this.instanceId = options.instanceId
    this.sessions = options.begin(this)
  }

  /** It is of no use to anybody any more: whoever wants the peer has to begin anew. */
  get isEnding(): boolean {
    return this.#leaving || this.sessions.fault !== undefined
  }

  /** The connection that the link runs over. */
  get connection(): NetCryptoConnection | undefined {
    return this.#connection
  }

  /** Makes the link run over this connection, unless it is over already or in use. */
  use(connection: NetCryptoConnection): void {
    const { used } = this.#options
    if (used.has(connection)) return
    used.add(connection)
    const earlier = this.#connection
    const wasGreeted = this.#greeted
    this.#connection = connection
    this.#greeted = false
    const isAlive = RelayedLink.attach(connection, this.instanceId, {
      muxOf: (instanceId) => this.#muxOf(connection, instanceId),
      onViolation: (detail) => this.sessions.mux.fail({ _tag: "Violation", detail }),
      onClosed: (error) => this.#closed(connection, error)
    })
    if (!isAlive) {
      this.#connection = earlier
      this.#greeted = wasGreeted
      if (earlier === undefined) this.#forget("the connection was over before it was used")
    }
    this.#waiters.wake()
  }

  /** Remembers how to call the peer, and does it whenever there is no connection. */
  call(address: PeerAddress): void {
    this.address = address
    this.#waiters.wake()
  }

  /** Sees to it that there is a link, and that it works. Until it is interrupted. */
  get run(): Effect.Effect<never> {
    const step = Effect.suspend(() => {
      const connection = this.#connection
      if (connection !== undefined) return this.#watch(connection)
      if (this.address !== undefined) return this.#dial(this.address)
      return this.#waiters.until(() =>
        this.#connection === undefined && this.address === undefined ? undefined : Effect.void
      )
    })
    return Effect.forever(step)
  }

  /** Says goodbye, gives the last acknowledgements time to arrive, and ends everything, unless the sessions ended before. Never fails. */
  leave(sessions: PeerSessions, code: number, message: string): Effect.Effect<void> {
    const { drainTimeout } = this.#options.numbers
    const { mux } = sessions
    const goodbye = Effect.suspend(() => {
      this.#leaving = true
      const connection = this.#connection
      if (connection === undefined || mux.fault !== undefined) return Effect.void
      mux.goAway(code, message)
      // Before our Resume nothing is sent, so there is nothing to acknowledge.
      const begun = sessions.waiters.until(() =>
        mux.link === undefined || mux.link.epoch !== undefined ? Effect.void : undefined
      )
      // Room for what still waits comes with acknowledgements of what does not.
      const drained: Effect.Effect<void, NetCryptoError> = connection.drained.pipe(
        Effect.andThen(begun),
        Effect.andThen(Effect.suspend(() => mux.isIdle ? connection.drained : drained))
      )
      return Effect.ignore(Effect.timeoutOption(drained, drainTimeout))
    }).pipe(
      Effect.ensuring(Effect.sync(() => mux.fail({ _tag: "LinkLost", detail: "this side has ended it" }))),
      Effect.ensuring(this.hangUp)
    )
    return Effect.suspend(() => this.sessions === sessions ? goodbye : Effect.void)
  }

  /** Ends the connection at once; after what the peer is owed when it broke the rules. */
  get hangUp(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const connection = this.#connection
      if (connection === undefined) return Effect.void
      if (this.sessions.fault?._tag !== "Violation") return connection.close
      return Effect.timeoutOption(connection.drained, this.#options.numbers.drainTimeout).pipe(
        Effect.ignore,
        Effect.andThen(connection.close)
      )
    })
  }

  /** Watches a connection to its end; one without a hello ends after `helloTimeout`. */
  #watch(connection: NetCryptoConnection): Effect.Effect<void> {
    const { helloTimeout } = this.#options.numbers
    const isOther = () => this.#connection !== connection
    const gone = this.#waiters.until(() => isOther() ? Effect.void : undefined)
    const greeted = this.#waiters.until(() => this.#greeted || isOther() ? Effect.void : undefined)
    const strange = Effect.suspend(() => {
      if (!this.sessions.wasUp) this.sessions.mux.fail({ _tag: "NotCauseway", afterMs: helloTimeout })
      return connection.close
    })
    return Effect.timeoutOrElse(greeted, { duration: helloTimeout, orElse: () => strange }).pipe(Effect.andThen(gone))
  }

  /** Calls the peer until there is a connection, from us or from it. */
  #dial(address: PeerAddress): Effect.Effect<void> {
    const { netCrypto, numbers } = this.#options
    const others = this.#waiters.until(() => this.#connection === undefined ? undefined : Effect.void)
    const call: Effect.Effect<void> = netCrypto.connect(address).pipe(
      Effect.map((connection) => this.use(connection)),
      Effect.catch((error) => {
        if (!this.sessions.wasUp) this.sessions.mux.fail({ _tag: "NotReached", detail: error.reason.message })
        return dial
      })
    )
    const dial = Effect.suspend(() => {
      const pause = this.#redialPause
      this.#redialPause = Math.min(Math.max(pause * 2, numbers.redialPause), numbers.maxRedialPause)
      return pause === 0 ? call : Effect.andThen(this.#pause(pause), call)
    })
    return Effect.raceFirst(dial, others)
  }

  /** Half of it is random, so that peers which lost each other at the same time do not keep in step. */
  #pause(milliseconds: number): Effect.Effect<void> {
    return Effect.suspend(() => {
      const jitter = (this.#options.entropy.bytes(1)[0] ?? 0) / 256
      return Effect.sleep(Duration.millis(milliseconds * (1 + jitter) / 2))
    })
  }

  #muxOf(connection: NetCryptoConnection, instanceId: Uint8Array): SessionMux | undefined {
    const { sessions } = this
    // Replaced before its hello came: the peer has begun the next link, or is about to.
    if (this.#connection !== connection) return undefined
    this.#greeted = true
    this.#redialPause = 0
    if (sessions.peerInstance !== undefined && !equalBytes(sessions.peerInstance, instanceId)) {
      const isOver = this.isEnding
      sessions.mux.fail({ _tag: "PeerRestarted" })
      if (!isOver) this.sessions = this.#options.begin(this)
    }
    this.sessions.peerInstance = instanceId
    this.#waiters.wake()
    return this.sessions.mux
  }

  #closed(connection: NetCryptoConnection, error: NetCryptoError): void {
    if (this.#connection !== connection) return
    this.#connection = undefined
    this.#waiters.wake()
    const { goneAway } = this.sessions.mux
    if (goneAway === undefined) return this.#forget(error.reason.message)
    // The peer said why before it hung up: it is not to be waited for.
    const isBusy = goneAway._tag === "Refused" && goneAway.code === 1
    const detail = goneAway._tag === "Refused" && goneAway.detail !== "" ? `: ${goneAway.detail}` : ""
    this.sessions.mux.fail(isBusy ? goneAway : { _tag: "LinkLost", detail: `${error.reason.message}${detail}` })
  }

  /** Ends it with a caller that hung up before there were sessions: nobody has them, and there is nothing to wait for. */
  #forget(detail: string): void {
    if (this.address === undefined && !this.sessions.wasUp) this.sessions.mux.fail({ _tag: "LinkLost", detail })
  }
}
