/** Datagrams of sessions, and the links that lose them. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { openSession } from "../utils/sessionPair.ts"
import { join, rest, text } from "../utils/sessionSteps.ts"

describe("datagrams", () => {
  it.effect("arrive without a place in the stream, and overtake what waits for credit", () =>
    Effect.gen(function*() {
      const { a, b } = yield* openSession()
      yield* a.session.write(new Uint8Array(200_000))
      yield* rest
      assert.isTrue(a.session.sendDatagram(text("now")))
      const [got] = yield* Stream.runCollect(Stream.take(b.session.datagrams, 1))
      assert.deepStrictEqual(got, text("now"))
      assert.isBelow(b.session.stats().bytesIn, 200_000)
    }))

  it.effect("that nobody takes: the latest 256 are kept, in order, and the others counted", () =>
    Effect.gen(function*() {
      const { a, b } = yield* openSession()
      for (let number = 0; number < 300; number++) {
        assert.isTrue(a.session.sendDatagram(text(String(number))))
        yield* Effect.yieldNow
      }
      yield* rest
      const got = yield* Stream.runCollect(Stream.take(b.session.datagrams, 256))
      assert.deepStrictEqual(
        got.map((bytes) => Number(Buffer.from(bytes).toString())),
        Array.from({ length: 256 }, (_, i) => 44 + i)
      )
      assert.strictEqual(b.peer.counts().droppedDatagrams, 44)
    }))

  it.effect("are not taken while the link is busy, absent, or the session over", () =>
    Effect.gen(function*() {
      const { a, b, network } = yield* openSession({ sendBuffer: 20_000 })
      b.connection.hold(true)
      let taken = 0
      while (a.session.sendDatagram(new Uint8Array(1_200))) taken++
      assert.isAtLeast(taken, 15)
      assert.isAtMost(taken, 18)
      b.connection.hold(false)
      yield* rest
      assert.isTrue(a.session.sendDatagram(text("room")))
      yield* rest
      network.calls = "fail"
      network.cut()
      assert.isFalse(a.session.sendDatagram(text("gone")))
      network.calls = "work"
      yield* rest
      assert.isTrue(a.session.sendDatagram(text("back")))
      yield* rest
      const got = yield* Stream.runCollect(Stream.take(b.session.datagrams, taken + 2))
      assert.deepStrictEqual(got.slice(-2), [text("room"), text("back")])
      yield* a.session.reset(1, "")
      assert.isFalse(a.session.sendDatagram(text("over")))
      assert.strictEqual(a.peer.counts().droppedDatagrams, 3)
    }))

  it.effect("are lost with the link, and the stream is not", () =>
    Effect.gen(function*() {
      const { a, b, network } = yield* openSession()
      b.connection.hold(true)
      assert.isTrue(a.session.sendDatagram(text("lost")))
      yield* a.session.write(text("kept"))
      network.cut()
      yield* rest
      assert.deepStrictEqual(join(yield* b.session.read), text("kept"))
      assert.isTrue(a.session.sendDatagram(text("next")))
      const [got] = yield* Stream.runCollect(Stream.take(b.session.datagrams, 1))
      assert.deepStrictEqual(got, text("next"))
    }))

  it.effect("of 1,200 bytes are the longest", () =>
    Effect.gen(function*() {
      const { a } = yield* openSession()
      assert.isTrue(a.session.sendDatagram(new Uint8Array(1_200)))
      assert.throws(() => a.session.sendDatagram(new Uint8Array(1_201)), RangeError)
    }))

  it.effect("end with the peer's direction", () =>
    Effect.gen(function*() {
      const { a, b } = yield* openSession()
      a.session.sendDatagram(text("one"))
      yield* a.session.end
      assert.deepStrictEqual(yield* Stream.runCollect(b.session.datagrams), [text("one")])
    }))
})
