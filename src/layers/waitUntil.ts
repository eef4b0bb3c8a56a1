/**
 * Waiting for plain state: fibers that look again whenever the state may have changed.
 */
import * as Effect from "effect/Effect"

/** Wakes fibers that wait for plain state to change. */
export interface Waiters {
  /**
   * Runs the effect that `look` gives, as soon as it gives one. It looks at once, and again after every `wake` until the fiber is
   * interrupted; `look` may change the state when it gives an effect, which is always run then.
   */
  readonly until: <A, E>(look: () => Effect.Effect<A, E> | undefined) => Effect.Effect<A, E>
  /**
   * Makes every waiting fiber look again, after the code that is running: a batch of packets wakes a fiber once, and a fiber never
   * runs in the middle of packet processing.
   */
  readonly wake: () => void
}

export const make = (): Waiters => {
  const waiting = new Set<() => void>()
  let waking = false
  const wakeNow = (): void => {
    waking = false
    // A fiber that goes on here may wait again, and would never let a walk over the set itself end.
    const now = Array.from(waiting)
    for (const lookAgain of now) if (waiting.has(lookAgain)) lookAgain()
  }
  return {
    until: (look) =>
      Effect.callback((resume) => {
        const attempt = (): void => {
          const found = look()
          if (found === undefined) return
          waiting.delete(attempt)
          resume(found)
        }
        waiting.add(attempt)
        attempt()
        return Effect.sync(() => void waiting.delete(attempt))
      }),
    wake: () => {
      if (waking || waiting.size === 0) return
      waking = true
      queueMicrotask(wakeNow)
    }
  }
}
