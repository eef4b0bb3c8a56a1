/** What a peer makes a node tell and dial: nothing that the policy forbids, and no more than a little. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as TestClock from "effect/testing/TestClock"
import * as CausewayLive from "../../src/layers/CausewayLive.ts"
import { directRoles } from "../../src/schema/DirectPacket.ts"
import { ConnectRequest, LinkControl, LinkHello } from "../../src/schema/LinkControl.ts"
import { Causeway } from "../../src/services/Causeway.ts"
import { DirectLinks } from "../../src/services/DirectLinks.ts"
import { DirectTransport } from "../../src/services/DirectTransport.ts"
import { Identity } from "../../src/services/Identity.ts"
import { NetCrypto, type NetCryptoConnection } from "../../src/services/NetCrypto.ts"
import { TransportError } from "../../src/services/RelayTransport.ts"
import * as EntropySeeded from "../../src/testing/EntropySeeded.ts"
import { callByHand, type DirectNode, helloOf, inNetwork, pair, secretOf, sharedKeys } from "../utils/directNodes.ts"
import { FakeDirectLinks } from "../utils/FakeDirectLinks.ts"
import { FakeEnd } from "../utils/FakeNetCrypto.ts"
import { FakeNetwork } from "../utils/FakeNetwork.ts"
import { causewayOf } from "../utils/sessionPair.ts"
import { forkNow, rest } from "../utils/sessionSteps.ts"

const controlsOf = (end: FakeEnd): ReadonlyArray<LinkControl> =>
  end.taken.flatMap((packet) => {
    const decoded = LinkControl.decode(packet)
    return decoded._tag === "Success" ? [decoded.success] : []
  })

/** The two ends of a connection between them, which delivers by itself and remembers what was sent. */
const connection = (greater: DirectNode, lower: DirectNode) => {
  const ends = { ofGreater: new FakeEnd(lower.key, 1e6), ofLower: new FakeEnd(greater.key, 1e6) }
  ends.ofGreater.peer = ends.ofLower
  ends.ofLower.peer = ends.ofGreater
  for (const end of Object.values(ends)) {
    end.auto = true
    end.record = true
  }
  return ends
}

/** `Causeway` of a direct node; its one connection is what `connect` returns, or what is put into `incoming`. */
const causewayAt = Effect.fnUntraced(function*(node: DirectNode, end: FakeEnd, hasDirect: boolean) {
  const incoming = yield* Queue.unbounded<NetCryptoConnection>()
  const context = yield* Layer.build(
    Layer.fresh(CausewayLive.layer).pipe(
      Layer.provide(Layer.succeed(NetCrypto, {
        connect: () => Effect.succeed(end),
        accept: Queue.take(incoming),
        setAcceptPolicy: () => Effect.void
      })),
      Layer.provide(Layer.succeed(Identity, node.keys)),
      Layer.provide(EntropySeeded.layer(5)),
      Layer.provide(hasDirect ? Layer.succeed(DirectLinks, node.links) : Layer.empty)
    )
  )
  const causeway = Context.get(context, Causeway)
  yield* Effect.orDie(causeway.setAcceptPolicy(() => true))
  return { causeway, incoming }
})

describe("the policy of a peer's direct links", () => {
  for (const wait of [100, 5_000, 15_000]) {
    it.effect(`I23: ${wait} ms after it has become "relayed" no call for an attempt of before is answered`, () =>
      inNetwork(Effect.gen(function*() {
        const { greater, lower } = yield* pair()
        const { ofGreater, ofLower } = connection(greater, lower)
        const caller = yield* causewayAt(lower, ofLower, false)
        const callee = yield* causewayAt(greater, ofGreater, true)
        const address = { identityKey: greater.key, dhtKey: greater.key, relays: [] }
        const calling = yield* forkNow(caller.causeway.connect(address))
        Queue.offerUnsafe(callee.incoming, ofGreater)
        const accepting = yield* forkNow(callee.causeway.accept)
        yield* TestClock.adjust(100)
        yield* Fiber.join(calling)
        const peer = yield* Fiber.join(accepting)
        const request = controlsOf(ofGreater).find((control) => control._tag === "ConnectRequest")
        assert.isDefined(request)
        yield* peer.setPolicy("relayed")
        yield* TestClock.adjust(wait)
        const secret = secretOf(yield* sharedKeys(greater, lower), request.attempt, lower.key)
        const hello = helloOf(lower, request.attempt, { role: directRoles.listener })
        const error = yield* Effect.flip(callByHand(lower, greater, secret, hello))
        assert.include(error.message, "HANDSHAKE_FAILURE")
      })))
  }

  it.effect("I23: an announcement that came before it became \"relayed\" is not answered after it", () =>
    Effect.gen(function*() {
      const network = yield* FakeNetwork.make
      network.record = true
      const direct = new FakeDirectLinks()
      direct.isOpen = false
      direct.endpoints.b.push({ host: "203.0.113.9", port: 4_000 })
      const a = yield* causewayOf(network, "a", {}, 0, { fake: direct, numbers: { policy: "relayed" } })
      const b = yield* causewayOf(network, "b", {}, 0, { fake: direct, numbers: {} })
      const calling = yield* forkNow(a.connect(FakeNetwork.addressOf("b")))
      const accepting = yield* forkNow(b.accept)
      yield* rest
      yield* Fiber.join(calling)
      const peer = yield* Fiber.join(accepting)
      yield* TestClock.adjust(10_200)
      const live = network.live!
      live.a.auto = false
      const attempt = new Uint8Array(16).fill(7)
      live.a.trySend(ConnectRequest.encode(ConnectRequest.make({ attempt, endpoints: [], token: new Uint8Array(32) })))
      live.a.deliver()
      const before = controlsOf(live.b).length
      yield* peer.setPolicy("relayed")
      yield* rest
      yield* TestClock.adjust(100)
      assert.deepStrictEqual(controlsOf(live.b).slice(before), [])
    }))
})

describe("a flood of announcements", () => {
  for (const ours of ["greater", "lower"] as const) {
    it.effect(`M09: a peer does not decide how fast the ${ours} identity dials strangers`, () =>
      inNetwork(Effect.gen(function*() {
        let dialled = 0
        const transport = Layer.succeed(DirectTransport, {
          connect: () =>
            Effect.suspend(() => {
              dialled++
              return Effect.never
            }),
          listen: () => Effect.fail(new TransportError({ kind: "Refused", detail: "not in this test" })),
          addresses: Effect.succeed([])
        })
        const nodes = yield* pair({ [ours]: { listens: false, transport, numbers: { allowPrivate: false } } })
        const ends = connection(nodes.greater, nodes.lower)
        const [near, far] = ours === "greater" ? [ends.ofGreater, ends.ofLower] : [ends.ofLower, ends.ofGreater]
        const { incoming } = yield* causewayAt(nodes[ours], near, true)
        far.handle({ onLossless: () => {}, onLossy: () => {}, onWritable: () => {}, onClosed: () => {} })
        far.trySend(LinkHello.encode(LinkHello.make({ version: 1, instanceId: new Uint8Array(16).fill(3) })))
        Queue.offerUnsafe(incoming, near)
        // The greater announces first, and does not wait longer than this for an answer.
        yield* TestClock.adjust(10_100)
        for (let i = 0; i < 1_000; i++) {
          const attempt = new Uint8Array(16)
          new DataView(attempt.buffer).setUint32(0, i + 1)
          const endpoints = [{ host: "8.8.8.8", port: 1 + i }]
          far.trySend(ConnectRequest.encode(ConnectRequest.make({ attempt, endpoints, token: new Uint8Array(32) })))
          for (let passed = 0; passed < 10; passed++) yield* TestClock.adjust(1)
        }
        assert.isAtLeast(dialled, 8)
        assert.isAtMost(dialled, 40)
      })))
  }
})

describe("a peer that only direct links may reach", () => {
  for (
    const { hasLinks, said, theirs } of [
      { hasLinks: true, theirs: "relayed", said: "the peer has answered no announcement of one" },
      { hasLinks: true, theirs: "auto", said: "it has no direct link: " },
      { hasLinks: false, theirs: "auto", said: "this node makes no direct links" }
    ] as const
  ) {
    it.effect(`I22: says what is in the way: ${said}`, () =>
      Effect.gen(function*() {
        const network = yield* FakeNetwork.make
        const direct = new FakeDirectLinks()
        direct.isOpen = false
        const a = yield* causewayOf(network, "a", {}, 0, hasLinks ? { fake: direct, numbers: {} } : undefined)
        yield* causewayOf(network, "b", {}, 0, { fake: direct, numbers: { policy: theirs } })
        const calling = yield* forkNow(Effect.flip(a.connect(FakeNetwork.addressOf("b"), { policy: "direct" })))
        for (let passed = 0; calling.pollUnsafe() === undefined && passed < 200_000; passed += 1_000) {
          yield* TestClock.adjust(1_000)
        }
        const error = yield* Fiber.join(calling)
        assert.strictEqual(error.reason._tag, "LinkLost")
        assert.include(error.message, "the policy is direct")
        assert.include(error.message, said)
      }))
  }

  it.effect("I22: says that the peer does not answer any more, and not what an attempt before has met with", () =>
    Effect.gen(function*() {
      const network = yield* FakeNetwork.make
      const direct = new FakeDirectLinks()
      direct.isOpen = false
      const a = yield* causewayOf(network, "a", {}, 0, { fake: direct, numbers: {} })
      const b = yield* causewayOf(network, "b", {}, 0, { fake: direct, numbers: {} })
      const calling = yield* forkNow(a.connect(FakeNetwork.addressOf("b")))
      const accepting = yield* forkNow(b.accept)
      yield* rest
      const atA = yield* Fiber.join(calling)
      const atB = yield* Fiber.join(accepting)
      for (let passed = 0; passed < 15_000; passed += 100) yield* TestClock.adjust(100)
      yield* atA.setPolicy("relayed")
      yield* atB.setPolicy("direct")
      const opening = yield* forkNow(Effect.flip(atB.openBytes("never")))
      for (let passed = 0; opening.pollUnsafe() === undefined && passed < 200_000; passed += 1_000) {
        yield* TestClock.adjust(1_000)
      }
      const error = yield* Fiber.join(opening)
      assert.include(error.message, "the peer has answered no announcement of one")
    }))
})
