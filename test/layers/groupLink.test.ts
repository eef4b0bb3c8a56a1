/** The beginning of a group's link, spoken by hand. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { GroupLink } from "../../src/layers/groupLink.ts"
import { GroupStream } from "../../src/layers/groupStream.ts"
import * as WaitUntil from "../../src/layers/waitUntil.ts"
import { LinkControl, LinkHello, linkVersion } from "../../src/schema/LinkControl.ts"
import type { DirectStream } from "../../src/services/DirectTransport.ts"
import { FakeGroup, keyOf, streamPair } from "../utils/FakeGroup.ts"
import { member } from "../utils/groupWorld.ts"
import { forkNow, rest } from "../utils/sessionSteps.ts"

const instance = (fill: number): Uint8Array => new Uint8Array(16).fill(fill)
const helloOf = (fill: number, version = linkVersion): Uint8Array =>
  LinkControl.encode(LinkHello.make({ version, instanceId: instance(fill) }))

const record = (stream: DirectStream) => {
  const seen = { bytes: [] as Array<number>, closed: 0 }
  stream.handle({
    onBytes: (bytes) => seen.bytes.push(...bytes),
    onWritable: () => undefined,
    onClosed: () => seen.closed++
  })
  return seen
}

describe("a stream of a group", () => {
  it.effect("says hello at once, takes the peer's in any pieces, and gives what follows to whoever comes", () =>
    Effect.gen(function*() {
      for (const size of [1, 7, 19, 20, 21, 64]) {
        const [near, far] = streamPair()
        const stream = new GroupStream(near, instance(1), WaitUntil.make())
        assert.deepStrictEqual(near.written, [helloOf(1)])
        const all = Uint8Array.from([...helloOf(2), 9, 8, 7])
        for (let at = 0; at < all.length; at += size) far.write([all.subarray(at, at + size)])
        yield* rest
        assert.deepStrictEqual(stream.peerInstance, instance(2))
        const seen = record(stream)
        yield* rest
        assert.deepStrictEqual(seen.bytes, [9, 8, 7])
      }
    }))

  it.effect("takes a hello of a later version", () =>
    Effect.gen(function*() {
      const [near, far] = streamPair()
      const stream = new GroupStream(near, instance(1), WaitUntil.make())
      far.write([helloOf(2, linkVersion + 1)])
      yield* rest
      assert.deepStrictEqual(stream.peerInstance, instance(2))
    }))

  it.effect("tells whoever comes after its end of that end, once", () =>
    Effect.gen(function*() {
      const [near, far] = streamPair()
      const stream = new GroupStream(near, instance(1), WaitUntil.make())
      far.write([helloOf(2)])
      yield* rest
      far.kill()
      const seen = record(stream)
      yield* rest
      assert.strictEqual(seen.closed, 1)
    }))
})

describe("a link of a group", () => {
  it.effect.each([{ fills: [2, 2], agrees: true }, { fills: [2, 3], agrees: false }])(
    "whose streams name the processes $fills is a link to one process: $agrees",
    ({ agrees, fills }) =>
      Effect.gen(function*() {
        const pairs = fills.map(() => streamPair())
        const link = { identityKey: keyOf(2), streams: pairs.map(([near]) => near), roles: [] }
        const greeting = yield* forkNow(new GroupLink(link, instance(1)).greeting)
        pairs[1]![1].write([helloOf(fills[1]!)])
        yield* rest
        assert.isUndefined(greeting.pollUnsafe())
        pairs[0]![1].write([helloOf(fills[0]!)])
        yield* rest
        const exit = greeting.pollUnsafe()
        assert.deepStrictEqual(exit?._tag === "Success" ? exit.value : exit, agrees ? instance(2) : undefined)
      })
  )

  it.effect("on which the peer says hello and never begins is given up after the hello's time", () =>
    Effect.gen(function*() {
      const network = new FakeGroup()
      const one = yield* member(network, 1)
      yield* one.include(2)
      const { streams } = yield* network.of(2, 1).dial(keyOf(1), [])
      yield* rest
      streams[0]!.write([helloOf(2)])
      yield* TestClock.adjust("4900 millis")
      assert.strictEqual(network.open.length, 1)
      yield* TestClock.adjust("200 millis")
      yield* rest
      assert.strictEqual(network.open.length, 0)
    }))
})
