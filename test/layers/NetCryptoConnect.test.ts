/** How two nodes come together: both roles, calls that cross, losses on the way, and how calls fail. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { collect, forkNow, join, type Node, node, numbered, numberOf, within } from "../utils/cryptoNode.ts"
import * as FakeWire from "../utils/FakeWire.ts"

const range = (count: number, from = 0) => Array.from({ length: count }, (_, i) => from + i)

/** Two nodes on one wire. */
const two = Effect.fnUntraced(function*(options?: Parameters<typeof FakeWire.make>[0]) {
  const wire = yield* FakeWire.make(options)
  return { wire, a: yield* node(wire, 1, 65), b: yield* node(wire, 33, 97) }
})

/** Both call at once. */
const cross = Effect.fnUntraced(function*(a: Node, b: Node) {
  const fromA = yield* forkNow(a.netCrypto.connect(b.address))
  const fromB = yield* forkNow(b.netCrypto.connect(a.address))
  return Effect.all([Fiber.join(fromA), Fiber.join(fromB)])
})

describe("NetCryptoLive connects", () => {
  it.effect("T04: caller and callee over a bridge that knows no relay; lossless both ways, in order", () =>
    Effect.gen(function*() {
      const { a, b } = yield* two()
      const ends = yield* join(a, b, 500)
      assert.deepStrictEqual(ends.a.connection.identityKey, b.address.identityKey)
      assert.deepStrictEqual(ends.b.connection.identityKey, a.address.identityKey)
      assert.deepStrictEqual(ends.b.connection.dhtKey, a.address.dhtKey)
      for (let i = 0; i < 100; i++) {
        assert.isTrue(ends.a.connection.trySend(numbered(i)))
        assert.isTrue(ends.b.connection.trySend(numbered(1_000 + i)))
      }
      const draining = yield* forkNow(Effect.all([ends.a.connection.drained, ends.b.connection.drained]))
      yield* within(draining, 100)
      assert.deepStrictEqual(ends.b.lossless.map(numberOf), range(100))
      assert.deepStrictEqual(ends.a.lossless.map(numberOf), range(100, 1_000))
    }))

  it.effect("the handshake is four packets and two confirmations, and each is sent once", () =>
    Effect.gen(function*() {
      const { a, b, wire } = yield* two()
      yield* join(a, b, 500)
      const kinds = wire.log.map(({ bytes, from }) => `${from === a.at.id ? "a" : "b"}${bytes[0]}`)
      assert.deepStrictEqual(kinds.filter((kind) => !kind.endsWith("27")), ["a24", "b25", "a26", "b26"])
    }))

  it.effect("T38: nothing but out-of-band packets is possible: the handshake works, small packets get through", () =>
    Effect.gen(function*() {
      const { a, b, wire } = yield* two()
      wire.outOfBandOnly = true
      const ends = yield* join(a, b, 500)
      for (let i = 0; i < 50; i++) ends.a.connection.trySend(numbered(i, 900))
      yield* TestClock.adjust(3_000)
      assert.deepStrictEqual(ends.b.lossless.map(numberOf), range(50))
      assert.isTrue(wire.log.every(({ outOfBand }) => outOfBand))
    }))

  it.effect("T39: out of band goes what fits 1024 bytes and never bulk; the rest follows when the peer is online", () =>
    Effect.gen(function*() {
      const { a, b, wire } = yield* two()
      wire.outOfBandOnly = true
      const ends = yield* join(a, b, 500)
      for (let i = 0; i < 40; i++) ends.a.connection.trySend(numbered(i, i < 20 ? 900 : 1_300))
      assert.isAtMost(ends.a.connection.stats().inFlightPackets, 5)
      yield* TestClock.adjust(2_000)
      assert.deepStrictEqual(ends.b.lossless.map(numberOf), range(20))
      assert.isTrue(wire.log.every(({ bytes }) => bytes.length <= 1024))
      assert.isFalse(ends.a.connection.sendLossy(Uint8Array.of(200)))
      wire.outOfBandOnly = false
      wire.refresh()
      yield* TestClock.adjust(500)
      assert.deepStrictEqual(ends.b.lossless.map(numberOf), range(40))
    }))

  it.effect("seven tries lost in both stages: it still connects; the eighth is answered", () =>
    Effect.gen(function*() {
      const { a, b, wire } = yield* two()
      const lost = new Map<number, number>()
      wire.fate = ({ bytes, from }) => {
        const id = bytes[0]!
        if (from !== a.at.id || (id !== 24 && id !== 26)) return "deliver"
        const count = (lost.get(id) ?? 0) + 1
        lost.set(id, count)
        return count <= 7 ? "lose" : "deliver"
      }
      yield* join(a, b, 14_500)
      assert.deepStrictEqual([...lost], [[24, 8], [26, 8]])
    }))

  for (const [stage, id] of [["CookieRequest", 24], ["Handshake", 26]] as const) {
    it.effect(`eight tries lost: PeerUnreachable at stage ${stage}, a second after the last, and nothing is left`, () =>
      Effect.gen(function*() {
        const { a, b, wire } = yield* two()
        wire.fate = ({ bytes, from }) => from === a.at.id && bytes[0] === id ? "lose" : "deliver"
        const calling = yield* forkNow(Effect.flip(a.netCrypto.connect(b.address)))
        yield* TestClock.adjust(7_900)
        assert.isUndefined(calling.pollUnsafe())
        const error = yield* within(calling, 300)
        assert.strictEqual(error.reason._tag, "PeerUnreachable")
        if (error.reason._tag === "PeerUnreachable") assert.strictEqual(error.reason.stage, stage)
        assert.strictEqual(a.at.paths.size, 0)
        assert.strictEqual(wire.log.filter(({ bytes }) => bytes[0] === id).length, 8)
        // And it may be called again.
        wire.fate = () => "deliver"
        yield* join(a, b, 500)
      }))
  }

  it.effect("sends that no relay takes are not tries: the call waits, and connects when a relay is there", () =>
    Effect.gen(function*() {
      const { a, b, wire } = yield* two()
      wire.setRelay(0, false, a.at)
      const calling = yield* forkNow(a.netCrypto.connect(b.address))
      yield* TestClock.adjust(60_000)
      assert.isUndefined(calling.pollUnsafe())
      wire.setRelay(0, true, a.at)
      yield* within(calling, 1_000)
    }))

  it.effect("an interrupted call is given up", () =>
    Effect.gen(function*() {
      const { a, b, wire } = yield* two()
      wire.fate = () => "lose"
      const one = yield* forkNow(a.netCrypto.connect(b.address))
      const other = yield* forkNow(a.netCrypto.connect(b.address))
      yield* TestClock.adjust(500)
      yield* Fiber.interrupt(one)
      assert.strictEqual(a.at.paths.size, 1)
      yield* Fiber.interrupt(other)
      assert.strictEqual(a.at.paths.size, 0)
      const sent = wire.log.length
      yield* TestClock.adjust(5_000)
      assert.strictEqual(wire.log.length, sent)
    }))

  it.effect("callers of one peer share one connection", () =>
    Effect.gen(function*() {
      const { a, b } = yield* two()
      const calls = yield* forkNow(Effect.all([a.netCrypto.connect(b.address), a.netCrypto.connect(b.address)], {
        concurrency: 2
      }))
      const [one, other] = yield* within(calls, 500)
      assert.strictEqual(one, other)
    }))

  it.effect("64 connections wait for accept, more are closed again", () =>
    Effect.gen(function*() {
      const wire = yield* FakeWire.make()
      const b = yield* node(wire, 33, 97, { handshakesPerRelay: 1_000 })
      const ends = yield* Effect.forEach(range(66), (i) =>
        Effect.gen(function*() {
          const a = yield* node(wire, 34 + i, 98 + i)
          const calling = yield* forkNow(a.netCrypto.connect(b.address))
          return collect(yield* within(calling, 500))
        }))
      yield* TestClock.adjust(50)
      assert.deepStrictEqual(ends.map(({ errors }) => errors.length), [...range(64).map(() => 0), 1, 1])
      assert.strictEqual(ends[65]!.errors[0]!.reason._tag, "PeerClosed")
      for (let i = 0; i < 64; i++) yield* b.netCrypto.accept
    }))
})

describe("NetCryptoLive when both call at once", () => {
  /**
   * Holds every packet up to the first data packet of each side, and delivers them in the order that `choices` names: each choice is an
   * index among the packets that are held at that moment. Returns how many there were to choose from.
   */
  const play = Effect.fnUntraced(function*(choices: ReadonlyArray<number>) {
    const { a, b, wire } = yield* two()
    // Both have tied the relay before anything else happens, so that choices are only about packets.
    wire.fate = () => "hold"
    const calls = yield* cross(a, b)
    const calling = yield* forkNow(calls)
    yield* TestClock.adjust(5)
    const options: Array<number> = []
    for (const choice of choices) {
      options.push(wire.held.length)
      const transit = wire.held[choice]
      if (transit === undefined) break
      wire.release(transit)
      yield* TestClock.adjust(0.5)
    }
    const open = wire.held.length
    wire.fate = () => "deliver"
    for (const transit of [...wire.held]) wire.release(transit)
    const [fromA, fromB] = yield* within(calling, 3_000)
    const ends = [collect(fromA), collect(fromB)] as const
    yield* TestClock.adjust(5_000)
    fromA.trySend(numbered(1))
    fromB.trySend(numbered(2))
    yield* TestClock.adjust(50)
    assert.deepStrictEqual(ends.map(({ errors }) => errors.length), [0, 0], choices.join())
    assert.deepStrictEqual(ends.map(({ lossless }) => lossless.map(numberOf)), [[2], [1]], choices.join())
    yield* Effect.all([a.stop, b.stop])
    return { options, open }
  })

  it.effect("one session on both sides, whatever the order of the first six deliveries", () =>
    Effect.gen(function*() {
      let worlds = 0
      const walk = (choices: ReadonlyArray<number>): Effect.Effect<void, Effect.Error<ReturnType<typeof play>>> =>
        Effect.gen(function*() {
          const { open } = yield* Effect.scoped(play(choices))
          worlds++
          if (choices.length < 6) {
            for (let next = 0; next < Math.min(open, 4); next++) yield* walk([...choices, next])
          }
        })
      yield* walk([])
      assert.isAtLeast(worlds, 100)
    }), 30_000)

  it.effect("and with any one of the first packets lost", () =>
    Effect.gen(function*() {
      for (let victim = 0; victim < 12; victim++) {
        yield* Effect.scoped(Effect.gen(function*() {
          const { a, b, wire } = yield* two({ seed: victim })
          let count = 0
          wire.fate = () => count++ === victim ? "lose" : "deliver"
          const calling = yield* forkNow(yield* cross(a, b))
          const [fromA, fromB] = yield* within(calling, 4_000)
          const ends = [collect(fromA), collect(fromB)] as const
          yield* TestClock.adjust(5_000)
          fromA.trySend(numbered(1))
          fromB.trySend(numbered(2))
          yield* TestClock.adjust(50)
          assert.deepStrictEqual(ends.map(({ errors }) => errors.length), [0, 0], `packet ${victim}`)
          assert.deepStrictEqual(ends.map(({ lossless }) => lossless.map(numberOf)), [[2], [1]], `packet ${victim}`)
        }))
      }
    }))
})
