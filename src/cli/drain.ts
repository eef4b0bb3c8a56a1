/** What a signal leaves time for. */
import * as Effect from "effect/Effect"
import type { ByteSession } from "../services/Session.ts"

/** How long bytes that the peer has not received yet are waited for after a signal; the goodbye may take another second. */
const drainTimeout = "1500 millis"

/** After a signal, what was taken for sending is still delivered, for a short time. */
export const drainOnInterrupt = (session: Pick<ByteSession, "delivered">) =>
  Effect.onInterrupt(() => Effect.ignore(Effect.timeout(Effect.interruptible(session.delivered), drainTimeout)))
