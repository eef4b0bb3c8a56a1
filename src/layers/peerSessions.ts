/**
 * The sessions with one process of a peer, brought to life: times, and what happens when there is no link. It does not make links; see
 * `peerLinks.ts`.
 */
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import type { SessionFault } from "../protocol/session/sessionFault.ts"
import { SessionMux } from "../protocol/session/SessionMux.ts"
import type { PublicKey } from "../schema/Bytes.ts"
import type { SessionNumbers } from "../services/SessionSettings.ts"
import type { SessionOwner } from "./sessionHandle.ts"
import * as WaitUntil from "./waitUntil.ts"

/** Pings of the application under way at a time; more wait. The multiplexer remembers twice as many, its own among them. */
const pingsAtOnce = 32

export class PeerSessions implements SessionOwner {
  readonly identityKey: PublicKey
  readonly numbers: SessionNumbers
  readonly mux: SessionMux
  /** Woken when the link, the offers or the fault have changed. */
  readonly waiters = WaitUntil.make()
  /** Which process of the peer it is, once that is known. */
  peerInstance: Uint8Array | undefined = undefined
  /** How many scopes have it. */
  holders = 0
  readonly pings = Semaphore.makeUnsafe(pingsAtOnce)
  /** There has been a link. */
  wasUp = false
  readonly #hindrance: () => string | undefined
  readonly #creditTimer = WaitUntil.make()
  #creditLater = false

  constructor(options: {
    readonly identityKey: PublicKey
    readonly instanceId: Uint8Array
    readonly greater: boolean
    readonly numbers: SessionNumbers
    readonly now: () => number
    /** Why there may be no link, where that is known. */
    readonly hindrance?: () => string | undefined
    /** The link, the offers or the fault have changed. */
    readonly onChange: () => void
  }) {
    const { greater, hindrance = () => undefined, identityKey, instanceId, now, numbers, onChange } = options
    this.#hindrance = hindrance
    this.identityKey = identityKey
    this.numbers = numbers
    this.mux = new SessionMux({
      instanceId,
      greater,
      now,
      numbers,
      onChange: () => {
        this.wasUp ||= this.isUp
        this.waiters.wake()
        onChange()
      },
      onCreditLater: () => {
        this.#creditLater = true
        this.#creditTimer.wake()
      }
    })
  }

  /** Sessions can send and receive. */
  get isUp(): boolean {
    return this.mux.link?.isUp === true
  }

  get fault(): SessionFault | undefined {
    return this.mux.fault
  }

  /** Waits for the end of everything with the peer. */
  get over(): Effect.Effect<SessionFault> {
    return this.waiters.until(() => this.fault && Effect.succeed(this.fault))
  }

  /** Keeps the times, until everything is over. */
  get run(): Effect.Effect<void> {
    return Effect.raceAllFirst([this.creditTimes, this.absences, Effect.asVoid(this.over)])
  }

  private get creditTimes(): Effect.Effect<never> {
    const { creditInterval } = this.numbers
    return this.#creditTimer.until(() => this.#creditLater ? Effect.sleep(creditInterval) : undefined).pipe(
      Effect.tap(() => {
        this.#creditLater = false
        this.mux.creditInterval()
        return Effect.void
      }),
      Effect.forever
    )
  }

  /** Ends everything when there is no link for too long. */
  private get absences(): Effect.Effect<never> {
    const { resumeTimeout } = this.numbers
    const whenUp = this.waiters.until(() => this.isUp ? Effect.void : undefined)
    const whenDown = this.waiters.until(() => this.isUp ? undefined : Effect.void)
    const detail = () => [`there was no link for ${resumeTimeout / 1000} s`, this.#hindrance() ?? []].flat().join("; ")
    return whenDown.pipe(
      Effect.andThen(Effect.timeoutOrElse(whenUp, {
        duration: resumeTimeout,
        orElse: () => Effect.sync(() => this.mux.fail({ _tag: "LinkLost", detail: detail() }))
      })),
      Effect.forever
    )
  }
}
