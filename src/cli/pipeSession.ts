/** One session as `listen` and `connect` use it: piped to stdin and stdout, announced, and drained when a signal ends the command. */
import * as Effect from "effect/Effect"
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
