/** Sessions of messages: one value each. */
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { SessionCode } from "../protocol/session/sessionFault.ts"
import type { SessionState } from "../protocol/session/SessionState.ts"
import { prefixedHeaderSize } from "../schema/SessionFrame.ts"
import type { EncodedValue } from "../schema/SessionValue.ts"
import type { MessageOptions, MessageSession } from "../services/Session.ts"
import { MessageInvalid, ReceiveTimedOut, type SessionError } from "../services/SessionError.ts"
import type { MessageCodec } from "./messageCodec.ts"
import { errorOf } from "./sessionErrors.ts"
import { SessionHandle, type SessionOwner } from "./sessionHandle.ts"

export class MessageSessionHandle<A> extends SessionHandle implements MessageSession<A> {
  readonly #codec: MessageCodec<A>
  readonly #receiveTimeout: number | undefined

  constructor(owner: SessionOwner, state: SessionState, codec: MessageCodec<A>, options: MessageOptions | undefined) {
    super(owner, state)
    this.#codec = codec
    this.#receiveTimeout = options?.receiveTimeout
  }

  readonly send = (message: A): Effect.Effect<void, SessionError> => {
    return this.sendAll([message])
  }

  readonly sendAll = (messages: ReadonlyArray<A>): Effect.Effect<void, SessionError> => {
    return Effect.suspend(() => {
      const values: Array<EncodedValue> = []
      for (const message of messages) {
        const encoded = this.#codec.encode(message)
        if (Result.isFailure(encoded)) return Effect.fail(this.invalid("Sent", encoded.failure))
        const problem = this.sizeProblem(encoded.success)
        if (problem !== undefined) return Effect.fail(this.invalid("Sent", problem))
        values.push(encoded.success)
      }
      return this.whenRoom(() => {
        for (const { descriptor, length, payload } of values) this.state.writeValue(descriptor, length, payload)
      })
    })
  }

  get receive(): Pull.Pull<Arr.NonEmptyReadonlyArray<A>, SessionError> {
    const messages = this.pull(() => this.take())
    const afterMs = this.#receiveTimeout
    if (afterMs === undefined) return messages
    const timedOut = Effect.suspend(() =>
      Effect.fail(errorOf(this.owner.identityKey, new ReceiveTimedOut({ afterMs })))
    )
    return Effect.timeoutOrElse(messages, { duration: afterMs, orElse: () => timedOut })
  }

  get stream(): Stream.Stream<A, SessionError> {
    return Stream.fromPull(Effect.succeed(this.receive))
  }

  /** Messages before one that does not fit still count; the next call tells of the end. */
  private take(): Arr.NonEmptyReadonlyArray<A> | SessionError | undefined {
    const messages: Array<A> = []
    let cost = 0
    for (let value = this.state.take(); value !== undefined; value = this.state.take()) {
      const decoded = this.#codec.decode(value)
      if (Result.isFailure(decoded)) {
        this.owner.mux.reset(this.state, SessionCode.violation, "a message of another type")
        if (messages.length === 0) return this.invalid("Received", decoded.failure)
        break
      }
      cost += value.cost
      messages.push(decoded.success)
    }
    this.state.consume(cost)
    return Arr.isArrayNonEmpty(messages) ? messages : undefined
  }

  private sizeProblem(value: EncodedValue): string | undefined {
    const size = prefixedHeaderSize + value.payload.length
    const { maxFrameSize } = this.owner.numbers
    return size > maxFrameSize ? `it takes ${size} bytes, at most ${maxFrameSize} are allowed` : undefined
  }

  private invalid(direction: "Sent" | "Received", detail: string): SessionError {
    return errorOf(this.owner.identityKey, new MessageInvalid({ direction, detail }))
  }
}
