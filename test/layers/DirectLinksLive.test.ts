import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as FastCheck from "fast-check"
import type { DirectLink } from "../../src/services/DirectLinks.ts"
import { MemoryNetwork } from "../../src/testing/MemoryNetwork.ts"
import * as Resources from "../../src/testing/simulation/Resources.ts"
import {
  begin,
  callByHand,
  type DirectNode,
  inNetwork,
  meetBoth,
  pair,
  secretOf,
  settle,
  sharedKeys,
  tagsOf,
  watch
} from "../utils/directNodes.ts"

const attempt = new Uint8Array(16).fill(7)
const other = new Uint8Array(16).fill(8)
const openConnections = Effect.map(MemoryNetwork, (network) => network.connections().length)

/** Both have the same streams: what one writes on a stream comes out at the other's stream of the same number, both ways. */
const assertJoined = Effect.fnUntraced(function*(greater: DirectLink, lower: DirectLink) {
  assert.strictEqual(greater.streams.length, lower.streams.length)
  const [atGreater, atLower] = [greater.streams.map(watch), lower.streams.map(watch)]
  for (const [index, stream] of lower.streams.entries()) stream.write([Uint8Array.of(index)])
  for (const [index, stream] of greater.streams.entries()) stream.write([Uint8Array.of(index)])
  yield* TestClock.adjust(2_000)
  for (const index of greater.streams.keys()) {
    assert.deepStrictEqual(atGreater[index]!.bytes, [index])
    assert.deepStrictEqual(atLower[index]!.bytes, [0xb0 + index, index])
    assert.deepStrictEqual([atGreater[index]!.closed, atLower[index]!.closed], [undefined, undefined])
    assert.notStrictEqual(greater.roles[index], lower.roles[index])
  }
})

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
      const theirs = yield* lower.links.meet({
        identityKey: greater.key,
        attempt,
        endpoints: [],
        announcedBy: "peer"
      }).pipe(Effect.forkScoped({ startImmediately: true }))
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
      const theirs = yield* lower.links.meet({
        identityKey: greater.key,
        attempt,
        endpoints: [greater.endpoint],
        announcedBy: "peer"
      }).pipe(Effect.forkScoped({ startImmediately: true }))
      const meeting = yield* greater.links.meet({ identityKey: lower.key, attempt, endpoints: [], announcedBy: "us" })
        .pipe(Effect.forkScoped({ startImmediately: true }))
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
      const late = { ...again, attempt: new Uint8Array(16).fill(8) }
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

describe("DirectLinksLive: both dial at once", () => {
  /** How long a piece takes from each machine to the other, and when the lower dials. */
  const timing = FastCheck.record({
    toLower: FastCheck.nat(400),
    toGreater: FastCheck.nat(400),
    jitter: FastCheck.nat(300),
    delay: FastCheck.nat(900),
    late: FastCheck.nat(500),
    streams: FastCheck.integer({ min: 1, max: 3 })
  })

  const meetings = FastCheck.sample(timing, { numRuns: 150, seed: 4 })
  it.effect("M15: whatever the delays, exactly one connection a stream survives, the same on both sides", () =>
    Effect.gen(function*() {
      const winners = new Set<string>()
      for (const { delay, jitter, late, streams, toGreater, toLower } of meetings) {
        yield* inNetwork(Effect.gen(function*() {
          const numbers = { parallelism: streams, lowerDialDelay: delay }
          const { greater, lower } = yield* pair({ greater: { numbers }, lower: { numbers } })
          const network = yield* MemoryNetwork
          network.conditions(lower.endpoint, { latency: toLower, jitter })
          network.conditions(greater.endpoint, { latency: toGreater, jitter })
          yield* Effect.all([expectBoth(greater, lower)])
          const theirs = yield* lower.links.meet({
            identityKey: greater.key,
            attempt,
            endpoints: [greater.endpoint],
            announcedBy: "peer"
          }).pipe(Effect.forkScoped({ startImmediately: true }))
          yield* TestClock.adjust(late)
          const mine = yield* greater.links.meet({
            identityKey: lower.key,
            attempt,
            endpoints: [lower.endpoint],
            announcedBy: "us"
          }).pipe(
            Effect.tap((link) => Effect.sync(() => begin(link))),
            Effect.forkScoped({ startImmediately: true })
          )
          yield* TestClock.adjust(9_000)
          const [one, other] = [yield* Fiber.join(mine), yield* Fiber.join(theirs)]
          winners.add(one.roles.join())
          assert.strictEqual(one.streams.length, streams)
          yield* assertJoined(one, other)
          assert.strictEqual(network.connections().length, streams)
        }))
      }
      assert.includeMembers([...winners], ["dialled", "accepted"])
    }))
})

const expectBoth = Effect.fnUntraced(function*(greater: DirectNode, lower: DirectNode) {
  yield* greater.links.expect({ identityKey: lower.key, attempt, announcedBy: "us" })
  yield* lower.links.expect({ identityKey: greater.key, attempt, announcedBy: "peer" })
})

describe("DirectLinksLive: endings", () => {
  it.effect("closing the scope of a link closes its streams on both sides, behind what was written", () =>
    inNetwork(Effect.gen(function*() {
      const two = { numbers: { parallelism: 2 } }
      const { greater, lower } = yield* pair({ greater: two, lower: two })
      for (const [index, side] of (["greater", "lower"] as const).entries()) {
        const scopes = { greater: yield* Scope.make(), lower: yield* Scope.make() }
        const each = new Uint8Array(16).fill(index)
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
      const other = { ...late, attempt: new Uint8Array(16).fill(3), endpoints: [lower.endpoint] }
      assert.strictEqual((yield* Effect.flip(greater.links.meet(other))).reason._tag, "NotReached")
      const dialled = greater.links.dial(lower.key, [lower.endpoint])
      assert.strictEqual((yield* Effect.flip(dialled)).reason._tag, "NotReached")
      assert.deepStrictEqual(tagsOf(lower), [])
      yield* lower.end
      assert.strictEqual((yield* Fiber.join(accepting)).reason._tag, "NotReached")
      assert.strictEqual(network.listeners().length, 0)
    })))
})
