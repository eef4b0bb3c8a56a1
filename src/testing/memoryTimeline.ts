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

/** A conversation without latency never ends by itself; after so many tasks the rest of the program has a turn. */
const maxTasksPerTurn = 1_000

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
  let queue: Array<() => void> = []
  let draining = false
  // What tasks cause runs in the same turn, because `TestClock.adjust` waits for one turn before it moves.
  const drain = () => {
    draining = true
    let done = 0
    try {
      while (done < queue.length && done < maxTasksPerTurn) queue[done++]!()
    } finally {
      queue = queue.slice(done)
      draining = false
      if (queue.length > 0) dispatcher.scheduleTask(drain, 0)
    }
  }
  const run = yield* FiberSet.makeRuntime<never, void, never>()
  return {
    now: () => clock.monotonicTimeNanosUnsafe(),
    soon: (task) => {
      queue.push(task)
      // One turn a task, even if the first of them drains all: `TestClock` waits for those that were scheduled by what it woke.
      if (!draining) dispatcher.scheduleTask(drain, 0)
    },
    after: (nanos, task) => {
      run(Effect.andThen(Effect.sleep(Duration.nanos(nanos)), Effect.sync(task)))
    }
  }
})
