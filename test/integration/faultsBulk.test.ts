/** Bulk over lines and through times that no relay is to blame for. */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as World from "../utils/faultWorld.ts"
import * as LoopTime from "../utils/loopTime.ts"
import * as Flow from "../utils/verifiedFlow.ts"

/**
 * A world that lives by this process's own time, relays, nodes and lines alike: a busy machine makes all of it slow, and no line longer.
 * `standStill` stops the process, which the world notices.
 */
const makeWorld = Effect.fnUntraced(function*(options: World.WorldOptions = {}) {
  const lived = yield* LoopTime.make
  let stood = 0
  const clock = LoopTime.clockOf(yield* Clock.Clock, () => lived() + stood)
  const world = yield* Effect.provideService(World.make(options), Clock.Clock, clock)
  return {
    ...world,
    standStill: (millis: number): void => {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, millis)
      stood += millis
    }
  }
})

const assertIntact = (flow: Flow.VerifiedFlow) =>
  assert.deepInclude(flow.received(), { packets: flow.sent(), wrong: [], closed: undefined })

const report = (name: string, { callee, caller }: World.World, flow: Flow.VerifiedFlow) =>
  console.log(
    name,
    JSON.stringify({
      sent: flow.sent(),
      received: flow.received().packets,
      stats: caller.connection.stats(),
      dropped: callee.connection.stats().dropped,
      carriers: caller.events.filter((e) => e.startsWith("Carrier"))
    })
  )

const assertUndisturbed = ({ callee, caller }: World.World) => {
  for (const { events } of [callee, caller]) {
    assert.lengthOf(events.filter((event) => event.startsWith("CarrierChanged")), 1, events.join(", "))
  }
}

describe("bulk", { timeout: 90_000 }, () => {
  it.live("a round trip of 300 ms causes no failover and no more than 5 % of repetitions", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld({ toRelay: { delay: 75 }, fromRelay: { delay: 75 } })
      const { callee, caller, now } = world
      const flow = yield* Flow.start({ from: caller.connection, to: callee.connection, now, interval: 8, burst: 1 })
      yield* LoopTime.pass(now, "3 seconds")
      yield* flow.finish
      assertIntact(flow)
      assertUndisturbed(world)
      const { resentPackets, roundTrip } = caller.connection.stats()
      assert.isAbove(roundTrip ?? 0, 295)
      assert.isAtMost(resentPackets, 0.05 * flow.sent())
    }))

  it.live("a process that stood still for 2 s in the middle of bulk blames nobody", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld({ toRelay: { delay: 10 }, fromRelay: { delay: 10 } })
      const { callee, caller, now, relays, standStill } = world
      // What waits in front of the line when the process stops.
      for (const relay of relays) relay.caller.set("toTarget", { rate: 300_000 })
      const flow = yield* Flow.start({ from: caller.connection, to: callee.connection, now })
      yield* LoopTime.pass(now, "1 second")
      flow.mark()
      standStill(2_000)
      yield* LoopTime.pass(now, "1 second")
      assert.isBelow(flow.longestGap(), 300)
      yield* flow.finish
      assertIntact(flow)
      assertUndisturbed(world)
    }))

  it.live("300 ms of latency each way cause no failover and no more than 5 % of repetitions, under bulk as well", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld({ toRelay: { delay: 150 }, fromRelay: { delay: 150 } })
      const { callee, caller, now } = world
      const flow = yield* Flow.start({ from: caller.connection, to: callee.connection, now, interval: 2, burst: 4 })
      yield* LoopTime.pass(now, "3 seconds")
      yield* flow.finish
      assertIntact(flow)
      assertUndisturbed(world)
      const { resentPackets, roundTrip } = caller.connection.stats()
      assert.isAbove(roundTrip ?? 0, 590)
      assert.isAtMost(resentPackets, 0.05 * flow.sent())
    }))

  it.live(
    "10 % loss on a long line (4 MB/s, 200 ms) does not fill the receiver beyond its buffer",
    () =>
      Effect.gen(function*() {
        const world = yield* makeWorld({ toRelay: { delay: 45 }, fromRelay: { delay: 45 } })
        const { callee, caller, now, relays } = world
        for (const relay of relays) {
          relay.caller.set("toTarget", { rate: 4_000_000 })
          relay.faults.set({}, { drop: 0.1 })
        }
        const flow = yield* Flow.start({ from: caller.connection, to: callee.connection, now })
        yield* LoopTime.pass(now, "5 seconds")
        report("loss before finish", world, flow)
        yield* flow.finish
        report("loss", world, flow)
        assertIntact(flow)
        assert.isUndefined(callee.connection.stats().dropped["full"])
      })
  )

  it.live("64 kB/s: a lossless message behind bulk arrives within 2 s", () =>
    Effect.gen(function*() {
      const slow = { rate: 64_000, delay: 20 }
      const { callee, caller, now } = yield* makeWorld({ toRelay: slow, fromRelay: slow })
      const flow = yield* Flow.start({ from: caller.connection, to: callee.connection, now })
      yield* LoopTime.pass(now, "8 seconds")
      // Bytes accepted and not yet there, at the rate of the line: how long the next lossless packet takes.
      const waiting = (flow.sent() - flow.received().packets) * 1_000 / 64
      console.log("lossless behind bulk at 64 kB/s, ms:", Math.round(waiting))
      assert.isBelow(waiting, 2_000)
    }))
})
