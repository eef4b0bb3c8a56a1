/** Wakes one peer when its next deadline comes. */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type { CryptoPeer } from "../protocol/net-crypto/CryptoPeer.ts"

/** A deadline that is met this late, in milliseconds, says that our own event loop did not run. */
const lagThreshold = 100
/** The shortest sleep, milliseconds. Deadlines are fractions: a rest that is lost in rounding would wake at the same moment for ever. */
const minSleep = 0.01

export interface PeerTimer {
  /** Sleeps and works until it is stopped. */
  readonly run: Effect.Effect<void>
  /** The deadline may have come nearer. Cheap when it has not. */
  readonly wake: () => void
  readonly stop: () => void
}

export const make = (peer: CryptoPeer, now: () => number): PeerTimer => {
  const nearer = Latch.makeUnsafe(false)
  let armed = -Infinity
  let armedAt = 0
  let stopped = false
  const run = Effect.gen(function*() {
    while (!stopped) {
      const time = now()
      const deadline = peer.deadline
      if (deadline <= time) {
        // When the event loop stopped is unknown: perhaps as soon as the deadline had been set.
        const lag = armed > 0 && time - armed > lagThreshold ? time - armedAt : 0
        armed = -Infinity
        peer.onTimer(time, lag)
        // A deadline that stays in the past must not starve everybody else.
        if (peer.deadline <= time) yield* Effect.sleep(1)
        continue
      }
      armed = deadline
      armedAt = time
      nearer.closeUnsafe()
      yield* Effect.raceFirst(Effect.sleep(Math.max(deadline - time, minSleep)), nearer.await)
    }
  })
  return {
    run,
    wake: () => {
      if (peer.deadline < armed) nearer.openUnsafe()
    },
    stop: () => {
      stopped = true
      nearer.openUnsafe()
    }
  }
}
