/** How relations with peers begin and end. The node with the lesser key is `a`. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { LinkHello } from "../../src/schema/LinkControl.ts"
import { FakeNetwork } from "../utils/FakeNetwork.ts"
import { held, nothingLeft, talk } from "../utils/peerSteps.ts"
import { causewayOf, nodePair, peerPair, processOf } from "../utils/sessionPair.ts"
import { forkNow, join, rest } from "../utils/sessionSteps.ts"

const addressOf = FakeNetwork.addressOf
const silent = { onLossless: () => {}, onLossy: () => {}, onWritable: () => {}, onClosed: () => {} }

describe("Causeway.connect", () => {
  it.effect("says nothing but hello to a stock peer, and fails with PeerIsNotCauseway after 5 s", () =>
    Effect.gen(function*() {
      const network = yield* FakeNetwork.make
      const stock = network.netCrypto("b")
      yield* stock.setAcceptPolicy(() => true)
      const a = yield* causewayOf(network, "a")
      const connecting = yield* forkNow(Effect.flip(a.connect(addressOf("b"))))
      const connection = yield* stock.accept
      const ours = network.live?.a
      const packets: Array<Uint8Array> = []
      connection.handle({ ...silent, onLossless: (packet) => packets.push(packet) })
      yield* TestClock.adjust(4_999)
      assert.isUndefined(connecting.pollUnsafe())
      yield* TestClock.adjust(1)
      const error = yield* Fiber.join(connecting)
      assert.strictEqual(error.reason._tag, "PeerIsNotCauseway")
      assert.match(error.message, /0202020202020202 did not say hello within 5 s/)
      assert.deepStrictEqual(packets.map((packet) => [...packet.subarray(0, 4)]), [[177, 1, 0, 1]])
      assert.strictEqual(ours?.error?.reason._tag, "ClosedHere")
      const again = yield* forkNow(Effect.flip(a.connect(addressOf("b"))))
      yield* rest
      yield* TestClock.adjust(5_000)
      assert.strictEqual((yield* Fiber.join(again)).reason._tag, "PeerIsNotCauseway")
      assert.strictEqual(network.dialled, 2)
    }))

  it.effect("the hello carries the version and an instance id, the same for all links of a relation and no other", () =>
    Effect.gen(function*() {
      const { a, b, network } = yield* nodePair()
      network.record = true
      const helloOf = () => {
        const packet = network.live?.a.taken[0]
        const hello = LinkHello.decode(packet ?? new Uint8Array(0))
        return hello._tag === "Success" ? hello.success : assert.fail("no hello")
      }
      const first = yield* held(a.connect(addressOf("b")))
      yield* held(b.accept)
      const hello = helloOf()
      assert.strictEqual(hello.version, 1)
      network.cut()
      yield* rest
      assert.strictEqual(network.links.length, 2)
      assert.deepStrictEqual(helloOf(), hello)
      yield* first.leave
      yield* rest
      yield* held(a.connect(addressOf("b")))
      assert.notDeepEqual(helloOf(), hello)
    }))

  it.effect("fails with PeerNotReached when the call is not answered, and works once it is", () =>
    Effect.gen(function*() {
      const { a, b, network } = yield* nodePair()
      network.calls = "fail"
      const error = yield* Effect.flip(Effect.scoped(a.connect(addressOf("b"))))
      assert.strictEqual(error.reason._tag, "PeerNotReached")
      assert.match(error.message, /peer 0202020202020202 did not answer; check that it is running/)
      network.calls = "work"
      const [atA, atB] = yield* Effect.all([a.connect(addressOf("b")), b.accept], { concurrency: 2 })
      yield* talk(atA, atB)
      yield* talk(atB, atA)
    }))

  it.effect("given up while it calls, or waits for a hello, it leaves nothing behind", () =>
    Effect.gen(function*() {
      const { a, b, network } = yield* nodePair()
      yield* Effect.all([a, b].map((causeway) => causeway.setAcceptPolicy(() => false)))
      network.calls = "hang"
      const calling = yield* forkNow(Effect.scoped(a.connect(addressOf("b"))))
      yield* rest
      assert.isTrue(network.takes("a"))
      yield* Fiber.interrupt(calling)
      yield* nothingLeft(network)

      yield* b.setAcceptPolicy(() => true)
      network.calls = "work"
      network.auto = false
      const waiting = yield* forkNow(Effect.scoped(a.connect(addressOf("b"))))
      yield* rest
      assert.strictEqual(network.open, 1)
      const giving = yield* forkNow(Fiber.interrupt(waiting))
      yield* TestClock.adjust(1_000)
      yield* Fiber.join(giving)
      yield* b.setAcceptPolicy(() => false)
      yield* nothingLeft(network)
    }))

  it.effect("given up while the peer's hello is on its way, it is not offered to accept (seed 66303)", () =>
    Effect.gen(function*() {
      const { a, b, network } = yield* nodePair()
      network.auto = false
      const calling = yield* forkNow(Effect.scoped(a.connect(addressOf("b"))))
      yield* rest
      const accepting = yield* forkNow(Effect.scoped(a.accept))
      const giving = yield* forkNow(Fiber.interrupt(calling))
      yield* rest
      const { live } = network
      for (let i = 0; i < 20; i++) {
        live?.a.deliver()
        live?.b.deliver()
        yield* TestClock.adjust(1)
      }
      assert.isUndefined(accepting.pollUnsafe())
      yield* TestClock.adjust(1_000)
      yield* Fiber.join(giving)
      assert.isUndefined(accepting.pollUnsafe())
      // The next relation is whole.
      network.auto = true
      yield* forkNow(b.connect(FakeNetwork.addressOf("a")))
      yield* TestClock.adjust(1_000)
      const peer = yield* Fiber.join(accepting)
      assert.deepStrictEqual(peer.identityKey, addressOf("b").identityKey)
    }))

  it.effect("ends with LinkLost when there is no way to call for resumeTimeout", () =>
    Effect.gen(function*() {
      const { a, network } = yield* nodePair()
      network.calls = "hang"
      const calling = yield* forkNow(Effect.flip(a.connect(addressOf("b"))))
      yield* TestClock.adjust(119_999)
      assert.isUndefined(calling.pollUnsafe())
      yield* TestClock.adjust(1)
      assert.strictEqual((yield* Fiber.join(calling)).reason._tag, "LinkLost")
    }))

  it.effect("two to the same peer share it; the last one to leave says goodbye", () =>
    Effect.gen(function*() {
      const { a, b, network } = yield* nodePair()
      const first = yield* held(a.connect(addressOf("b")))
      const second = yield* held(a.connect(addressOf("b")))
      const atB = yield* b.accept
      assert.strictEqual(network.dialled, 1)
      yield* first.leave
      yield* rest
      yield* talk(second.peer, atB)
      yield* talk(atB, first.peer)
      const closed = yield* forkNow(atB.closed)
      yield* second.leave
      assert.strictEqual((yield* Fiber.join(closed)).reason._tag, "LinkLost")
      assert.strictEqual(network.open, 0)
    }))

  it.effect("from both sides at the same time makes one relation, which needs no policy", () =>
    Effect.gen(function*() {
      const { a, b, network } = yield* nodePair()
      yield* Effect.all([a, b].map((causeway) => causeway.setAcceptPolicy(() => false)))
      const accepting = yield* forkNow(Effect.raceFirst(a.accept, b.accept))
      const [atA, atB] = yield* Effect.all([a.connect(addressOf("b")), b.connect(addressOf("a"))], { concurrency: 2 })
      yield* talk(atA, atB)
      yield* talk(atB, atA)
      yield* rest
      assert.isUndefined(accepting.pollUnsafe())
      assert.deepStrictEqual([network.dialled, network.open], [1, 1])
      network.cut()
      yield* rest
      yield* talk(atA, atB)
      assert.strictEqual(network.open, 1)
    }))

  it.effect("a peer that ends every connection before its hello is called again with pauses", () =>
    Effect.gen(function*() {
      const network = yield* FakeNetwork.make
      const odd = network.netCrypto("b")
      yield* odd.setAcceptPolicy(() => true)
      yield* Effect.forkScoped(Effect.forever(Effect.flatMap(odd.accept, (connection) => connection.close)))
      const a = yield* causewayOf(network, "a")
      const connecting = yield* forkNow(Effect.flip(a.connect(addressOf("b"))))
      for (let time = 0; time < 10_000; time += 10) yield* TestClock.adjust(10)
      assert.isAtMost(network.dialled, 10)
      assert.isAtLeast(network.dialled, 4)
      yield* Fiber.interrupt(connecting)
    }))
})

describe("Causeway.accept", () => {
  it.effect("refuses everybody by default", () =>
    Effect.gen(function*() {
      const { a, b, network } = yield* nodePair()
      yield* b.setAcceptPolicy(() => false)
      assert.strictEqual((yield* Effect.flip(Effect.scoped(a.connect(addressOf("b"))))).reason._tag, "PeerNotReached")
      assert.strictEqual(network.links.length, 0)
    }))

  it.effect("a caller that never says hello is disconnected after helloTimeout and forgotten", () =>
    Effect.gen(function*() {
      const network = yield* FakeNetwork.make
      const b = yield* causewayOf(network, "b")
      const accepting = yield* forkNow(b.accept)
      const connection = yield* network.netCrypto("a").connect(addressOf("b"))
      connection.handle(silent)
      yield* b.setAcceptPolicy(() => false)
      yield* rest
      yield* TestClock.adjust(4_800)
      assert.deepStrictEqual([network.open, network.takes("b")], [1, true])
      yield* TestClock.adjust(200)
      yield* nothingLeft(network)
      assert.isUndefined(accepting.pollUnsafe())
      yield* Fiber.interrupt(accepting)
    }))

  it.effect("a caller that hangs up before its hello is forgotten at once", () =>
    Effect.gen(function*() {
      const network = yield* FakeNetwork.make
      const b = yield* causewayOf(network, "b")
      for (const isQuick of [true, false]) {
        yield* b.setAcceptPolicy(() => true)
        const connection = yield* network.netCrypto("a").connect(addressOf("b"))
        connection.handle(silent)
        yield* b.setAcceptPolicy(() => false)
        if (!isQuick) yield* rest
        yield* connection.close
        yield* nothingLeft(network)
      }
    }))

  it.effect("a caller that breaks the rules before its hello cannot mend it with one", () =>
    Effect.gen(function*() {
      const network = yield* FakeNetwork.make
      const b = yield* causewayOf(network, "b")
      const accepting = yield* forkNow(b.accept)
      const connection = yield* network.netCrypto("a").connect(addressOf("b"))
      connection.handle(silent)
      yield* b.setAcceptPolicy(() => false)
      connection.trySend(Uint8Array.of(176, 1, 2, 3))
      connection.trySend(LinkHello.encode(LinkHello.make({ version: 1, instanceId: new Uint8Array(16) })))
      yield* TestClock.adjust(1_000)
      yield* nothingLeft(network)
      assert.isUndefined(accepting.pollUnsafe())
      yield* Fiber.interrupt(accepting)
    }))

  it.effect("refuse tells the peer why, with code 1, and ends the connection; the peer does not call again", () =>
    Effect.gen(function*() {
      const { a, b, network } = yield* peerPair()
      yield* Effect.all([a, b].map(({ causeway }) => causeway.setAcceptPolicy(() => false)))
      const opening = yield* forkNow(Effect.flip(a.peer.openBytes("x")))
      yield* rest
      yield* b.peer.refuse("one peer at a time")
      const error = yield* Fiber.join(opening)
      assert.deepInclude(error.reason, { _tag: "SessionRefused", code: 1, detail: "one peer at a time" })
      assert.deepInclude((yield* a.peer.closed).reason, { _tag: "SessionRefused", code: 1 })
      assert.strictEqual(network.links[0]?.b.error?.reason._tag, "ClosedHere")
      yield* nothingLeft(network)
    }))
})

describe("leaving", () => {
  it.effect("ends the other side at once, which neither waits nor calls", () =>
    Effect.gen(function*() {
      for (const leaver of ["caller", "callee"]) {
        const { a, b, network } = yield* nodePair()
        const [caller, callee] = yield* Effect.all([held(a.connect(addressOf("b"))), held(b.accept)], {
          concurrency: 2
        })
        const [leaving, staying] = leaver === "caller" ? [caller, callee] : [callee, caller]
        const session = yield* forkNow(Effect.flip(staying.peer.openBytes("never accepted")))
        const closed = yield* forkNow(staying.peer.closed)
        yield* rest
        yield* Effect.all([a, b].map((causeway) => causeway.setAcceptPolicy(() => false)))
        yield* leaving.leave
        const error = yield* Fiber.join(closed)
        assert.strictEqual(error.reason._tag, "LinkLost")
        assert.match(error.message, /closed the connection; connect again/)
        assert.deepInclude((yield* Fiber.join(session)).reason, { _tag: "SessionRefused", code: 3 })
        yield* nothingLeft(network)
      }
    }))

  it.effect("delivers the last word of every session, also of what waits for the link", () =>
    Effect.gen(function*() {
      const { a, b, network } = yield* nodePair({ sendBuffer: 4_000 })
      const near = yield* held(a.connect(addressOf("b")))
      const atB = yield* b.accept
      const opening = Effect.all([
        near.peer.openBytes("x"),
        Effect.flatMap(atB.accept, (offer) => offer.bytes)
      ], { concurrency: 2 })
      const [one, other] = yield* opening
      network.live?.b.hold(true)
      yield* one.write(new Uint8Array(30_000))
      yield* one.end
      const leaving = yield* forkNow(near.leave)
      yield* TestClock.adjust(500)
      assert.isUndefined(leaving.pollUnsafe())
      network.live?.b.hold(false)
      yield* Fiber.join(leaving)
      assert.strictEqual(join(yield* Stream.runCollect(other.stream)).length, 30_000)
    }))

  it.effect("waits for acknowledgements for a second and no longer, and not at all without a link", () =>
    Effect.gen(function*() {
      const { a, b, network } = yield* nodePair()
      const near = yield* held(a.connect(addressOf("b")))
      yield* held(b.accept)
      network.live?.b.hold(true)
      const leaving = yield* forkNow(near.leave)
      yield* TestClock.adjust(999)
      assert.isUndefined(leaving.pollUnsafe())
      yield* TestClock.adjust(1)
      yield* Fiber.join(leaving)
      assert.strictEqual(network.open, 0)

      const again = yield* held(a.connect(addressOf("b")))
      network.lose()
      yield* rest
      yield* again.leave
    }))

  it.effect("while it goes on, connect waits and then makes a new relation", () =>
    Effect.gen(function*() {
      const { a, b, network } = yield* nodePair()
      const first = yield* held(a.connect(addressOf("b")))
      const atB = yield* b.accept
      network.live?.b.hold(true)
      const leaving = yield* forkNow(first.leave)
      const connecting = yield* forkNow(held(a.connect(addressOf("b"))))
      yield* TestClock.adjust(500)
      assert.isUndefined(connecting.pollUnsafe())
      yield* TestClock.adjust(500)
      yield* Fiber.join(leaving)
      const again = yield* Fiber.join(connecting)
      assert.strictEqual((yield* first.peer.closed).reason._tag, "LinkLost")
      yield* atB.closed
      yield* talk(again.peer, yield* b.accept)
      assert.strictEqual(network.dialled, 2)
    }))

  it.effect("a peer that calls meanwhile gets a new relation", () =>
    Effect.gen(function*() {
      const { a, b, network } = yield* nodePair()
      const first = yield* held(a.connect(addressOf("b")))
      yield* held(b.accept)
      network.live?.b.hold(true)
      const leaving = yield* forkNow(first.leave)
      yield* TestClock.adjust(300)
      // The goodbye never arrives.
      network.cut()
      const [atA, atB] = yield* Effect.all([a.accept, b.connect(addressOf("a"))], { concurrency: 2 }).pipe(
        Effect.tap(() => Fiber.join(leaving))
      )
      yield* talk(atB, atA)
      yield* TestClock.adjust(200_000)
      yield* talk(atA, atB)
    }))

  it.effect("a hello of another process that comes meanwhile changes nothing", () =>
    Effect.gen(function*() {
      const network = yield* FakeNetwork.make
      const a = yield* causewayOf(network, "a")
      yield* a.setAcceptPolicy(() => false)
      const before = yield* processOf(network, "b")
      const [old] = yield* Effect.all([held(a.connect(addressOf("b"))), before.causeway.accept], { concurrency: 2 })
      yield* before.kill
      const b = yield* causewayOf(network, "b", {}, 1)
      network.auto = false
      network.cut()
      yield* rest
      const leaving = yield* forkNow(old.leave)
      yield* rest
      for (const end of [network.live?.a, network.live?.b]) end?.deliver()
      yield* TestClock.adjust(1_000)
      yield* Fiber.join(leaving)
      yield* b.setAcceptPolicy(() => false)
      yield* nothingLeft(network)
    }))

  it.effect("leaves nothing behind, however often", () =>
    Effect.gen(function*() {
      const { a, b, network } = yield* nodePair()
      for (let round = 0; round < 20; round++) {
        const [caller, called] = round % 2 === 0 ? [a, b] : [b, a]
        yield* Effect.scoped(Effect.gen(function*() {
          const [near, far] = yield* Effect.all([
            caller.connect(addressOf(round % 2 === 0 ? "b" : "a")),
            called.accept
          ], { concurrency: 2 })
          yield* talk(near, far)
          yield* far.makeSessions(3)
          if (round % 3 === 0) network.cut()
          if (round % 3 === 1) yield* rest
          yield* forkNow(far.openBytes("left open"))
        }))
      }
      yield* TestClock.adjust(1_000)
      yield* Effect.all([a, b].map((causeway) => causeway.setAcceptPolicy(() => false)))
      yield* TestClock.adjust(30_000)
      yield* nothingLeft(network)
    }))
})
