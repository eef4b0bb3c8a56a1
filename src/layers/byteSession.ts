/**
 * `ByteSession` over the plain state of one session: waiting, errors and scope are here, bytes and frames are below.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { ByteSessionState } from "../protocol/session/ByteSessionState.ts"
import type { SessionFault } from "../protocol/session/sessionFault.ts"
import { toHex } from "../schema/Bytes.ts"
import * as SessionError from "../services/SessionError.ts"
import type { ByteSession } from "../services/Sessions.ts"
import type { SessionNumbers } from "../services/SessionSettings.ts"
import type { SessionLink } from "./sessionLink.ts"
import * as WaitUntil from "./waitUntil.ts"

const reasonOf = (fault: SessionFault): SessionError.SessionErrorReason => {
  switch (fault._tag) {
    case "NotCauseway":
      return new SessionError.PeerIsNotCauseway({ afterMs: fault.afterMs })
    case "Refused":
      return new SessionError.SessionRefused({ code: fault.code, detail: fault.detail })
    case "Reset":
      return new SessionError.SessionReset({ code: fault.code, detail: fault.detail, byPeer: fault.byPeer })
    case "LinkLost":
      return new SessionError.LinkLost({ detail: fault.detail })
    case "Violation":
      return new SessionError.ProtocolViolation({ detail: fault.detail })
  }
}

/** The error that tells applications about a fault. */
export const errorOf = (link: SessionLink, fault: SessionFault): SessionError.SessionError =>
  new SessionError.SessionError({ peer: toHex(link.connection.identityKey), reason: reasonOf(fault) })

/** A session, and how its opener waits for the peer. */
export interface Attached {
  readonly session: ByteSession
  /** Succeeds once the peer has accepted. */
  readonly accepted: Effect.Effect<void, SessionError.SessionError>
}

/** Gives a session its Effects. Once per session. */
export const attach = (link: SessionLink, state: ByteSessionState, numbers: SessionNumbers): Attached => {
  const { connection, mux } = link
  // Apart, so that a busy reader does not wake the writer.
  const readers = WaitUntil.make()
  const others = WaitUntil.make()
  state.onChange = () => {
    if (state.waitingBytes > 0 || state.readEnded || state.fault !== undefined) readers.wake()
    others.wake()
  }
  const failed = () => state.fault === undefined ? undefined : Effect.fail(errorOf(link, state.fault))

  type Chunks = readonly [Uint8Array, ...ReadonlyArray<Uint8Array>]
  const read = readers.until<Chunks, SessionError.SessionError | Cause.Done>(() => {
    const chunks = state.take()
    if (chunks !== undefined) {
      mux.touch(state)
      return Effect.succeed(chunks)
    }
    return state.readEnded ? Cause.done() : failed()
  })
  const write: ByteSession["write"] = (chunks) =>
    others.until(() => {
      if (state.writeEnded) return Effect.die(new Error(`write after the end of session "${state.name}"`))
      if (state.fault !== undefined) return failed()
      if (state.queuedBytes >= numbers.sendBuffer) return undefined
      state.write(chunks instanceof Uint8Array ? [chunks] : chunks)
      mux.touch(state)
      return Effect.void
    })
  const delivered: ByteSession["delivered"] = Effect.suspend(() => {
    const { written } = state.counts
    return others.until(() => state.hasDelivered(written) ? Effect.void : failed())
  })
  // The peer may wait for our last acknowledgement; the connection must not be closed over its head. It may well close it itself.
  const settled = connection.drained.pipe(Effect.timeoutOption(numbers.drainTimeout), Effect.ignore)

  return {
    session: {
      name: state.name,
      read,
      stream: Stream.fromPull(Effect.succeed(read)),
      write,
      end: Effect.sync(() => {
        if (state.writeEnded) return
        state.end()
        mux.touch(state)
      }),
      delivered,
      reset: (code, message) => Effect.sync(() => mux.reset(state, code, message)),
      closed: others.until(() => state.finished ? settled : failed()),
      stats: () => {
        const { delivered, received, written } = state.counts
        return { bytesIn: received, bytesOut: written, bytesDelivered: delivered }
      }
    },
    accepted: others.until(() => failed() ?? (state.accepted ? Effect.void : undefined))
  }
}
