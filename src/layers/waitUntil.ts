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
  until<A, E>(look: () => Effect.Effect<A, E> | undefined): Effect.Effect<A, E>
  /**
   * Makes every waiting fiber look again, after the code that is running: a batch of packets wakes a fiber once, and a fiber never
   * runs in the middle of packet processing.
   */
  wake(): void
}

/** A class, because there is one for every session: it costs nothing but itself while nobody waits. */
class PlainWaiters implements Waiters {
  private waiting: Set<() => void> | undefined = undefined
  private waking = false

  until<A, E>(look: () => Effect.Effect<A, E> | undefined): Effect.Effect<A, E> {
    return Effect.callback((resume) => {
      const attempt = (): void => {
        const found = look()
        if (found === undefined) return
        this.remove(attempt)
        resume(found)
      }
      this.waiting ??= new Set()
      this.waiting.add(attempt)
      attempt()
      return Effect.sync(() => this.remove(attempt))
    })
  }

  wake(): void {
    if (this.waking || this.waiting === undefined) return
    this.waking = true
    queueMicrotask(() => this.wakeNow())
  }

  private wakeNow(): void {
    this.waking = false
    // A fiber that goes on here may wait again, and would never let a walk over the set itself end.
    const now = Array.from(this.waiting ?? [])
    for (const lookAgain of now) if (this.waiting?.has(lookAgain) === true) lookAgain()
  }

  private remove(attempt: () => void): void {
    this.waiting?.delete(attempt)
    if (this.waiting?.size === 0) this.waiting = undefined
  }
}

export const make = (): Waiters => new PlainWaiters()
