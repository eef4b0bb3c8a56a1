import { assert, describe, it } from "@effect/vitest"
import { createHmac } from "node:crypto"
import { connectToken, isConnectToken } from "../../../src/protocol/direct/connectToken.ts"
import { PublicKey } from "../../../src/schema/Bytes.ts"
import { hex, unhex } from "../../vectors/vectors.ts"

const processKey = new Uint8Array(32).fill(0x5a)
const attempt = new Uint8Array(16).fill(1)
const peer = PublicKey.make(new Uint8Array(32).fill(2))
const endpoints = [{ host: "198.51.100.10", port: 8080 }, { host: "2001:db8::1", port: 1 }]

describe("connectToken", () => {
  it("M10: is an HMAC-SHA-256 over the attempt, the peer and the endpoints", () => {
    const covered = unhex(
      `${"01".repeat(16)}${"02".repeat(32)}02` + "02c633640a1f90" + "0a20010db80000000000000000000000010001"
    )
    const expected = createHmac("sha256", processKey).update(covered).digest("hex")
    assert.strictEqual(hex(connectToken(processKey, attempt, peer, endpoints)), expected)
    assert.strictEqual(expected.length, 64)
  })

  it("M08 M10: a response proves that the request was ours: to this peer, for this attempt, with these endpoints, in this process", () => {
    const token = connectToken(processKey, attempt, peer, endpoints)
    assert.isTrue(isConnectToken(token, processKey, attempt, peer, endpoints))
    const otherKey = new Uint8Array(32).fill(0x5b)
    const otherPeer = PublicKey.make(new Uint8Array(32).fill(3))
    assert.isFalse(isConnectToken(token, otherKey, attempt, peer, endpoints))
    assert.isFalse(isConnectToken(token, processKey, new Uint8Array(16), peer, endpoints))
    assert.isFalse(isConnectToken(token, processKey, attempt, otherPeer, endpoints))
    assert.isFalse(isConnectToken(token, processKey, attempt, peer, endpoints.toReversed()))
    assert.isFalse(isConnectToken(token, processKey, attempt, peer, []))
    for (let at = 0; at < 32; at++) {
      const forged = token.slice()
      forged[at]! ^= 0x80
      assert.isFalse(isConnectToken(forged, processKey, attempt, peer, endpoints))
    }
    for (const size of [0, 31, 33]) {
      const cut = new Uint8Array(size)
      cut.set(token.subarray(0, size))
      assert.isFalse(isConnectToken(cut, processKey, attempt, peer, endpoints))
    }
  })
})
