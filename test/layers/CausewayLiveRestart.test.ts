/** Peers that come back as another process. The node with the lesser key is `a`. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { FakeNetwork } from "../utils/FakeNetwork.ts"
import { held, nothingLeft, talk } from "../utils/peerSteps.ts"
import { causewayOf, processOf } from "../utils/sessionPair.ts"
import { forkNow, rest } from "../utils/sessionSteps.ts"

const addressOf = FakeNetwork.addressOf

describe("a peer that comes back as another process", () => {
  it.effect("having been called: sessions end with PeerRestarted, and a new connect works at once", () =>
    Effect.gen(function*() {
      const network = yield* FakeNetwork.make
      const a = yield* causewayOf(network, "a")
      const before = yield* processOf(network, "b")
      const [old] = yield* Effect.all([a.connect(addressOf("b")), before.causeway.accept], { concurrency: 2 })
      const opening = yield* forkNow(Effect.flip(old.openBytes("x")))
      yield* rest
      yield* before.kill
      const b = yield* causewayOf(network, "b", {}, 1)
      network.cut()
      const atB = yield* b.accept
      assert.strictEqual((yield* old.closed).reason._tag, "PeerRestarted")
      const error = yield* Fiber.join(opening)
      assert.strictEqual(error.reason._tag, "PeerRestarted")
      assert.match(error.message, /connect again and open a new session/)
      assert.strictEqual((yield* Effect.flip(old.openBytes("y"))).reason._tag, "PeerRestarted")
      const atA = yield* a.connect(addressOf("b"))
      yield* talk(atA, atB)
      yield* talk(atB, atA)
      assert.strictEqual(network.dialled, 2)
    }))

  it.effect("having called: it is accepted anew, while the old sessions end", () =>
    Effect.gen(function*() {
      const network = yield* FakeNetwork.make
      const a = yield* causewayOf(network, "a")
      const before = yield* processOf(network, "b")
      const [old] = yield* Effect.all([a.accept, before.causeway.connect(addressOf("a"))], { concurrency: 2 })
      const made = yield* old.makeSessions(1)
      yield* before.kill
      const b = yield* causewayOf(network, "b", {}, 1)
      network.cut()
      const [atB, atA] = yield* Effect.all([b.connect(addressOf("a")), a.accept], { concurrency: 2 })
      assert.strictEqual((yield* old.closed).reason._tag, "PeerRestarted")
      for (const session of made) {
        assert.strictEqual((yield* Effect.flip(session.closed)).reason._tag, "PeerRestarted")
      }
      yield* talk(atA, atB)
      yield* talk(atB, atA)
    }))

  it.effect("leaving the old relation does not touch the new one", () =>
    Effect.gen(function*() {
      const network = yield* FakeNetwork.make
      const a = yield* causewayOf(network, "a")
      const before = yield* processOf(network, "b")
      const [old] = yield* Effect.all([held(a.connect(addressOf("b"))), before.causeway.accept], { concurrency: 2 })
      yield* before.kill
      const b = yield* causewayOf(network, "b", {}, 1)
      network.cut()
      const atB = yield* b.accept
      const atA = yield* a.connect(addressOf("b"))
      yield* old.leave
      yield* TestClock.adjust(30_000)
      yield* talk(atA, atB)
    }))

  it.effect("and that nobody takes within claimTimeout is told that it is not wanted", () =>
    Effect.gen(function*() {
      const network = yield* FakeNetwork.make
      const a = yield* causewayOf(network, "a")
      yield* a.setAcceptPolicy(() => false)
      const before = yield* processOf(network, "b")
      const [old] = yield* Effect.all([held(a.connect(addressOf("b"))), before.causeway.accept], { concurrency: 2 })
      yield* before.kill
      const b = yield* causewayOf(network, "b", {}, 1)
      network.cut()
      const atB = yield* b.accept
      const closed = yield* forkNow(atB.closed)
      yield* old.leave
      yield* b.setAcceptPolicy(() => false)
      yield* TestClock.adjust(9_800)
      assert.isUndefined(closed.pollUnsafe())
      yield* TestClock.adjust(200)
      const error = yield* Fiber.join(closed)
      assert.deepInclude(error.reason, { _tag: "SessionRefused", code: 1, detail: "nobody took the connection" })
      yield* nothingLeft(network)
    }))

  it.effect("a peer that had given up waiting counts as another process", () =>
    Effect.gen(function*() {
      const network = yield* FakeNetwork.make
      const a = yield* causewayOf(network, "a")
      const b = yield* causewayOf(network, "b", { resumeTimeout: 5_000 })
      const [old, other] = yield* Effect.all([a.connect(addressOf("b")), b.accept], { concurrency: 2 })
      network.calls = "fail"
      network.cut()
      yield* TestClock.adjust(6_000)
      assert.strictEqual((yield* other.closed).reason._tag, "LinkLost")
      network.calls = "work"
      yield* TestClock.adjust(5_000)
      const atB = yield* b.accept
      assert.strictEqual((yield* old.closed).reason._tag, "PeerRestarted")
      yield* talk(yield* a.connect(addressOf("b")), atB)
    }))
})
