/**
 * When things happen in the network inside the process: after the running code, or after a time on the `Clock`. There are no
 * timers of its own. Tasks use the scheduler of the layer's context, so that `TestClock` waits for what it wakes.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Scheduler from "effect/Scheduler"
import type * as Scope from "effect/Scope"

export interface MemoryTimeline {
  /** Monotonic nanoseconds. */
  readonly now: () => bigint
  /** Runs the task in order with others, never before the caller has returned. */
  readonly soon: (task: () => void) => void
  /** Runs the task after so many nanoseconds. */
  readonly after: (nanos: bigint, task: () => void) => void
}

/** The scope owns what is scheduled: closing it drops the tasks that wait for the clock. */
export const make: Effect.Effect<MemoryTimeline, never, Scope.Scope> = Effect.gen(function*() {
  const clock = yield* Clock.Clock
  const scheduler = yield* Scheduler.Scheduler
  const dispatcher = scheduler.makeDispatcher()
  const run = yield* FiberSet.makeRuntime<never, void, never>()
  return {
    now: () => clock.monotonicTimeNanosUnsafe(),
    soon: (task) => dispatcher.scheduleTask(task, 0),
    after: (nanos, task) => {
      run(Effect.andThen(Effect.sleep(Duration.nanos(nanos)), Effect.sync(task)))
    }
  }
})
