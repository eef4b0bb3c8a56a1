import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { LinkControl } from "../../src/schema/LinkControl.ts"
import * as Net from "../../src/schema/NetCryptoPacket.ts"
import { hex, readVectors, unhex } from "../vectors/vectors.ts"

interface KeyVector {
  readonly publicKey: string
}

const vectors = readVectors<{
  readonly senderReal: KeyVector
  readonly senderDht: KeyVector
  readonly session: KeyVector
  readonly baseNonce: string
  readonly cookieRequest: Readonly<Record<"nonce" | "echoId" | "content" | "wire", string>>
  readonly handshake: Readonly<Record<"nonce" | "outerCookie" | "innerCookie" | "content" | "wire", string>>
  readonly data: ReadonlyArray<Readonly<Record<"nonce" | "wire", string>>>
}>("net-crypto")

/** The only sizes at which something made of these bytes may be accepted. */
const sizesTaken = (
  decode: (bytes: Uint8Array) => Result.Result<unknown, unknown>,
  ...first: ReadonlyArray<number>
) => {
  const taken: Array<number> = []
  for (let size = 0; size <= 1500; size++) {
    const bytes = new Uint8Array(size)
    bytes.set(first.slice(0, size))
    if (Result.isSuccess(decode(bytes))) taken.push(size)
  }
  return taken
}

describe("NetCryptoPacket", () => {
  it("golden cookie request, outside and inside", () => {
    const packet = Result.getOrThrow(Net.CookieRequest.decode(unhex(vectors.cookieRequest.wire)))
    assert.strictEqual(hex(packet.senderDhtKey), vectors.senderDht.publicKey)
    assert.strictEqual(hex(packet.nonce), vectors.cookieRequest.nonce)
    assert.strictEqual(hex(Net.NetCryptoPacket.encode(packet)), vectors.cookieRequest.wire)
    const content = Result.getOrThrow(Net.CookieRequestContent.decode(unhex(vectors.cookieRequest.content)))
    assert.strictEqual(hex(content.realKey), vectors.senderReal.publicKey)
    assert.strictEqual(hex(content.echoId), vectors.cookieRequest.echoId)
    assert.deepStrictEqual(Object.keys(content), ["_tag", "realKey", "echoId"])
    assert.strictEqual(hex(Net.CookieRequestContent.encode(content)), vectors.cookieRequest.content)
  })

  it("the padding of a cookie request is ignored when read and zero when written", () => {
    const dirty = unhex(vectors.cookieRequest.content).fill(0xee, 32, 64)
    const content = Result.getOrThrow(Net.CookieRequestContent.decode(dirty))
    assert.strictEqual(hex(Net.CookieRequestContent.encode(content)), vectors.cookieRequest.content)
  })

  it("golden handshake, outside and inside", () => {
    const packet = Result.getOrThrow(Net.Handshake.decode(unhex(vectors.handshake.wire)))
    assert.strictEqual(hex(packet.cookie), vectors.handshake.outerCookie)
    assert.strictEqual(hex(packet.nonce), vectors.handshake.nonce)
    assert.strictEqual(hex(Net.NetCryptoPacket.encode(packet)), vectors.handshake.wire)
    const content = Result.getOrThrow(Net.HandshakeContent.decode(unhex(vectors.handshake.content)))
    assert.strictEqual(hex(content.baseNonce), vectors.baseNonce)
    assert.strictEqual(hex(content.sessionKey), vectors.session.publicKey)
    assert.strictEqual(hex(content.cookie), vectors.handshake.innerCookie)
    assert.strictEqual(hex(Net.HandshakeContent.encode(content)), vectors.handshake.content)
  })

  it("golden cookie response and cookie, by their offsets", () => {
    const response = Uint8Array.from({ length: 161 }, (_, i) => i === 0 ? 25 : i)
    const packet = Result.getOrThrow(Net.CookieResponse.decode(response))
    assert.deepStrictEqual(
      packet,
      Net.CookieResponse.make({ nonce: response.slice(1, 25), sealed: response.slice(25) })
    )
    assert.deepStrictEqual(Net.CookieResponse.encode(packet), response)
    const bytes = Uint8Array.from({ length: 120 }, (_, i) => i)
    const content = Result.getOrThrow(Net.CookieResponseContent.decode(bytes))
    assert.deepStrictEqual([content.cookie, content.echoId], [bytes.slice(0, 112), bytes.slice(112)])
    assert.deepStrictEqual(Net.CookieResponseContent.encode(content), bytes)
    const cookie = Result.getOrThrow(Net.Cookie.decode(content.cookie))
    assert.deepStrictEqual([cookie.nonce, cookie.sealed], [bytes.slice(0, 24), bytes.slice(24, 112)])
    const inside = Result.getOrThrow(Net.CookieContent.decode(bytes.subarray(0, 72)))
    assert.strictEqual(inside.time, 0x0001020304050607n)
    assert.deepStrictEqual([...inside.realKey, ...inside.dhtKey], [...bytes.slice(8, 72)])
    assert.deepStrictEqual(Net.CookieContent.encode(inside), bytes.slice(0, 72))
  })

  it("golden data packets carry the tail of their nonce", () => {
    for (const { nonce, wire } of vectors.data) {
      const packet = Result.getOrThrow(Net.NetCryptoPacket.decode(unhex(wire)))
      if (packet._tag !== "Data") return assert.fail(packet._tag)
      assert.strictEqual(packet.nonceTail.toString(16).padStart(4, "0"), nonce.slice(44))
      assert.strictEqual(hex(Net.Data.encode(packet)), wire)
    }
    return undefined
  })

  it("every other length and id is refused", () => {
    const decode = Net.NetCryptoPacket.decode
    assert.deepStrictEqual(sizesTaken(decode, 24), [Net.cookieRequestSize])
    assert.deepStrictEqual(sizesTaken(decode, 25), [Net.cookieResponseSize])
    assert.deepStrictEqual(sizesTaken(decode, 26), [Net.handshakeSize])
    const data = sizesTaken(decode, 27)
    assert.deepStrictEqual([data[0], data.at(-1), data.length], [28, 1400, 1373])
    for (let id = 0; id < 256; id++) {
      if (id < 24 || id > 27) assert.isFalse(Net.NetCryptoPacket.allows(id))
    }
    assert.deepStrictEqual(sizesTaken(Net.CookieRequestContent.decode), [72])
    assert.deepStrictEqual(sizesTaken(Net.CookieResponseContent.decode), [120])
    assert.deepStrictEqual(sizesTaken(Net.CookieContent.decode), [72])
    assert.deepStrictEqual(sizesTaken(Net.Cookie.decode), [Net.cookieSize])
    assert.deepStrictEqual(sizesTaken(Net.HandshakeContent.decode), [232])
  })
})

describe("LinkControl", () => {
  it("every other length, id and kind is refused", () => {
    assert.deepStrictEqual(sizesTaken(LinkControl.decode, 177, 1), [20])
    assert.deepStrictEqual(sizesTaken(LinkControl.decode, 177, 2), [6])
    assert.deepStrictEqual(sizesTaken(LinkControl.decode, 177, 3), [2])
    // Later kinds are no packets of this version, whatever their size: their receiver ignores them.
    for (const kind of [0, 6, 7, 255]) assert.deepStrictEqual(sizesTaken(LinkControl.decode, 177, kind), [])
    for (const id of [0, 176, 178]) assert.deepStrictEqual(sizesTaken(LinkControl.decode, id, 3), [])
  })
})
