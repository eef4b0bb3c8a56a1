import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { MemoryNetwork } from "../../src/testing/MemoryNetwork.ts"
import * as Resources from "../../src/testing/simulation/Resources.ts"
import {
  attemptOf,
  begin,
  callByHand,
  type DirectNode,
  inNetwork,
  meetBoth,
  openConnections,
  pair,
  secretOf,
  settle,
  sharedKeys,
  tagsOf,
  watch
} from "../utils/directNodes.ts"

const attempt = attemptOf(7)
const other = attemptOf(8)

describe("DirectLinksLive: endings", () => {
  it.effect("closing the scope of a link closes its streams on both sides, behind what was written", () =>
    inNetwork(Effect.gen(function*() {
      const two = { numbers: { parallelism: 2 } }
      const { greater, lower } = yield* pair({ greater: two, lower: two })
      for (const [index, side] of (["greater", "lower"] as const).entries()) {
        const scopes = { greater: yield* Scope.make(), lower: yield* Scope.make() }
        const each = attemptOf(index)
        const announced = { attempt: each, announcedBy: "us" as const }
        const theirs = yield* lower.links.meet({
          ...announced,
          announcedBy: "peer",
          identityKey: greater.key,
          endpoints: []
        }).pipe(Scope.provide(scopes.lower), Effect.forkChild({ startImmediately: true }))
        const mine = yield* greater.links.meet({ ...announced, identityKey: lower.key, endpoints: [lower.endpoint] })
          .pipe(Scope.provide(scopes.greater))
        begin(mine)
        const links = { greater: mine, lower: yield* Fiber.join(theirs) }
        const far = links[side === "greater" ? "lower" : "greater"].streams.map(watch)
        const near = links[side].streams.map(watch)
        for (const stream of links[side].streams) stream.write([Uint8Array.of(9)])
        yield* Scope.close(scopes[side], Exit.void)
        yield* TestClock.adjust(1)
        assert.deepStrictEqual(far.map(({ bytes, closed }) => [bytes.at(-1), closed]), [[9, "Ended"], [9, "Ended"]])
        assert.isTrue(near.every(({ closed }) => closed !== undefined))
        yield* TestClock.adjust(2_000)
        assert.strictEqual(yield* openConnections, 0)
      }
    })))

  it.effect("a stream that its user destroys is over on both sides, and its link can be left", () =>
    inNetwork(Effect.gen(function*() {
      const { greater, lower } = yield* pair()
      const fibers = yield* meetBoth(greater, lower, attempt)
      const [mine, theirs] = [yield* Fiber.join(fibers.greater), yield* Fiber.join(fibers.lower)]
      const seen = [watch(mine.streams[0]!), watch(theirs.streams[0]!)]
      // Held streams as well: nothing of them is left to wait for.
      theirs.streams[0]!.hold(true)
      theirs.streams[0]!.destroy()
      yield* TestClock.adjust(2_000)
      assert.isTrue(seen.every(({ closed }) => closed !== undefined))
      assert.strictEqual(yield* openConnections, 0)
    })))

  it.effect("an attempt that reaches nobody says of each endpoint why, and leaves nothing behind", () =>
    inNetwork(Effect.gen(function*() {
      const { greater, lower } = yield* pair()
      const network = yield* MemoryNetwork
      const silent = { host: "10.0.0.77", port: 1 }
      network.conditions(silent, { frozen: true })
      const attempted = yield* Effect.scoped(greater.links.meet({
        identityKey: lower.key,
        attempt,
        endpoints: [{ host: "10.0.0.66", port: 1 }, silent],
        announcedBy: "us"
      })).pipe(Effect.flip, Effect.forkScoped({ startImmediately: true }))
      yield* settle
      yield* TestClock.adjust(9_999)
      assert.isUndefined(attempted.pollUnsafe())
      yield* TestClock.adjust(1)
      const error = yield* Fiber.join(attempted)
      assert.strictEqual(error.reason._tag, "NotReached")
      assert.include(error.message, "10.0.0.66:1 Refused")
      assert.include(error.message, "10.0.0.77:1 did not answer within 5000 ms")
      assert.include(error.message, "no connection within 10000 ms")
      assert.strictEqual(yield* openConnections, 0)
    })))

  it.effect("hostile endpoint lists: nothing is dialled that the rules refuse, and the application's own endpoints are", () =>
    inNetwork(Effect.gen(function*() {
      const { greater, lower } = yield* pair({ lower: { numbers: { allowPrivate: false } } })
      const at = (host: string, port = 1) => ({ host, port })
      const hostile = [
        "127.0.0.1",
        "127.8.9.1",
        "::1",
        "::ffff:127.0.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "ff02::1",
        "10.0.0.66"
      ].map((host) => at(host))
      const dialled = Effect.fnUntraced(function*(
        node: DirectNode,
        peer: DirectNode,
        endpoints: ReadonlyArray<{ host: string; port: number }>,
        known: ReadonlyArray<{ host: string; port: number }>
      ) {
        const meeting = yield* node.links.meet({
          identityKey: peer.key,
          attempt,
          endpoints,
          known,
          announcedBy: "us"
        }).pipe(Effect.flip, Effect.forkScoped({ startImmediately: true }))
        yield* TestClock.adjust(60_000)
        return Array.from((yield* Fiber.join(meeting)).message.matchAll(/(\S+:\d+) Refused/g), ([, where]) => where)
      })
      assert.deepStrictEqual(
        yield* dialled(lower, greater, [...hostile, at("93.184.216.34", 0), at("93.184.216.34")], [at("10.0.0.67")]),
        ["10.0.0.67:1", "93.184.216.34:1"]
      )
      // Private addresses are allowed here, our own listener is not.
      const { host, port } = greater.endpoint
      assert.deepStrictEqual(
        yield* dialled(greater, lower, [at(host, port), at(`::ffff:${host}`, port), at("10.0.0.66")], []),
        ["10.0.0.66:1"]
      )
      assert.deepStrictEqual([tagsOf(greater), tagsOf(lower)], [[], []])
    })))

  it.effect("an attempt with a patience of its own says no later what became of each endpoint", () =>
    inNetwork(Effect.gen(function*() {
      const { greater, lower } = yield* pair()
      const attempted = yield* Effect.scoped(greater.links.meet({
        identityKey: lower.key,
        attempt,
        endpoints: [{ host: "10.0.0.66", port: 1 }],
        announcedBy: "us",
        patience: 2_000
      })).pipe(Effect.flip, Effect.forkScoped({ startImmediately: true }))
      yield* settle
      yield* TestClock.adjust(1_999)
      assert.isUndefined(attempted.pollUnsafe())
      yield* TestClock.adjust(1)
      const { message } = yield* Fiber.join(attempted)
      assert.include(message, "10.0.0.66:1 Refused")
      assert.include(message, "no connection within 2000 ms")
      assert.strictEqual(yield* openConnections, 0)
    })))

  it.effect("an attempt that nobody can call any more fails as soon as the last dial has", () =>
    inNetwork(Effect.gen(function*() {
      const { greater, lower } = yield* pair({ greater: { listens: false } })
      const error = yield* Effect.flip(greater.links.meet({
        identityKey: lower.key,
        attempt,
        endpoints: [{ host: "10.0.0.66", port: 1 }],
        announcedBy: "us"
      }))
      assert.include(error.message, "10.0.0.66:1 Refused")
    })))

  it.effect("M11: a link that is made is expected no more: it takes no place, and its attempt is Replayed from then on", () =>
    inNetwork(Effect.gen(function*() {
      const numbers = { maxExpectations: 1, maxExpectationsPerPeer: 1 }
      const { greater, lower } = yield* pair({ greater: { numbers }, lower: { numbers } })
      const scope = yield* Scope.make()
      const fibers = yield* Scope.provide(meetBoth(greater, lower, attempt), scope)
      yield* Fiber.join(fibers.greater)
      yield* Fiber.join(fibers.lower)
      for (const [node, peer] of [[greater, lower], [lower, greater]] as const) {
        yield* node.links.expect({ identityKey: peer.key, attempt: other, announcedBy: "peer" })
      }
      yield* Scope.close(scope, Exit.void)
      for (const [node, peer] of [[greater, lower], [lower, greater]] as const) {
        for (const announcedBy of ["us", "peer"] as const) {
          const again = node.links.expect({ identityKey: peer.key, attempt, announcedBy })
          assert.strictEqual((yield* Effect.flip(again)).reason._tag, "Replayed")
        }
      }
    })))

  it.effect("M11: a meeting lasts no longer than its announcement", () =>
    inNetwork(Effect.gen(function*() {
      const { greater, lower } = yield* pair()
      const announced = { identityKey: lower.key, attempt, announcedBy: "us" as const }
      yield* greater.links.expect(announced)
      yield* TestClock.adjust(15_000)
      const meeting = yield* Effect.flip(greater.links.meet({ ...announced, endpoints: [] })).pipe(
        Effect.forkScoped({ startImmediately: true })
      )
      yield* settle
      yield* TestClock.adjust(4_999)
      assert.isUndefined(meeting.pollUnsafe())
      yield* TestClock.adjust(1)
      assert.strictEqual((yield* Fiber.join(meeting)).reason._tag, "NotReached")
    })))

  it.effect("M15: interrupting both sides at any moment of a meeting leaves no connection, no fiber and no timer behind", () =>
    inNetwork(Effect.gen(function*() {
      const numbers = { parallelism: 2, lowerDialDelay: 30 }
      const { greater, lower } = yield* pair({ greater: { numbers }, lower: { numbers } })
      const network = yield* MemoryNetwork
      const resources = yield* Resources.Resources
      network.conditions(lower.endpoint, { latency: 50 })
      network.conditions(greater.endpoint, { latency: 40 })
      yield* settle
      const before = [resources.fibers(), resources.sleeps()]
      for (let after = 0; after < 700; after += 17) {
        const scope = yield* Scope.make()
        const each = new Uint8Array(16).fill(after).fill(after >> 8, 1)
        const fibers = yield* Scope.provide(meetBoth(greater, lower, each), scope)
        yield* TestClock.adjust(after)
        const [first, second] = after % 2 === 0 ? [fibers.greater, fibers.lower] : [fibers.lower, fibers.greater]
        yield* Fiber.interrupt(first)
        yield* TestClock.adjust(after % 40)
        yield* Fiber.interrupt(second)
        // Where they have met already there are links to close.
        yield* Scope.close(scope, Exit.void).pipe(Effect.forkScoped({ startImmediately: true }))
        yield* TestClock.adjust(25_000)
        assert.strictEqual(yield* openConnections, 0, `${after}`)
        assert.deepStrictEqual([resources.fibers(), resources.sleeps()], before, `${after}`)
      }
      assert.deepStrictEqual(resources.errors, [])
    })).pipe(Effect.provide(Resources.layer)))

  it.effect("interrupting a meeting leaves nothing behind: no connection, no expectation", () =>
    inNetwork(Effect.gen(function*() {
      const { greater, lower } = yield* pair()
      const network = yield* MemoryNetwork
      network.conditions(lower.endpoint, { frozen: true })
      const fibers = yield* meetBoth(greater, lower, attempt)
      yield* TestClock.adjust(100)
      yield* Fiber.interrupt(fibers.greater)
      yield* Fiber.interrupt(fibers.lower)
      network.conditions(lower.endpoint, { frozen: false })
      yield* TestClock.adjust(5_000)
      assert.strictEqual(yield* openConnections, 0)
      const secret = secretOf(yield* sharedKeys(greater, lower), attempt, lower.key)
      yield* Effect.flip(callByHand(lower, greater, secret))
      assert.deepStrictEqual(tagsOf(greater), ["Expired"])
    })))

  it.effect("M05: a node that has ended has no connections, listens no more, and starts nothing", () =>
    inNetwork(Effect.gen(function*() {
      const { greater, lower } = yield* pair()
      const network = yield* MemoryNetwork
      const fibers = yield* meetBoth(greater, lower, attempt)
      const mine = watch((yield* Fiber.join(fibers.greater)).streams[0]!)
      yield* Fiber.join(fibers.lower)
      const late = { identityKey: lower.key, attempt: new Uint8Array(16), endpoints: [], announcedBy: "us" as const }
      const waiting = yield* Effect.flip(greater.links.meet(late)).pipe(Effect.forkScoped({ startImmediately: true }))
      const accepting = yield* Effect.flip(lower.links.accept(greater.key)).pipe(
        Effect.forkScoped({ startImmediately: true })
      )
      yield* greater.end
      assert.strictEqual((yield* Fiber.join(waiting)).reason._tag, "NotReached")
      yield* TestClock.adjust(2_000)
      assert.isDefined(mine.closed)
      assert.deepStrictEqual([network.connections().length, network.listeners().length], [0, 1])
      const other = { ...late, attempt: attemptOf(3), endpoints: [lower.endpoint] }
      assert.strictEqual((yield* Effect.flip(greater.links.meet(other))).reason._tag, "NotReached")
      const dialled = greater.links.dial(lower.key, [lower.endpoint])
      assert.strictEqual((yield* Effect.flip(dialled)).reason._tag, "NotReached")
      assert.deepStrictEqual(tagsOf(lower), [])
      yield* lower.end
      assert.strictEqual((yield* Fiber.join(accepting)).reason._tag, "NotReached")
      assert.strictEqual(network.listeners().length, 0)
    })))
})
