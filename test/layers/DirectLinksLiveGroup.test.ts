/** Static groups: the greater identity dials, the lower accepts, both by name. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { toHex } from "../../src/schema/Bytes.ts"
import { directRoles } from "../../src/schema/DirectPacket.ts"
import { MemoryNetwork } from "../../src/testing/MemoryNetwork.ts"
import * as Resources from "../../src/testing/simulation/Resources.ts"
import {
  attemptOf,
  begin,
  callByHand,
  type DirectNode,
  helloOf,
  inNetwork,
  makeNode,
  openConnections,
  pair,
  secretOf,
  settle,
  sharedKeys,
  tagsOf,
  watch
} from "../utils/directNodes.ts"

const attempt = attemptOf(7)

const accept = (lower: DirectNode, greater: DirectNode, streams?: number) =>
  lower.links.accept(greater.key, streams).pipe(Effect.forkScoped({ startImmediately: true }))

/** A link of a group, begun by the greater. */
const connect = Effect.fnUntraced(function*(greater: DirectNode, lower: DirectNode, streams?: number) {
  const accepting = yield* accept(lower, greater)
  const dialled = yield* greater.links.dial(lower.key, [lower.endpoint], streams)
  begin(dialled)
  return { dialled, accepted: yield* Fiber.join(accepting) }
})

const hello = (dialler: DirectNode, fields: Parameters<typeof helloOf>[2] = {}) =>
  helloOf(dialler, attempt, { role: directRoles.nobody, ...fields })

describe("DirectLinksLive: static groups", () => {
  it.effect("I17 M06: the greater identity dials and the lower accepts; the other way round is refused", () =>
    inNetwork(Effect.gen(function*() {
      const { greater, lower } = yield* pair()
      const { accepted, dialled } = yield* connect(greater, lower)
      assert.deepStrictEqual([dialled.roles, accepted.roles], [["dialled"], ["accepted"]])
      assert.deepStrictEqual([dialled.identityKey, accepted.identityKey], [lower.key, greater.key])
      assert.deepStrictEqual(watch(accepted.streams[0]!).bytes, [0xb0])
      const wrong = [lower.links.dial(greater.key, [greater.endpoint]), greater.links.accept(lower.key)]
      for (const call of wrong) assert.strictEqual((yield* Effect.flip(call)).reason._tag, "WrongDirection")
      assert.strictEqual(yield* openConnections, 1)
    })))

  it.effect("I06 I17: both must include each other: a peer that is not awaited is Unexpected, by name where it is known", () =>
    inNetwork(Effect.gen(function*() {
      const { greater, lower } = yield* pair()
      const error = yield* Effect.flip(greater.links.dial(lower.key, [lower.endpoint]))
      assert.include(error.message, "10.0.0.2:4000 Denied")
      assert.deepStrictEqual(lower.rejections.map(({ peer }) => peer.split(":")[0]), ["10.0.0.1"])
      yield* connect(greater, lower)
      // It was included once, and nobody waits for it now.
      yield* Effect.flip(greater.links.dial(lower.key, [lower.endpoint]))
      assert.deepStrictEqual(tagsOf(lower), ["Unexpected", "Unexpected"])
      assert.strictEqual(lower.rejections[1]!.peer, toHex(greater.key))
      assert.strictEqual(yield* openConnections, 1)
    })))

  it.effect("I08: the smaller number of streams counts, whoever asks for it", () =>
    inNetwork(Effect.gen(function*() {
      const numbers = { parallelism: 4 }
      const { greater, lower } = yield* pair({ greater: { numbers }, lower: { numbers } })
      const all = yield* connect(greater, lower)
      const fewer = yield* connect(greater, lower, 2)
      const accepting = yield* accept(lower, greater, 3)
      const dialled = yield* greater.links.dial(lower.key, [lower.endpoint])
      begin(dialled)
      const accepted = yield* Fiber.join(accepting)
      assert.deepStrictEqual(
        [all.dialled, all.accepted, fewer.dialled, fewer.accepted, dialled, accepted].map(({ streams }) =>
          streams.length
        ),
        [4, 4, 2, 2, 3, 3]
      )
      assert.deepStrictEqual(accepted.streams.map((stream) => watch(stream).bytes), [[0xb0], [0xb1], [0xb2]])
    })))

  it.effect("I18 I23: a lower node tells many peers apart by their keys, and knows each call's identity and stream", () =>
    inNetwork(Effect.gen(function*() {
      const { greater, lower } = yield* pair({ lower: { numbers: { parallelism: 2 } } })
      const third = yield* makeNode({
        machine: "10.0.0.3",
        seed: 3,
        // Greater than the lower one as well: its two keys change places.
        keys: { identity: greater.keys.dht, dht: greater.keys.identity },
        numbers: { parallelism: 2 }
      })
      const byKey = [greater, lower, third].sort((a, b) => toHex(a.key) < toHex(b.key) ? -1 : 1)
      const [lowest, ...callers] = byKey as [DirectNode, DirectNode, DirectNode]
      const accepting = yield* Effect.forEach(callers, (caller) => accept(lowest, caller, 2))
      // The one that it knows last calls first.
      for (const caller of callers.toReversed()) begin(yield* caller.links.dial(lowest.key, [lowest.endpoint], 2))
      for (const [index, fiber] of accepting.entries()) {
        const { identityKey, streams } = yield* Fiber.join(fiber)
        assert.deepStrictEqual(identityKey, callers[index]!.key)
        assert.deepStrictEqual(streams.map((stream) => watch(stream).bytes), [[0xb0], [0xb1]])
      }
      assert.deepStrictEqual(tagsOf(lowest), [])
    })))

  it.effect("I18: stream i of a link is the one whose hello said so, in whatever order they come behind the first", () =>
    inNetwork(Effect.gen(function*() {
      const { greater, lower } = yield* pair()
      const secret = secretOf(yield* sharedKeys(greater, lower), attempt, greater.key)
      const accepting = yield* accept(lower, greater, 3)
      for (const streamId of [0, 2, 1]) {
        const { stream } = yield* callByHand(greater, lower, secret, hello(greater, { streamId, streams: 3 }))
        stream.write([Uint8Array.of(0xb0 + streamId)])
      }
      yield* TestClock.adjust(1)
      const { streams } = yield* Fiber.join(accepting)
      assert.deepStrictEqual(streams.map((stream) => watch(stream).bytes), [[0xb0], [0xb1], [0xb2]])
    })))

  it.effect("M14: an attempt that was used is Replayed, by whomever and however often it comes again", () =>
    inNetwork(Effect.gen(function*() {
      const { greater, lower } = yield* pair()
      const secret = secretOf(yield* sharedKeys(greater, lower), attempt, greater.key)
      const accepting = yield* accept(lower, greater)
      const call = yield* callByHand(greater, lower, secret, hello(greater))
      call.stream.write([Uint8Array.of(1)])
      yield* TestClock.adjust(1)
      yield* Fiber.join(accepting)
      yield* accept(lower, greater)
      for (let again = 0; again < 2; again++) yield* Effect.flip(callByHand(greater, lower, secret, hello(greater)))
      assert.deepStrictEqual(tagsOf(lower), ["Replayed", "Replayed"])
      assert.isUndefined(call.seen.closed)
    })))

  it.effect("M06 M14: the peer that we dial calls us, or our own call comes back: WrongDirection", () =>
    inNetwork(Effect.gen(function*() {
      const { greater, lower } = yield* pair()
      const network = yield* MemoryNetwork
      const keys = yield* sharedKeys(greater, lower)
      network.conditions(lower.endpoint, { frozen: true })
      yield* greater.links.dial(lower.key, [lower.endpoint]).pipe(Effect.forkScoped({ startImmediately: true }))
      yield* Effect.flip(callByHand(lower, greater, secretOf(keys, attempt, lower.key), hello(lower)))
      yield* Effect.flip(callByHand(lower, greater, secretOf(keys, attempt, greater.key), hello(greater)))
      assert.deepStrictEqual(tagsOf(greater), ["WrongDirection", "WrongDirection"])
      assert.deepStrictEqual(greater.rejections.map(({ peer }) => peer), [toHex(lower.key), toHex(lower.key)])
    })))

  it.effect("M14: a hello that does not fit its key is turned away, and the right one is taken", () =>
    inNetwork(Effect.gen(function*() {
      const { greater, lower } = yield* pair()
      const secret = secretOf(yield* sharedKeys(greater, lower), attempt, greater.key)
      const accepting = yield* accept(lower, greater)
      const bad = [hello(lower), helloOf(greater, new Uint8Array(16)), hello(greater, { role: directRoles.dialler })]
      for (const bytes of bad) {
        const { seen } = yield* callByHand(greater, lower, secret, bytes)
        yield* TestClock.adjust(1)
        assert.isDefined(seen.closed)
      }
      assert.deepStrictEqual(tagsOf(lower), ["HandshakeFailed", "HandshakeFailed", "WrongDirection"])
      begin(yield* greater.links.dial(lower.key, [lower.endpoint]))
      yield* Fiber.join(accepting)
    })))

  it.effect("a peer that begins anew before its old attempt has ended is accepted; old attempts are bounded", () =>
    inNetwork(Effect.gen(function*() {
      const { greater, lower } = yield* pair()
      const keys = yield* sharedKeys(greater, lower)
      const accepting = yield* accept(lower, greater)
      const stuck = []
      for (let n = 0; n < 10; n++) {
        const each = attemptOf(100 + n)
        const bytes = helloOf(greater, each, { role: directRoles.nobody })
        stuck.push(yield* callByHand(greater, lower, secretOf(keys, each, greater.key), bytes))
      }
      yield* TestClock.adjust(1)
      assert.strictEqual(stuck.filter(({ seen }) => seen.closed === undefined).length, 4)
      begin(yield* greater.links.dial(lower.key, [lower.endpoint]))
      yield* Fiber.join(accepting)
      yield* TestClock.adjust(1)
      assert.isTrue(stuck.every(({ seen }) => seen.closed !== undefined))
    })))

  it.effect("an attempt that is never finished ends at its deadline, and the peer is still awaited", () =>
    inNetwork(Effect.gen(function*() {
      const { greater, lower } = yield* pair({ lower: { numbers: { parallelism: 2 } } })
      const secret = secretOf(yield* sharedKeys(greater, lower), attempt, greater.key)
      const accepting = yield* accept(lower, greater)
      const { seen } = yield* callByHand(greater, lower, secret, hello(greater, { streams: 2 }))
      yield* TestClock.adjust(9_900)
      assert.isUndefined(seen.closed)
      yield* TestClock.adjust(200)
      assert.isDefined(seen.closed)
      yield* Effect.flip(callByHand(greater, lower, secret, hello(greater)))
      assert.deepStrictEqual(tagsOf(lower), ["Replayed"])
      begin(yield* greater.links.dial(lower.key, [lower.endpoint]))
      yield* Fiber.join(accepting)
    })))

  it.effect("interrupting accept leaves nothing behind: whoever had called is closed, and calls are unexpected again", () =>
    inNetwork(Effect.gen(function*() {
      const { greater, lower } = yield* pair()
      const secret = secretOf(yield* sharedKeys(greater, lower), attempt, greater.key)
      const accepting = yield* accept(lower, greater)
      const { seen } = yield* callByHand(greater, lower, secret, hello(greater))
      yield* Fiber.interrupt(accepting)
      yield* TestClock.adjust(2_000)
      assert.isDefined(seen.closed)
      assert.strictEqual(yield* openConnections, 0)
      yield* Effect.flip(greater.links.dial(lower.key, [lower.endpoint]))
      assert.deepStrictEqual(tagsOf(lower), ["Unexpected"])
    })))
})

describe("DirectLinksLive: dialling", () => {
  it.effect("all endpoints are tried, 250 ms apart, and at once when one refuses; the fastest is used for all streams", () =>
    inNetwork(Effect.gen(function*() {
      const numbers = { parallelism: 3 }
      const { greater, lower } = yield* pair({ greater: { numbers }, lower: { numbers } })
      const network = yield* MemoryNetwork
      const third = yield* makeNode({ machine: "10.0.0.77", seed: 3, keys: lower.keys })
      const silent = third.endpoint
      network.conditions(silent, { frozen: true })
      const accepting = yield* accept(lower, greater)
      const endpoints = [{ host: "10.0.0.66", port: 1 }, silent, lower.endpoint]
      const dialling = yield* greater.links.dial(lower.key, endpoints).pipe(
        Effect.forkScoped({ startImmediately: true })
      )
      yield* settle
      yield* TestClock.adjust(249)
      assert.isUndefined(dialling.pollUnsafe())
      yield* TestClock.adjust(1)
      const link = yield* Fiber.join(dialling)
      begin(link)
      yield* Fiber.join(accepting)
      assert.deepStrictEqual(link.streams.map(({ remote }) => remote), [lower.endpoint, lower.endpoint, lower.endpoint])
      network.conditions(silent, { frozen: false })
      yield* TestClock.adjust(1_000)
      assert.strictEqual(yield* openConnections, 3)
      // The dial that was still under way has been given up.
      assert.deepStrictEqual(tagsOf(third), [])
    })))

  it.effect("a peer that answers on two endpoints gets one connection a stream", () =>
    inNetwork(Effect.gen(function*() {
      const { greater, lower } = yield* pair()
      const network = yield* MemoryNetwork
      // The same listener, slow enough that both dials get as far as the hello.
      network.conditions(lower.endpoint, { latency: 200 })
      const accepting = yield* accept(lower, greater)
      const dialling = yield* greater.links.dial(lower.key, [lower.endpoint, lower.endpoint]).pipe(
        Effect.tap((link) => Effect.sync(() => begin(link))),
        Effect.forkScoped({ startImmediately: true })
      )
      yield* TestClock.adjust(5_000)
      const link = yield* Fiber.join(dialling)
      assert.deepStrictEqual(watch((yield* Fiber.join(accepting)).streams[0]!).bytes, [0xb0])
      assert.strictEqual(yield* openConnections, 1)
      assert.isUndefined(watch(link.streams[0]!).closed)
    })))

  it.effect("a listener that never acknowledges is given up at the deadline of the handshake", () =>
    inNetwork(Effect.gen(function*() {
      const { greater, lower } = yield* pair({ lower: { listens: false } })
      const keys = yield* sharedKeys(greater, lower)
      // Knows the keys, whatever the attempt, and says nothing.
      const listener = yield* lower.transport.listen(lower.endpoint, (pskIdentity) => {
        const bytes = Uint8Array.from(Buffer.from(pskIdentity, "base64url").subarray(0, 16))
        return secretOf(keys, bytes, greater.key).psk
      })
      yield* Effect.forkScoped(listener.serve((stream) => {
        watch(stream)
        return Effect.never
      }))
      const dialling = yield* greater.links.dial(lower.key, [lower.endpoint]).pipe(
        Effect.flip,
        Effect.forkScoped({ startImmediately: true })
      )
      yield* settle
      yield* TestClock.adjust(4_999)
      assert.isUndefined(dialling.pollUnsafe())
      yield* TestClock.adjust(1)
      assert.include((yield* Fiber.join(dialling)).message, "did not acknowledge")
      yield* TestClock.adjust(2_000)
      assert.strictEqual(yield* openConnections, 0)
    })))

  it.effect("an answer that is no acknowledgement, or one of another stream, ends the dial at once", () =>
    inNetwork(Effect.gen(function*() {
      const { greater, lower } = yield* pair({ lower: { listens: false } })
      const keys = yield* sharedKeys(greater, lower)
      const answers = [Uint8Array.of(9, 9, 9), Uint8Array.of(2, 1, 1), Uint8Array.of(2, 0, 0)]
      const listener = yield* lower.transport.listen(
        lower.endpoint,
        (pskIdentity) =>
          secretOf(keys, Uint8Array.from(Buffer.from(pskIdentity, "base64url").subarray(0, 16)), greater.key).psk
      )
      let calls = 0
      yield* Effect.forkScoped(listener.serve((stream) => {
        watch(stream)
        stream.write([answers[calls++]!])
        return Effect.never
      }))
      for (let call = 0; call < answers.length; call++) {
        const error = yield* Effect.flip(greater.links.dial(lower.key, [lower.endpoint]))
        assert.strictEqual(error.reason._tag, "NotReached")
      }
      yield* TestClock.adjust(2_000)
      assert.strictEqual(yield* openConnections, 0)
    })))

  it.effect("interrupting a dial in any of its stages leaves no connection, no fiber and no timer behind", () =>
    inNetwork(Effect.gen(function*() {
      const { greater, lower } = yield* pair({
        greater: { numbers: { parallelism: 3 } },
        lower: { numbers: { parallelism: 3 } }
      })
      const network = yield* MemoryNetwork
      const resources = yield* Resources.Resources
      network.conditions(lower.endpoint, { latency: 50 })
      yield* settle
      const before = [resources.fibers(), resources.sleeps()]
      for (let after = 0; after < 700; after += 23) {
        const accepting = yield* accept(lower, greater)
        const dialling = yield* Effect.scoped(
          Effect.andThen(greater.links.dial(lower.key, [lower.endpoint]), Effect.never)
        ).pipe(Effect.forkScoped({ startImmediately: true }))
        yield* TestClock.adjust(after)
        yield* Fiber.interrupt(dialling)
        yield* Fiber.interrupt(accepting)
        yield* TestClock.adjust(3_000)
        assert.strictEqual(yield* openConnections, 0, `${after}`)
        assert.deepStrictEqual([resources.fibers(), resources.sleeps()], before, `${after}`)
      }
      assert.deepStrictEqual(resources.errors, [])
    })).pipe(Effect.provide(Resources.layer)))

  it.effect("endpoints: where it listens, and nothing without a listener", () =>
    inNetwork(Effect.gen(function*() {
      const { greater, lower } = yield* pair({ lower: { listens: false } })
      assert.deepStrictEqual(yield* greater.links.endpoints, [greater.endpoint])
      assert.deepStrictEqual(yield* lower.links.endpoints, [])
    })))
})
