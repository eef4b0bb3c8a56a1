/**
 * The links to one peer: takes connections as they come, makes new ones when it is told whom to call, and knows which process of the
 * peer each belongs to. A peer that comes back as another process gets new sessions; the old ones end with `PeerRestarted`. Sessions run
 * over relays until there is a direct link (`peerDirect.ts`), and over relays again when it is lost.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { GrowingPause } from "../protocol/GrowingPause.ts"
import { faultOfGoodbye } from "../protocol/session/sessionFault.ts"
import type { SessionMux } from "../protocol/session/SessionMux.ts"
import { equalBytes, type PublicKey } from "../schema/Bytes.ts"
import type { CausewayAddress } from "../services/Causeway.ts"
import type { PathPolicy } from "../services/DirectSettings.ts"
import type { Entropy } from "../services/Entropy.ts"
import type { NetCrypto, NetCryptoConnection } from "../services/NetCrypto.ts"
import type { NetCryptoError } from "../services/NetCryptoError.ts"
import type { SessionNumbers } from "../services/SessionSettings.ts"
import { type DirectNode, PeerDirect } from "./peerDirect.ts"
import { PeerParking } from "./peerParking.ts"
import type { PeerSessions } from "./peerSessions.ts"
import { type PeerControl, RelayedLink } from "./relayedLink.ts"
import * as WaitUntil from "./waitUntil.ts"

/** Milliseconds a link has to last before the pauses begin anew: a peer that says hello and dies is not called in a loop. */
const stableAfter = 10_000

export interface PeerLinksOptions {
  readonly identityKey: PublicKey
  /** Ours, 16 bytes: another one for every relation with the peer, so that the peer notices when we have given up. */
  readonly instanceId: Uint8Array
  readonly numbers: SessionNumbers
  readonly netCrypto: NetCrypto["Service"]
  readonly entropy: Entropy["Service"]
  /** Our identity is the greater one. */
  readonly greater: boolean
  /** Undefined: this node has no direct links. */
  readonly direct: DirectNode | undefined
  readonly policy: PathPolicy
  /** Connections that have a receiver: it can be registered once, and `connect` and `accept` may give the same one. */
  readonly used: WeakSet<NetCryptoConnection>
  /** Sessions with a process of the peer that is not known yet; starts their times. */
  readonly begin: (links: PeerLinks) => PeerSessions
}

export class PeerLinks {
  readonly identityKey: PublicKey
  readonly instanceId: Uint8Array
  /** Our identity is the greater one. */
  readonly greater: boolean
  /** Done when there is nothing left of it. */
  readonly over = Deferred.makeUnsafe<void>()
  /** The sessions with the present process of the peer. */
  sessions: PeerSessions
  /** How to call the peer. */
  address: CausewayAddress | undefined = undefined
  #policy: PathPolicy
  readonly #options: PeerLinksOptions
  readonly #waiters = WaitUntil.make()
  readonly #direct: PeerDirect | undefined
  readonly #parking: PeerParking | undefined
  #relayed: RelayedLink | undefined = undefined
  #leaving = false
  /** Before the next call; none after a link, unless the one before it did not last either. */
  readonly #redial: GrowingPause
  #mayCallAtOnce = true

  constructor(options: PeerLinksOptions) {
    this.#options = options
    this.identityKey = options.identityKey
    this.instanceId = options.instanceId
    this.greater = options.greater
    this.#policy = options.policy
    this.#redial = new GrowingPause(options.numbers.redialPause, options.numbers.maxRedialPause)
    this.sessions = options.begin(this)
    if (options.direct === undefined) return
    const shared = { greater: this.greater, waiters: this.#waiters, relayed: () => this.#relayed }
    this.#direct = new PeerDirect({
      ...options.direct,
      ...shared,
      identityKey: options.identityKey,
      sessions: () => this.sessions,
      policy: () => this.#policy,
      known: () => this.address?.endpoints ?? [],
      onLost: () => this.#onDirectLost()
    })
    this.#parking = new PeerParking({
      ...shared,
      numbers: options.direct.numbers,
      isDirect: () => this.path === "direct"
    })
  }

  /** It is of no use to anybody any more: whoever wants the peer has to begin anew. */
  get isEnding(): boolean {
    return this.#leaving || this.sessions.fault !== undefined
  }

  /** The net_crypto connection to the peer, whether sessions run over it or not. */
  get connection(): NetCryptoConnection | undefined {
    return this.#relayed?.connection
  }

  /** What the sessions run over now, both ways. */
  get path(): "relayed" | "direct" | undefined {
    if (!this.sessions.isUp) return undefined
    return this.#direct?.carrier === undefined ? "relayed" : "direct"
  }

  /** Why there may be no link although relays lead to the peer; undefined when relays would do. */
  get hindrance(): string | undefined {
    if (this.#policy !== "direct") return undefined
    if (this.#direct === undefined) return "the policy is direct, and this node makes no direct links"
    const why = this.#direct.lastError?.reason.message ?? "the peer has answered no announcement of one"
    return `the policy is direct, and it has no direct link: ${why}`
  }

  /** Something about the sessions has changed. */
  wake(): void {
    this.#waiters.wake()
  }

  /** Which links may carry the sessions from now on. */
  setPolicy(policy: PathPolicy): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#policy = policy
      this.#waiters.wake()
      const relayed = this.#relayed
      if (relayed === undefined || this.#direct?.carrier !== undefined) return Effect.void
      // On another connection nothing of a session is begun; this one has it under way.
      if (policy === "direct") return relayed.hasCarried ? relayed.connection.close : Effect.void
      return Effect.sync(() => relayed.carry())
    })
  }

  /** Makes the link run over this connection, unless it is over already or in use. */
  use(connection: NetCryptoConnection): void {
    const { used } = this.#options
    if (used.has(connection)) return
    used.add(connection)
    const earlier = this.#relayed
    const isCurrent = (): boolean => this.#relayed === relayed
    const mayCarry = (): boolean => isCurrent() && this.#policy !== "direct"
    const relayed = new RelayedLink(connection, this.instanceId, {
      muxOf: (instanceId) => isCurrent() ? this.#muxOf(instanceId) : undefined,
      carries: () => mayCarry() && this.#direct?.carrier === undefined,
      mayCarry,
      onControl: (control) => this.#onControl(relayed, control),
      onWoken: () => this.#onWoken(),
      onViolation: (detail) => this.sessions.mux.fail({ _tag: "Violation", detail }),
      onClosed: (error) => this.#closed(relayed, error)
    })
    this.#relayed = relayed
    if (!relayed.start()) {
      this.#relayed = earlier
      if (earlier === undefined) this.#forget("the connection was over before it was used")
    }
    this.#waiters.wake()
  }

  /** Remembers how to call the peer, and does it whenever there is no connection. */
  call(address: CausewayAddress): void {
    this.address = address
    this.#waiters.wake()
  }

  /** Sees to it that there is a link, and that it works. Until it is interrupted, which ends the direct link. */
  get run(): Effect.Effect<never> {
    const step = Effect.suspend(() => {
      const relayed = this.#relayed
      if (relayed !== undefined) return this.#watch(relayed)
      if (this.address !== undefined) return this.#dial(this.address)
      return this.#waiters.until(() =>
        this.#relayed === undefined && this.address === undefined ? undefined : Effect.void
      )
    })
    const direct = this.#direct?.run ?? Effect.never
    const parking = this.#parking?.run ?? Effect.never
    return Effect.raceAllFirst([Effect.forever(step), direct, parking])
  }

  /** Says goodbye, gives the last acknowledgements time to arrive, and ends everything, unless the sessions ended before. Never fails. */
  leave(sessions: PeerSessions, code: number, message: string): Effect.Effect<void> {
    const { drainTimeout } = this.#options.numbers
    const { mux } = sessions
    const goodbye = Effect.suspend(() => {
      this.#leaving = true
      const connection = this.connection
      if (mux.fault !== undefined) return Effect.void
      mux.goAway(code, message)
      if (this.path === "direct") return Effect.asVoid(Effect.timeoutOption(this.#answered(mux), drainTimeout))
      if (connection === undefined) return Effect.void
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
      const { connection } = this
      if (connection === undefined) return Effect.void
      if (this.sessions.fault?._tag !== "Violation") return connection.close
      return Effect.timeoutOption(connection.drained, this.#options.numbers.drainTimeout).pipe(
        Effect.ignore,
        Effect.andThen(connection.close)
      )
    })
  }

  /** Everything that has been sent over the direct link has arrived: the peer has answered what was sent behind it. Or the link is gone. */
  #answered(mux: SessionMux): Effect.Effect<void> {
    const { link } = mux
    const { waiters } = this.sessions
    const gone = waiters.until(() => mux.link === link && mux.fault === undefined ? undefined : Effect.void)
    const answer = Effect.callback<void>((resume) => {
      if (!mux.ping(() => resume(Effect.void))) resume(Effect.void)
    })
    const idle = waiters.until(() => mux.isIdle ? Effect.void : undefined)
    return Effect.raceFirst(Effect.andThen(answer, idle), gone)
  }

  /** Watches a connection to its end; one without a hello ends after `helloTimeout`. */
  #watch(relayed: RelayedLink): Effect.Effect<void> {
    const { helloTimeout } = this.#options.numbers
    const isOther = () => this.#relayed !== relayed
    const gone = this.#waiters.until(() => isOther() ? Effect.void : undefined)
    const greeted = this.#waiters.until(() => relayed.isGreeted || isOther() ? Effect.void : undefined)
    const strange = Effect.suspend(() => {
      if (!this.sessions.wasUp) this.sessions.mux.fail({ _tag: "NotCauseway", afterMs: helloTimeout })
      return relayed.connection.close
    })
    const stable = Effect.sleep(stableAfter).pipe(
      Effect.map(() => {
        this.#mayCallAtOnce = true
        this.#redial.reset()
      }),
      Effect.andThen(Effect.never)
    )
    return Effect.timeoutOrElse(greeted, { duration: helloTimeout, orElse: () => strange }).pipe(
      Effect.andThen(Effect.raceFirst(gone, stable))
    )
  }

  /** Calls the peer until there is a connection, from us or from it. */
  #dial(address: CausewayAddress): Effect.Effect<void> {
    const { entropy, netCrypto } = this.#options
    const others = this.#waiters.until(() => this.#relayed === undefined ? undefined : Effect.void)
    const call: Effect.Effect<void> = netCrypto.connect(address).pipe(
      Effect.map((connection) => this.use(connection)),
      Effect.catch((error) => {
        if (!this.sessions.wasUp) this.sessions.mux.fail({ _tag: "NotReached", detail: error.reason.message })
        return dial
      })
    )
    const dial = Effect.suspend(() => {
      const pause = this.#redial.take(entropy.fraction())
      return pause === 0 ? call : Effect.andThen(Effect.sleep(Duration.millis(pause)), call)
    })
    return Effect.raceFirst(dial, others)
  }

  #muxOf(instanceId: Uint8Array): SessionMux {
    const { sessions } = this
    if (this.#mayCallAtOnce) this.#redial.reset()
    this.#mayCallAtOnce = false
    if (sessions.peerInstance !== undefined && !equalBytes(sessions.peerInstance, instanceId)) {
      const isOver = this.isEnding
      sessions.mux.fail({ _tag: "PeerRestarted" })
      if (!isOver) this.sessions = this.#options.begin(this)
    }
    this.sessions.peerInstance = instanceId
    this.#waiters.wake()
    return this.sessions.mux
  }

  #onControl(relayed: RelayedLink, control: PeerControl): void {
    if (this.#relayed !== relayed) return
    this.#direct?.onControl(control)
    this.#parking?.onControl(relayed, control)
  }

  /** The peer has woken the relays: it may have lost the direct link, which is asked for a sign of life. */
  #onWoken(): void {
    this.#direct?.carrier?.probe()
    this.#waiters.wake()
  }

  /**
   * Back to the relays, unless everything is over or the peer has left. Those that must not carry sessions are needed all the same: the next
   * direct link is announced there, and there alone it shows that the peer was restarted.
   */
  #onDirectLost(): void {
    this.#waiters.wake()
    if (this.sessions.fault !== undefined || this.#left("the direct connection has ended")) return
    this.#relayed?.connection.wake()
    if (this.#policy !== "direct") this.#relayed?.takeBack()
  }

  #closed(relayed: RelayedLink, error: NetCryptoError): void {
    if (this.#relayed !== relayed) return
    this.#relayed = undefined
    this.#waiters.wake()
    // Sessions on a direct link need no relays.
    if (this.path === "direct" || this.#left(error.reason.message)) return
    this.#forget(error.reason.message)
  }

  /** Whether the peer said why before it hung up: then it is not to be waited for. */
  #left(how: string): boolean {
    const { goneAway } = this.sessions.mux
    if (goneAway === undefined) return false
    this.sessions.mux.fail(faultOfGoodbye(goneAway, how))
    return true
  }

  /** Ends it with a caller that hung up before there were sessions: nobody has them, and there is nothing to wait for. */
  #forget(detail: string): void {
    if (this.address === undefined && !this.sessions.wasUp) this.sessions.mux.fail({ _tag: "LinkLost", detail })
  }
}
