/** The faults of a relay behind its decryption, on the network inside the process and a clock that the test moves. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import * as ToxCryptoNative from "../../src/layers/ToxCryptoNative.ts"
import { RelayServer } from "../../src/services/RelayServer.ts"
import * as EntropySeeded from "../../src/testing/EntropySeeded.ts"
import { RelayFaults } from "../../src/testing/RelayFaults.ts"
import * as RelayServerFaulty from "../../src/testing/RelayServerFaulty.ts"
import * as RelayTransportMemory from "../../src/testing/RelayTransportMemory.ts"
import { keyPairFrom } from "../utils/plainCrypto.ts"
import * as Client from "../utils/RelayTestClient.ts"
import { packets } from "../utils/RelayTestSession.ts"

const { settle } = Client
const pingId = [9, 8, 7, 6, 5, 4, 3, 2] as const
const pong = [5, ...pingId]
const connect = 2
const disconnect = 3

const testLayer = (seed = 3) =>
  RelayServerFaulty.layer({ host: "127.0.0.1", port: 0, keyPair: keyPairFrom(0x01) }).pipe(
    Layer.provideMerge(
      Layer.mergeAll(RelayTransportMemory.layer, ToxCryptoNative.layer, EntropySeeded.layer(seed))
    )
  )

/** Two linked clients of a relay with faults. */
const linked = Effect.gen(function*() {
  const { address } = yield* RelayServer
  const faults = yield* RelayFaults
  const a = yield* Client.login(address, settle)
  const b = yield* Client.login(address, settle)
  const ids = yield* Client.link(a, b, settle)
  return { address, faults, a, b, ...ids }
})

/** The numbers of the data packets that a client has received. */
const numbers = (client: Client.RelayTestClient): Array<number> =>
  client.take().filter((plain) => plain[0]! >= 16).map((plain) => plain[1]!)
const count = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i)
const sendNumbers = (client: Client.RelayTestClient, id: number, from: number, to: number) =>
  client.send(...count(from, to).map((number) => packets.data(id, number)))

describe("RelayFaults", () => {
  it.effect("without faults, and after clear, nothing is different", () =>
    Effect.gen(function*() {
      const { a, ab, b, faults } = yield* linked
      sendNumbers(a, ab, 0, 50)
      yield* settle
      assert.deepStrictEqual(numbers(b), count(0, 50))
      faults.set({}, { drop: 1 })
      faults.clear()
      sendNumbers(a, ab, 50, 100)
      yield* settle
      assert.deepStrictEqual(numbers(b), count(50, 100))
      assert.deepStrictEqual(faults.counts(), { dropped: 0, duplicated: 0, reordered: 0, delayed: 0, lies: 0 })
    }).pipe(Effect.provide(testLayer())))

  it.effect("drops everything of one direction, data and out of band, and still answers pings", () =>
    Effect.gen(function*() {
      const { a, ab, b, ba, faults } = yield* linked
      faults.set({ from: a.keys.publicKey, to: b.keys.publicKey }, { drop: 1 })
      a.send(packets.data(ab, 1), packets.oob(b.keys.publicKey, Uint8Array.of(7)), packets.ping(...pingId))
      b.send(packets.data(ba, 2))
      yield* settle
      assert.deepStrictEqual(a.take(), [pong, [ab, 2]])
      assert.deepStrictEqual(b.take(), [])
      assert.strictEqual(faults.counts().dropped, 2)
    }).pipe(Effect.provide(testLayer())))

  it.effect("drops by chance, and the same seed drops the same packets", () =>
    Effect.gen(function*() {
      const run = (seed: number) =>
        Effect.gen(function*() {
          const { a, ab, b, faults } = yield* linked
          faults.set({ to: b.keys.publicKey }, { drop: 0.25 })
          sendNumbers(a, ab, 0, 200)
          yield* settle
          const arrived = numbers(b)
          assert.strictEqual(arrived.length + faults.counts().dropped, 200)
          return arrived
        }).pipe(Effect.provide(Layer.fresh(testLayer(seed))), Effect.scoped)
      const first = yield* run(3)
      assert.isAbove(first.length, 120)
      assert.isBelow(first.length, 180)
      assert.deepStrictEqual(first, first.toSorted((x, y) => x - y))
      assert.deepStrictEqual(yield* run(3), first)
      assert.notDeepEqual(yield* run(4), first)
    }))

  it.effect("the narrowest direction holds", () =>
    Effect.gen(function*() {
      const { a, ab, b, ba, faults } = yield* linked
      faults.set({}, { drop: 1 })
      faults.set({ to: a.keys.publicKey }, { drop: 0 })
      a.send(packets.data(ab, 1))
      b.send(packets.data(ba, 2))
      yield* settle
      assert.deepStrictEqual(numbers(a), [2])
      assert.deepStrictEqual(numbers(b), [])
      faults.set({ from: b.keys.publicKey }, { drop: 1 })
      b.send(packets.data(ba, 3))
      yield* settle
      assert.deepStrictEqual(numbers(a), [])
    }).pipe(Effect.provide(testLayer())))

  it.effect("delays in order, also when the delay ends meanwhile", () =>
    Effect.gen(function*() {
      const { a, ab, b, faults } = yield* linked
      const direction = { from: a.keys.publicKey }
      faults.set(direction, { delay: "300 millis" })
      sendNumbers(a, ab, 0, 5)
      yield* settle
      yield* TestClock.adjust("100 millis")
      sendNumbers(a, ab, 5, 10)
      yield* settle
      yield* TestClock.adjust("199 millis")
      assert.deepStrictEqual(numbers(b), [])
      yield* TestClock.adjust("2 millis")
      assert.deepStrictEqual(numbers(b), count(0, 5))
      faults.set(direction, { delay: 0 })
      sendNumbers(a, ab, 10, 15)
      yield* settle
      assert.deepStrictEqual(numbers(b), [])
      yield* TestClock.adjust("100 millis")
      assert.deepStrictEqual(numbers(b), count(5, 15))
      sendNumbers(a, ab, 15, 20)
      yield* settle
      assert.deepStrictEqual(numbers(b), count(15, 20))
    }).pipe(Effect.provide(testLayer())))

  it.effect("reorders: some are overtaken, none is lost", () =>
    Effect.gen(function*() {
      const { a, ab, b, faults } = yield* linked
      faults.set({}, { reorder: 0.3, reorderBy: "20 millis" })
      sendNumbers(a, ab, 0, 100)
      yield* settle
      const early = numbers(b)
      yield* TestClock.adjust("21 millis")
      const late = numbers(b)
      assert.strictEqual(late.length, faults.counts().reordered)
      assert.isAbove(late.length, 10)
      assert.deepStrictEqual([...early, ...late].toSorted((x, y) => x - y), count(0, 100))
      for (const part of [early, late]) assert.deepStrictEqual(part, part.toSorted((x, y) => x - y))
    }).pipe(Effect.provide(testLayer())))

  it.effect("doubles", () =>
    Effect.gen(function*() {
      const { a, ab, b, faults } = yield* linked
      faults.set({}, { duplicate: 1 })
      sendNumbers(a, ab, 1, 3)
      yield* settle
      assert.deepStrictEqual(numbers(b), [1, 1, 2, 2])
    }).pipe(Effect.provide(testLayer())))

  it.effect("a delayed packet whose link has ended is lost, and reaches nobody else", () =>
    Effect.gen(function*() {
      const { a, ab, address, b, ba, faults } = yield* linked
      faults.set({}, { delay: "50 millis" })
      sendNumbers(a, ab, 0, 3)
      yield* settle
      b.send(packets.disconnect(ba))
      yield* settle
      faults.clear()
      const c = yield* Client.login(address, settle)
      const ids = yield* Client.link(b, c, settle)
      assert.strictEqual(ids.ab, ba)
      b.take()
      yield* TestClock.adjust("60 millis")
      assert.deepStrictEqual(numbers(b), [])
    }).pipe(Effect.provide(testLayer())))

  it.effect("claims that a stranger is online, and loses what is sent to it", () =>
    Effect.gen(function*() {
      const { a, address, b, faults } = yield* linked
      const c = yield* Client.login(address, settle)
      faults.set({ from: c.keys.publicKey, to: a.keys.publicKey }, { claimOnline: true })
      a.send(packets.route(c.keys.publicKey))
      b.send(packets.route(c.keys.publicKey))
      yield* settle
      const [response, lie] = a.take()
      assert.deepStrictEqual(response, [1, response![1]!, ...c.keys.publicKey])
      assert.deepStrictEqual(lie, [connect, response![1]!])
      assert.lengthOf(b.take(), 1)
      a.send(packets.data(response![1]!, 1), packets.ping(...pingId))
      yield* settle
      assert.deepStrictEqual(a.take(), [pong])
      assert.deepStrictEqual(c.take(), [])
    }).pipe(Effect.provide(testLayer())))

  it.effect("does not claim what is true", () =>
    Effect.gen(function*() {
      const { a, address, faults } = yield* linked
      const c = yield* Client.login(address, settle)
      c.send(packets.route(a.keys.publicKey))
      yield* settle
      faults.set({}, { claimOnline: true })
      a.send(packets.route(c.keys.publicKey))
      yield* settle
      assert.lengthOf(a.take().filter(([type]) => type === connect), 1)
      assert.strictEqual(faults.counts().lies, 0)
    }).pipe(Effect.provide(testLayer())))

  it.effect("hides that a peer has come or gone", () =>
    Effect.gen(function*() {
      const { a, ab, b, ba, faults } = yield* linked
      faults.set({ to: a.keys.publicKey }, { hideOffline: true, hideOnline: true })
      b.send(packets.disconnect(ba))
      yield* settle
      a.send(packets.data(ab, 1), packets.ping(...pingId))
      yield* settle
      assert.deepStrictEqual(a.take(), [pong])
      b.send(packets.route(a.keys.publicKey))
      yield* settle
      assert.deepStrictEqual(a.take(), [])
      assert.lengthOf(b.take().filter(([type]) => type === connect), 1)
      assert.strictEqual(faults.counts().lies, 2)
    }).pipe(Effect.provide(testLayer())))

  it.effect("announces on demand, true or not", () =>
    Effect.gen(function*() {
      const { a, ab, address, b, faults } = yield* linked
      const about = { from: b.keys.publicKey, to: a.keys.publicKey }
      assert.isTrue(faults.announce(about, false))
      assert.isTrue(faults.announce(about, true))
      yield* settle
      assert.deepStrictEqual(a.take(), [[disconnect, ab], [connect, ab]])
      const c = yield* Client.login(address, settle)
      assert.isFalse(faults.announce({ from: c.keys.publicKey, to: a.keys.publicKey }, true))
      assert.isFalse(faults.announce({ from: a.keys.publicKey, to: keyPairFrom(0x51).publicKey }, true))
    }).pipe(Effect.provide(testLayer())))
})
