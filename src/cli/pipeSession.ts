/** One session as `listen` and `connect` use it: piped to stdin and stdout, announced, and drained when a signal ends the command. */
import * as Effect from "effect/Effect"
import { toHex } from "../schema/Bytes.ts"
import type { NetCryptoConnection } from "../services/NetCrypto.ts"
import type { ByteSession } from "../services/Sessions.ts"
import type { Output } from "./output.ts"
import * as Pipe from "./pipe.ts"

/** How long bytes that the peer has not received yet are waited for after a signal. */
const drainTimeout = "2 seconds"

/** The name that both commands give their session. */
export const sessionName = "pipe"

/** Pipes until both directions have ended. After a signal, what was read from stdin is still delivered, for two seconds at most. */
export const pipeSession = Effect.fnUntraced(function*(
  output: Output,
  connection: NetCryptoConnection,
  session: ByteSession,
  options: Pipe.PipeOptions
) {
  const identityKey = toHex(connection.identityKey)
  yield* output.event({ event: "connected", identityKey }, `connected to ${identityKey}`)
  const { bytesReceived, bytesSent } = yield* Pipe.pipe(session, options).pipe(
    Effect.onInterrupt(() => Effect.ignore(Effect.timeout(Effect.interruptible(session.delivered), drainTimeout)))
  )
  yield* output.event(
    { event: "done", identityKey, bytesSent, bytesReceived },
    `done: ${bytesSent} bytes sent, ${bytesReceived} bytes received`
  )
})
