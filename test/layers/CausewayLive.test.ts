import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { createHash } from "node:crypto"
import { LinkHello } from "../../src/schema/LinkControl.ts"
import * as EntropySeeded from "../../src/testing/EntropySeeded.ts"
import { type FakeEnd, lesserKey, pair } from "../utils/FakeNetCrypto.ts"
import { openSession, sessionPair, sessionsOf } from "../utils/sessionPair.ts"

const text = (value: string): Uint8Array => new TextEncoder().encode(value)
const join = (chunks: ReadonlyArray<Uint8Array>): Uint8Array => new Uint8Array(Buffer.concat(chunks))
/** Lets packets that deliver themselves, and the fibers they wake, come to rest. */
const rest = Effect.forEach(Array.from({ length: 50 }), () => TestClock.adjust(2), { discard: true })
const forkNow = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(effect, { startImmediately: true })

describe("SessionsLive", () => {
  it.effect("opens and accepts; bytes, half-closes and ends reach the other side", () =>
    Effect.gen(function*() {
      const { a, b } = yield* openSession()
      assert.strictEqual(b.session.name, "test")
      yield* a.session.write(text("request"))
      yield* a.session.end
      yield* a.session.end
      assert.deepStrictEqual(join(yield* Stream.runCollect(b.session.stream)), text("request"))
      assert.isTrue(Cause.isDone(yield* Effect.flip(b.session.read)))
      yield* b.session.write([text("re"), text("ply")])
      yield* b.session.end
      assert.deepStrictEqual(join(yield* Stream.runCollect(a.session.stream)), text("reply"))
      yield* TestClock.adjust(20)
      yield* Effect.all([a.session.closed, b.session.closed, a.session.delivered], { concurrency: 3 })
      assert.deepStrictEqual(a.session.stats(), { bytesIn: 5, bytesOut: 7, bytesDelivered: 7 })
    }))

  it.effect("both sides may open at the same time, each gets its own session", () =>
    Effect.gen(function*() {
      const { a, b } = yield* sessionPair()
      const [a1, b1, a2, b2] = yield* Effect.all([
        a.sessions.open(a.connection, "from a"),
        b.sessions.open(b.connection, "from b"),
        a.sessions.accept(a.connection),
        b.sessions.accept(b.connection)
      ], { concurrency: "unbounded" })
      assert.deepStrictEqual([a1.name, b1.name, a2.name, b2.name], ["from a", "from b", "from b", "from a"])
      yield* a1.write(text("1"))
      yield* b1.write(text("2"))
      assert.deepStrictEqual(join(yield* b2.read), text("1"))
      assert.deepStrictEqual(join(yield* a2.read), text("2"))
    }))

  it.effect("delivered succeeds when the peer has received the bytes, not before", () =>
    Effect.gen(function*() {
      const { a, b } = yield* openSession()
      b.connection.hold(true)
      yield* a.session.write(text("wait"))
      const waiting = yield* forkNow(a.session.delivered)
      yield* TestClock.adjust(1_000)
      assert.isUndefined(waiting.pollUnsafe())
      b.connection.hold(false)
      yield* TestClock.adjust(19)
      assert.isUndefined(waiting.pollUnsafe())
      yield* TestClock.adjust(1)
      yield* Fiber.join(waiting)
    }))

  it.effect("delivered waits for the end as well once there is one", () =>
    Effect.gen(function*() {
      const { a, b } = yield* openSession()
      yield* a.session.write(text("x"))
      yield* TestClock.adjust(20)
      yield* a.session.delivered
      b.connection.hold(true)
      yield* a.session.end
      const waiting = yield* forkNow(a.session.delivered)
      yield* TestClock.adjust(100)
      assert.isUndefined(waiting.pollUnsafe())
      b.connection.hold(false)
      yield* Fiber.join(waiting)
    }))

  it.effect("write holds the writer back while the peer does not read, and goes on when it does", () =>
    Effect.gen(function*() {
      const { a, b } = yield* openSession()
      let written = 0
      const writer = yield* forkNow(Effect.forever(Effect.tap(a.session.write(new Uint8Array(65_536)), () => {
        written += 65_536
        return Effect.void
      })))
      yield* rest
      // The peer's window and our send buffer, with one write and one frame beyond.
      assert.isAtMost(written, 1024 * 1024 + 256 * 1024 + 65_536 + 16 * 1024)
      assert.isAtLeast(written, 1024 * 1024 + 256 * 1024 - 65_536)
      const before = written
      yield* b.session.read
      yield* rest
      assert.isAtLeast(written, before + 900_000)
      yield* Fiber.interrupt(writer)
    }))

  it.effect("an interrupted write has queued nothing, an interrupted read has taken nothing", () =>
    Effect.gen(function*() {
      const { a, b } = yield* openSession()
      yield* a.session.write(new Uint8Array(2 * 1024 * 1024))
      const before = a.session.stats().bytesOut
      const writer = yield* forkNow(a.session.write(text("late")))
      yield* Fiber.interrupt(writer)
      assert.strictEqual(a.session.stats().bytesOut, before)
      const reader = yield* forkNow(a.session.read)
      yield* Fiber.interrupt(reader)
      yield* b.session.write(text("here"))
      assert.deepStrictEqual(join(yield* a.session.read), text("here"))
    }))

  it.effect("writing after the end dies, because it is a bug", () =>
    Effect.gen(function*() {
      const { a } = yield* openSession()
      yield* a.session.end
      const exit = yield* Effect.exit(a.session.write(text("x")))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
    }))

  it.effect("says nothing but hello to a stock peer, and fails with PeerIsNotCauseway after 5 s", () =>
    Effect.gen(function*() {
      const ends = pair({ auto: true })
      ends.lesser.record = true
      ends.greater.handle({ onLossless: () => {}, onLossy: () => {}, onWritable: () => {}, onClosed: () => {} })
      const sessions = yield* sessionsOf(lesserKey)
      const opening = yield* forkNow(Effect.flip(Effect.scoped(sessions.open(ends.lesser, "x"))))
      const accepting = yield* forkNow(Effect.flip(Effect.scoped(sessions.accept(ends.lesser))))
      yield* TestClock.adjust(4_999)
      assert.isUndefined(opening.pollUnsafe() ?? accepting.pollUnsafe())
      yield* TestClock.adjust(1)
      for (const fiber of [opening, accepting]) {
        const error = yield* Fiber.join(fiber)
        assert.strictEqual(error.reason._tag, "PeerIsNotCauseway")
        assert.match(error.message, /0202020202020202 did not say hello within 5 s/)
      }
      assert.strictEqual(
        (yield* Effect.flip(Effect.scoped(sessions.open(ends.lesser, "y")))).reason._tag,
        "PeerIsNotCauseway"
      )
      assert.deepStrictEqual(ends.lesser.taken.map((packet) => [...packet.subarray(0, 4)]), [[177, 1, 0, 1]])
      assert.isUndefined(ends.lesser.error)
    }))

  it.effect("the hello carries the version and an instance id that is the same for all links of a process", () =>
    Effect.gen(function*() {
      const sessions = yield* sessionsOf(lesserKey)
      const expected = LinkHello.encode(LinkHello.make({ version: 1, instanceId: EntropySeeded.make(1).bytes(16) }))
      for (const end of [pair().lesser, pair().lesser]) {
        end.record = true
        yield* Effect.forkScoped(Effect.exit(sessions.open(end, "x")), { startImmediately: true })
        assert.deepStrictEqual(end.taken, [expected])
      }
    }))

  it.effect("a peer that is busy refuses; the session that it has goes on", () =>
    Effect.gen(function*() {
      const { a, b } = yield* openSession()
      const error = yield* Effect.flip(Effect.scoped(a.sessions.open(a.connection, "second")))
      assert.deepInclude(error.reason, { _tag: "SessionRefused", code: 1 })
      assert.match(error.message, /is busy; try again later/)
      yield* a.session.write(text("ok"))
      assert.deepStrictEqual(join(yield* b.session.read), text("ok"))
      assert.strictEqual(b.sessions.counts(b.connection).refusedSessions, 1)
    }))

  it.effect("refuse tells the opener why and closes the connection", () =>
    Effect.gen(function*() {
      const { a, b } = yield* sessionPair()
      const opening = yield* forkNow(Effect.flip(Effect.scoped(a.sessions.open(a.connection, "x"))))
      yield* b.sessions.refuse(b.connection, "one peer at a time")
      const error = yield* Fiber.join(opening)
      assert.deepInclude(error.reason, { _tag: "SessionRefused", code: 1, detail: "one peer at a time" })
      assert.strictEqual(b.connection.error?.reason._tag, "ClosedHere")
    }))

  it.effect("refuse gives up on a peer that never says hello", () =>
    Effect.gen(function*() {
      const ends = pair({ auto: true })
      const sessions = yield* sessionsOf(lesserKey)
      const refusing = yield* forkNow(sessions.refuse(ends.lesser, "no"))
      yield* TestClock.adjust(5_000)
      yield* TestClock.adjust(2_000)
      yield* Fiber.join(refusing)
      assert.isDefined(ends.lesser.error)
    }))

  it.effect("a reset reaches the peer as SessionReset with code and message", () =>
    Effect.gen(function*() {
      const { a, b } = yield* openSession()
      const reading = yield* forkNow(Effect.flip(b.session.read))
      yield* a.session.reset(42, "changed my mind\u001b[31m")
      const error = yield* Fiber.join(reading)
      assert.strictEqual(error._tag, "SessionError")
      if (error._tag !== "SessionError") return
      assert.deepInclude(error.reason, { _tag: "SessionReset", code: 42, byPeer: true })
      assert.notInclude(error.message, "\u001b")
      const own = yield* Effect.flip(a.session.write(text("x")))
      assert.deepInclude(own.reason, { _tag: "SessionReset", code: 42, byPeer: false })
      assert.strictEqual((yield* Effect.flip(a.session.closed)).reason._tag, "SessionReset")
    }))

  it.effect("closing the scope breaks an unfinished session off, and leaves a finished one alone", () =>
    Effect.gen(function*() {
      const { a, b } = yield* sessionPair()
      const scope = yield* Scope.make()
      const accepting = yield* forkNow(b.sessions.accept(b.connection))
      yield* Scope.provide(a.sessions.open(a.connection, "x"), scope)
      const atB = yield* Fiber.join(accepting)
      yield* Scope.close(scope, Exit.void)
      const error = yield* Effect.flip(atB.closed)
      assert.deepInclude(error.reason, { _tag: "SessionReset", code: 0 })

      const again = yield* forkNow(b.sessions.accept(b.connection))
      const second = yield* Scope.make()
      const atA = yield* Scope.provide(a.sessions.open(a.connection, "y"), second)
      const atB2 = yield* Fiber.join(again)
      yield* Effect.all([atA.end, atB2.end])
      yield* Effect.all([atA.closed, atB2.closed], { concurrency: 2 })
      yield* Scope.close(second, Exit.void)
      yield* atB2.closed
      assert.strictEqual(b.sessions.counts(b.connection).unknownSession, 0)
    }))

  it.effect("giving up an open takes it back at the peer", () =>
    Effect.gen(function*() {
      const { a, b } = yield* sessionPair()
      const opening = yield* forkNow(Effect.scoped(a.sessions.open(a.connection, "first")))
      const listening = yield* forkNow(b.sessions.refuse(b.connection, ""))
      yield* Fiber.interrupt(listening)
      yield* TestClock.adjust(100)
      yield* Fiber.interrupt(opening)
      yield* TestClock.adjust(100)
      assert.strictEqual(b.sessions.counts(b.connection).refusedSessions, 1)
    }))

  it.effect("a lost connection fails what is open, with the reason, after what had arrived was read", () =>
    Effect.gen(function*() {
      const { a, b } = yield* openSession()
      yield* a.session.write(text("made it"))
      yield* TestClock.adjust(20)
      yield* a.connection.close
      assert.deepStrictEqual(join(yield* b.session.read), text("made it"))
      const error = yield* Effect.flip(b.session.read)
      assert.strictEqual(error._tag === "SessionError" ? error.reason._tag : "", "LinkLost")
      for (const effect of [b.session.write(text("x")), b.session.closed, a.session.closed]) {
        const error = yield* Effect.flip(effect)
        assert.strictEqual(error.reason._tag, "LinkLost")
      }
      assert.match((yield* Effect.flip(b.session.closed)).message, /closed the connection; connect again/)
      yield* a.session.delivered
    }))

  it.effect("a peer that breaks the protocol is told and disconnected", () =>
    Effect.gen(function*() {
      const { a, b } = yield* openSession()
      a.connection.trySend(Uint8Array.of(176, 0, 0, 0, 0, 0xee, 0, 0, 0, 0))
      const error = yield* Effect.flip(b.session.closed)
      assert.strictEqual(error.reason._tag, "ProtocolViolation")
      assert.match(error.message, /unknown descriptor/)
      yield* TestClock.adjust(2_000)
      assert.strictEqual(b.connection.error?.reason._tag, "ClosedHere")
      const theirs = yield* Effect.flip(a.session.closed)
      assert.strictEqual(theirs.reason._tag, "LinkLost")
      assert.match(theirs.message, /unknown descriptor/)
    }))

  it.effect("closed waits for the connection's last acknowledgement, but not for ever", () =>
    Effect.gen(function*() {
      const { a, b } = yield* openSession()
      yield* b.session.end
      yield* TestClock.adjust(20)
      yield* a.session.end
      yield* b.session.closed
      b.connection.hold(true)
      a.connection.trySend(Uint8Array.of(160))
      const closing = yield* forkNow(a.session.closed)
      yield* TestClock.adjust(1_999)
      assert.isUndefined(closing.pollUnsafe())
      yield* TestClock.adjust(1)
      yield* Fiber.join(closing)
    }))

  const deliverAtRandom = (end: FakeEnd, entropy: ReturnType<typeof EntropySeeded.make>) =>
    Effect.forever(Effect.gen(function*() {
      yield* Effect.sleep(Math.floor(entropy.fraction() * 30))
      if (entropy.fraction() < 0.1) {
        end.hold(true)
        yield* Effect.sleep(200)
        end.hold(false)
      }
      end.deliver(Math.floor(entropy.fraction() * 60))
    }))

  it.effect.each([1, 2, 3, 4, 5])(
    "carries megabytes both ways over a link of random pace, unchanged (seed %i)",
    (seed) =>
      Effect.gen(function*() {
        const { a, b } = yield* sessionPair({ auto: false, sendBuffer: 40_000 })
        const entropy = EntropySeeded.make(seed)
        for (const end of [a.connection, b.connection]) yield* Effect.forkScoped(deliverAtRandom(end, entropy))
        const send = Effect.fnUntraced(function*(session: typeof atA) {
          const hash = createHash("sha256")
          for (let left = 2_000_000; left > 0;) {
            const chunk = entropy.bytes(Math.min(left, 1 + Math.floor(entropy.fraction() * 90_000)))
            left -= chunk.length
            hash.update(chunk)
            yield* session.write(chunk)
            if (entropy.fraction() < 0.2) yield* Effect.sleep(50)
          }
          yield* session.end
          yield* session.delivered
          return hash.digest("hex")
        })
        const receive = Effect.fnUntraced(function*(session: typeof atA) {
          const hash = createHash("sha256")
          yield* Stream.runForEach(session.stream, (chunk) =>
            Effect.suspend(() => {
              hash.update(chunk)
              return entropy.fraction() < 0.05 ? Effect.sleep(100) : Effect.void
            }))
          return hash.digest("hex")
        })
        const opening = yield* forkNow(a.sessions.open(a.connection, "both ways"))
        const accepting = yield* forkNow(b.sessions.accept(b.connection))
        yield* TestClock.adjust(2_000)
        const atA = yield* Fiber.join(opening)
        const atB = yield* Fiber.join(accepting)
        const work = yield* forkNow(
          Effect.all([send(atA), receive(atB), send(atB), receive(atA), atA.closed, atB.closed], {
            concurrency: "unbounded"
          })
        )
        while (work.pollUnsafe() === undefined) yield* TestClock.adjust(1_000)
        const [sentA, gotB, sentB, gotA] = yield* Fiber.join(work)
        assert.strictEqual(gotB, sentA)
        assert.strictEqual(gotA, sentB)
      })
  )
})
