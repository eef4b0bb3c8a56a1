/** The session that `causeway ping` opens: whoever accepts it sends everything back. */
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import type { SessionOffer } from "../services/Session.ts"
import type { SessionError } from "../services/SessionError.ts"

export const sessionName = "ping"

/** Accepts the session and sends back what comes until the peer has ended it. */
export const echo = Effect.fnUntraced(function*(offer: SessionOffer): Effect.fn.Return<void, SessionError> {
  yield* Effect.scoped(Effect.gen(function*() {
    const session = yield* offer.bytes
    yield* session.read.pipe(Effect.flatMap(session.write), Effect.forever, Pull.catchDone(() => session.end))
    yield* session.closed
  }))
})
