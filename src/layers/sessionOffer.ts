/** Sessions that the peer offers, for the application to accept as what it likes. */
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { SessionCode } from "../protocol/session/sessionFault.ts"
import type { SessionState } from "../protocol/session/SessionState.ts"
import type { ByteSession, MessageOptions, MessageSession, SessionOffer, ValueSession } from "../services/Session.ts"
import type { SessionError } from "../services/SessionError.ts"
import { ByteSessionHandle } from "./byteSession.ts"
import * as MessageCodec from "./messageCodec.ts"
import { MessageSessionHandle } from "./messageSession.ts"
import { errorOfFault } from "./sessionErrors.ts"
import type { SessionOwner } from "./sessionHandle.ts"

/** The session ends with the scope. */
export const giveUpAtEnd = (owner: SessionOwner, states: ReadonlyArray<SessionState>) =>
  Effect.addFinalizer(() =>
    Effect.sync(() => {
      for (const state of states) owner.mux.reset(state, SessionCode.cancelled, "given up")
    })
  )

export class OfferHandle implements SessionOffer {
  readonly #owner: SessionOwner
  readonly #state: SessionState

  constructor(owner: SessionOwner, state: SessionState) {
    this.#owner = owner
    this.#state = state
  }

  get name(): string {
    return this.#state.name
  }

  get bytes(): Effect.Effect<ByteSession, SessionError, Scope.Scope> {
    return this.#accept(() => new ByteSessionHandle(this.#owner, this.#state))
  }

  readonly messages = <A>(
    schema: Schema.Codec<A, unknown>,
    options?: MessageOptions
  ): Effect.Effect<MessageSession<A>, SessionError, Scope.Scope> => {
    const codec = MessageCodec.json(schema)
    return this.#accept(() => new MessageSessionHandle(this.#owner, this.#state, codec, options))
  }

  readonly values = (options?: MessageOptions): Effect.Effect<ValueSession, SessionError, Scope.Scope> => {
    return this.#accept(() => new MessageSessionHandle(this.#owner, this.#state, MessageCodec.values, options))
  }

  readonly refuse = (code: number, message: string): Effect.Effect<void> => {
    return Effect.sync(() => this.#owner.mux.reset(this.#state, code, message))
  }

  #accept<S>(handle: () => S): Effect.Effect<S, SessionError, Scope.Scope> {
    return Effect.uninterruptible(Effect.suspend(() => {
      const { fault } = this.#state
      if (fault !== undefined) return Effect.fail(errorOfFault(this.#owner.identityKey, fault))
      const session = handle()
      this.#state.accept()
      this.#owner.mux.touch(this.#state)
      return Effect.as(giveUpAtEnd(this.#owner, [this.#state]), session)
    }))
  }
}
