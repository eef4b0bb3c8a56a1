/** What a peer tells of its links: `ping`, `probe` and `links`, while they come and go. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { identityKey } from "../utils/FakeNetCrypto.ts"
import { peerPair } from "../utils/sessionPair.ts"
import { forkNow, rest } from "../utils/sessionSteps.ts"

describe("Peer.ping", () => {
  it.effect("is answered however many there are at once", () =>
    Effect.gen(function*() {
      const { a } = yield* peerPair()
      const pings = yield* Effect.forEach(Array.from({ length: 200 }), () => forkNow(a.peer.ping))
      for (let passed = 0; passed < 1_000; passed += 100) yield* TestClock.adjust(100)
      assert.deepStrictEqual(pings.filter((ping) => ping.pollUnsafe() === undefined), [])
    }))

  it.effect("measures the time there and back", () =>
    Effect.gen(function*() {
      const { a, network } = yield* peerPair()
      assert.strictEqual(yield* a.peer.ping, 0)
      network.live?.b.hold(true)
      const pinging = yield* forkNow(a.peer.ping)
      yield* TestClock.adjust(70)
      assert.isUndefined(pinging.pollUnsafe())
      network.live?.b.hold(false)
      assert.strictEqual(yield* Fiber.join(pinging), 70)
    }))

  it.effect("that is lost with the link is asked again over the next, and measures that one", () =>
    Effect.gen(function*() {
      const { a, network } = yield* peerPair()
      network.live?.b.hold(true)
      const pinging = yield* forkNow(a.peer.ping)
      yield* TestClock.adjust(300)
      network.calls = "fail"
      network.cut()
      yield* TestClock.adjust(3_000)
      assert.isUndefined(pinging.pollUnsafe())
      network.calls = "work"
      yield* TestClock.adjust(5_000)
      assert.strictEqual(yield* Fiber.join(pinging), 0)
    }))
})

describe("Peer.probe", () => {
  const way = {
    relay: { host: "127.0.0.1", port: 443, publicKey: identityKey(9) },
    carries: true,
    online: true,
    roundTrip: 31
  }

  it.effect("gives the paths of the connection; without one it waits for the next", () =>
    Effect.gen(function*() {
      const { a, network } = yield* peerPair()
      if (network.live !== undefined) network.live.a.ways = [way]
      assert.deepStrictEqual(yield* a.peer.probe, [way])
      network.calls = "fail"
      network.cut()
      yield* rest
      const probing = yield* forkNow(a.peer.probe)
      yield* TestClock.adjust(2_000)
      assert.isUndefined(probing.pollUnsafe())
      network.calls = "work"
      yield* TestClock.adjust(5_000)
      assert.deepStrictEqual(yield* Fiber.join(probing), [])
    }))
})

describe("Peer.links", () => {
  it.effect("tells the present state and every change; link knows the round trip", () =>
    Effect.gen(function*() {
      const { a, network } = yield* peerPair()
      const seen: Array<string> = []
      yield* Effect.forkScoped(Stream.runForEach(a.peer.links, (state) => Effect.sync(() => seen.push(state._tag))))
      yield* rest
      assert.deepStrictEqual(seen, ["Up"])
      assert.deepStrictEqual(a.peer.link(), { _tag: "Up", path: "relayed", roundTrip: undefined })
      for (let round = 0; round < 2; round++) {
        network.calls = "fail"
        network.cut()
        yield* TestClock.adjust(500)
        assert.deepStrictEqual(a.peer.link(), { _tag: "Down" })
        network.calls = "work"
        yield* TestClock.adjust(5_000)
      }
      assert.deepStrictEqual(seen, ["Up", "Down", "Up", "Down", "Up"])
    }))
})
