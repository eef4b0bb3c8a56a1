/**
 * What a stock relay and a stock peer really sent, as `scripts/vectors.ts --live` recorded it.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { createHash } from "node:crypto"
import * as Net from "../../src/schema/NetCryptoPacket.ts"
import * as Relay from "../../src/schema/RelayPacket.ts"
import { hex, readVectors, unhex } from "../vectors/vectors.ts"

interface Recorded {
  readonly packet: string
  readonly content: string
}

const { relay, peer } = readVectors<{
  readonly relay: {
    readonly a: string
    readonly b: string
    readonly steps: ReadonlyArray<{ readonly event: string; readonly to: "a" | "b"; readonly packet: string }>
  }
  readonly peer: {
    readonly theirPublic: { readonly real: string; readonly dht: string }
    readonly cookieRequest: Recorded
    readonly cookieGiven: string
    readonly handshake: Recorded
    readonly data: ReadonlyArray<{ readonly packet: string; readonly plaintext: string }>
  }
}>("stock")

describe("recorded from a stock relay", () => {
  it("C09: every packet is decoded as what it was, and encoded to the same bytes", () => {
    const [a, b] = [unhex(relay.a), unhex(relay.b)]
    const seen = relay.steps.map(({ packet }) => {
      const value = Result.getOrThrow(Relay.fromRelay.decode(unhex(packet)))
      assert.strictEqual(hex(Relay.fromRelay.encode(value)), packet)
      return value
    })
    const pong = (pingId: string) => ({ _tag: "Pong", pingId: unhex(pingId) })
    const response = (connectionId: number, publicKey: Uint8Array) => ({
      _tag: "RoutingResponse",
      connectionId,
      publicKey
    })
    assert.deepStrictEqual(seen as ReadonlyArray<unknown>, [
      pong("0102030405060708"),
      pong("0102030405060708"),
      pong("0000000000000000"),
      response(16, b),
      response(16, b),
      response(0, a),
      response(16, a),
      { _tag: "ConnectNotification", connectionId: 16 },
      { _tag: "ConnectNotification", connectionId: 16 },
      { _tag: "Data", connectionId: 16, payload: unhex("1b0102") },
      { _tag: "OobReceive", sender: b, payload: unhex("18ff") },
      { _tag: "DisconnectNotification", connectionId: 16 }
    ])
  })
})

describe("recorded from a stock peer", () => {
  it("cookie request, handshake and data packets", () => {
    const request = Result.getOrThrow(Net.CookieRequest.decode(unhex(peer.cookieRequest.packet)))
    assert.strictEqual(hex(request.senderDhtKey), peer.theirPublic.dht)
    const content = Result.getOrThrow(Net.CookieRequestContent.decode(unhex(peer.cookieRequest.content)))
    assert.strictEqual(hex(content.realKey), peer.theirPublic.real)
    assert.strictEqual(hex(Net.CookieRequestContent.encode(content)), peer.cookieRequest.content)

    const handshake = Result.getOrThrow(Net.Handshake.decode(unhex(peer.handshake.packet)))
    assert.strictEqual(hex(handshake.cookie), peer.cookieGiven)
    const inside = Result.getOrThrow(Net.HandshakeContent.decode(unhex(peer.handshake.content)))
    assert.strictEqual(hex(inside.cookieHash), createHash("sha512").update(handshake.cookie).digest("hex"))
    assert.strictEqual(hex(Net.HandshakeContent.encode(inside)), peer.handshake.content)

    const first = inside.baseNonce[22]! * 256 + inside.baseNonce[23]!
    const tails = peer.data.map(({ packet, plaintext }) => {
      const data = Result.getOrThrow(Net.NetCryptoPacket.decode(unhex(packet)))
      if (data._tag !== "Data") return assert.fail(data._tag)
      assert.strictEqual(data.sealed.length, plaintext.length / 2 + 16)
      return data.nonceTail - first & 0xffff
    })
    assert.isTrue(tails.every((tail, i) => tail >= i && tail < 64), tails.join())
    const ids = [Net.requestId, 160, 200, Net.killId]
    assert.deepStrictEqual(
      peer.data.map(({ plaintext }) => unhex(plaintext).subarray(8).find((byte) => byte > 0)),
      ids
    )
  })
})
