/**
 * A peer that is called again whenever everything with it has ended: it was started anew, or was away for longer than its sessions
 * wait. A shorter absence is bridged below, by the sessions themselves.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as WaitUntil from "../layers/waitUntil.ts"
import type { Causeway, CausewayAddress, Peer } from "../services/Causeway.ts"
import type { SessionError } from "../services/SessionError.ts"
import type { CommandFailed } from "./failure.ts"
import { reach } from "./reach.ts"

/** Before the peer is called again. A call in vain takes some seconds by itself. */
const pause = "1 second"

export interface KeptPeer {
  /** The peer, as soon as there is one. */
  readonly peer: Effect.Effect<Peer>
}

/** Calls the peer, and keeps calling until the scope closes. Fails when the very first call does. */
export const keep = Effect.fnUntraced(function*(
  address: CausewayAddress,
  report: {
    /** It is there again, after it was lost. */
    readonly found: Effect.Effect<void>
    /** What to do beside it while it is there. */
    readonly present: (peer: Peer) => Effect.Effect<void>
    readonly lost: (error: SessionError) => Effect.Effect<void>
  }
): Effect.fn.Return<KeptPeer, SessionError | CommandFailed, Causeway | Scope.Scope> {
  const waiters = WaitUntil.make()
  const first = yield* Deferred.make<void, SessionError | CommandFailed>()
  let present: Peer | undefined
  const round = Effect.gen(function*() {
    const peer = yield* reach(address)
    if (!(yield* Deferred.succeed(first, undefined))) yield* report.found
    present = peer
    yield* Effect.forkScoped(report.present(peer))
    waiters.wake()
    const error = yield* Effect.ensuring(
      peer.closed,
      Effect.sync(() => {
        present = undefined
      })
    )
    yield* report.lost(error)
  }).pipe(
    Effect.scoped,
    // Only the first failure has somebody to hear it; later ones are the absence that has been reported.
    Effect.catch((error) => Deferred.fail(first, error)),
    Effect.andThen(Effect.sleep(pause))
  )
  yield* Effect.forkScoped(Effect.forever(round))
  yield* Deferred.await(first)
  return { peer: waiters.until(() => present === undefined ? undefined : Effect.succeed(present)) }
})
