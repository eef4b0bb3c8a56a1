/** One session as `listen` and `connect` use it: piped to stdin and stdout, announced, and drained when a signal ends the command. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { toHex } from "../schema/Bytes.ts"
import type { Peer } from "../services/Causeway.ts"
import type { ByteSession } from "../services/Session.ts"
import { drainOnInterrupt } from "./drain.ts"
import type { Output } from "./output.ts"
import * as Pipe from "./pipe.ts"

/** The name that both commands give their session. */
export const sessionName = "pipe"

/** Pipes until both directions have ended. After a signal, what was read from stdin is still delivered, for a short time. */
export const pipeSession = Effect.fnUntraced(function*(
  output: Output,
  peer: Peer,
  session: ByteSession,
  options: Pipe.PipeOptions
) {
  const identityKey = toHex(peer.identityKey)
  yield* output.event({ event: "connected", identityKey }, `connected to ${identityKey}`)
  const { bytesReceived, bytesSent } = yield* Pipe.pipe(session, options).pipe(drainOnInterrupt(session))
  yield* output.event(
    { event: "done", identityKey, bytesSent, bytesReceived },
    `done: ${bytesSent} bytes sent, ${bytesReceived} bytes received`
  )
})

/** Says when the link is lost and when there is one again. Until it is interrupted. */
export const reportLinks = (output: Output, peer: Peer): Effect.Effect<void> => {
  const identityKey = toHex(peer.identityKey)
  return peer.links.pipe(
    Stream.drop(1),
    Stream.runForEach((state) =>
      state._tag === "Up"
        ? output.event({ event: "resumed", identityKey }, "there is a link again, and nothing was lost")
        : output.event({ event: "interrupted", identityKey }, "the link is lost; waiting for a new one")
    )
  )
}
