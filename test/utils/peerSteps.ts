/** What tests of relations with peers do all the time. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import type { Peer } from "../../src/services/Causeway.ts"
import type { FakeNetwork } from "./FakeNetwork.ts"
import { join, rest, text } from "./sessionSteps.ts"

/** That sessions work from one to the other. */
export const talk = Effect.fnUntraced(function*(from: Peer, to: Peer) {
  const [near, far] = yield* Effect.all(
    [from.openBytes("talk"), Effect.flatMap(to.accept, (offer) => offer.bytes)],
    { concurrency: 2 }
  )
  yield* near.write(text("hello"))
  yield* near.end
  assert.deepStrictEqual(join(yield* Stream.runCollect(far.stream)), text("hello"))
})

/** Nothing is left at either node: no connection, no interest in the other, no calls for a long time. */
export const nothingLeft = Effect.fnUntraced(function*(network: FakeNetwork) {
  yield* rest
  assert.strictEqual(network.open, 0)
  assert.deepStrictEqual([network.takes("a"), network.takes("b")], [false, false])
  const { dialled } = network
  yield* TestClock.adjust(300_000)
  assert.strictEqual(network.dialled, dialled)
})

/** A peer, and the scope that has it. */
export const held = Effect.fnUntraced(function*<E>(take: Effect.Effect<Peer, E, Scope.Scope>) {
  const scope = yield* Scope.make()
  yield* Effect.addFinalizer((exit) => Scope.close(scope, exit))
  return { peer: yield* Scope.provide(take, scope), leave: Scope.close(scope, Exit.void) }
})
