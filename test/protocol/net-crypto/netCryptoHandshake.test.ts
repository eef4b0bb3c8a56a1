import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { createHash } from "node:crypto"
import type { Cipher } from "../../../src/protocol/crypto/Crypto.ts"
import { CookieJar } from "../../../src/protocol/net-crypto/CookieJar.ts"
import * as Handshake from "../../../src/protocol/net-crypto/netCryptoHandshake.ts"
import * as Packet from "../../../src/schema/NetCryptoPacket.ts"
import * as EntropySeeded from "../../../src/testing/EntropySeeded.ts"
import { consecutive, hex, keyPairFrom, plainCrypto as crypto, unhex } from "../../utils/plainCrypto.ts"
import { readVectors } from "../../vectors/vectors.ts"

const vectors = readVectors<{
  readonly baseNonce: string
  readonly cookieRequest: { readonly echoId: string; readonly wire: string }
  readonly handshake: { readonly outerCookie: string; readonly innerCookie: string; readonly wire: string }
}>("net-crypto")

const real = keyPairFrom(0x01)
const peerReal = keyPairFrom(0x21)
const dht = keyPairFrom(0x41)
const peerDht = keyPairFrom(0x61)
const session = keyPairFrom(0x81)
const { fill } = EntropySeeded.make(5)
const constant = (value: number) => (target: Uint8Array): void => void target.fill(value)
const ours = { realKey: real.publicKey, dhtKey: dht.publicKey }
const theirs = { realKey: peerReal.publicKey, dhtKey: peerDht.publicKey }
const offer = { baseNonce: unhex(vectors.baseNonce), sessionKey: session.publicKey }
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")
const newJar = (lifetime = 15_000): CookieJar => new CookieJar(crypto, fill, lifetime)
const wanted = () => true

/** A handshake from us to the peer, whose jar issued the outer cookie at `now`. */
const handshakeTo = (jar: CookieJar, now: number, bearer = ours): Uint8Array =>
  Handshake.handshake(
    crypto,
    real.secretKey,
    peerReal.publicKey,
    jar.issue(bearer, now),
    newJar().issue(theirs, now),
    offer,
    fill
  )!

const openAt = (jar: CookieJar, bytes: Uint8Array, now: number, isWanted: () => boolean = wanted) =>
  Handshake.openHandshake(crypto, jar, peerReal.secretKey, bytes, now, isWanted)

describe("the handshake packets of net_crypto", () => {
  it("known answer: cookie request, byte for byte and by its SHA-256", () => {
    const cipher = crypto.box(peerDht.publicKey, dht.secretKey)!
    const packet = Handshake.cookieRequest(cipher, ours, unhex(vectors.cookieRequest.echoId), constant(0xa1))
    assert.strictEqual(hex(packet), vectors.cookieRequest.wire)
    assert.strictEqual(sha256(packet), "c664cc0288abb42efc8a8fe50393e7fd29124bdeabc50ac697f834c411484e78")
  })

  it("known answer: handshake, byte for byte and by its SHA-256", () => {
    const outer = unhex(vectors.handshake.outerCookie)
    const inner = unhex(vectors.handshake.innerCookie)
    const args = [crypto, real.secretKey, peerReal.publicKey, outer, inner, offer, constant(0xa2)] as const
    const packet = Handshake.handshake(...args)!
    assert.strictEqual(hex(packet), vectors.handshake.wire)
    assert.strictEqual(sha256(packet), "844513d8a74b6228919ce216ef1e0d0b77b70c74abee0ef957b2a40979fef935")
  })

  it("a cookie request is answered with a cookie that names the caller and its echo id", () => {
    const jar = newJar()
    const echo = consecutive(7, 8)
    const request = Handshake.cookieRequest(crypto.box(peerDht.publicKey, dht.secretKey)!, ours, echo, fill)
    const cipher = crypto.box(dht.publicKey, peerDht.secretKey)!
    const answer = Handshake.answerCookieRequest(Handshake.readCookieRequest(request)!, cipher, jar, 100, fill)!
    assert.strictEqual(answer.length, 161)
    const opened = Handshake.openCookieResponse(answer, crypto.box(peerDht.publicKey, dht.secretKey)!)!
    assert.deepStrictEqual(opened.echoId, echo)
    const { bearer } = jar.open(opened.cookie, 100)!
    assert.deepStrictEqual([bearer.realKey, bearer.dhtKey], [real.publicKey, dht.publicKey])
    // The key of the session would open nothing of this: two keys must not share one field.
    assert.isUndefined(Handshake.openCookieResponse(answer, crypto.box(peerDht.publicKey, session.secretKey)!))
    const damaged = answer.slice()
    damaged[100]! ^= 1
    assert.isUndefined(Handshake.openCookieResponse(damaged, crypto.box(peerDht.publicKey, dht.secretKey)!))
  })

  it("a handshake is opened with everything in it", () => {
    const jar = newJar()
    const opened = openAt(jar, handshakeTo(jar, 100), 100)!
    assert.deepStrictEqual(opened.bearer.realKey, real.publicKey)
    assert.deepStrictEqual([opened.baseNonce, opened.sessionKey], [offer.baseNonce, offer.sessionKey])
    assert.strictEqual(opened.innerCookie.length, 112)
  })

  it("no flipped bit of a handshake and no other length gets through", () => {
    const jar = newJar()
    const packet = handshakeTo(jar, 0)
    for (let at = 0; at < packet.length; at++) {
      const bad = packet.slice()
      bad[at]! ^= 1 << (at % 8)
      assert.isUndefined(openAt(jar, bad, 0), `byte ${at}`)
    }
    for (const size of [0, 1, 384]) assert.isUndefined(openAt(jar, packet.subarray(0, size), 0))
    assert.isUndefined(openAt(jar, Uint8Array.of(...packet, 0), 0))
    assert.isDefined(openAt(jar, packet, 0))
  })

  it("a hash of another cookie is refused", () => {
    const jar = newJar()
    const cookie = jar.issue(ours, 0)
    const honest = handshakeTo(jar, 0)
    const lying = { ...crypto, sha512: (bytes: Uint8Array) => crypto.sha512(bytes.subarray(1)) }
    const inner = newJar().issue(theirs, 0)
    const bad = Handshake.handshake(lying, real.secretKey, peerReal.publicKey, cookie, inner, offer, fill)!
    assert.isUndefined(openAt(jar, bad, 0))
    assert.isDefined(openAt(jar, honest, 0))
  })

  it("whoever is not wanted is refused before any key agreement", () => {
    const jar = newJar()
    let agreements = 0
    const counting = { ...crypto, box: (...args: Parameters<typeof crypto.box>) => (agreements++, crypto.box(...args)) }
    const packet = handshakeTo(jar, 0)
    const open = (isWanted: () => boolean, bytes = packet) =>
      Handshake.openHandshake(counting, jar, peerReal.secretKey, bytes, 0, isWanted)
    assert.isUndefined(open(() => false))
    assert.isUndefined(open(wanted, packet.slice().fill(1, 1, 113)))
    assert.strictEqual(agreements, 0)
    assert.isDefined(open(wanted))
    assert.strictEqual(agreements, 1)
  })

  it("the real key is taken from the cookie: a cookie for somebody else does not open", () => {
    const jar = newJar()
    const other = { realKey: keyPairFrom(0xc1).publicKey, dhtKey: dht.publicKey }
    assert.isUndefined(openAt(jar, handshakeTo(jar, 0, other), 0))
    const zero = { realKey: new Uint8Array(32) as typeof real.publicKey, dhtKey: dht.publicKey }
    assert.isUndefined(openAt(jar, handshakeTo(jar, 0, zero), 0))
  })

  it("the weakness of the handshake: whoever has our long-term secret can pretend to be anybody to us", () => {
    const jar = newJar()
    // The attacker knows the peer's real secret, its own DHT key, and only the public key of the victim it plays.
    const attackerDht = keyPairFrom(0xc1)
    const victim = real.publicKey
    const cookie = jar.issue({ realKey: victim, dhtKey: attackerDht.publicKey }, 0)
    const args = [crypto, peerReal.secretKey, victim, cookie, new Uint8Array(112), offer, constant(0xa2)] as const
    const forged = Handshake.handshake(...args)!
    const opened = openAt(jar, forged, 0)!
    assert.deepStrictEqual(opened.bearer.realKey, victim)
    // box(victim, peer) is one key from either side: that is all there is to it.
    const plain = Uint8Array.of(1, 2, 3)
    const sealWith = (cipher: Cipher): string => {
      const sealed = new Uint8Array(19)
      cipher.seal(sealed, 0, plain, 0, 3, new Uint8Array(24))
      return hex(sealed)
    }
    assert.strictEqual(
      sealWith(crypto.box(victim, peerReal.secretKey)!),
      sealWith(crypto.box(peerReal.publicKey, real.secretKey)!)
    )
  })
})

describe("CookieJar", () => {
  it("opens for exactly fifteen seconds, never before it was issued", () => {
    const jar = newJar()
    const cookie = jar.issue(ours, 1_000)
    assert.isDefined(jar.open(cookie, 1_000))
    assert.isDefined(jar.open(cookie, 16_000))
    assert.isUndefined(jar.open(cookie, 16_001))
    assert.isUndefined(jar.open(cookie, 999))
  })

  it("says 112 bytes: a nonce and its sealed content", () => {
    const cookie = newJar().issue(ours, 5)
    assert.strictEqual(cookie.length, 112)
    assert.isTrue(Result.isSuccess(Packet.Cookie.decode(cookie)))
  })

  it("opens nothing of another jar, nothing forged and nothing of another length", () => {
    const [jar, other] = [newJar(), newJar()]
    const cookie = jar.issue(ours, 0)
    assert.isUndefined(other.open(cookie, 0))
    for (let at = 0; at < cookie.length; at++) {
      const bad = cookie.slice()
      bad[at]! ^= 0x80
      assert.isUndefined(jar.open(bad, 0))
    }
    assert.isUndefined(jar.open(new Uint8Array(112), 0))
    jar.dispose()
    assert.isUndefined(jar.open(cookie, 0))
  })

  it("F8: a cookie is used once; the identical handshake may come again, another may not", () => {
    const jar = newJar()
    const cookie = jar.issue(ours, 0)
    const make = (): Uint8Array =>
      Handshake.handshake(crypto, real.secretKey, peerReal.publicKey, cookie, new Uint8Array(112), offer, fill)!
    const [first, second] = [make(), make()]
    assert.isDefined(openAt(jar, first, 10))
    assert.isUndefined(openAt(jar, second, 20))
    assert.isDefined(openAt(jar, first, 30))
    assert.isUndefined(openAt(jar, second, 14_999))
  })

  it("a handshake that fails its checks does not use the cookie up", () => {
    const jar = newJar()
    const packet = handshakeTo(jar, 0)
    const bad = packet.slice()
    bad[300]! ^= 1
    assert.isUndefined(openAt(jar, bad, 0))
    assert.isDefined(openAt(jar, packet, 0))
  })

  it("used cookies are remembered as long as they live, and in a bounded number", () => {
    const jar = newJar(100)
    const used = jar.issue(ours, 0)
    assert.isTrue(jar.use(used, Uint8Array.of(1), 0))
    assert.isFalse(jar.use(used, Uint8Array.of(2), 100))
    for (let i = 0; i < 10_000; i++) {
      jar.use(consecutive(i, 24).map((byte, at) => at < 2 ? i >>> (8 * at) : byte), used, 101)
    }
    assert.isTrue(jar.use(used, Uint8Array.of(2), 101))
  })
})
