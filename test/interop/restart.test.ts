/**
 * Peers that come back: a c-toxcore peer after our orderly restart, and a peer of ours after SIGKILL, each with the same identity as
 * before, through a stock tox-bootstrapd.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as LoopTime from "../utils/loopTime.ts"
import * as Command from "./command.ts"
import * as Reference from "./referencePrograms.ts"

/** From the moment when the new process is connected to its relay to the new connection, milliseconds that this process has lived. */
const backWithin = 3_000

/** Both sides of a new connection, within the time; how long Node takes to start is the machine's affair. */
const comesBack = Effect.fnUntraced(function*(fresh: Command.RunningCommand, other: Command.RunningCommand) {
  const now = yield* LoopTime.make
  yield* fresh.next("ready")
  const start = now()
  yield* Effect.all([fresh.next("connected"), other.next("connected")], { concurrency: "unbounded" })
  assert.isBelow(now() - start, backWithin)
}, Effect.scoped)
/** More pings than any test waits for. */
const forever = "1000000"

describe("a peer that is restarted", () => {
  it.live("a c-toxcore peer that calls us is connected again after our SIGTERM and restart, and its data flows", () =>
    Effect.gen(function*() {
      const { address } = yield* Reference.relay(21_301)
      const me = yield* Command.identity("me")
      const us = ["packets", "--identity", me.file, "--relay", address, "--mode", "echo"]
      const before = yield* Command.start(us)
      yield* before.next("ready")
      const calling = ["initiate", "--relay", address, "--peer", me.peer, "--retry", "1"]
      const them = yield* Reference.peer("ctoxpeer", [...calling, "--app", "log", "--control"])
      yield* them.next("connected")
      them.control("lossless a001")
      yield* them.next("lossless")

      yield* before.signal("SIGTERM")
      assert.deepStrictEqual(yield* before.ended(), { code: 0, signal: null })
      // Our goodbye, long before a timeout could tell them.
      yield* them.next("disconnected")
      const after = yield* Command.start(us)
      yield* after.next("connected")
      yield* them.next("connected")
      them.control("lossless a002")
      assert.deepInclude(yield* them.next("lossless"), { hex: "A002" })
    }))

  it.live("a c-toxcore peer that we call is connected again after our SIGTERM and restart, and data flows", () =>
    Effect.gen(function*() {
      const { address } = yield* Reference.relay(21_302)
      const me = yield* Command.identity("me")
      const them = yield* Reference.peer("ctoxpeer", ["accept", "--relay", address, "--app", "echo"])
      const { dht_pk, real_pk } = yield* them.next("ready")
      const us = [
        "packets",
        "--identity",
        me.file,
        "--relay",
        address,
        "--peer",
        `${String(real_pk)}:${String(dht_pk)}`
      ]
      const ping = [...us, "--mode", "ping", "--size", "64", "--count"]
      const before = yield* Command.start([...ping, forever])
      yield* them.next("connected")
      yield* Effect.sleep("500 millis")
      yield* before.signal("SIGTERM")
      yield* before.ended()
      yield* them.next("disconnected")
      const after = yield* Command.start([...ping, "20"])
      yield* them.next("connected")
      assert.deepInclude(yield* after.next("done"), { packets: 20, inOrder: true })
    }))

  it.live("the one of ours that is called is back within 3 s after SIGKILL", () =>
    Effect.gen(function*() {
      const { address } = yield* Reference.relay(21_303)
      const [caller, callee] = [yield* Command.identity("caller"), yield* Command.identity("callee")]
      const echo = ["packets", "--identity", callee.file, "--relay", address, "--mode", "echo"]
      const ping = ["packets", "--identity", caller.file, "--relay", address, "--peer", callee.peer, "--mode", "ping"]
      const before = yield* Command.start(echo)
      yield* before.next("ready")
      const calling = yield* Command.start([...ping, "--size", "64", "--count", forever])
      yield* calling.next("connected")
      yield* Effect.sleep("500 millis")

      yield* before.signal("SIGKILL")
      yield* before.ended()
      const after = yield* Command.start(echo)
      yield* comesBack(after, calling)
      assert.strictEqual(calling.seen().filter((event) => event === "disconnected").length, 1)
      yield* assertAlive(calling, after)
    }))

  it.live("the one of ours that calls is back within 3 s after SIGKILL", () =>
    Effect.gen(function*() {
      const { address } = yield* Reference.relay(21_304)
      const [caller, callee] = [yield* Command.identity("caller"), yield* Command.identity("callee")]
      const echo = ["packets", "--identity", callee.file, "--relay", address, "--mode", "echo"]
      const ping = ["packets", "--identity", caller.file, "--relay", address, "--peer", callee.peer, "--mode", "ping"]
      const called = yield* Command.start(echo)
      yield* called.next("ready")
      const before = yield* Command.start([...ping, "--size", "64", "--count", forever])
      yield* called.next("connected")
      yield* Effect.sleep("500 millis")

      yield* before.signal("SIGKILL")
      yield* before.ended()
      const after = yield* Command.start([...ping, "--size", "64", "--count", "20"])
      yield* comesBack(after, called)
      assert.strictEqual(called.seen().filter((event) => event === "disconnected").length, 1)
      assert.deepInclude(yield* after.next("done"), { packets: 20, inOrder: true })
    }))
})

/** Neither side loses the new connection within a second. */
const assertAlive = Effect.fnUntraced(function*(...commands: ReadonlyArray<Command.RunningCommand>) {
  const losses = () => commands.flatMap(({ seen }) => seen()).filter((event) => event === "disconnected").length
  const before = losses()
  yield* Effect.sleep("1 second")
  assert.strictEqual(losses(), before)
})
