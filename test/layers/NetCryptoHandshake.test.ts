/** What net_crypto does about cookies and handshakes, right and wrong (reliability, "net_crypto cookies and handshakes"). */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import type { PublicKey } from "../../src/schema/Bytes.ts"
import * as Packet from "../../src/schema/NetCryptoPacket.ts"
import { collect, forkNow, join, node, type NodeOptions, within } from "../utils/cryptoNode.ts"
import * as FakeWire from "../utils/FakeWire.ts"
import { keyPairFrom } from "../utils/plainCrypto.ts"
import { RawPeer, readRequest } from "../utils/RawPeer.ts"

const settle = TestClock.adjust(20)

/** A node that accepts everybody, and a peer played by the test. */
const scene = Effect.fnUntraced(function*(options?: NodeOptions) {
  const wire = yield* FakeWire.make()
  const b = yield* node(wire, 33, 97, options)
  const peer = new RawPeer(wire, b, 1, 65)
  yield* settle
  const accepting = yield* forkNow(b.netCrypto.accept)
  return { wire, b, peer, accepting }
})

/** The same with a cookie for the peer. */
const sceneWithCookie = Effect.fnUntraced(function*(options?: NodeOptions) {
  const all = yield* scene(options)
  all.peer.send(all.peer.cookieRequest())
  yield* settle
  return { ...all, cookie: all.peer.cookie! }
})

describe("cookie requests", () => {
  it.effect("an honest one is answered, by the way it came, and leaves nothing behind", () =>
    Effect.gen(function*() {
      const { b, cookie, peer } = yield* sceneWithCookie()
      assert.strictEqual(cookie.length, 112)
      assert.strictEqual(peer.received(25).length, 1)
      assert.strictEqual(b.at.paths.size, 0)
    }))

  it.effect("wrong length, wrong MAC, a zero key and a sender that differs from the key inside are dropped", () =>
    Effect.gen(function*() {
      const { peer } = yield* scene()
      const good = peer.cookieRequest()
      peer.inject(good.subarray(0, 144))
      peer.inject(Uint8Array.of(...good, 0))
      for (let at = 33; at < good.length; at++) {
        yield* TestClock.adjust(110)
        peer.inject(good.map((byte, i) => i === at ? byte ^ 1 : byte))
      }
      const zero = { ...readRequest(good), senderDhtKey: new Uint8Array(32) as PublicKey }
      peer.inject(Packet.CookieRequest.encode(zero))
      const other = { ...readRequest(good), senderDhtKey: keyPairFrom(0xc1).publicKey }
      peer.inject(Packet.CookieRequest.encode(other))
      yield* TestClock.adjust(1_000)
      assert.deepStrictEqual(peer.inbox, [])
      peer.inject(good)
      yield* settle
      assert.strictEqual(peer.received(25).length, 1)
    }))

  it.effect("ten a second are answered to one source", () =>
    Effect.gen(function*() {
      const { peer } = yield* scene()
      for (let i = 0; i < 1_000; i++) {
        peer.inject(peer.cookieRequest())
        yield* TestClock.adjust(1)
      }
      yield* settle
      assert.approximately(peer.received(25).length, 20, 1)
    }))

  it.effect("a flood of 10,000 a second from fifty sources: an honest peer connects within two seconds", () =>
    Effect.gen(function*() {
      const { b, peer, wire } = yield* scene()
      const a = yield* node(wire, 3, 67)
      const sources = Array.from({ length: 50 }, (_, i) => keyPairFrom(100 + i).publicKey)
      const request = peer.cookieRequest()
      let flooding = true
      yield* forkNow(Effect.gen(function*() {
        for (let i = 0; flooding; i += 10) {
          for (let k = 0; k < 10; k++) {
            const from = sources[(i + k) % 50]!
            wire.inject(from, b.at, Packet.CookieRequest.encode({ ...readRequest(request), senderDhtKey: from }))
          }
          yield* Effect.sleep(1)
        }
      }))
      const calling = yield* forkNow(a.netCrypto.connect(b.address))
      yield* within(calling, 2_000, 5)
      flooding = false
    }))
})

describe("handshakes", () => {
  it.effect("an honest one is answered, and the first data packet makes the connection", () =>
    Effect.gen(function*() {
      const { accepting, b, cookie, peer } = yield* sceneWithCookie()
      peer.send(peer.handshake(cookie))
      yield* settle
      assert.isTrue(peer.takeHandshake())
      assert.isUndefined(accepting.pollUnsafe())
      peer.send(peer.data(Uint8Array.of(Packet.requestId)))
      const end = collect(yield* within(accepting, 100))
      assert.deepStrictEqual(end.connection.identityKey, peer.identity.publicKey)
      peer.send(peer.data(Uint8Array.of(160, 1), 0))
      yield* settle
      assert.deepStrictEqual(end.lossless, [Uint8Array.of(160, 1)])
      assert.strictEqual(b.at.paths.size, 1)
    }))

  it.effect("whoever the policy refuses gets no answer, and no state is kept", () =>
    Effect.gen(function*() {
      const { b, cookie, peer } = yield* sceneWithCookie({ accepts: false })
      peer.send(peer.handshake(cookie))
      yield* settle
      assert.deepStrictEqual(peer.received(26), [])
      assert.strictEqual(b.at.paths.size, 0)
    }))

  it.effect("forged, expired, foreign and future cookies, a wrong hash, key, MAC or length: no answer, no state", () =>
    Effect.gen(function*() {
      const { b, cookie, peer, wire } = yield* sceneWithCookie()
      const foreign = peer.jar.issue(peer.bearer, wire.now())
      const good = peer.handshake(cookie)
      const bad = [
        peer.handshake(cookie.map((byte, i) => i === 50 ? byte ^ 1 : byte)),
        peer.handshake(new Uint8Array(112)),
        peer.handshake(foreign),
        peer.handshake(cookie, { hash: () => new Uint8Array(64) }),
        peer.handshake(cookie, { secretKey: keyPairFrom(0xc1).secretKey }),
        good.map((byte, i) => i === 384 ? byte ^ 1 : byte),
        good.subarray(0, 384),
        Uint8Array.of(...good, 0)
      ]
      for (const packet of bad) peer.send(packet)
      yield* settle
      assert.deepStrictEqual(peer.received(26), [])
      assert.strictEqual(b.at.paths.size, 0)
      peer.send(good)
      yield* settle
      assert.strictEqual(peer.received(26).length, 1)
    }))

  it.effect("a cookie counts for 15 s and not for 15.001 s", () =>
    Effect.gen(function*() {
      const { cookie, peer, wire } = yield* sceneWithCookie()
      // Issued when the request arrived, 5 ms after it was sent.
      const issued = wire.log.find(({ bytes }) => bytes[0] === 25)!.at
      yield* TestClock.adjust(issued + 15_001 - wire.now())
      peer.inject(peer.handshake(cookie))
      yield* settle
      assert.deepStrictEqual(peer.received(26), [])
      peer.send(peer.cookieRequest())
      yield* settle
      const again = wire.log.findLast(({ bytes }) => bytes[0] === 25)!.at
      yield* TestClock.adjust(again + 15_000 - wire.now())
      peer.inject(peer.handshake(peer.cookie!))
      yield* settle
      assert.strictEqual(peer.received(26).length, 1)
    }))

  it.effect("F8: a cookie makes one session; the identical handshake is answered again, another one is not", () =>
    Effect.gen(function*() {
      const { cookie, peer } = yield* sceneWithCookie()
      const first = peer.handshake(cookie)
      const second = peer.handshake(cookie)
      peer.send(first)
      yield* TestClock.adjust(200)
      assert.strictEqual(peer.received(26).length, 1)
      peer.send(second)
      yield* TestClock.adjust(200)
      assert.strictEqual(peer.received(26).length, 1)
      peer.send(first)
      yield* TestClock.adjust(200)
      assert.strictEqual(peer.received(26).length, 2)
      assert.deepStrictEqual(peer.received(26)[0], peer.received(26)[1])
    }))

  it.effect("an unusable session key inside is dropped: no state, no defect, and the peer may try again", () =>
    Effect.gen(function*() {
      const { accepting, b, peer } = yield* sceneWithCookie()
      for (let i = 0; i < 3; i++) {
        peer.send(peer.cookieRequest())
        yield* settle
        peer.send(peer.handshake(peer.cookie!, { sessionKey: new Uint8Array(32) as PublicKey }))
        yield* settle
        assert.strictEqual(b.at.paths.size, 0)
      }
      yield* peer.connect
      yield* within(accepting, 100)
    }))

  it.effect("an unusable session key from another DHT key leaves the session alone, as often as it comes", () =>
    Effect.gen(function*() {
      const { accepting, b, peer, wire } = yield* scene()
      yield* peer.connect
      const end = collect(yield* within(accepting, 100))
      const other = new RawPeer(wire, b, 1, 66, 0xa1)
      yield* settle
      for (let i = 0; i < 3; i++) {
        other.send(other.cookieRequest())
        yield* settle
        other.send(other.handshake(other.cookie!, { sessionKey: new Uint8Array(32) as PublicKey }))
        yield* settle
      }
      assert.strictEqual(b.at.paths.size, 1)
      peer.send(peer.data(Uint8Array.of(160, 7), 0))
      yield* settle
      assert.deepStrictEqual(end.lossless, [Uint8Array.of(160, 7)])
      yield* other.connect
      assert.deepStrictEqual(end.errors.map(({ reason }) => reason._tag), ["PeerRestarted"])
    }))

  it.effect("two identities with one DHT key: the second is refused without harm to the first", () =>
    Effect.gen(function*() {
      const { accepting, b, peer, wire } = yield* scene()
      yield* peer.connect
      const end = collect(yield* within(accepting, 100))
      const twin = { realKey: keyPairFrom(5).publicKey, dhtKey: peer.dht.publicKey }
      peer.send(peer.cookieRequest(twin))
      yield* settle
      peer.send(peer.handshake(peer.cookie!, { secretKey: keyPairFrom(5).secretKey }))
      yield* settle
      peer.send(peer.data(Uint8Array.of(160, 7), 0))
      yield* settle
      assert.deepStrictEqual(end.lossless, [Uint8Array.of(160, 7)])
      const calling = yield* forkNow(
        Effect.flip(b.netCrypto.connect({ identityKey: twin.realKey, dhtKey: twin.dhtKey, relays: wire.relays }))
      )
      assert.strictEqual((yield* within(calling, 100)).reason._tag, "PeerKeyInvalid")
    }))

  it.effect("a working session ends only when another one has been proven: make before break", () =>
    Effect.gen(function*() {
      const { accepting, peer } = yield* scene()
      yield* peer.connect
      const end = collect(yield* within(accepting, 100))
      const first = peer.cipher!
      const later = peer.handshake
      peer.session = keyPairFrom(0xa1)
      peer.send(peer.cookieRequest())
      yield* settle
      peer.send(later.call(peer, peer.cookie!))
      yield* settle
      assert.isTrue(peer.takeHandshake())
      const second = peer.cipher!
      peer.cipher = first
      peer.send(peer.data(Uint8Array.of(160, 1), 0))
      yield* settle
      assert.deepStrictEqual(end.lossless, [Uint8Array.of(160, 1)])
      assert.deepStrictEqual(end.errors, [])
      peer.cipher = second
      peer.send(peer.data(Uint8Array.of(Packet.requestId)))
      yield* settle
      assert.deepStrictEqual(end.errors.map(({ reason }) => reason._tag), ["PeerRestarted"])
    }))

  it.effect("a handshake that was held back while the session went on is outdated: dropped, and the session lives", () =>
    Effect.gen(function*() {
      const { accepting, peer } = yield* scene()
      yield* peer.connect
      const end = collect(yield* within(accepting, 100))
      peer.send(peer.cookieRequest())
      yield* settle
      const cookie = peer.cookie!
      yield* TestClock.adjust(1_000)
      // Only the process that has the session can have sent this, so it was alive after it asked for the cookie.
      peer.send(peer.data(Uint8Array.of(160, 1), 0))
      yield* settle
      peer.inbox.length = 0
      const first = peer.session
      peer.session = keyPairFrom(0xa1)
      peer.send(peer.handshake(cookie))
      yield* settle
      assert.deepStrictEqual(peer.received(26), [])
      peer.session = first
      peer.send(peer.data(Uint8Array.of(160, 2), 1))
      yield* settle
      assert.deepStrictEqual(end.lossless, [Uint8Array.of(160, 1), Uint8Array.of(160, 2)])
      assert.deepStrictEqual(end.errors, [])
    }))

  it.effect("closing while another session is pending forgets both, and a new call works", () =>
    Effect.gen(function*() {
      const { accepting, b, peer } = yield* scene()
      yield* peer.connect
      const end = collect(yield* within(accepting, 100))
      peer.session = keyPairFrom(0xa1)
      peer.send(peer.cookieRequest())
      yield* settle
      peer.send(peer.handshake(peer.cookie!))
      yield* settle
      yield* end.connection.close
      assert.strictEqual(b.at.paths.size, 0)
      const again = yield* forkNow(b.netCrypto.accept)
      peer.session = keyPairFrom(0xb1)
      yield* peer.connect
      yield* within(again, 100)
    }))

  it.effect("its own handshake and its own cookie request come back: nothing happens", () =>
    Effect.gen(function*() {
      const wire = yield* FakeWire.make()
      const a = yield* node(wire, 1, 65)
      const b = yield* node(wire, 33, 97)
      wire.fate = (transit) => {
        const { bytes, from } = transit
        if (from === a.at.id && bytes[0] !== 27) wire.schedule(1, () => wire.inject(b.address.dhtKey, a.at, bytes))
        return "deliver"
      }
      const ends = yield* join(a, b, 200)
      yield* TestClock.adjust(5_000)
      assert.deepStrictEqual([ends.a.errors, ends.b.errors], [[], []])
    }))

  it.effect("our own key is no peer, nor is a DHT key that cannot be used", () =>
    Effect.gen(function*() {
      const { b, wire } = yield* scene()
      const call = (identityKey: PublicKey, dhtKey: PublicKey) =>
        Effect.map(Effect.flip(b.netCrypto.connect({ identityKey, dhtKey, relays: wire.relays })), (error) =>
          error.reason._tag)
      const other = keyPairFrom(9).publicKey
      assert.strictEqual(yield* call(b.address.identityKey, other), "PeerKeyInvalid")
      assert.strictEqual(yield* call(other, b.address.dhtKey), "PeerKeyInvalid")
      assert.strictEqual(yield* call(other, new Uint8Array(32) as PublicKey), "PeerKeyInvalid")
      assert.strictEqual(b.at.paths.size, 0)
    }))

  it.effect("responses with another echo id, responses and data out of turn, and unknown ids are dropped", () =>
    Effect.gen(function*() {
      const { b, peer, wire } = yield* sceneWithCookie()
      for (const id of [0, 1, 23, 25, 27, 28, 255]) peer.inject(new Uint8Array(161).fill(id))
      yield* settle
      assert.strictEqual(b.at.paths.size, 0)
      const calling = yield* forkNow(
        b.netCrypto.connect({ identityKey: peer.identity.publicKey, dhtKey: peer.dht.publicKey, relays: wire.relays })
      )
      yield* TestClock.adjust(10)
      peer.inbox.length = 0
      yield* TestClock.adjust(1_100)
      peer.send(peer.cookieResponse((asked) => asked.map((byte) => byte ^ 1)))
      yield* settle
      assert.deepStrictEqual(peer.received(26), [])
      peer.send(peer.cookieResponse())
      yield* settle
      assert.strictEqual(peer.received(26).length, 1)
      assert.isUndefined(calling.pollUnsafe())
    }))
})
