/** A clock on which a program stands still for a while, as when its event loop is blocked. Nothing but what sleeps on it is held up. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { monotonicMillis } from "../../src/layers/monotonicMillis.ts"

/** Lets the program stand still once, from `after` milliseconds from now, for `length` milliseconds. */
export type Pause = (after: number, length: number) => void

/** Runs with a clock whose sleeps end only after a pause when they should end in the middle of it: nothing of ours runs then. */
export const withPauses = <A, E, R>(body: (pause: Pause) => Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const clock = yield* Clock.Clock
    const now = monotonicMillis(clock)
    let [from, to] = [Infinity, Infinity]
    const pausing = Effect.suspend(() =>
      now() >= from && now() < to ? clock.sleep(Duration.millis(to - now())) : Effect.void
    )
    const lagging: Clock.Clock = { ...clock, sleep: (duration) => Effect.andThen(clock.sleep(duration), pausing) }
    const pause: Pause = (after, length) => {
      from = now() + after
      to = from + length
    }
    return yield* body(pause).pipe(Effect.provideService(Clock.Clock, lagging))
  })
