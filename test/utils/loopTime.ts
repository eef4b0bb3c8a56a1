/**
 * Time as this process's event loop has lived it: it stands still while the loop does, because the machine is busy with something else
 * or a test blocks it on purpose. Fault tests measure gaps with it, so that a busy machine is not taken for a slow failover.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { monotonicMillis } from "../../src/layers/monotonicMillis.ts"

/** How often it looks, and how much of the time between two looks counts, milliseconds. */
const interval = 2
const longestStep = 10

/** Milliseconds since an arbitrary start. It runs as long as the scope. */
export const make = Effect.gen(function*() {
  const now = monotonicMillis(yield* Clock.Clock)
  let lived = 0
  let seenAt = now()
  const look = (): number => {
    const time = now()
    lived += Math.min(time - seenAt, longestStep)
    seenAt = time
    return lived
  }
  yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.sleep(interval), Effect.sync(look))))
  return look
})

/** A clock that goes by `now`, and is never early: with it programs live as slowly as this process does. The time of day is real. */
export const clockOf = (real: Clock.Clock, now: () => number): Clock.Clock => {
  const nanos = () => BigInt(Math.round(now() * 1e6))
  return {
    currentTimeMillisUnsafe: () => real.currentTimeMillisUnsafe(),
    currentTimeMillis: real.currentTimeMillis,
    currentTimeNanosUnsafe: () => real.currentTimeNanosUnsafe(),
    currentTimeNanos: real.currentTimeNanos,
    monotonicTimeNanosUnsafe: nanos,
    monotonicTimeNanos: Effect.sync(nanos),
    sleep: (duration) =>
      Effect.suspend(() => {
        if (!Duration.isFinite(duration)) return real.sleep(duration)
        const end = now() + Duration.toMillis(duration)
        const rest = Effect.suspend(() => real.sleep(Duration.millis(Math.max(0, end - now()))))
        return Effect.repeat(rest, { until: () => now() >= end })
      })
  }
}

/** Waits until so much of this time has passed. */
export const pass = (now: () => number, duration: Duration.Input): Effect.Effect<void> =>
  Effect.suspend(() => {
    const end = now() + Duration.toMillis(duration)
    return Effect.repeat(Effect.sleep(interval), { until: () => now() >= end })
  })

/** Waits until something is true; how many of these milliseconds it took. A defect after `limit`. */
export const until = Effect.fnUntraced(function*<R = never>(
  now: () => number,
  what: string,
  condition: Effect.Effect<boolean, never, R> | (() => boolean),
  limit = 10_000
) {
  const start = now()
  while (!(typeof condition === "function" ? condition() : yield* condition)) {
    if (now() - start > limit) return yield* Effect.die(new Error(`not within ${limit} ms: ${what}`))
    yield* Effect.sleep(1)
  }
  return now() - start
})
