/** Relays and peers of ours as real processes: what only a process can show, such as SIGKILL and SIGSTOP. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Processes from "../utils/processes.ts"

describe("processes", () => {
  it.live(
    "T03: a flood survives the death of one relay; the dead relay comes back with its address",
    () =>
      Effect.gen(function*() {
        const [first, second] = yield* Effect.all([Processes.relay("ours", 0), Processes.relay("ours", 0)])
        const relays = [first.address, second.address]
        const sink = yield* Processes.peer("ours", { relays, mode: "sink" })
        const flood = yield* Processes.peer("ours", { relays, mode: "flood", peer: sink.address, count: 100_000 })
        yield* flood.next("connected")
        // The relay that carries the data is the one that works: by a tenth of a second more than the other.
        const used = [first, second].map((relay) => () => relay.usage()!.cpu)
        const [usedFirst, usedSecond] = used.map((cpu) => cpu())
        const lead = () => used[0]!() - usedFirst! - (used[1]!() - usedSecond!)
        yield* Effect.sync(() => Math.abs(lead()) >= 0.1).pipe(
          Effect.delay("10 millis"),
          Effect.repeat({ until: (stands) => stands }),
          Effect.timeout("20 seconds")
        )
        const busy = lead() > 0 ? first : second
        yield* busy.kill
        assert.isUndefined(busy.usage())
        yield* busy.restart
        assert.isAbove(busy.usage()?.rss ?? 0, 10)
        assert.deepStrictEqual(yield* sink.result, { packets: 100_000, inOrder: true })
        assert.deepStrictEqual(yield* flood.result, { packets: 100_000, inOrder: true })
        // The flood hangs up when it has finished, which the sink may have seen by now: only what came before its result counts.
        const events = sink.seen()
        assert.notInclude(events.slice(0, events.indexOf("done")), "disconnected")
      }),
    120_000
  )

  it.live(
    "a peer that is stopped for 2 s and a relay that is stopped for good cost no connection",
    () =>
      Effect.gen(function*() {
        const [first, second] = yield* Effect.all([Processes.relay("ours", 0), Processes.relay("ours", 0)])
        const relays = [first.address, second.address]
        const echo = yield* Processes.peer("ours", { relays, mode: "echo" })
        const ping = yield* Processes.peer("ours", { relays, mode: "ping", peer: echo.address, count: 8_000 })
        yield* ping.next("connected")
        yield* echo.signal("SIGSTOP")
        yield* Effect.sleep("2 seconds")
        yield* echo.signal("SIGCONT")
        yield* first.freeze
        assert.deepStrictEqual(yield* ping.result, { packets: 8_000, inOrder: true })
        for (const { seen } of [echo, ping]) {
          assert.strictEqual(seen().filter((event) => event === "connected").length, 1)
        }
        yield* first.thaw
      }),
    120_000
  )
})
