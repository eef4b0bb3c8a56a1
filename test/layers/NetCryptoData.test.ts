/** What net_crypto does about data packets, right and wrong (reliability, "net_crypto data"). */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import * as fc from "fast-check"
import { encodeRequest } from "../../src/protocol/net-crypto/packetRequest.ts"
import * as Packet from "../../src/schema/NetCryptoPacket.ts"
import { collect, forkNow, node, type NodeOptions, numbered, numberOf, within } from "../utils/cryptoNode.ts"
import * as FakeWire from "../utils/FakeWire.ts"
import { RawPeer } from "../utils/RawPeer.ts"

const settle = TestClock.adjust(20)
const request = Uint8Array.of(Packet.requestId)

/** A node with an established session to a peer that the test plays. */
const session = Effect.fnUntraced(function*(options?: NodeOptions) {
  const wire = yield* FakeWire.make()
  const b = yield* node(wire, 33, 97, options)
  const peer = new RawPeer(wire, b, 1, 65)
  const accepting = yield* forkNow(b.netCrypto.accept)
  yield* peer.connect
  const end = collect(yield* within(accepting, 100))
  return { wire, b, peer, end, connection: end.connection }
})

describe("net_crypto data that is wrong", () => {
  it.effect("a payload that no packet holds is the caller's mistake: an exception, and nothing is queued", () =>
    Effect.gen(function*() {
      const { connection } = yield* session()
      const sized = (id: number, size: number) => new Uint8Array(size).fill(id)
      for (const payload of [sized(160, 0), sized(160, 1374), sized(15, 5), sized(192, 5), sized(0, 5)]) {
        assert.throws(() => connection.trySend(payload), RangeError)
      }
      for (const payload of [sized(200, 0), sized(200, 1374), sized(191, 5), sized(255, 5)]) {
        assert.throws(() => connection.sendLossy(payload), RangeError)
      }
      assert.isTrue(connection.trySend(sized(16, 1)) && connection.trySend(sized(191, 1373)))
      assert.isTrue(connection.sendLossy(sized(192, 1)) && connection.sendLossy(sized(254, 1373)))
      yield* settle
      assert.strictEqual(connection.stats().sentPackets, 2)
    }))

  it.effect("too short, too long, forged or nothing but padding: dropped and counted", () =>
    Effect.gen(function*() {
      const { connection, end, peer } = yield* session()
      for (const size of [1, 3, 27, 1401, 2048]) peer.inject(new Uint8Array(size).fill(27))
      peer.inject(new Uint8Array(100).fill(27))
      const good = peer.data(numbered(0))
      peer.inject(good.map((byte, i) => i === good.length - 1 ? byte ^ 1 : byte))
      peer.inject(peer.data(Uint8Array.of(0)))
      peer.inject(peer.data(new Uint8Array(1373)))
      assert.deepStrictEqual(connection.stats().dropped, { length: 5, forged: 2, empty: 2 })
      peer.inject(good)
      assert.deepStrictEqual(end.lossless.map(numberOf), [0])
      assert.deepStrictEqual(end.errors, [])
    }))

  it.effect("ids 3..15 and 255 are dropped, 16..191 are lossless, 192..254 lossy", () =>
    Effect.gen(function*() {
      const { connection, end, peer } = yield* session()
      let next = 0
      for (let id = 3; id < 256; id++) {
        const isLossless = id >= 16 && id <= 191
        peer.inject(peer.data(Uint8Array.of(id, 1), next))
        if (isLossless) next++
      }
      assert.deepStrictEqual(end.lossless.map(([id]) => id), Array.from({ length: 176 }, (_, i) => 16 + i))
      assert.deepStrictEqual(end.lossy.map(([id]) => id), Array.from({ length: 63 }, (_, i) => 192 + i))
      assert.deepStrictEqual(connection.stats().dropped, { "unknown id": 14 })
    }))

  it.effect("F7: replayed packets are delivered once, lossy ones too", () =>
    Effect.gen(function*() {
      const { connection, end, peer } = yield* session()
      const lossless = peer.data(numbered(0), 0)
      const lossy = peer.data(Uint8Array.of(200, 1), 1)
      for (let i = 0; i < 10; i++) for (const packet of [lossless, lossy]) peer.inject(packet)
      assert.deepStrictEqual([end.lossless.length, end.lossy.length], [1, 1])
      assert.strictEqual(connection.stats().dropped["replayed"], 18)
    }))

  it.effect("a lossless packet under a new nonce is delivered once", () =>
    Effect.gen(function*() {
      const { end, peer } = yield* session()
      for (const number of [0, 0, 1, 0, 1, 2]) peer.inject(peer.data(numbered(number), number))
      assert.deepStrictEqual(end.lossless.map(numberOf), [0, 1, 2])
    }))

  it.effect("takes packets that are 21,845 late and goes over the rollover of the nonce bytes", () =>
    Effect.gen(function*() {
      const { end, peer } = yield* session()
      const late = peer.data(numbered(0), 0)
      for (let i = 0; i < 21_844; i++) peer.inject(peer.data(Uint8Array.of(200), 1))
      peer.inject(late)
      assert.deepStrictEqual(end.lossless.map(numberOf), [0])
      for (let i = 0; i < 50_000; i++) peer.inject(peer.data(Uint8Array.of(200), 1))
      peer.inject(peer.data(numbered(1), 1))
      assert.deepStrictEqual(end.lossless.map(numberOf), [0, 1])
      assert.strictEqual(end.lossy.length, 71_844)
    }))

  it.effect(
    "after a gap of 65,536 nonces the session is dead, times out, and the peer can connect again",
    () =>
      Effect.gen(function*() {
        const { b, end, peer } = yield* session()
        for (let i = 0; i < 65_537; i++) peer.data(request)
        peer.inject(peer.data(numbered(0), 0))
        assert.deepStrictEqual(end.lossless, [])
        yield* TestClock.adjust(32_100)
        assert.deepStrictEqual(end.errors.map(({ reason }) => reason._tag), ["PeerTimedOut"])
        const accepting = yield* forkNow(b.netCrypto.accept)
        yield* peer.connect
        yield* within(accepting, 100)
      }),
    10_000
  )

  it.effect("packet 32,767 ahead is kept, 32,768 ahead is dropped", () =>
    Effect.gen(function*() {
      const { connection, end, peer } = yield* session()
      peer.inject(peer.data(numbered(32_768), 32_768))
      assert.deepStrictEqual(connection.stats().dropped, { outside: 1 })
      peer.inject(peer.data(numbered(32_767), 32_767))
      assert.deepStrictEqual(connection.stats().dropped, { outside: 1 })
      for (let i = 0; i < 32_767; i++) peer.inject(peer.data(numbered(i), i))
      assert.deepStrictEqual(end.lossless.map(numberOf), Array.from({ length: 32_768 }, (_, i) => i))
    }))

  it.effect("an acknowledgement of what was never sent: the packet is dropped, and we believe nothing of it", () =>
    Effect.gen(function*() {
      const { connection, end, peer } = yield* session()
      connection.trySend(numbered(1))
      connection.trySend(numbered(2))
      peer.inject(peer.data(numbered(0), 0, 3))
      peer.inject(peer.data(numbered(0), 0, 2 ** 31 - 1))
      assert.deepStrictEqual(end.lossless, [])
      assert.strictEqual(connection.stats().dropped["acknowledges ahead"], 2)
      assert.strictEqual(connection.stats().inFlightPackets, 2)
      peer.inject(peer.data(numbered(0), 0, 2))
      assert.strictEqual(connection.stats().inFlightPackets, 0)
      assert.deepStrictEqual(end.lossless.map(numberOf), [0])
    }))

  it.effect("F10: a packet with an old acknowledgement is stale in that only; its data is taken", () =>
    Effect.gen(function*() {
      const { connection, end, peer } = yield* session()
      for (let i = 0; i < 5; i++) connection.trySend(numbered(i))
      peer.inject(peer.data(numbered(0), 0, 5))
      peer.inject(peer.data(numbered(1), 1, 2))
      peer.inject(peer.data(Uint8Array.of(200), 2, 0))
      assert.deepStrictEqual(end.lossless.map(numberOf), [0, 1])
      assert.strictEqual(end.lossy.length, 1)
      assert.strictEqual(connection.stats().inFlightPackets, 0)
    }))

  it.effect("F10: a request packet that was overtaken is not read against the present numbers", () =>
    Effect.gen(function*() {
      const { connection, peer } = yield* session()
      for (let i = 0; i < 10; i++) connection.trySend(numbered(i))
      yield* TestClock.adjust(600)
      // Written when 0..1 had arrived and 4 was missing; it says that 2 and 3 are there.
      const old = peer.data(Uint8Array.of(Packet.requestId, 3), 0, 2)
      peer.inject(peer.data(Uint8Array.of(Packet.requestId, 1), 0, 6))
      peer.inject(old)
      yield* settle
      peer.takeData()
      yield* TestClock.adjust(600)
      // Everything from 6 on is still ours to send: nothing was freed by mistake.
      peer.inject(peer.data(Uint8Array.of(Packet.requestId, 1, 1, 1, 1), 0, 6))
      yield* settle
      assert.deepStrictEqual(
        peer.takeData().filter(({ payload }) => payload[0] === 160).map(({ number }) => number),
        [6, 7, 8, 9]
      )
    }))

  it.effect("any bytes in a request packet: no defect, no packet freed that the list does not reach", () =>
    Effect.gen(function*() {
      const { connection, end, peer } = yield* session()
      for (let i = 0; i < 300; i++) connection.trySend(numbered(i))
      yield* settle
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 1372 }), fc.nat(2 ** 32 - 1), (bytes, number) => {
          peer.inject(peer.data(Uint8Array.of(Packet.requestId, ...bytes), number))
          const { inFlightPackets } = connection.stats()
          assert.isTrue(inFlightPackets >= 0 && inFlightPackets <= 300)
        }),
        { numRuns: 100 }
      )
      peer.inject(peer.data(numbered(0), 0, connection.stats().sentPackets))
      yield* settle
      assert.deepStrictEqual(connection.stats().inFlightPackets, 0)
      assert.deepStrictEqual(end.errors, [])
    }))

  it.effect("a request names what is missing, repeats it until it comes, and every packet says how far we are", () =>
    Effect.gen(function*() {
      const { end, peer } = yield* session()
      for (const number of [0, 2, 4]) peer.inject(peer.data(numbered(number), number))
      yield* settle
      const first = peer.takeData()
      const expected = new Uint8Array(9)
      const length = encodeRequest(expected, 1, 5, (number) => number === 2 || number === 4)
      assert.deepStrictEqual(first.at(-1), { acknowledged: 1, number: 0, payload: expected.slice(0, length) })
      yield* TestClock.adjust(200)
      const count = peer.takeData().length
      assert.isTrue(count >= 1 && count <= 10, `${count} requests in 200 ms`)
      peer.inject(peer.data(numbered(1), 1))
      peer.inject(peer.data(numbered(3), 3))
      yield* settle
      assert.strictEqual(peer.takeData().at(-1)?.acknowledged, 5)
      assert.deepStrictEqual(end.lossless.map(numberOf), [0, 1, 2, 3, 4])
    }))

  it.effect("the number of a lossy or request packet shows a lost tail", () =>
    Effect.gen(function*() {
      const { end, peer } = yield* session()
      peer.inject(peer.data(Uint8Array.of(200), 2))
      yield* TestClock.adjust(60)
      assert.deepStrictEqual(peer.takeData().at(-1)?.payload, Uint8Array.of(1, 1, 1))
      peer.inject(peer.data(numbered(0), 0))
      peer.inject(peer.data(numbered(1), 1))
      assert.strictEqual(end.lossless.length, 2)
    }))

  it.effect("what is requested is sent again with the present acknowledgement, what is not missing is not", () =>
    Effect.gen(function*() {
      const { connection, peer } = yield* session()
      for (let i = 0; i < 5; i++) connection.trySend(numbered(i))
      yield* settle
      assert.deepStrictEqual(peer.takeData().filter(({ payload }) => payload[0] === 160).map(({ number }) => number), [
        0,
        1,
        2,
        3,
        4
      ])
      yield* TestClock.adjust(600)
      peer.takeData()
      peer.inject(peer.data(numbered(0), 0))
      // 0 and 3 are missing; 1 and 2 have arrived, nothing is said of 4.
      peer.inject(peer.data(Uint8Array.of(Packet.requestId, 1, 3), 1))
      yield* settle
      const again = peer.takeData().filter(({ payload }) => payload[0] === 160)
      assert.deepStrictEqual(again.map(({ acknowledged, number }) => [number, acknowledged]), [[0, 1], [3, 1]])
      assert.strictEqual(connection.stats().resentPackets, 2)
    }))

  it.effect("a kill packet ends the session once, without an answer", () =>
    Effect.gen(function*() {
      const { b, connection, end, peer } = yield* session()
      peer.takeData()
      const kill = peer.data(Uint8Array.of(Packet.killId))
      peer.inject(kill)
      peer.inject(kill)
      peer.inject(peer.data(numbered(0), 0))
      yield* settle
      assert.deepStrictEqual(end.errors.map(({ reason }) => reason._tag), ["PeerClosed"])
      assert.deepStrictEqual(end.lossless, [])
      assert.deepStrictEqual(peer.takeData(), [])
      assert.strictEqual(b.at.paths.size, 0)
      assert.isFalse(connection.trySend(numbered(0)))
      assert.isFalse(connection.sendLossy(Uint8Array.of(200)))
      assert.strictEqual((yield* connection.closed).reason._tag, "PeerClosed")
      assert.strictEqual((yield* Effect.flip(connection.drained)).reason._tag, "PeerClosed")
      assert.strictEqual((yield* Effect.flip(connection.sendAll([numbered(0)]))).reason._tag, "PeerClosed")
      yield* connection.close
      assert.strictEqual(end.errors.length, 1)
    }))

  it.effect("close sends one kill packet", () =>
    Effect.gen(function*() {
      const { connection, end, peer } = yield* session()
      peer.takeData()
      yield* connection.close
      yield* connection.close
      yield* settle
      assert.deepStrictEqual(peer.takeData().map(({ payload }) => payload), [Uint8Array.of(Packet.killId)])
      assert.deepStrictEqual(end.errors.map(({ reason }) => reason._tag), ["ClosedHere"])
    }))

  it.effect("packet 0 withheld: 4 MiB are kept and no more, and everything arrives once it comes", () =>
    Effect.gen(function*() {
      const { connection, end, peer } = yield* session()
      const payload = (number: number): Uint8Array => numbered(number, 1373)
      const fits = Math.floor(4 * 1024 * 1024 / 1373)
      for (let i = 1; i < fits + 100; i++) peer.inject(peer.data(payload(i), i))
      assert.deepStrictEqual(connection.stats().dropped, { full: 99 })
      assert.deepStrictEqual(end.lossless, [])
      peer.inject(peer.data(payload(0), 0))
      assert.strictEqual(end.lossless.length, fits + 1)
      for (let i = fits + 1; i < fits + 100; i++) peer.inject(peer.data(payload(i), i))
      assert.deepStrictEqual(end.lossless.map(numberOf), Array.from({ length: fits + 100 }, (_, i) => i))
    }))

  it.effect("memory for packets out of order is bounded for all peers together, and given back when one goes", () =>
    Effect.gen(function*() {
      const { b, connection, peer, wire } = yield* session({ receiveBufferTotal: 10_000 })
      const second = new RawPeer(wire, b, 2, 66, 0xa1)
      const accepting = yield* forkNow(b.netCrypto.accept)
      yield* second.connect
      const other = yield* within(accepting, 100)
      for (let i = 1; i < 20; i++) peer.inject(peer.data(numbered(i, 1_000), i))
      assert.deepStrictEqual(connection.stats().dropped, { full: 9 })
      second.inject(second.data(numbered(1, 1_000), 1))
      assert.deepStrictEqual(other.stats().dropped, { full: 1 })
      peer.inject(peer.data(Uint8Array.of(Packet.killId)))
      second.inject(second.data(numbered(1, 1_000), 1))
      assert.deepStrictEqual(other.stats().dropped, { full: 1 })
    }))

  it.effect("nobody reads yet: lossy packets are kept up to 256, the oldest go, lossless ones hold the peer back", () =>
    Effect.gen(function*() {
      const wire = yield* FakeWire.make()
      const b = yield* node(wire, 33, 97)
      const peer = new RawPeer(wire, b, 1, 65)
      const accepting = yield* forkNow(b.netCrypto.accept)
      yield* peer.connect
      const connection = yield* within(accepting, 100)
      for (let i = 0; i < 300; i++) peer.inject(peer.data(Uint8Array.of(200, ...numbered(i).subarray(1)), 0))
      for (let i = 0; i < 10; i++) peer.inject(peer.data(numbered(i), i))
      yield* settle
      assert.isAtMost(peer.takeData().at(-1)!.acknowledged, 1)
      const end = collect(connection)
      assert.deepStrictEqual(end.lossless.map(numberOf), Array.from({ length: 10 }, (_, i) => i))
      assert.deepStrictEqual(end.lossy.map(numberOf), Array.from({ length: 256 }, (_, i) => 44 + i))
      yield* settle
      assert.strictEqual(peer.takeData().at(-1)?.acknowledged, 10)
    }))

  it.effect("a handler may close, send and hold in the middle of a packet", () =>
    Effect.gen(function*() {
      const wire = yield* FakeWire.make()
      const b = yield* node(wire, 33, 97)
      const peer = new RawPeer(wire, b, 1, 65)
      const accepting = yield* forkNow(b.netCrypto.accept)
      yield* peer.connect
      const connection = yield* within(accepting, 100)
      const seen: Array<number> = []
      connection.handle({
        onLossless: (payload) => {
          seen.push(numberOf(payload))
          connection.trySend(payload)
          if (seen.length === 2) connection.hold(true)
          if (seen.length === 4) Effect.runSync(connection.close)
        },
        onLossy: () => {},
        onWritable: () => {},
        onClosed: () => seen.push(-1)
      })
      for (const number of [1, 2, 3, 4, 5, 0]) peer.inject(peer.data(numbered(number), number))
      assert.deepStrictEqual(seen, [0, 1])
      connection.hold(false)
      assert.deepStrictEqual(seen, [0, 1, 2, 3, -1])
      yield* settle
      assert.deepStrictEqual(
        peer.takeData().filter(({ payload }) => payload[0] === 160).map(({ payload }) => numberOf(payload)),
        [0, 1, 2, 3]
      )
    }))
})
