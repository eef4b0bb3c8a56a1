/**
 * What a simulated world must give back (reliability, invariant I4) and must not do (I5): counts the fibers that are alive, the sleeps that
 * somebody waits for, and what is logged as an error. Provided around the whole world.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Metric from "effect/Metric"

export class Resources extends Context.Service<Resources, {
  /** Fibers that have started and not ended. */
  readonly fibers: () => number
  /** Fibers that wait for the clock. */
  readonly sleeps: () => number
  /** What has been logged as an error, in order. */
  readonly errors: ReadonlyArray<string>
}>()("causeway/testing/simulation/Resources") {}

/** To be provided inside of a test clock, which keeps the time; the counting clock only stands in front of it. */
export const layer: Layer.Layer<Resources> = Layer.effectContext(Effect.gen(function*() {
  const clock = yield* Clock.Clock
  let fibers = 0
  let sleeps = 0
  const errors: Array<string> = []
  const counting: Clock.Clock = {
    ...clock,
    sleep: (duration) =>
      Effect.suspend(() => {
        sleeps++
        return Effect.ensuring(clock.sleep(duration), Effect.sync(() => sleeps--))
      })
  }
  const logger = Logger.make<unknown, void>(({ logLevel, message }) => {
    if (LogLevel.isGreaterThanOrEqualTo(logLevel, "Error")) errors.push(describe(message))
  })
  return Context.make(Resources, { fibers: () => fibers, sleeps: () => sleeps, errors }).pipe(
    Context.add(Clock.Clock, counting),
    Context.add(Logger.CurrentLoggers, new Set([logger])),
    Context.add(Metric.FiberRuntimeMetrics, {
      recordFiberStart: () => fibers++,
      recordFiberEnd: () => fibers--
    })
  )
}))

const describe = (message: unknown): string =>
  (Array.isArray(message) ? message : [message])
    .map((part) => part instanceof Error ? part.stack ?? part.message : String(part))
    .join(" ")
