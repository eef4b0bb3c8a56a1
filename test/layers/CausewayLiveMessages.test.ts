/** Sessions of messages and of plain values, and those that both sides make without asking. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { prefixedHeaderSize } from "../../src/schema/SessionFrame.ts"
import type { SessionValue } from "../../src/schema/SessionValue.ts"
import type { Peer } from "../../src/services/Causeway.ts"
import type { MessageOptions } from "../../src/services/Session.ts"
import { Dice } from "../../src/testing/simulation/Dice.ts"
import { type PairOptions, peerPair } from "../utils/sessionPair.ts"
import { forkNow, join, rest, text } from "../utils/sessionSteps.ts"
import { randomValue } from "../utils/sessionValues.ts"

const Note = Schema.Struct({ at: Schema.Date, count: Schema.BigInt, words: Schema.Option(Schema.String) })
const note = (count: number): typeof Note.Type => ({
  at: new Date(count * 86_400_000),
  count: BigInt(count) ** 5n,
  words: count % 2 === 0 ? Option.some(`line\n\u2028 \u{1f600} ${count}`) : Option.none()
})

const Text = Schema.Struct({ text: Schema.String })
const Total = Schema.Struct({ total: Schema.Int })

/** A session that `a` has opened and `b` has accepted, with one schema at `a` and perhaps another at `b`. */
const messagePair = Effect.fnUntraced(function*<A, B>(
  atA: Schema.Codec<A, unknown>,
  atB: Schema.Codec<B, unknown>,
  options: PairOptions & MessageOptions = {}
) {
  const pair = yield* peerPair(options)
  const [near, far] = yield* Effect.all([
    pair.a.peer.open("notes", atA, options),
    Effect.flatMap(pair.b.peer.accept, (offer) => offer.messages(atB, options))
  ], { concurrency: 2 })
  return { ...pair, near, far }
})

const bytesValue = (bytes: Uint8Array): SessionValue => ({ _tag: "Bytes", bytes })

/** The JSON of a `Text` with this many characters. */
const sizeOfText = (length: number): number => prefixedHeaderSize + `{"text":"${"x".repeat(length)}"}`.length

describe("messages", () => {
  it.effect("of a type go both ways, each once and in order, and end", () =>
    Effect.gen(function*() {
      const { far, near } = yield* messagePair(Note, Note)
      assert.strictEqual(far.name, "notes")
      for (const count of [1, 2, 3]) yield* near.send(note(count))
      yield* near.sendAll([note(4), note(5)])
      yield* near.end
      yield* far.sendAll([note(6), note(7)])
      yield* far.end
      assert.deepStrictEqual(yield* Stream.runCollect(far.stream), [1, 2, 3, 4, 5].map(note))
      assert.deepStrictEqual(yield* Stream.runCollect(near.stream), [6, 7].map(note))
      assert.isTrue(Cause.isDone(yield* Effect.flip(far.receive)))
      yield* TestClock.adjust(20)
      yield* Effect.all([near.closed, far.closed], { concurrency: 2 })
    }))

  it.effect("receive gives everything that has arrived, at least one, and waits for it", () =>
    Effect.gen(function*() {
      const { far, near } = yield* messagePair(Total, Total)
      const waiting = yield* forkNow(far.receive)
      yield* rest
      assert.isUndefined(waiting.pollUnsafe())
      yield* near.send({ total: 1 })
      assert.deepStrictEqual(yield* Fiber.join(waiting), [{ total: 1 }])
      yield* near.sendAll([{ total: 2 }, { total: 3 }])
      yield* rest
      assert.deepStrictEqual(yield* far.receive, [{ total: 2 }, { total: 3 }])
    }))

  it.effect("nothing is sent of a batch with a message that does not fit, and the session goes on", () =>
    Effect.gen(function*() {
      const { far, near } = yield* messagePair(Total, Total)
      const error = yield* Effect.flip(near.sendAll([{ total: 1 }, { total: 1.5 }]))
      assert.deepInclude(error.reason, { _tag: "MessageInvalid", direction: "Sent" })
      assert.match(error.message, /was not sent a message that does not fit the session: Expected an integer/)
      assert.strictEqual(near.stats().bytesOut, 0)
      yield* near.send({ total: 2 })
      assert.deepStrictEqual(yield* far.receive, [{ total: 2 }])
    }))

  it.effect("one of another type breaks the session off, after those before it", () =>
    Effect.gen(function*() {
      const { far, near } = yield* messagePair(Schema.Union([Text, Total]), Total)
      yield* near.sendAll([{ total: 1 }, { total: 2 }, { text: "three" }, { total: 4 }])
      yield* rest
      assert.deepStrictEqual(yield* far.receive, [{ total: 1 }, { total: 2 }])
      const error = yield* Effect.flip(far.receive)
      assert.strictEqual(error._tag, "SessionError")
      const theirs = yield* Effect.flip(near.closed)
      assert.deepInclude(theirs.reason, { _tag: "SessionReset", code: 2, byPeer: true })
      assert.match(theirs.message, /a message of another type/)
    }))

  it.effect("the first of another type fails as MessageInvalid, and the peer's other sessions go on", () =>
    Effect.gen(function*() {
      const { a, b, far, near } = yield* messagePair(Text, Total)
      const other = yield* forkNow(a.peer.open("other", Text))
      const atB = yield* Effect.flatMap(b.peer.accept, (offer) => offer.messages(Text))
      const waiting = yield* forkNow(Effect.flip(far.receive))
      yield* near.send({ text: "not a number" })
      const error = yield* Fiber.join(waiting)
      assert.strictEqual(error._tag, "SessionError")
      if (error._tag !== "SessionError") return
      assert.deepInclude(error.reason, { _tag: "MessageInvalid", direction: "Received" })
      assert.match(error.message, /check that both sides use the same schema/)
      const atA = yield* Fiber.join(other)
      yield* atA.send({ text: "still here" })
      assert.deepStrictEqual(yield* atB.receive, [{ text: "still here" }])
    }))

  it.effect("bytes that are no JSON, no UTF-8 or no bytes are of another type", () =>
    Effect.gen(function*() {
      const bad: ReadonlyArray<SessionValue> = [
        bytesValue(text("{")),
        bytesValue(Uint8Array.of(0x22, 0xff, 0x22)),
        { _tag: "Ring32", value: 7 }
      ]
      const { a, b } = yield* peerPair()
      for (const value of bad) {
        const [near, far] = yield* Effect.all([
          a.peer.openValues("x"),
          Effect.flatMap(b.peer.accept, (offer) => offer.messages(Schema.String))
        ], { concurrency: 2 })
        yield* near.send(value)
        const error = yield* Effect.flip(far.receive)
        assert.strictEqual(error._tag === "SessionError" ? error.reason._tag : "", "MessageInvalid")
        assert.strictEqual((yield* Effect.flip(near.closed)).reason._tag, "SessionReset")
      }
    }))

  it.effect("a session of bytes takes nothing but bytes", () =>
    Effect.gen(function*() {
      const { a, b } = yield* peerPair()
      const [near, far] = yield* Effect.all([
        a.peer.openValues("x"),
        Effect.flatMap(b.peer.accept, (offer) => offer.bytes)
      ], { concurrency: 2 })
      yield* near.send(bytesValue(text("bytes")))
      assert.deepStrictEqual(join(yield* far.read), text("bytes"))
      yield* near.send({ _tag: "Bit", bit: 1 })
      const error = yield* Effect.flip(far.read)
      assert.strictEqual(error._tag === "SessionError" ? error.reason._tag : "", "MessageInvalid")
      assert.deepInclude((yield* Effect.flip(near.closed)).reason, { _tag: "SessionReset", code: 2 })
    }))

  it.effect("I25: one that fills the frame cap goes, one byte more is not sent", () =>
    Effect.gen(function*() {
      const room = 20_000 - sizeOfText(0)
      const { far, near } = yield* messagePair(Text, Text, { maxFrameSize: 20_000 })
      const error = yield* Effect.flip(near.send({ text: "x".repeat(room + 1) }))
      assert.deepInclude(error.reason, { _tag: "MessageInvalid", direction: "Sent" })
      assert.match(error.message, /it takes 20001 bytes, at most 20000 are allowed/)
      yield* near.send({ text: "y".repeat(room) })
      assert.deepStrictEqual(yield* far.receive, [{ text: "y".repeat(room) }])
    }))

  it.effect("one far larger than the window arrives", () =>
    Effect.gen(function*() {
      const { far, near } = yield* messagePair(Text, Text)
      const long = "x".repeat(1024 * 1024 - sizeOfText(0))
      yield* forkNow(near.sendAll([{ text: long }, { text: "short" }]))
      assert.deepStrictEqual(yield* Stream.runCollect(Stream.take(far.stream, 2)), [{ text: long }, { text: "short" }])
    }))

  it.effect("I24: the sender waits while the peer does not receive, and goes on when it does", () =>
    Effect.gen(function*() {
      const { far, near } = yield* messagePair(Text, Text)
      let sent = 0
      const message = { text: "x".repeat(8_000 - sizeOfText(0)) }
      const sender = yield* forkNow(Effect.forever(Effect.tap(near.send(message), () => {
        sent++
        return Effect.void
      })))
      yield* rest
      // 64 KiB of window take nine, 256 KiB of send buffer 33.
      assert.strictEqual(sent, 9 + 33)
      assert.strictEqual((yield* far.receive).length, 9)
      yield* rest
      assert.isAtLeast(sent, 9 + 33 + 8)
      yield* Fiber.interrupt(sender)
    }))

  it.effect("sending after the end dies, because it is a bug", () =>
    Effect.gen(function*() {
      const { near } = yield* messagePair(Total, Total)
      yield* near.end
      const exit = yield* Effect.exit(near.send({ total: 1 }))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
    }))

  it.effect("I22: receive fails after its timeout and not before, and the session goes on", () =>
    Effect.gen(function*() {
      const { far, near } = yield* messagePair(Total, Total, { receiveTimeout: 3_000 })
      yield* near.send({ total: 1 })
      assert.deepStrictEqual(yield* far.receive, [{ total: 1 }])
      const waiting = yield* forkNow(Effect.flip(far.receive))
      yield* TestClock.adjust(2_999)
      assert.isUndefined(waiting.pollUnsafe())
      yield* TestClock.adjust(1)
      const error = yield* Fiber.join(waiting)
      assert.strictEqual(error._tag, "SessionError")
      if (error._tag !== "SessionError") return
      assert.deepInclude(error.reason, { _tag: "ReceiveTimedOut", afterMs: 3_000 })
      const again = yield* forkNow(far.receive)
      yield* TestClock.adjust(2_999)
      yield* near.send({ total: 2 })
      assert.deepStrictEqual(yield* Fiber.join(again), [{ total: 2 }])
    }))
})

describe("plain values", () => {
  it.effect("I16: every kind arrives as it was, both ways", () =>
    Effect.gen(function*() {
      const { a, b } = yield* peerPair()
      const [near, far] = yield* Effect.all([
        a.peer.openValues("x"),
        Effect.flatMap(b.peer.accept, (offer) => offer.values())
      ], { concurrency: 2 })
      const dice = new Dice(5)
      const batch = () => Array.from({ length: 300 }, () => randomValue(dice))
      const [there, back] = [batch(), batch()]
      const [atB, atA] = yield* Effect.all([
        Stream.runCollect(far.stream),
        Stream.runCollect(near.stream),
        Effect.andThen(near.sendAll(there), near.end),
        Effect.andThen(far.sendAll(back), far.end)
      ], { concurrency: "unbounded" })
      assert.deepStrictEqual(atB, there)
      assert.deepStrictEqual(atA, back)
    }))

  it.effect("one that is no value is not sent, and the session goes on", () =>
    Effect.gen(function*() {
      const { a, b } = yield* peerPair()
      const [near, far] = yield* Effect.all([
        a.peer.openValues("x"),
        Effect.flatMap(b.peer.accept, (offer) => offer.values())
      ], { concurrency: 2 })
      const error = yield* Effect.flip(near.send({ _tag: "Ring16", value: 65_536 }))
      assert.deepInclude(error.reason, { _tag: "MessageInvalid", direction: "Sent" })
      yield* near.send({ _tag: "Ring16", value: 65_535 })
      assert.deepStrictEqual(yield* far.receive, [{ _tag: "Ring16", value: 65_535 }])
    }))
})

describe("makeSessions", () => {
  const ring = (value: number): SessionValue => ({ _tag: "Ring32", value })
  /** Sends over each session a value that names it, and looks at what comes. */
  const exchange = (sessions: Effect.Success<ReturnType<Peer["makeSessions"]>>, from: number) =>
    Effect.forEach(sessions, (session, index) =>
      Effect.gen(function*() {
        yield* session.send(ring(from + index))
        const [got] = yield* session.receive
        return got._tag === "Ring32" ? got.value : undefined
      }), { concurrency: "unbounded" })

  it.effect.each([["the caller"], ["the callee"]])(
    "I10 I11: both ends meet in order, whoever makes them first (%s)",
    ([first]) =>
      Effect.gen(function*() {
        const { a, b } = yield* peerPair()
        const [one, other] = first === "the caller" ? [a.peer, b.peer] : [b.peer, a.peer]
        const early = yield* one.makeSessions(3)
        // Nothing goes before the other end has them.
        for (const session of early) yield* session.sendAll([ring(1), ring(2)])
        yield* rest
        const late = yield* other.makeSessions(3)
        for (const session of late) {
          const got = yield* Stream.runCollect(Stream.take(session.stream, 2))
          assert.deepStrictEqual(got, [ring(1), ring(2)])
        }
        assert.strictEqual(early[0]?.name, "")
        const [atOne, atOther] = yield* Effect.all([exchange(early, 10), exchange(late, 20)], { concurrency: 2 })
        assert.deepStrictEqual(atOne, [20, 21, 22])
        assert.deepStrictEqual(atOther, [10, 11, 12])
        assert.deepStrictEqual([a.peer.counts().unknownSession, b.peer.counts().unknownSession], [0, 0])
      })
  )

  it.effect("I11: a second call continues where the first has ended, and the sizes of calls need not agree", () =>
    Effect.gen(function*() {
      const { a, b } = yield* peerPair()
      const atA = [...(yield* a.peer.makeSessions(1)), ...(yield* a.peer.makeSessions(4))]
      const atB = [...(yield* b.peer.makeSessions(3)), ...(yield* b.peer.makeSessions(2))]
      const [gotA, gotB] = yield* Effect.all([exchange(atA, 0), exchange(atB, 100)], { concurrency: 2 })
      assert.deepStrictEqual(gotA, [100, 101, 102, 103, 104])
      assert.deepStrictEqual(gotB, [0, 1, 2, 3, 4])
    }))

  it.effect("I10: what is sent before the peer has made its end waits, within the send buffer", () =>
    Effect.gen(function*() {
      const { a, b } = yield* peerPair()
      const [early] = yield* a.peer.makeSessions(1)
      if (early === undefined) return assert.fail("no session")
      let sent = 0
      const sender = yield* forkNow(Effect.forever(Effect.tap(early.send(bytesValue(new Uint8Array(1_000))), () => {
        sent++
        return Effect.void
      })))
      yield* rest
      assert.isAtMost(sent * 1_009, 256 * 1024 + 1_009)
      assert.strictEqual(early.stats().bytesDelivered, 0)
      const [late] = yield* b.peer.makeSessions(1)
      if (late === undefined) return assert.fail("no session")
      const got = yield* forkNow(Stream.runCount(Stream.take(late.stream, 1_000)))
      while (got.pollUnsafe() === undefined) yield* TestClock.adjust(20)
      yield* Fiber.interrupt(sender)
    }))

  it.effect("they end with the scope, and the peer's ends are told although it makes them later", () =>
    Effect.gen(function*() {
      const { a, b } = yield* peerPair()
      yield* Effect.scoped(a.peer.makeSessions(2))
      yield* rest
      const late = yield* b.peer.makeSessions(2)
      for (const session of late) {
        assert.deepInclude((yield* Effect.flip(session.closed)).reason, { _tag: "SessionReset", code: 0, byPeer: true })
      }
      assert.strictEqual(b.peer.counts().unknownSession, 0)
    }))

  it.effect("more than there are ids for dies, because it is a bug", () =>
    Effect.gen(function*() {
      const { a } = yield* peerPair()
      for (const count of [-1, 0.5, 65_537]) {
        const exit = yield* Effect.exit(a.peer.makeSessions(count))
        assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
      }
    }))

  it.effect("I22: a session that both made has a receive timeout of its own", () =>
    Effect.gen(function*() {
      const { a } = yield* peerPair()
      const [session] = yield* a.peer.makeSessions(1, { receiveTimeout: 500 })
      if (session === undefined) return assert.fail("no session")
      const waiting = yield* forkNow(Effect.flip(session.receive))
      yield* TestClock.adjust(500)
      const error = yield* Fiber.join(waiting)
      assert.strictEqual(error._tag === "SessionError" ? error.reason._tag : "", "ReceiveTimedOut")
    }))
})
