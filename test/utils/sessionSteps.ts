/** What tests of sessions do all the time. */
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"

export const text = (value: string): Uint8Array => new TextEncoder().encode(value)

export const join = (chunks: ReadonlyArray<Uint8Array>): Uint8Array => new Uint8Array(Buffer.concat(chunks))

export const forkNow = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(effect, { startImmediately: true })

/** Lets packets that deliver themselves, and the fibers they wake, come to rest: 100 ms pass. */
export const rest = Effect.forEach(Array.from({ length: 50 }), () => TestClock.adjust(2), { discard: true })
