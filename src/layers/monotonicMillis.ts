import type * as Clock from "effect/Clock"

/** Reads a clock's monotonic time as milliseconds, with fractions: the unit of all plain code. */
export const monotonicMillis = (clock: Clock.Clock) => (): number =>
  Number(clock.monotonicTimeNanosUnsafe()) / 1_000_000
