/**
 * Several tox-bootstrapd with the operating system's own socket buffers, which of them is busy, and freezing one. Import it before any
 * relay is started: it decides the buffers of all relays of its test file.
 */
import * as Effect from "effect/Effect"
import { usageOf } from "../utils/childProcess.ts"
import * as Reference from "./referencePrograms.ts"

// Read by relay.sh: 0 leaves the buffers alone.
process.env["CTOX_RCVBUF"] = "0"

/** A stock relay that can be watched and frozen. */
export interface StockRelay extends Reference.ReferenceRelay {
  /** SIGSTOP: connections stay open and nothing is answered any more. */
  readonly freeze: Effect.Effect<void>
  /** CPU time used so far, seconds. */
  readonly cpu: () => number
}

export const start = Effect.fnUntraced(function*(port: number) {
  const relay = yield* Reference.relay(port)
  return {
    ...relay,
    freeze: Effect.sync(() => void process.kill(relay.pid(), "SIGSTOP")),
    cpu: () => usageOf(relay.pid())?.cpu ?? 0
  } satisfies StockRelay
})

/** CPU time by which the busy relay must be ahead of all others, seconds; the kernel counts hundredths. */
const lead = 0.05

/** The relay that works hardest from now on: while data flows that is the one that carries it. */
export const busiest = Effect.fnUntraced(function*(relays: ReadonlyArray<StockRelay>) {
  const before = relays.map((relay) => relay.cpu())
  for (let looks = 0; looks < 400; looks++) {
    yield* Effect.sleep("50 millis")
    const grown = relays.map((relay, i) => ({ relay, used: relay.cpu() - (before[i] ?? 0) }))
    const [first, second] = grown.toSorted((a, b) => b.used - a.used)
    if (first !== undefined && first.used >= (second?.used ?? 0) + lead) return first.relay
  }
  return yield* Effect.die(new Error("no relay stands out as the busy one within 20 s"))
})
