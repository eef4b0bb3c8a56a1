/** Sessions while the link under them is lost and made anew. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { createHash } from "node:crypto"
import { LinkHello } from "../../src/schema/LinkControl.ts"
import { PeerClosed } from "../../src/services/NetCryptoError.ts"
import type { ByteSession, MessageSession } from "../../src/services/Session.ts"
import * as EntropySeeded from "../../src/testing/EntropySeeded.ts"
import { Dice } from "../../src/testing/simulation/Dice.ts"
import { pair } from "../utils/FakeNetCrypto.ts"
import { FakeNetwork } from "../utils/FakeNetwork.ts"
import { openSession, peerPair } from "../utils/sessionPair.ts"
import { forkNow, join, rest, text } from "../utils/sessionSteps.ts"

const sha256 = () => createHash("sha256")

describe("a link that is lost", () => {
  it.effect("I12: is made anew by the side that called; sessions go on where they were", () =>
    Effect.gen(function*() {
      const { a, b, network } = yield* openSession()
      b.connection.hold(true)
      yield* a.session.write(text("lost on the way, "))
      yield* b.session.write(text("not lost"))
      yield* rest
      network.cut()
      yield* a.session.write(text("written meanwhile, "))
      yield* rest
      assert.strictEqual(network.dialled, 2)
      yield* a.session.write(text("written later"))
      yield* a.session.end
      yield* b.session.end
      const got = join(yield* Stream.runCollect(b.session.stream))
      assert.deepStrictEqual(got, text("lost on the way, written meanwhile, written later"))
      assert.deepStrictEqual(join(yield* Stream.runCollect(a.session.stream)), text("not lost"))
      yield* Effect.all([a.session.closed, b.session.closed], { concurrency: 2 })
      assert.deepStrictEqual(a.session.stats(), { bytesIn: 8, bytesOut: 49, bytesDelivered: 49 })
    }))

  it.effect("I12: no time has to pass before the first new call, and the other side only waits", () =>
    Effect.gen(function*() {
      const { a, b, network } = yield* openSession()
      network.cut()
      assert.deepStrictEqual([a.peer.link()._tag, b.peer.link()._tag], ["Down", "Down"])
      while (a.peer.link()._tag === "Down" || b.peer.link()._tag === "Down") yield* Effect.yieldNow
      assert.strictEqual(network.dialled, 2)
    }))

  it.effect("is called again with pauses that double up to five seconds", () =>
    Effect.gen(function*() {
      const { a, b, network } = yield* openSession()
      network.calls = "fail"
      network.cut()
      const calls: Array<number> = []
      for (let time = 0, before = network.dialled; time < 60_000; time += 10) {
        yield* TestClock.adjust(10)
        for (; before < network.dialled; before++) calls.push(time)
      }
      const pauses = calls.slice(1).map((time, index) => time - (calls[index] ?? 0))
      for (const [index, pause] of pauses.entries()) {
        const most = Math.min(5_000, 250 * 2 ** index)
        assert.isAtMost(pause, most + 10)
        assert.isAtLeast(pause, most / 2 - 10)
      }
      assert.isAbove(pauses.length, 12)
      // Random parts: neighbours among the longest pauses differ.
      assert.isAbove(new Set(pauses.slice(5)).size, 3)
      network.calls = "work"
      yield* TestClock.adjust(5_000)
      yield* a.session.write(text("again"))
      assert.deepStrictEqual(join(yield* b.session.read), text("again"))
    }))

  it.effect("I12: sessions that are opened, accepted and made while there is none begin with the next", () =>
    Effect.gen(function*() {
      const { a, b, network } = yield* peerPair()
      const offering = yield* forkNow(a.peer.openBytes("before"))
      const offer = yield* b.peer.accept
      network.calls = "fail"
      network.cut()
      const atB = yield* offer.bytes
      const during = yield* forkNow(a.peer.openBytes("during"))
      const [madeA] = yield* a.peer.makeSessions(1)
      const [madeB] = yield* b.peer.makeSessions(1)
      if (madeA === undefined || madeB === undefined) return assert.fail("no sessions")
      yield* madeA.send({ _tag: "Bit", bit: 1 })
      yield* TestClock.adjust(10_000)
      assert.isUndefined(offering.pollUnsafe() ?? during.pollUnsafe())
      network.calls = "work"
      yield* TestClock.adjust(5_000)
      const atA = yield* Fiber.join(offering)
      yield* atA.write(text("before"))
      assert.deepStrictEqual(join(yield* atB.read), text("before"))
      assert.strictEqual((yield* b.peer.accept).name, "during")
      assert.deepStrictEqual(yield* madeB.receive, [{ _tag: "Bit", bit: 1 }])
      yield* Fiber.interrupt(during)
    }))

  it.effect("a reset and the giving up of an open reach the peer with the next link", () =>
    Effect.gen(function*() {
      const { a, b, network } = yield* openSession()
      const opening = yield* forkNow(Effect.scoped(a.peer.openBytes("given up")))
      const offer = yield* b.peer.accept
      network.calls = "fail"
      network.cut()
      yield* a.session.reset(9, "no more")
      yield* Fiber.interrupt(opening)
      yield* TestClock.adjust(1_000)
      network.calls = "work"
      yield* TestClock.adjust(5_000)
      assert.deepInclude((yield* Effect.flip(b.session.closed)).reason, { _tag: "SessionReset", code: 9, byPeer: true })
      assert.strictEqual((yield* Effect.flip(offer.bytes)).reason._tag, "SessionReset")
      assert.strictEqual(b.peer.counts().unknownSession, 0)
    }))

  it.effect("for resumeTimeout ends everything with LinkLost, after what had arrived was read", () =>
    Effect.gen(function*() {
      const { a, b, network } = yield* openSession()
      yield* a.session.write(text("made it"))
      yield* TestClock.adjust(20)
      yield* a.session.delivered
      const waiting = yield* forkNow(Effect.flip(a.session.read))
      network.lose()
      yield* TestClock.adjust(119_999)
      assert.isUndefined(waiting.pollUnsafe())
      yield* TestClock.adjust(1)
      const error = yield* Fiber.join(waiting)
      assert.match(error._tag === "SessionError" ? error.message : "", /there was no link for 120 s; connect again/)
      assert.deepStrictEqual(join(yield* b.session.read), text("made it"))
      const after = yield* Effect.flip(b.session.read)
      assert.strictEqual(after._tag === "SessionError" ? after.reason._tag : "", "LinkLost")
      for (const effect of [b.session.write(text("x")), b.session.closed, a.session.closed]) {
        assert.strictEqual((yield* Effect.flip(effect)).reason._tag, "LinkLost")
      }
      for (const { peer } of [a, b]) {
        assert.strictEqual((yield* peer.closed).reason._tag, "LinkLost")
        assert.strictEqual((yield* Effect.flip(peer.accept)).reason._tag, "LinkLost")
        assert.strictEqual((yield* Effect.flip(peer.openBytes("x"))).reason._tag, "LinkLost")
        assert.strictEqual((yield* Effect.flip(peer.makeSessions(1))).reason._tag, "LinkLost")
        assert.strictEqual((yield* Effect.flip(peer.ping)).reason._tag, "LinkLost")
      }
      // What is known to have been delivered stays so.
      yield* a.session.delivered
      yield* a.session.end
      assert.strictEqual((yield* Effect.flip(a.session.delivered)).reason._tag, "LinkLost")
    }))

  it.effect("leaves what was not known to be delivered undelivered, an end like bytes", () =>
    Effect.gen(function*() {
      const { a, b, network } = yield* openSession({ resumeTimeout: 1_000 })
      yield* a.session.write(text("arrived"))
      yield* b.session.write(text("arrived"))
      yield* rest
      yield* Effect.all([a.session.delivered, b.session.delivered])
      network.lose()
      yield* a.session.end
      yield* b.session.write(text("too late"))
      const ending = yield* forkNow(Effect.flip(a.session.delivered))
      yield* TestClock.adjust(1_000)
      for (const effect of [Fiber.join(ending), Effect.flip(a.session.delivered), Effect.flip(b.session.delivered)]) {
        assert.strictEqual((yield* effect).reason._tag, "LinkLost")
      }
    }))

  it.effect("resumeTimeout begins anew with every link", () =>
    Effect.gen(function*() {
      const { a, b, network } = yield* openSession({ resumeTimeout: 10_000 })
      for (let round = 0; round < 5; round++) {
        network.calls = "fail"
        network.cut()
        yield* TestClock.adjust(4_000)
        network.calls = "work"
        yield* TestClock.adjust(5_000)
      }
      yield* a.session.write(text("still here"))
      assert.deepStrictEqual(join(yield* b.session.read), text("still here"))
    }))

  it.effect("may be given a second time, or for the first when it is over, and that harms no other", () =>
    Effect.gen(function*() {
      const { a, b, network } = yield* openSession()
      const used = network.live?.b
      network.cut()
      yield* rest
      const alive = network.live?.b
      if (used === undefined || alive === undefined) return assert.fail("no connections")
      const unused = pair().greater
      unused.early.push(LinkHello.encode(LinkHello.make({ version: 1, instanceId: new Uint8Array(16) })))
      unused.end(new PeerClosed())
      for (const connection of [used, alive, unused]) network.offer("b", connection)
      yield* rest
      yield* a.session.write(text("one, "))
      yield* rest
      assert.strictEqual(network.live?.b, alive)
      assert.deepStrictEqual(yield* b.peer.probe, [])
      network.cut()
      yield* TestClock.adjust(250)
      yield* a.session.write(text("two"))
      yield* a.session.end
      assert.deepStrictEqual(join(yield* Stream.runCollect(b.session.stream)), text("one, two"))
      assert.strictEqual(network.dialled, 3)
    }))

  it.effect("one that is lost again and again right after the hello is not called in a loop", () =>
    Effect.gen(function*() {
      const { a, network } = yield* peerPair()
      for (let i = 0; i < 200; i++) {
        network.cut()
        yield* TestClock.adjust(50)
      }
      // Ten seconds: at once, then after 125 to 250 ms, 250 to 500, and so on up to five seconds.
      assert.isAtLeast(network.dialled, 4)
      assert.isAtMost(network.dialled, 8)
      yield* TestClock.adjust(20_000)
      assert.strictEqual(a.peer.link()._tag, "Up")
      const { dialled } = network
      network.cut()
      yield* rest
      assert.strictEqual(network.dialled, dialled + 1)
    }))

  it.effect("a new one without a hello is given up after helloTimeout, and the next one tried", () =>
    Effect.gen(function*() {
      const { a, b, network } = yield* openSession()
      network.auto = false
      network.cut()
      yield* rest
      assert.strictEqual(network.dialled, 2)
      network.auto = true
      yield* TestClock.adjust(4_899)
      assert.strictEqual(network.dialled, 2)
      yield* TestClock.adjust(1)
      for (let time = 0; time < 250; time += 10) yield* TestClock.adjust(10)
      assert.strictEqual(network.dialled, 3)
      yield* a.session.write(text("again"))
      assert.deepStrictEqual(join(yield* b.session.read), text("again"))
      assert.strictEqual(network.open, 1)
    }))
})

describe("twenty cuts under load", () => {
  const total = 1_000_000
  const send = Effect.fnUntraced(function*(session: ByteSession, dice: Dice, bytes: Uint8Array) {
    for (let at = 0; at < bytes.length;) {
      const size = dice.between(1, 60_000)
      yield* session.write(bytes.slice(at, at + size))
      at += size
    }
    yield* session.end
    yield* session.delivered
    return sha256().update(bytes).digest("hex")
  })
  const receive = Effect.fnUntraced(function*(session: ByteSession, dice: Dice) {
    const hash = sha256()
    yield* Stream.runForEach(session.stream, (chunk) =>
      Effect.suspend(() => {
        hash.update(chunk)
        return dice.chance(0.05) ? Effect.sleep(dice.between(1, 200)) : Effect.void
      }))
    return hash.digest("hex")
  })
  const count = (session: MessageSession<number>) =>
    Effect.gen(function*() {
      for (let next = 0; next < 500; next += 10) {
        yield* session.sendAll(Array.from({ length: 10 }, (_, index) => next + index))
        yield* Effect.sleep(20)
      }
      yield* session.end
    })

  it.effect.each([1, 2, 3, 4])(
    "I12 I13: nothing is lost, doubled or reordered, whoever calls again (seed %i)",
    (seed) =>
      Effect.gen(function*() {
        const dice = new Dice(seed)
        const entropy = EntropySeeded.make(seed)
        const { a, b, network } = yield* peerPair()
        if (seed % 2 === 0) yield* b.causeway.connect(FakeNetwork.addressOf("a"))
        const [bytesA, bytesB, numbersA, numbersB] = yield* Effect.all([
          a.peer.openBytes("bytes"),
          Effect.flatMap(b.peer.accept, (offer) => offer.bytes),
          b.peer.open("numbers", Schema.Int),
          Effect.flatMap(a.peer.accept, (offer) => offer.messages(Schema.Int))
        ], { concurrency: "unbounded" })
        network.auto = false
        network.sendBuffer = 60_000
        network.cut()
        yield* Effect.forkScoped(Effect.forever(Effect.gen(function*() {
          yield* Effect.sleep(dice.between(1, 30))
          const link = network.live
          if (link === undefined) return
          for (const end of [link.a, link.b]) if (dice.chance(0.7)) end.deliver(dice.between(0, 60))
        })))
        let cuts = 0
        yield* Effect.forkScoped(Effect.gen(function*() {
          for (; cuts < 20; cuts++) {
            yield* Effect.sleep(dice.between(0, 400))
            network.calls = dice.chance(0.2) ? "fail" : "work"
            network.cut()
            if (network.calls === "fail") yield* Effect.sleep(dice.between(0, 2_000))
            network.calls = "work"
          }
        }))
        const [there, back] = [entropy.bytes(total), entropy.bytes(total)]
        const work = yield* forkNow(
          Effect.all([
            send(bytesA, dice, there),
            receive(bytesB, dice),
            send(bytesB, dice, back),
            receive(bytesA, dice),
            Stream.runCollect(numbersB.stream),
            Stream.runCollect(numbersA.stream),
            count(numbersA),
            count(numbersB),
            bytesA.closed,
            bytesB.closed
          ], { concurrency: "unbounded" })
        )
        while (work.pollUnsafe() === undefined) yield* TestClock.adjust(500)
        const [sentA, gotB, sentB, gotA, numbersAtB, numbersAtA] = yield* Fiber.join(work)
        assert.deepStrictEqual([gotB, gotA], [sentA, sentB])
        const expected = Array.from({ length: 500 }, (_, index) => index)
        assert.deepStrictEqual(numbersAtB, expected)
        assert.deepStrictEqual(numbersAtA, expected)
        assert.deepStrictEqual([a.peer.counts().unknownSession, b.peer.counts().unknownSession], [0, 0])
        while (cuts < 20) yield* TestClock.adjust(1_000)
        // The rest of the test's end is not to wait for the deliveries of this loop.
        network.auto = true
        network.cut()
        yield* TestClock.adjust(1_000)
      })
  )
})
