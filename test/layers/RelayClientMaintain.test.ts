import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as References from "effect/References"
import * as TestClock from "effect/testing/TestClock"
import { RelayClient } from "../../src/services/RelayClient.ts"
import { hex } from "../utils/plainCrypto.ts"
import { address, bytes, keys, provide, recorder, settle } from "../utils/relayClientHarness.ts"
import { ScriptedRelays } from "../utils/ScriptedRelays.ts"

describe("RelayClient.maintain", () => {
  const maintain = Effect.fnUntraced(function*() {
    const client = yield* RelayClient
    const script = yield* ScriptedRelays
    const record = recorder()
    const pauses: Array<number> = []
    const fiber = yield* Effect.forkChild(client.maintain(address, record.events, (state) => {
      record.onState(state)
      if (state._tag === "Failed") pauses.push(state.retryIn)
    }))
    yield* settle
    return { ...record, fiber, pauses, script }
  })

  it.effect("dials again and again with growing pauses, and never gives up", () =>
    Effect.gen(function*() {
      const script = yield* ScriptedRelays
      script.onDial = () => "refuse"
      const { pauses } = yield* maintain()
      yield* TestClock.adjust(3_600_000)
      assert.isAbove(script.dials.length, 1_000)
      for (const [i, pause] of pauses.entries()) {
        const longest = Math.min(3_000, 250 * 2 ** i)
        assert.isAtMost(pause, longest)
        assert.isAtLeast(pause, longest / 2)
      }
      assert.isAbove(new Set(pauses).size, 100)
    }).pipe(provide))

  it.effect("finds a relay that returns after an outage within 5 s", () =>
    Effect.gen(function*() {
      const script = yield* ScriptedRelays
      script.onDial = () => "refuse"
      const { log } = yield* maintain()
      yield* TestClock.adjust(60_000)
      script.onDial = () => "accept"
      yield* TestClock.adjust(5_000)
      assert.deepStrictEqual(log, ["confirmed"])
    }).pipe(provide))

  it.effect("after a stable connection it returns almost at once, with a fresh back-off", () =>
    Effect.gen(function*() {
      const { links, log, pauses, script, states } = yield* maintain()
      yield* TestClock.adjust(10_000)
      script.relays[0]!.end("Reset")
      yield* settle
      assert.deepStrictEqual(states, ["Connecting", "Handshaking", "Confirmed", "Failed"])
      assert.isAtMost(pauses[0]!, 250)
      yield* TestClock.adjust(250)
      assert.deepStrictEqual(log, ["confirmed", "lost", "confirmed"])
      assert.notStrictEqual(links[0], links[1])
      yield* TestClock.adjust(10_000)
      script.relays[1]!.end("Reset")
      yield* settle
      assert.isAtMost(pauses[1]!, 250)
    }).pipe(provide))

  it.effect("registry: a relay that confirms and then closes is dialled less and less often", () =>
    Effect.gen(function*() {
      const { pauses, script } = yield* maintain()
      for (let i = 0; i < 6; i++) {
        yield* TestClock.adjust(100)
        script.relays.at(-1)!.end("Ended")
        yield* TestClock.adjust(3_000)
      }
      assert.isAtLeast(pauses[4]!, 1_500)
      assert.isAtLeast(pauses[5]!, 1_500)
    }).pipe(provide))

  it.effect("a relay that breaks the protocol is quarantined for longer each time", () =>
    Effect.gen(function*() {
      const { pauses, script } = yield* maintain()
      for (let i = 0; i < 5; i++) {
        script.relays.at(-1)!.send(bytes(12, 0))
        yield* settle
        yield* TestClock.adjust(300_000)
      }
      for (const [i, longest] of [12_000, 48_000, 192_000, 300_000, 300_000].entries()) {
        assert.isAtMost(pauses[i]!, longest)
        assert.isAtLeast(pauses[i]!, longest / 2)
      }
    }).pipe(provide))

  it.effect("interrupting it stops the dialling", () =>
    Effect.gen(function*() {
      const { fiber, log, script } = yield* maintain()
      yield* Fiber.interrupt(fiber)
      yield* TestClock.adjust(60_000)
      assert.strictEqual(script.dials.length, 1)
      assert.isTrue(script.relays[0]!.closed)
      assert.deepStrictEqual(log, ["confirmed", "lost"])
    }).pipe(provide))

  it.effect("G2: its log names the relay and what happened, and no key", () => {
    const lines: Array<string> = []
    const logger = Logger.make((options) => void lines.push(JSON.stringify(options.message)))
    return Effect.gen(function*() {
      const script = yield* ScriptedRelays
      script.onDial = (attempt) => attempt === 1 ? "refuse" : "accept"
      yield* maintain()
      yield* TestClock.adjust(250)
      script.relays[0]!.send(bytes(12, 0))
      yield* settle
      const all = lines.join("\n").toLowerCase()
      assert.include(all, "relay.test:33445")
      assert.include(all, "econnrefused")
      assert.include(all, "unknown packet id 12")
      for (const secret of ["21222324", "61626364", hex(keys.publicKey)]) assert.notInclude(all, secret)
    }).pipe(
      provide,
      Effect.provide(Logger.layer([logger])),
      Effect.provideService(References.MinimumLogLevel, "Debug")
    )
  })
})
