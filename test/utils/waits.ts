/** Waiting in tests that run against real sockets and against the network inside the process alike. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"

/** `elapse` lets so many milliseconds pass. */
export const make = (elapse: (millis: number) => Effect.Effect<void>) => {
  /** Waits for something that takes a few turns of the event loop; 5 ms pass at each of the tries. */
  const eventually = (condition: () => boolean, tries = 1_000) =>
    Effect.gen(function*() {
      for (let tried = 0; tried < tries; tried++) {
        if (condition()) return
        yield* elapse(5)
      }
      assert.fail(`the condition did not become true in ${tries} tries`)
    })
  /** Waits for the end of something that waits for nobody: far sooner than any deadline. */
  const soon = (fiber: Fiber.Fiber<unknown, unknown>) => eventually(() => fiber.pollUnsafe() !== undefined, 200)
  return { eventually, soon }
}
