/** One TCP connection carried by a session, as both ends of a forward report it. */
import * as Effect from "effect/Effect"
import type * as Net from "node:net"
import type { ByteSession } from "../services/Session.ts"
import { drainOnInterrupt } from "./drain.ts"
import type { Output } from "./output.ts"
import { bridge } from "./tcpBridge.ts"

/** The name of the sessions that carry connections. */
export const forwardName = "forward"

/** How long a connection may take to be accepted: by the peer, and there by the service. */
export const openTimeout = "10 seconds"

/** Connections at a time. A peer takes 1,024 sessions, some of which may be other than ours. */
export const maxConnections = 1_000

/**
 * Carries a connection to its end and prints when it begins and ends. `number` names it in this process; `from` says where it comes
 * from.
 */
export const carry = Effect.fnUntraced(function*(
  output: Output,
  connection: { readonly number: number; readonly from: string; readonly socket: Net.Socket },
  session: ByteSession
) {
  const { from, number, socket } = connection
  yield* output.event({ event: "opened", connection: number, from }, `${number} opened from ${from}`)
  const closed = (error: string | null) =>
    Effect.suspend(() => {
      const { bytesIn: bytesReceived, bytesOut: bytesSent } = session.stats()
      return output.event(
        { event: "closed", connection: number, bytesSent, bytesReceived, error },
        `${number} closed: ${bytesSent} bytes sent, ${bytesReceived} bytes received${
          error === null ? "" : `; ${error}`
        }`
      )
    })
  yield* Effect.scoped(bridge(socket, session)).pipe(
    Effect.matchEffect({ onSuccess: () => closed(null), onFailure: (error) => closed(error.message) }),
    drainOnInterrupt(session)
  )
})
