import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { RelaySettings } from "../../src/services/RelaySettings.ts"
import { unhex } from "../utils/plainCrypto.ts"
import { bytes, key, pingsOf, provide, settle, start } from "../utils/relayClientHarness.ts"

/** The test's clock, whose monotonic time can run ahead of its timers, as when a program does not get to them. */
const stallingClock = Effect.map(Clock.Clock, (clock) => {
  let stalled = 0n
  const stalling: Clock.Clock = {
    ...clock,
    monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe() + stalled,
    sleep: (duration) => clock.sleep(duration)
  }
  return {
    clock: stalling,
    stall: (millis: number) => {
      stalled += BigInt(millis) * 1_000_000n
    }
  }
})

describe("RelayClient liveness", () => {
  it.effect("C10: pings every 30 s, and goes on for as long as they are answered", () =>
    Effect.gen(function*() {
      const { end, links, relay } = yield* start()
      yield* TestClock.adjust(29_999)
      assert.strictEqual(pingsOf(relay), 1)
      yield* TestClock.adjust(1)
      assert.strictEqual(pingsOf(relay), 2)
      yield* TestClock.adjust(300_000)
      assert.strictEqual(pingsOf(relay), 12)
      assert.isUndefined(end())
      assert.strictEqual(links[0]!.roundTrip(), 0)
    }).pipe(provide))

  it.effect("C10: a relay that stops answering is lost 10 s after the ping, whatever else it sends", () =>
    Effect.gen(function*() {
      const { end, log, reason, relay } = yield* start()
      relay.answersPings = false
      yield* TestClock.adjust(30_000)
      for (let i = 0; i < 9; i++) {
        relay.send(bytes(5, unhex("0102030405060708")), bytes(7, key(3), 1), bytes(4, unhex("0102030405060708")))
        yield* TestClock.adjust(1_000)
      }
      yield* TestClock.adjust(999)
      assert.isUndefined(end())
      yield* TestClock.adjust(1)
      assert.deepInclude(yield* reason, { _tag: "RelayTimedOut", stage: "Ping" })
      assert.strictEqual(log.at(-1), "lost")
    }).pipe(provide))

  it.effect("a mark in the middle of a quiet time has its 10 s, to the millisecond", () =>
    Effect.gen(function*() {
      const { end, links, reason, relay } = yield* start()
      relay.answersPings = false
      yield* TestClock.adjust(3_333)
      links[0]!.sendOob(key(3), bytes(1))
      yield* TestClock.adjust(9_999)
      assert.isUndefined(end())
      yield* TestClock.adjust(1)
      assert.deepInclude(yield* reason, { _tag: "RelayTimedOut", stage: "Ping" })
    }).pipe(provide))

  it.effect("a deadline that fires late because our own loop stood still gives the relay its time again", () =>
    Effect.gen(function*() {
      const { clock, stall } = yield* stallingClock
      const { end, reason, relay } = yield* start().pipe(Effect.provideService(Clock.Clock, clock))
      relay.answersPings = false
      yield* TestClock.adjust(39_999)
      assert.isUndefined(end())
      stall(2_000)
      yield* TestClock.adjust(1)
      assert.isUndefined(end())
      yield* TestClock.adjust(9_999)
      assert.isUndefined(end())
      yield* TestClock.adjust(1)
      assert.deepInclude(yield* reason, { _tag: "RelayTimedOut", stage: "Ping" })
    }).pipe(provide))

  it.effect("a write deadline that fires late because our own loop stood still is given again", () =>
    Effect.gen(function*() {
      const { clock, stall } = yield* stallingClock
      const { end, links, reason, relay } = yield* start().pipe(Effect.provideService(Clock.Clock, clock))
      relay.accepts = false
      links[0]!.sendOob(key(3), bytes(1))
      yield* TestClock.adjust(2_999)
      stall(2_000)
      yield* TestClock.adjust(1)
      yield* TestClock.adjust(2_999)
      assert.isUndefined(end())
      yield* TestClock.adjust(1)
      assert.deepInclude(yield* reason, { _tag: "RelayTimedOut", stage: "Write" })
    }).pipe(
      provide,
      Effect.provideService(RelaySettings, { ...RelaySettings.defaultValue(), writeTimeout: 3_000 })
    ))

  it.effect("a relay whose socket takes nothing is lost after the write deadline", () =>
    Effect.gen(function*() {
      const { end, links, log, reason, relay } = yield* start()
      relay.accepts = false
      yield* TestClock.adjust(5_000)
      links[0]!.sendOob(key(3), bytes(1))
      yield* TestClock.adjust(500)
      assert.isFalse(links[0]!.sendOnion(bytes(1)))
      yield* TestClock.adjust(1_000)
      // Some of it moved: that is progress, and the deadline starts again.
      relay.pending -= 1
      yield* TestClock.adjust(2_000)
      assert.isUndefined(end())
      yield* TestClock.adjust(1_499)
      assert.isUndefined(end())
      yield* TestClock.adjust(1)
      assert.deepInclude(yield* reason, { _tag: "RelayTimedOut", stage: "Write" })
      assert.deepStrictEqual(log, ["confirmed", "lost"])
    }).pipe(
      provide,
      Effect.provideService(RelaySettings, { ...RelaySettings.defaultValue(), writeTimeout: 3_000 })
    ))

  it.effect("T24: a socket that drains in time goes on, and tells that there is room", () =>
    Effect.gen(function*() {
      const { end, links, log, relay } = yield* start()
      relay.accepts = false
      links[0]!.sendOob(key(3), bytes(1))
      yield* settle
      assert.isFalse(links[0]!.sendOnion(bytes(1)))
      yield* TestClock.adjust(9_000)
      relay.drain()
      assert.isTrue(links[0]!.sendOnion(bytes(1)))
      yield* TestClock.adjust(60_000)
      assert.isUndefined(end())
      assert.deepStrictEqual(log, ["confirmed", "writable"])
    }).pipe(provide))

  it.effect("F1: a relay that asks much and takes nothing does not fill our memory", () =>
    Effect.gen(function*() {
      const { relay } = yield* start()
      relay.accepts = false
      relay.send(bytes(4, unhex("0102030405060708")))
      yield* settle
      relay.pending = 9 * 1024 * 1024
      relay.send(bytes(4, unhex("0102030405060708")))
      yield* settle
      const answered = relay.packets.length
      for (let i = 0; i < 20; i++) {
        relay.send(bytes(4, unhex("0102030405060708")))
        yield* settle
      }
      assert.strictEqual(relay.packets.length, answered)
      relay.drain()
      yield* settle
      assert.strictEqual(relay.packets.length, answered + 20)
    }).pipe(provide))
})
