/** Sessions of bytes between two nodes that stay connected. Links that are lost: `CausewayLiveLinks.test.ts`. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { createHash } from "node:crypto"
import type { ByteSession } from "../../src/services/Session.ts"
import * as EntropySeeded from "../../src/testing/EntropySeeded.ts"
import type { FakeEnd } from "../utils/FakeNetCrypto.ts"
import { openSession, peerPair } from "../utils/sessionPair.ts"
import { forkNow, join, rest, text } from "../utils/sessionSteps.ts"

const firstWindow = 64 * 1024
const sendBuffer = 256 * 1024

describe("CausewayLive", () => {
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
      const { a, b } = yield* peerPair()
      const [a1, b1, a2, b2] = yield* Effect.all([
        a.peer.openBytes("from a"),
        b.peer.openBytes("from b"),
        Effect.flatMap(a.peer.accept, (offer) => offer.bytes),
        Effect.flatMap(b.peer.accept, (offer) => offer.bytes)
      ], { concurrency: "unbounded" })
      assert.deepStrictEqual([a1.name, b1.name, a2.name, b2.name], ["from a", "from b", "from b", "from a"])
      yield* a1.write(text("1"))
      yield* b1.write(text("2"))
      assert.deepStrictEqual(join(yield* b2.read), text("1"))
      assert.deepStrictEqual(join(yield* a2.read), text("2"))
    }))

  it.effect("sessions are offered in the order in which the peer opened them", () =>
    Effect.gen(function*() {
      const { a, b } = yield* peerPair()
      const names = ["one", "two", "three"]
      for (const name of names) yield* Effect.forkScoped(a.peer.openBytes(name), { startImmediately: true })
      const offers = yield* Stream.runCollect(Stream.take(b.peer.offers, 3))
      assert.deepStrictEqual(offers.map((offer) => offer.name), names)
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

  it.effect("I24: write holds the writer back while the peer does not read, and goes on when it does", () =>
    Effect.gen(function*() {
      const { a, b } = yield* openSession()
      let written = 0
      const writer = yield* forkNow(Effect.forever(Effect.tap(a.session.write(new Uint8Array(65_536)), () => {
        written += 65_536
        return Effect.void
      })))
      yield* rest
      // The peer's window and our send buffer, with one write and one frame beyond.
      assert.isAtMost(written, firstWindow + sendBuffer + 65_536 + 16 * 1024)
      assert.isAtLeast(written, firstWindow + sendBuffer - 65_536)
      const before = written
      yield* b.session.read
      yield* rest
      assert.isAtLeast(written, before + firstWindow - 16 * 1024)
      yield* Fiber.interrupt(writer)
    }))

  it.effect("I24: a session that nobody reads holds no other session back", () =>
    Effect.gen(function*() {
      const { a, b } = yield* openSession()
      yield* Effect.forkScoped(Effect.forever(a.session.write(new Uint8Array(65_536))))
      const [other, atB] = yield* Effect.all(
        [a.peer.openBytes("other"), Effect.flatMap(b.peer.accept, (offer) => offer.bytes)],
        { concurrency: 2 }
      )
      const bytes = EntropySeeded.make(1).bytes(3_000_000)
      const reading = yield* forkNow(Stream.runCollect(atB.stream))
      const writing = yield* forkNow(Effect.gen(function*() {
        for (let at = 0; at < bytes.length; at += 50_000) yield* other.write(bytes.slice(at, at + 50_000))
        yield* other.end
      }))
      while (reading.pollUnsafe() === undefined) yield* TestClock.adjust(10)
      yield* Fiber.join(writing)
      assert.isTrue(Buffer.from(bytes).equals(Buffer.concat(yield* Fiber.join(reading))))
      assert.strictEqual(b.session.stats().bytesIn < firstWindow + 16 * 1024, true)
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

  it.effect("a session name of over 255 bytes dies, because it is a bug", () =>
    Effect.gen(function*() {
      const { a } = yield* peerPair()
      const exit = yield* Effect.exit(a.peer.openBytes("\u00e9".repeat(128)))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
    }))

  it.effect("a peer with too many sessions refuses one more; those that it has go on", () =>
    Effect.gen(function*() {
      const { a, b } = yield* openSession({ maxIncomingSessions: 1 })
      const error = yield* Effect.flip(a.peer.openBytes("second"))
      assert.deepInclude(error.reason, { _tag: "SessionRefused", code: 1 })
      assert.match(error.message, /is busy; try again later/)
      yield* a.session.write(text("ok"))
      assert.deepStrictEqual(join(yield* b.session.read), text("ok"))
      assert.strictEqual(b.peer.counts().refusedSessions, 1)
    }))

  it.effect("an offer that is refused fails the open with code and message, and nothing else", () =>
    Effect.gen(function*() {
      const { a, b } = yield* openSession()
      const opening = yield* forkNow(Effect.flip(a.peer.openBytes("unwanted")))
      yield* Effect.flatMap(b.peer.accept, (offer) => offer.refuse(77, "not here"))
      const error = yield* Fiber.join(opening)
      assert.deepInclude(error.reason, { _tag: "SessionRefused", code: 77, detail: "not here" })
      yield* a.session.write(text("ok"))
      assert.deepStrictEqual(join(yield* b.session.read), text("ok"))
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
      const { a, b } = yield* peerPair()
      const scope = yield* Scope.make()
      const accepting = yield* forkNow(Effect.flatMap(b.peer.accept, (offer) => offer.bytes))
      yield* Scope.provide(a.peer.openBytes("x"), scope)
      const atB = yield* Fiber.join(accepting)
      yield* Scope.close(scope, Exit.void)
      const error = yield* Effect.flip(atB.closed)
      assert.deepInclude(error.reason, { _tag: "SessionReset", code: 0 })

      const again = yield* forkNow(Effect.flatMap(b.peer.accept, (offer) => offer.bytes))
      const second = yield* Scope.make()
      const atA = yield* Scope.provide(a.peer.openBytes("y"), second)
      const atB2 = yield* Fiber.join(again)
      yield* Effect.all([atA.end, atB2.end])
      yield* Effect.all([atA.closed, atB2.closed], { concurrency: 2 })
      yield* Scope.close(second, Exit.void)
      yield* atB2.closed
      assert.strictEqual(b.peer.counts().unknownSession, 0)
    }))

  it.effect("giving up an open takes it back at the peer", () =>
    Effect.gen(function*() {
      const { a, b } = yield* peerPair()
      const opening = yield* forkNow(Effect.scoped(a.peer.openBytes("first")))
      yield* rest
      yield* Fiber.interrupt(opening)
      yield* rest
      const second = yield* forkNow(a.peer.openBytes("second"))
      assert.strictEqual((yield* b.peer.accept).name, "second")
      yield* Fiber.interrupt(second)
    }))

  it.effect("an offer that was taken back while it was held fails to be accepted", () =>
    Effect.gen(function*() {
      const { a, b } = yield* peerPair()
      const opening = yield* forkNow(Effect.scoped(a.peer.openBytes("first")))
      const offer = yield* b.peer.accept
      yield* Fiber.interrupt(opening)
      yield* rest
      assert.strictEqual((yield* Effect.flip(offer.bytes)).reason._tag, "SessionReset")
    }))

  it.effect("a peer that breaks the protocol is told and disconnected", () =>
    Effect.gen(function*() {
      const { a, b, network } = yield* openSession()
      a.connection.trySend(Uint8Array.of(176, 0, 0, 0, 0, 0xee, 0, 0, 0, 0))
      const error = yield* Effect.flip(b.session.closed)
      assert.strictEqual(error.reason._tag, "ProtocolViolation")
      assert.match(error.message, /unknown descriptor/)
      assert.strictEqual((yield* b.peer.closed).reason._tag, "ProtocolViolation")
      yield* TestClock.adjust(1_000)
      assert.strictEqual(b.connection.error?.reason._tag, "ClosedHere")
      const theirs = yield* Effect.flip(a.session.closed)
      assert.strictEqual(theirs.reason._tag, "LinkLost")
      assert.match(theirs.message, /unknown descriptor/)
      yield* rest
      assert.deepStrictEqual([network.open, network.dialled], [0, 1])
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
        const { a, b, network } = yield* peerPair({ sendBuffer: 40_000 })
        const ends = network.live
        if (ends === undefined) return assert.fail("there is no connection")
        // Delivered by hand from here to the end of the test.
        const entropy = EntropySeeded.make(seed)
        for (const end of [ends.a, ends.b]) {
          end.auto = false
          yield* Effect.addFinalizer(() =>
            Effect.sync(() => {
              end.hold(false)
              end.auto = true
              end.schedule()
            })
          )
          yield* Effect.forkScoped(deliverAtRandom(end, entropy))
        }
        const send = Effect.fnUntraced(function*(session: ByteSession) {
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
        const receive = Effect.fnUntraced(function*(session: ByteSession) {
          const hash = createHash("sha256")
          yield* Stream.runForEach(session.stream, (chunk) =>
            Effect.suspend(() => {
              hash.update(chunk)
              return entropy.fraction() < 0.05 ? Effect.sleep(100) : Effect.void
            }))
          return hash.digest("hex")
        })
        const opening = yield* forkNow(a.peer.openBytes("both ways"))
        const accepting = yield* forkNow(Effect.flatMap(b.peer.accept, (offer) => offer.bytes))
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
