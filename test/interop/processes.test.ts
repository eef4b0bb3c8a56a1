/** The harness for relays and peers of both kinds: every combination of them works, and can be killed, frozen and brought back. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Processes from "../utils/processes.ts"

const kinds = ["ours", "stock"] as const
const packets = 2_000

describe.each(kinds)("a relay of kind %s", { timeout: 120_000 }, (kind) => {
  const port = kind === "ours" ? 21_901 : 21_902
  // A stock relay looks at its sockets every few dozen milliseconds.
  const pings = kind === "ours" ? 5_000 : 50

  for (const caller of kinds) {
    for (const callee of kinds) {
      it.live(`carries ${packets} packets from a peer of kind ${caller} to one of kind ${callee}`, () =>
        Effect.gen(function*() {
          const relay = yield* Processes.relay(kind, port)
          const relays = [relay.address]
          const sink = yield* Processes.peer(callee, { relays, mode: "sink" })
          const flood = yield* Processes.peer(caller, { relays, mode: "flood", peer: sink.address, count: packets })
          assert.deepStrictEqual(yield* sink.result, { packets, inOrder: true })
          assert.deepStrictEqual(yield* flood.result, { packets, inOrder: true })
        }))
    }
  }

  it.live("can be frozen, thawed, killed and brought back, and tells what it uses", () =>
    Effect.gen(function*() {
      const relay = yield* Processes.relay(kind, port)
      const relays = [relay.address]
      const echo = yield* Processes.peer("ours", { relays, mode: "echo" })
      const ping = (count: number) => Processes.peer("ours", { relays, mode: "ping", peer: echo.address, count })
      const pinging = yield* ping(pings)
      yield* pinging.next("connected")
      yield* relay.freeze
      yield* Effect.sleep("1 second")
      const idle = relay.usage()?.cpu
      yield* Effect.sleep("200 millis")
      assert.strictEqual(relay.usage()?.cpu, idle)
      assert.notInclude(pinging.seen(), "done")
      yield* relay.thaw
      assert.deepStrictEqual(yield* pinging.result, { packets: pings, inOrder: true })
      const used = relay.usage()
      assert.isTrue(used !== undefined && used.rss > 1 && used.peakRss >= used.rss && used.cpu >= 0)

      // An echo serves one peer at a time: the first one's goodbye must not be lost with the relay.
      yield* echo.next("disconnected")
      yield* relay.kill
      assert.isUndefined(relay.usage())
      yield* relay.restart
      assert.deepStrictEqual(yield* (yield* ping(10)).result, { packets: 10, inOrder: true })
    }))
})
