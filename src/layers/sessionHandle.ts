/**
 * What every session offers an application, over its plain state: waiting and errors are here, frames are below. There may be many
 * thousands of handles, so each keeps next to nothing until somebody waits.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"
import type { SessionMux } from "../protocol/session/SessionMux.ts"
import type { SessionState } from "../protocol/session/SessionState.ts"
import type { PublicKey } from "../schema/Bytes.ts"
import type { Session, SessionStats } from "../services/Session.ts"
import type { SessionError } from "../services/SessionError.ts"
import type { SessionNumbers } from "../services/SessionSettings.ts"
import { errorOfFault } from "./sessionErrors.ts"
import * as WaitUntil from "./waitUntil.ts"

type NonEmpty<A> = readonly [A, ...ReadonlyArray<A>]

/** Whose session it is. */
export interface SessionOwner {
  readonly identityKey: PublicKey
  readonly mux: SessionMux
  readonly numbers: SessionNumbers
}

export abstract class SessionHandle implements Session {
  protected readonly owner: SessionOwner
  protected readonly state: SessionState
  // Apart, so that a busy reader does not wake the writer.
  #readers: WaitUntil.Waiters | undefined = undefined
  #others: WaitUntil.Waiters | undefined = undefined

  /** Once per session. */
  constructor(owner: SessionOwner, state: SessionState) {
    this.owner = owner
    this.state = state
    state.onChange = () => {
      this.#others?.wake()
      if (this.#readers === undefined) return
      if (state.waitingValues > 0 || state.datagrams !== undefined || state.readEnded || state.fault !== undefined) {
        this.#readers.wake()
      }
    }
  }

  get name(): string {
    return this.state.name
  }

  /** Succeeds once the peer has accepted. */
  get accepted(): Effect.Effect<void, SessionError> {
    return this.others.until(() => this.failed() ?? (this.state.accepted ? Effect.void : undefined))
  }

  get end(): Effect.Effect<void> {
    return Effect.sync(() => {
      if (this.state.writeEnded) return
      this.state.end()
      this.owner.mux.touch(this.state)
    })
  }

  get delivered(): Effect.Effect<void, SessionError> {
    return Effect.suspend(() => {
      const { written } = this.state.counts
      return this.others.until(() => this.state.hasDelivered(written) ? Effect.void : this.failed())
    })
  }

  get closed(): Effect.Effect<void, SessionError> {
    return this.others.until(() => this.state.finished ? Effect.void : this.failed())
  }

  readonly reset = (code: number, message: string): Effect.Effect<void> => {
    return Effect.sync(() => this.owner.mux.reset(this.state, code, message))
  }

  readonly sendDatagram = (bytes: Uint8Array): boolean => {
    return this.owner.mux.datagram(this.state, bytes)
  }

  get datagrams(): Stream.Stream<Uint8Array, SessionError> {
    return Stream.fromPull(Effect.succeed(this.readers.until<NonEmpty<Uint8Array>, SessionError | Cause.Done>(() => {
      const datagrams = this.state.datagrams?.take()
      if (datagrams !== undefined) return Effect.succeed(datagrams)
      return this.state.readEnded ? Cause.done() : this.failed()
    })))
  }

  readonly stats = (): SessionStats => {
    const { delivered, received, written } = this.state.counts
    return { bytesIn: received, bytesOut: written, bytesDelivered: delivered }
  }

  /** Takes every value there is, through `take`, which says undefined when there is none; waits for one if necessary. */
  protected pull<A>(
    take: () => NonEmpty<A> | SessionError | undefined
  ): Pull.Pull<NonEmpty<A>, SessionError> {
    return this.readers.until<NonEmpty<A>, SessionError | Cause.Done>(() => {
      const taken = take()
      if (taken === undefined) return this.state.readEnded ? Cause.done() : this.failed()
      if (!("reason" in taken)) {
        this.owner.mux.touch(this.state)
        return Effect.succeed(taken)
      }
      return Effect.fail(taken)
    })
  }

  /** Runs `queue` as soon as there is room for more. */
  protected whenRoom(queue: () => void): Effect.Effect<void, SessionError> {
    return this.others.until(() => {
      const { fault, queuedBytes, writeEnded } = this.state
      if (fault !== undefined) return this.failed()
      if (writeEnded) return Effect.die(new Error(`write after the end of session "${this.name}"`))
      if (queuedBytes >= this.owner.numbers.sendBuffer) return undefined
      queue()
      this.owner.mux.touch(this.state)
      return Effect.void
    })
  }

  private failed(): Effect.Effect<never, SessionError> | undefined {
    const { fault } = this.state
    return fault && Effect.fail(errorOfFault(this.owner.identityKey, fault))
  }

  private get readers(): WaitUntil.Waiters {
    return this.#readers ??= WaitUntil.make()
  }

  private get others(): WaitUntil.Waiters {
    return this.#others ??= WaitUntil.make()
  }
}
