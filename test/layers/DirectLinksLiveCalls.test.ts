/** Who is turned away by a listener, why, and that it disturbs nobody. Calls are made by hand, past `DirectLinks`. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { PublicKey, toHex } from "../../src/schema/Bytes.ts"
import { directRoles } from "../../src/schema/DirectPacket.ts"
import { MemoryNetwork } from "../../src/testing/MemoryNetwork.ts"
import {
  attemptOf,
  begin,
  callByHand,
  type DirectNode,
  helloOf,
  inNetwork,
  makeNode,
  meet,
  pair,
  secretOf,
  sharedKeys,
  tagsOf,
  watch
} from "../utils/directNodes.ts"

const attempt = attemptOf(7)
const other = attemptOf(8)

/** The lower waits for the greater's call; the calls of the test come from the greater's machine. */
const waiting = Effect.fnUntraced(function*() {
  const { greater, lower } = yield* pair()
  yield* lower.links.expect({ identityKey: greater.key, attempt, announcedBy: "peer" })
  const secret = secretOf(yield* sharedKeys(greater, lower), attempt, greater.key)
  return { greater, lower, secret }
})

/** The peer that was expected gets its link all the same. */
const stillMeets = Effect.fnUntraced(function*(greater: DirectNode, lower: DirectNode) {
  const theirs = yield* meet(lower, greater, attempt, "peer", [])
  const link = yield* greater.links.meet({
    identityKey: lower.key,
    attempt,
    endpoints: [lower.endpoint],
    announcedBy: "us"
  })
  begin(link)
  assert.deepStrictEqual(watch((yield* Fiber.join(theirs)).streams[0]!).bytes, [0xb0])
})

const peersOf = (node: DirectNode) => node.rejections.map(({ peer }) => peer)

describe("DirectLinksLive: callers", () => {
  it.effect("M12 M14: unexpected inbound: a stranger is not secured, told by its address, and disturbs nobody", () =>
    inNetwork(Effect.gen(function*() {
      const { greater, lower } = yield* waiting()
      for (const pskIdentity of ["A".repeat(43), "", "nonsense", `${"A".repeat(42)}B`]) {
        const error = yield* Effect.flip(callByHand(greater, lower, { pskIdentity, psk: new Uint8Array(32) }))
        assert.strictEqual(error.kind, "Denied")
      }
      assert.deepStrictEqual(tagsOf(lower), ["Unexpected", "Unexpected", "Unexpected", "Unexpected"])
      assert.isTrue(peersOf(lower).every((peer) => peer.startsWith("10.0.0.1:")))
      yield* stillMeets(greater, lower)
    })))

  it.effect("I23: right identity with wrong proof: another key gets a typed rejection, and no stream", () =>
    inNetwork(Effect.gen(function*() {
      const { greater, lower, secret } = yield* waiting()
      const error = yield* Effect.flip(callByHand(greater, lower, { ...secret, psk: new Uint8Array(32) }))
      assert.strictEqual(error.kind, "Denied")
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(tagsOf(lower), ["HandshakeFailed"])
      assert.isTrue(peersOf(lower)[0]!.startsWith("10.0.0.1:"))
      yield* stillMeets(greater, lower)
    })))

  /** One hello behind the right key, and how it is answered. */
  const badHellos: ReadonlyArray<
    readonly [what: string, tag: string, hello: (greater: DirectNode, lower: DirectNode) => Uint8Array]
  > = [
    ["another identity", "HandshakeFailed", (_, lower) => helloOf(lower, attempt)],
    ["another attempt", "HandshakeFailed", (greater) => helloOf(greater, other)],
    [
      "a role that was not announced",
      "WrongDirection",
      (greater) => helloOf(greater, attempt, { role: directRoles.listener })
    ],
    [
      "the role of static groups",
      "WrongDirection",
      (greater) => helloOf(greater, attempt, { role: directRoles.nobody })
    ],
    ["a stream out of range", "HandshakeFailed", (greater) => helloOf(greater, attempt, { streamId: 1, streams: 4 })],
    ["bytes that are no hello", "HandshakeFailed", (greater) => helloOf(greater, attempt).fill(0xff)]
  ]
  for (const [what, tag, hello] of badHellos) {
    it.effect(`I18 I23 M14: right key with wrong proof: a hello with ${what} is ${tag} and closed`, () =>
      inNetwork(Effect.gen(function*() {
        const { greater, lower, secret } = yield* waiting()
        const { seen } = yield* callByHand(greater, lower, secret, hello(greater, lower))
        yield* TestClock.adjust(1)
        assert.deepStrictEqual([tagsOf(lower), peersOf(lower)[0]?.startsWith("10.") === false], [
          [tag],
          what !== "bytes that are no hello"
        ])
        assert.deepStrictEqual(seen.bytes, [])
        assert.isDefined(seen.closed)
        yield* stillMeets(greater, lower)
      })))
  }

  it.effect("I18 M14: the first stream comes first, and none is beyond the agreed number", () =>
    inNetwork(Effect.gen(function*() {
      const { greater, lower } = yield* pair({ lower: { numbers: { parallelism: 4 } } })
      yield* lower.links.expect({ identityKey: greater.key, attempt, announcedBy: "peer" })
      const secret = secretOf(yield* sharedKeys(greater, lower), attempt, greater.key)
      yield* callByHand(greater, lower, secret, helloOf(greater, attempt, { streamId: 1, streams: 4 }))
      assert.deepStrictEqual(tagsOf(lower), ["HandshakeFailed"])
      // Behind the first one it is taken.
      const first = yield* callByHand(greater, lower, secret, helloOf(greater, attempt, { streamId: 0, streams: 4 }))
      const second = yield* callByHand(greater, lower, secret, helloOf(greater, attempt, { streamId: 1, streams: 4 }))
      assert.deepStrictEqual([first.seen.bytes, second.seen.bytes], [[2, 0, 4], [2, 1, 4]])
      // One more than either side wants.
      for (const streams of [3, 64]) {
        const streamId = Math.min(streams, 4)
        const beyond = yield* callByHand(greater, lower, secret, helloOf(greater, attempt, { streamId, streams }))
        assert.deepStrictEqual(beyond.seen.bytes, [])
      }
      assert.deepStrictEqual(tagsOf(lower), ["HandshakeFailed", "HandshakeFailed", "HandshakeFailed"])
    })))

  it.effect("M13 I23: whoever says nothing behind the key is closed at the deadline, and blocks nobody", () =>
    inNetwork(Effect.gen(function*() {
      const { greater, lower, secret } = yield* waiting()
      const silent = yield* callByHand(greater, lower, secret)
      const half = yield* callByHand(greater, lower, secret, helloOf(greater, attempt).subarray(0, 51))
      yield* stillMeets(greater, lower)
      yield* TestClock.adjust(4_900)
      assert.deepStrictEqual([silent.seen.closed, half.seen.closed], [undefined, undefined])
      yield* TestClock.adjust(200)
      assert.deepStrictEqual(tagsOf(lower), ["HandshakeFailed", "HandshakeFailed"])
      assert.isTrue([silent, half].every(({ seen }) => seen.closed !== undefined))
    })))

  it.effect("I23: an expected peer cannot fill the memory with streams that say nothing: those beyond the limit are closed", () =>
    inNetwork(Effect.gen(function*() {
      const { greater, lower } = yield* pair({ lower: { numbers: { maxPendingHandshakes: 5 } } })
      yield* lower.links.expect({ identityKey: greater.key, attempt, announcedBy: "peer" })
      const secret = secretOf(yield* sharedKeys(greater, lower), attempt, greater.key)
      const silent = []
      for (let call = 0; call < 8; call++) silent.push(yield* callByHand(greater, lower, secret))
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(silent.map(({ seen }) => seen.closed === undefined), [
        ...[true, true, true, true, true],
        ...[false, false, false]
      ])
      assert.deepStrictEqual(tagsOf(lower), ["HandshakeFailed", "HandshakeFailed", "HandshakeFailed"])
      // Those that leave make room.
      silent[0]!.stream.destroy()
      yield* TestClock.adjust(1)
      yield* stillMeets(greater, lower)
    })))

  it.effect("M14: expected but late: the call is Expired, also when the hello is what comes too late", () =>
    inNetwork(Effect.gen(function*() {
      const { greater, lower, secret } = yield* waiting()
      yield* TestClock.adjust(19_000)
      const slow = yield* callByHand(greater, lower, secret)
      yield* TestClock.adjust(1_000)
      slow.stream.write([helloOf(greater, attempt)])
      yield* TestClock.adjust(1)
      assert.isDefined(slow.seen.closed)
      yield* Effect.flip(callByHand(greater, lower, secret, helloOf(greater, attempt)))
      assert.deepStrictEqual(tagsOf(lower), ["Expired", "Expired"])
      assert.deepStrictEqual(peersOf(lower), [toHex(greater.key), toHex(greater.key)])
    })))

  it.effect("M11: a call that was taken, but that nobody meets in time, is closed with its announcement", () =>
    inNetwork(Effect.gen(function*() {
      const { greater, lower, secret } = yield* waiting()
      const { seen } = yield* callByHand(greater, lower, secret, helloOf(greater, attempt))
      assert.deepStrictEqual(seen.bytes, [2, 0, 1])
      yield* TestClock.adjust(19_900)
      assert.isUndefined(seen.closed)
      yield* TestClock.adjust(100)
      assert.isDefined(seen.closed)
      assert.strictEqual((yield* MemoryNetwork).connections().length, 0)
    })))

  it.effect("M14: two inbounds for one expectation: one of them becomes the stream, later ones are Replayed", () =>
    inNetwork(Effect.gen(function*() {
      const { greater, lower, secret } = yield* waiting()
      const theirs = yield* meet(lower, greater, attempt, "peer", [])
      const calls = [
        yield* callByHand(greater, lower, secret, helloOf(greater, attempt)),
        yield* callByHand(greater, lower, secret, helloOf(greater, attempt))
      ]
      // Its key was taken while it was expected, its hello comes later.
      const late = yield* callByHand(greater, lower, secret)
      calls[1]!.stream.write([Uint8Array.of(5)])
      yield* TestClock.adjust(1)
      const link = yield* Fiber.join(theirs)
      assert.deepStrictEqual([link.streams.length, watch(link.streams[0]!).bytes], [1, [5]])
      assert.isDefined(calls[0]!.seen.closed)
      assert.isUndefined(calls[1]!.seen.closed)
      late.stream.write([helloOf(greater, attempt)])
      yield* TestClock.adjust(1)
      assert.isDefined(late.seen.closed)
      yield* Effect.flip(callByHand(greater, lower, secret, helloOf(greater, attempt)))
      assert.deepStrictEqual(tagsOf(lower), ["Replayed", "Replayed"])
      assert.isUndefined(calls[1]!.seen.closed)
    })))

  it.effect("M14: each attempt serves each stream id once, also while other streams are still awaited", () =>
    inNetwork(Effect.gen(function*() {
      const { greater, lower } = yield* pair({ lower: { numbers: { parallelism: 2 } } })
      yield* lower.links.expect({ identityKey: greater.key, attempt, announcedBy: "peer" })
      const secret = secretOf(yield* sharedKeys(greater, lower), attempt, greater.key)
      const first = yield* callByHand(greater, lower, secret, helloOf(greater, attempt, { streams: 2 }))
      first.stream.write([Uint8Array.of(1)])
      yield* TestClock.adjust(1)
      const again = yield* callByHand(greater, lower, secret, helloOf(greater, attempt, { streams: 2 }))
      assert.isDefined(again.seen.closed)
      assert.deepStrictEqual([tagsOf(lower), first.seen.closed], [["Replayed"], undefined])
    })))

  it.effect("M15: when a stream breaks before the others are made, the attempt ends at once, and all of it", () =>
    inNetwork(Effect.gen(function*() {
      const { greater, lower } = yield* pair({ lower: { numbers: { parallelism: 3 } } })
      const meeting = yield* lower.links.meet({
        identityKey: greater.key,
        attempt,
        endpoints: [],
        announcedBy: "peer"
      }).pipe(Effect.flip, Effect.forkScoped({ startImmediately: true }))
      const secret = secretOf(yield* sharedKeys(greater, lower), attempt, greater.key)
      const first = yield* callByHand(greater, lower, secret, helloOf(greater, attempt, { streams: 3 }))
      const second = yield* callByHand(greater, lower, secret, helloOf(greater, attempt, { streamId: 1, streams: 3 }))
      first.stream.write([Uint8Array.of(1)])
      yield* TestClock.adjust(1)
      first.stream.destroy()
      yield* TestClock.adjust(1)
      assert.strictEqual(meeting.pollUnsafe()?._tag, "Success")
      assert.strictEqual((yield* Fiber.join(meeting)).reason._tag, "NotReached")
      assert.isDefined(second.seen.closed)
    })))

  it.effect("M06 M14: our own call, sent back to us, is in the wrong direction", () =>
    inNetwork(Effect.gen(function*() {
      const { greater, lower } = yield* waiting()
      const ours = secretOf(yield* sharedKeys(greater, lower), attempt, lower.key)
      yield* Effect.flip(callByHand(greater, lower, ours))
      assert.deepStrictEqual(tagsOf(lower), ["WrongDirection"])
      yield* stillMeets(greater, lower)
    })))

  it.effect("M07: flood of expectations: the peer that floods pushes out its own, and is refused where it has none", () =>
    inNetwork(Effect.gen(function*() {
      const { greater, lower } = yield* pair({ lower: { numbers: { maxExpectations: 3, maxExpectationsPerPeer: 2 } } })
      const third = yield* makeNode({ machine: "10.0.0.3", seed: 13, keys: greater.keys })
      yield* lower.links.expect({ identityKey: greater.key, attempt, announcedBy: "peer" })
      const flooder = third.keys.dht.publicKey
      const announce = (n: number) =>
        lower.links.expect({ identityKey: flooder, attempt: attemptOf(100 + n), announcedBy: "peer" })
      for (let n = 0; n < 50; n++) yield* announce(n)
      yield* lower.links.expect({ identityKey: lower.keys.dht.publicKey, attempt, announcedBy: "peer" }).pipe(
        Effect.flip,
        Effect.map(({ reason }) => assert.strictEqual(reason._tag, "TooManyExpected"))
      )
      yield* stillMeets(greater, lower)
    })))

  it.effect("M07: flood of expectations: 4 of each peer and 1,024 in all, unless the settings say otherwise", () =>
    inNetwork(Effect.gen(function*() {
      const { greater, lower } = yield* pair()
      const peerOf = (n: number) => PublicKey.make(new Uint8Array(32).fill(n, 0, 1).fill(n >> 8, 1, 2).fill(9, 2, 31))
      const announce = (peer: PublicKey, n: number) =>
        lower.links.expect({ identityKey: peer, attempt: attemptOf(n), announcedBy: "peer" })
      yield* lower.links.expect({ identityKey: greater.key, attempt, announcedBy: "peer" })
      for (let peer = 0; peer < 255; peer++) for (let n = 0; n < 6; n++) yield* announce(peerOf(peer), n)
      for (let peer = 255; peer < 258; peer++) yield* announce(peerOf(peer), 0)
      const error = yield* Effect.flip(announce(peerOf(258), 0))
      assert.strictEqual(error.reason._tag, "TooManyExpected")
      yield* stillMeets(greater, lower)
    })))

  it.effect("M14: a reader of rejections that falls behind misses the oldest, and holds up nobody", () =>
    inNetwork(Effect.gen(function*() {
      const { greater, lower } = yield* waiting()
      const reading = Latch.makeUnsafe(true)
      const read: Array<string> = []
      yield* lower.links.rejections.pipe(
        Stream.runForEach(({ reason }) => Effect.andThen(reading.await, Effect.sync(() => read.push(reason._tag)))),
        Effect.forkScoped({ startImmediately: true })
      )
      const turnAway = (pskIdentity: string) =>
        Effect.flip(callByHand(greater, lower, { pskIdentity, psk: new Uint8Array(32) }))
      yield* turnAway("first")
      assert.strictEqual(read.length, 1)
      reading.closeUnsafe()
      for (let call = 0; call < 600; call++) yield* turnAway(`call ${call}`)
      const { pskIdentity } = secretOf(yield* sharedKeys(greater, lower), attempt, lower.key)
      yield* turnAway(pskIdentity)
      assert.strictEqual(tagsOf(lower).length, 602)
      reading.openUnsafe()
      yield* TestClock.adjust(1)
      // The first, what it had in its hands when it stopped, and the newest.
      assert.isAtLeast(read.length, 257)
      assert.isAtMost(read.length, 259)
      assert.strictEqual(read.at(-1), "WrongDirection")
      assert.deepStrictEqual(yield* lower.links.rejected, {
        Unexpected: 601,
        Expired: 0,
        Replayed: 0,
        WrongDirection: 1,
        HandshakeFailed: 0
      })
      yield* stillMeets(greater, lower)
    })))
})
