/** Serving peers as they call, each in a fiber and a scope of its own. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberSet from "effect/FiberSet"
import * as Scope from "effect/Scope"
import type { Causeway, Peer } from "../services/Causeway.ts"

/**
 * Serves every peer that calls, at the same time, until it is interrupted. A peer is let go when its turn is over. Not for a client
 * node: setting its accept policy has failed before.
 */
export const forEach = (
  causeway: Causeway["Service"],
  turn: (peer: Peer) => Effect.Effect<void>
): Effect.Effect<never> =>
  Effect.gen(function*() {
    const turns = yield* FiberSet.make<void>()
    const take = Effect.uninterruptibleMask(Effect.fnUntraced(function*(restore) {
      const scope = yield* Scope.make()
      const peer = yield* restore(Scope.provide(Effect.orDie(causeway.accept), scope)).pipe(
        Effect.onExit((exit) => Exit.isSuccess(exit) ? Effect.void : Scope.close(scope, exit))
      )
      const served = Effect.onExit(Effect.interruptible(turn(peer)), (exit) => Scope.close(scope, exit))
      yield* FiberSet.run(turns, served)
    }))
    return yield* Effect.forever(take)
  }).pipe(Effect.scoped)
