/** Sessions of bytes: values of 0x0C without boundaries. */
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"
import { SessionCode } from "../protocol/session/sessionFault.ts"
import type { ByteSession } from "../services/Session.ts"
import { MessageInvalid, type SessionError } from "../services/SessionError.ts"
import { errorOf } from "./sessionErrors.ts"
import { SessionHandle } from "./sessionHandle.ts"

const bytesDescriptor = 0x0c

export class ByteSessionHandle extends SessionHandle implements ByteSession {
  get read(): Pull.Pull<Arr.NonEmptyReadonlyArray<Uint8Array>, SessionError> {
    return this.pull(() => this.take())
  }

  get stream(): Stream.Stream<Uint8Array, SessionError> {
    return Stream.fromPull(Effect.succeed(this.read))
  }

  readonly write = (chunks: Uint8Array | ReadonlyArray<Uint8Array>): Effect.Effect<void, SessionError> => {
    return this.whenRoom(() => this.state.write(chunks instanceof Uint8Array ? [chunks] : chunks))
  }

  private take(): Arr.NonEmptyReadonlyArray<Uint8Array> | SessionError | undefined {
    const { identityKey, mux } = this.owner
    const chunks: Array<Uint8Array> = []
    let cost = 0
    for (let value = this.state.take(); value !== undefined; value = this.state.take()) {
      cost += value.cost
      if (value.descriptor !== bytesDescriptor) {
        const detail = `a value of type 0x${value.descriptor.toString(16)} in a session of bytes`
        mux.reset(this.state, SessionCode.violation, detail)
        return errorOf(identityKey, new MessageInvalid({ direction: "Received", detail }))
      }
      const { payload, size } = value
      if (size === 0) continue
      if (payload instanceof Uint8Array) chunks.push(payload)
      else for (const piece of payload) chunks.push(piece)
    }
    this.state.consume(cost)
    if (Arr.isArrayNonEmpty(chunks)) return chunks
    // Frames without bytes give the reader nothing, but their credit is owed all the same.
    if (cost > 0) mux.touch(this.state)
    return undefined
  }
}
