/**
 * The relay that carries the data fails, in every way that a relay and the line to it can: two nodes, three relays, one flow of verified
 * packets. Nothing may be lost, doubled or reordered, and the receiver may not wait long. (Reliability, faults.)
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as World from "../utils/faultWorld.ts"
import * as LoopTime from "../utils/loopTime.ts"
import * as Flow from "../utils/verifiedFlow.ts"

/** How long nothing may arrive, milliseconds in which this process could run. */
const limit = { lost: 1_000, silent: 1_000, partition: 3_000, dropping: 2_000 }

interface Trial {
  readonly fault: (carrier: World.WorldRelay) => Effect.Effect<void>
  readonly limit: number
  /** What is done about it later. */
  readonly repair?: (carrier: World.WorldRelay) => Effect.Effect<void>
  /** Whether the connections to the relay end by the fault itself. */
  readonly endsRelay?: boolean
}

/** A flow, the fault on the relay that carries it, and what must hold afterwards. */
const trial = Effect.fnUntraced(function*(options: Trial) {
  const { callee, caller, carrier, now, relays } = yield* World.make()
  const flow = yield* Flow.start({ from: caller.connection, to: callee.connection, now, interval: 4, burst: 2 })
  yield* LoopTime.until(now, "a steady flow", () => flow.received().packets > 200)
  const broken = yield* carrier
  const number = relays.indexOf(broken)
  flow.mark()
  const before = flow.received().packets
  yield* options.fault(broken)
  // Far more than can have been underway.
  yield* Effect.sync(() => flow.received().packets > before + 250).pipe(
    Effect.delay("5 millis"),
    Effect.repeat({ until: (flows) => flows }),
    Effect.timeout(options.limit + 20_000)
  )
  assert.isBelow(flow.longestGap(), options.limit)
  yield* options.repair?.(broken) ?? Effect.void
  yield* flow.finish
  assert.deepInclude(flow.received(), { packets: flow.sent(), wrong: [], closed: undefined })
  // The fault has struck the relay that carried the data, and its place was taken by another one.
  const moved = caller.events.findLast((event) => event.startsWith("CarrierChanged"))
  assert.isFalse(moved?.startsWith(`CarrierChanged ${number} `), moved)
  const lost = caller.events.some((event) => event.startsWith(`RelayLost ${number} `))
  assert.strictEqual(lost, options.endsRelay === true)
})

const refuse = ({ callee, caller }: World.WorldRelay) => Effect.andThen(callee.admit("refuse"), caller.admit("refuse"))

describe("the relay that carries the data", { timeout: 60_000 }, () => {
  it.live("T03: is killed: its connections are reset and nobody listens any more", () =>
    trial({
      limit: limit.lost,
      endsRelay: true,
      fault: (carrier) =>
        Effect.andThen(
          refuse(carrier),
          Effect.sync(() => {
            carrier.callee.reset()
            carrier.caller.reset()
          })
        )
    }))

  it.live("T03: closes its connections with a FIN", () =>
    trial({
      limit: limit.lost,
      endsRelay: true,
      fault: (carrier) =>
        Effect.andThen(
          refuse(carrier),
          Effect.sync(() => {
            carrier.callee.fin("both")
            carrier.caller.fin("both")
          })
        )
    }))

  it.live("T33: freezes towards the receiver; nothing is doubled after the thaw", () =>
    trial({
      limit: limit.silent,
      fault: (carrier) => Effect.sync(() => carrier.callee.set("both", { frozen: true })),
      repair: (carrier) => Effect.sync(() => carrier.callee.set("both", { frozen: false }))
    }))

  it.live("T33: is not reached any more by the sender, and only by it", () =>
    trial({
      limit: limit.partition,
      fault: (carrier) => Effect.sync(() => carrier.caller.set("toTarget", { blackHole: true }))
    }))

  it.live("T33: does not reach the receiver any more, which still reaches it", () =>
    trial({
      limit: limit.partition,
      fault: (carrier) => Effect.sync(() => carrier.callee.set("toClient", { blackHole: true }))
    }))

  it.live("T33: answers every ping and drops every packet", () =>
    trial({
      limit: limit.dropping,
      fault: (carrier) => Effect.sync(() => carrier.faults.set({}, { drop: 1 })),
      repair: (carrier) => Effect.sync(() => assert.isAbove(carrier.faults.counts().dropped, 0))
    }))
})
