/**
 * `causeway packets` and a c-toxcore peer over a stock tox-bootstrapd, each of them in both roles and both directions. Either side
 * checks the bytes that the other one made.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Command from "./command.ts"
import * as Reference from "./referencePrograms.ts"

const packets = 20_000
const pings = 40

const flood = ["--app", "flood", "-n", String(packets), "-s", "1300"]
const ours = { flood: ["--mode", "flood", "--count", String(packets), "--size", "1300"], sink: ["--mode", "sink"] }

/** What our sink must have seen. */
const assertReceived = (done: Command.CommandEvent) =>
  assert.deepInclude(done, { event: "done", mode: "sink", packets, inOrder: true })

/** What their sink must have seen. */
const assertTaken = (fin: Reference.PeerEvent) =>
  assert.deepInclude(fin, { expected: packets, received: packets, ok: true })

const theirKeys = (ready: Reference.PeerEvent) => `${String(ready["real_pk"])}:${String(ready["dht_pk"])}`

/** A stock relay, and our identity. */
const setting = Effect.fnUntraced(function*(port: number) {
  const { address } = yield* Reference.relay(port)
  const me = yield* Command.identity("me")
  const use = ["--relay", address]
  return { me, use, us: ["packets", "--identity", me.file, ...use, "--once"] }
})

/** Their peer, waiting for a call; ours may then dial it. */
const callee = Effect.fnUntraced(function*(use: ReadonlyArray<string>, app: ReadonlyArray<string>) {
  const them = yield* Reference.peer("ctoxpeer", ["accept", ...use, ...app])
  const peer = theirKeys(yield* them.next("ready"))
  yield* them.next("relays")
  return { them, peer }
})

describe("causeway packets and c-toxcore through tox-bootstrapd", { timeout: 120_000 }, () => {
  it.live("T21: we accept, and take 20,000 packets of 1300 bytes in order", () =>
    Effect.gen(function*() {
      const { me, us, use } = yield* setting(21_201)
      const sink = yield* Command.start([...us, ...ours.sink])
      yield* sink.next("ready")
      const them = yield* Reference.peer("ctoxpeer", ["initiate", ...use, "--peer", me.peer, ...flood])
      assertReceived(yield* sink.next("done", "90 seconds"))
      assert.deepInclude(yield* them.next("flood_done"), { packets })
      assert.deepStrictEqual(yield* sink.ended(), { code: 0, signal: null })
    }))

  it.live("T21: we accept, and send 20,000 packets of 1300 bytes in order", () =>
    Effect.gen(function*() {
      const { me, us, use } = yield* setting(21_202)
      const source = yield* Command.start([...us, ...ours.flood])
      yield* source.next("ready")
      const them = yield* Reference.peer("ctoxpeer", ["initiate", ...use, "--peer", me.peer, "--app", "sink"])
      assert.deepInclude(yield* source.next("done", "90 seconds"), { mode: "flood", packets, inOrder: true })
      assertTaken(yield* them.next("sink_fin"))
      assert.deepStrictEqual(yield* source.ended(), { code: 0, signal: null })
    }))

  it.live("T21: we call, and send 20,000 packets of 1300 bytes in order", () =>
    Effect.gen(function*() {
      const { us, use } = yield* setting(21_203)
      const { peer, them } = yield* callee(use, ["--app", "sink"])
      const source = yield* Command.start([...us, "--peer", peer, ...ours.flood])
      assert.deepInclude(yield* source.next("done", "90 seconds"), { mode: "flood", packets, inOrder: true })
      assertTaken(yield* them.next("sink_fin"))
      assert.deepStrictEqual(yield* source.ended(), { code: 0, signal: null })
    }))

  it.live("T21: we call, and take 20,000 packets of 1300 bytes in order", () =>
    Effect.gen(function*() {
      const { us, use } = yield* setting(21_204)
      const { peer, them } = yield* callee(use, flood)
      const sink = yield* Command.start([...us, "--peer", peer, ...ours.sink])
      assertReceived(yield* sink.next("done", "90 seconds"))
      assert.deepInclude(yield* them.next("flood_done"), { packets })
      assert.deepStrictEqual(yield* sink.ended(), { code: 0, signal: null })
    }))

  it.live("T37: our lossless and lossy pings are echoed by them", () =>
    Effect.gen(function*() {
      const { us, use } = yield* setting(21_205)
      const { peer } = yield* callee(use, ["--app", "echo"])
      for (const kind of [[], ["--lossy"]]) {
        const ping = yield* Command.start([
          ...us,
          ...["--peer", peer, "--mode", "ping", "--count", String(pings), "--size", "64"],
          ...kind
        ])
        assert.deepInclude(yield* ping.next("done"), { mode: "ping", packets: pings, inOrder: true })
        assert.deepStrictEqual(yield* ping.ended(), { code: 0, signal: null })
      }
    }))

  it.live("T37: their lossless and lossy pings are echoed by us", () =>
    Effect.gen(function*() {
      const { me, use } = yield* setting(21_206)
      const echo = yield* Command.start(["packets", "--identity", me.file, ...use, "--mode", "echo"])
      yield* echo.next("ready")
      for (const kind of [[], ["--lossy"]]) {
        const ping = ["--app", "ping", "-n", String(pings), ...kind]
        const report = yield* Effect.scoped(
          Effect.gen(function*() {
            const them = yield* Reference.peer("ctoxpeer", ["initiate", ...use, "--peer", me.peer, ...ping])
            return yield* them.next("ping_done")
          })
        )
        assert.deepInclude(report, { n: pings, lost: 0 })
        // Their goodbye, which ends our connection but not our command.
        assert.deepInclude(yield* echo.next("disconnected"), { reason: "PeerClosed" })
      }
    }))
})
