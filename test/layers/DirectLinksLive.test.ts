import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { MemoryNetwork } from "../../src/testing/MemoryNetwork.ts"
import {
  assertJoined,
  attemptOf,
  begin,
  inNetwork,
  meet,
  meetBoth,
  openConnections,
  pair,
  settle,
  tagsOf
} from "../utils/directNodes.ts"

const attempt = attemptOf(7)

describe("DirectLinksLive: announced attempts", () => {
  it.effect("M06 M09 M10 M11: both sides meet on the connection that the greater dials, and know who dialled", () =>
    inNetwork(Effect.gen(function*() {
      const { greater, lower } = yield* pair()
      const fibers = yield* meetBoth(greater, lower, attempt)
      const [mine, theirs] = [yield* Fiber.join(fibers.greater), yield* Fiber.join(fibers.lower)]
      assert.deepStrictEqual([mine.roles, theirs.roles], [["dialled"], ["accepted"]])
      assert.deepStrictEqual([mine.identityKey, theirs.identityKey], [lower.key, greater.key])
      yield* assertJoined(mine, theirs)
      assert.strictEqual(yield* openConnections, 1)
      assert.deepStrictEqual([tagsOf(greater), tagsOf(lower)], [[], []])
    })))

  it.effect("I17 M15: the lower dials after 3 s, and the greater takes its call when it cannot reach the lower itself", () =>
    inNetwork(Effect.gen(function*() {
      const { greater, lower } = yield* pair()
      const fibers = yield* meetBoth(greater, lower, attempt, { ofLower: [] })
      yield* settle
      yield* TestClock.adjust(2_999)
      assert.strictEqual(yield* openConnections, 0)
      yield* TestClock.adjust(1)
      const [mine, theirs] = [yield* Fiber.join(fibers.greater), yield* Fiber.join(fibers.lower)]
      assert.deepStrictEqual([mine.roles, theirs.roles], [["accepted"], ["dialled"]])
      yield* assertJoined(mine, theirs)
    })))

  for (const dialler of ["greater", "lower"] as const) {
    it.effect(`M15: the ${dialler} tries all endpoints of the other until one leads to it`, () =>
      inNetwork(Effect.gen(function*() {
        const network = yield* MemoryNetwork
        const { greater, lower } = yield* pair()
        const silent = { host: "10.0.0.77", port: 1 }
        network.conditions(silent, { frozen: true })
        const wrong = [silent, { host: "10.0.0.66", port: 1 }]
        const fibers = yield* meetBoth(greater, lower, attempt, {
          ofLower: dialler === "greater" ? [...wrong, lower.endpoint] : wrong,
          ofGreater: dialler === "lower" ? [...wrong, greater.endpoint] : wrong
        })
        // The lower begins after 3 s, and one that does not answer is waited for a quarter of a second.
        for (let passed = 0; passed < 4_000; passed += 100) yield* TestClock.adjust(100)
        assert.strictEqual(fibers.greater.pollUnsafe()?._tag, "Success")
        const { roles } = yield* Fiber.join(fibers.greater)
        assert.deepStrictEqual(roles, [dialler === "greater" ? "dialled" : "accepted"])
        yield* Fiber.join(fibers.lower)
      })))
  }

  it.effect("I17: a lower identity that does not listen itself dials at once", () =>
    inNetwork(Effect.gen(function*() {
      const { greater, lower } = yield* pair({ lower: { listens: false } })
      const fibers = yield* meetBoth(greater, lower, attempt, { ofLower: [] })
      yield* TestClock.adjust(1)
      const [mine, theirs] = [yield* Fiber.join(fibers.greater), yield* Fiber.join(fibers.lower)]
      assert.deepStrictEqual([mine.roles, theirs.roles], [["accepted"], ["dialled"]])
    })))

  it.effect("M10: a call that comes before the announcing side has the answer waits for it", () =>
    inNetwork(Effect.gen(function*() {
      const { greater, lower } = yield* pair()
      const announced = { identityKey: greater.key, attempt, announcedBy: "us" as const }
      yield* lower.links.expect(announced)
      const theirs = yield* greater.links.meet({
        identityKey: lower.key,
        attempt,
        endpoints: [lower.endpoint],
        announcedBy: "peer"
      })
      begin(theirs)
      yield* TestClock.adjust(1_000)
      const ours = yield* lower.links.meet({ ...announced, endpoints: [] })
      yield* assertJoined(theirs, ours)
    })))

  it.effect("I08: the smaller number of streams counts, and stream i is stream i on both sides", () =>
    inNetwork(Effect.gen(function*() {
      for (const [index, [ours, theirs]] of [[4, 2], [2, 4], [8, 8], [1, 5]].entries()) {
        const { greater, lower } = yield* pair({
          greater: { machine: `10.1.${index}.1`, numbers: { parallelism: ours! } },
          lower: { machine: `10.1.${index}.2`, numbers: { parallelism: theirs! } }
        })
        const fibers = yield* meetBoth(greater, lower, attempt)
        yield* TestClock.adjust(1)
        const [mine, other] = [yield* Fiber.join(fibers.greater), yield* Fiber.join(fibers.lower)]
        assert.strictEqual(mine.streams.length, Math.min(ours!, theirs!))
        yield* assertJoined(mine, other)
        yield* Effect.all([greater.end, lower.end])
      }
    })))

  for (const parallelism of [17, 18, 64]) {
    it.effect(`I08: ${parallelism} streams, more handshakes than a listener takes from one address at a time`, () =>
      inNetwork(Effect.gen(function*() {
        const numbers = { parallelism }
        const { greater, lower } = yield* pair({ greater: { numbers }, lower: { numbers } })
        const fibers = yield* meetBoth(greater, lower, attempt)
        for (let passed = 0; fibers.greater.pollUnsafe() === undefined && passed < 5_000; passed += 10) {
          yield* TestClock.adjust(10)
        }
        yield* assertJoined(yield* Fiber.join(fibers.greater), yield* Fiber.join(fibers.lower))
      })))
  }

  it.effect("M15: when the lower's connection wins, it dials the other streams as well", () =>
    inNetwork(Effect.gen(function*() {
      const { greater, lower } = yield* pair({
        greater: { numbers: { parallelism: 3 } },
        lower: { numbers: { parallelism: 3 }, listens: false }
      })
      const fibers = yield* meetBoth(greater, lower, attempt, { ofLower: [] })
      yield* TestClock.adjust(3_000)
      const [mine, theirs] = [yield* Fiber.join(fibers.greater), yield* Fiber.join(fibers.lower)]
      assert.deepStrictEqual(theirs.roles, ["dialled", "dialled", "dialled"])
      yield* assertJoined(mine, theirs)
    })))

  it.effect("M11: the lower's link is given out when the greater begins to use it, and not before", () =>
    inNetwork(Effect.gen(function*() {
      const { greater, lower } = yield* pair()
      const theirs = yield* meet(lower, greater, attempt, "peer", [])
      const mine = yield* greater.links.meet({
        identityKey: lower.key,
        attempt,
        endpoints: [lower.endpoint],
        announcedBy: "us"
      })
      yield* TestClock.adjust(5_000)
      assert.isUndefined(theirs.pollUnsafe())
      begin(mine)
      yield* TestClock.adjust(1)
      yield* assertJoined(mine, yield* Fiber.join(theirs))
    })))

  it.effect("M11: the lower waits for the greater's first bytes also on the streams that it dialled itself", () =>
    inNetwork(Effect.gen(function*() {
      const numbers = { parallelism: 2 }
      const { greater, lower } = yield* pair({ greater: { numbers }, lower: { numbers, listens: false } })
      const theirs = yield* meet(lower, greater, attempt, "peer")
      const meeting = yield* meet(greater, lower, attempt, "us", [])
      yield* TestClock.adjust(3_000)
      const mine = yield* Fiber.join(meeting)
      mine.streams[0]!.write([Uint8Array.of(0xb0)])
      yield* TestClock.adjust(1_000)
      assert.isUndefined(theirs.pollUnsafe())
      mine.streams[1]!.write([Uint8Array.of(0xb1)])
      yield* TestClock.adjust(1)
      yield* assertJoined(mine, yield* Fiber.join(theirs))
    })))

  it.effect("M14: meeting twice for one attempt, or again for one that is over, is refused", () =>
    inNetwork(Effect.gen(function*() {
      const { greater, lower } = yield* pair()
      const fibers = yield* meetBoth(greater, lower, attempt)
      const again = { identityKey: lower.key, attempt, endpoints: [], announcedBy: "us" as const }
      const reasonOf = Effect.flip(greater.links.meet(again)).pipe(Effect.map(({ reason }) => reason._tag))
      assert.strictEqual(yield* reasonOf, "Replayed")
      yield* Fiber.join(fibers.lower)
      assert.strictEqual(yield* reasonOf, "Replayed")
      assert.strictEqual((yield* Effect.flip(greater.links.expect(again))).reason._tag, "Replayed")
      const late = { ...again, attempt: attemptOf(8) }
      yield* greater.links.expect(late)
      yield* TestClock.adjust(20_000)
      assert.strictEqual((yield* Effect.flip(greater.links.meet(late))).reason._tag, "Expired")
    })))

  it.effect("I23: our own key, and a key that cannot be used, are refused", () =>
    inNetwork(Effect.gen(function*() {
      const { greater } = yield* pair()
      const low = greater.key.slice().fill(0) as typeof greater.key
      for (const identityKey of [greater.key, low]) {
        const error = yield* Effect.flip(greater.links.expect({ identityKey, attempt, announcedBy: "us" }))
        assert.strictEqual(error.reason._tag, "HandshakeFailed")
      }
    })))
})
