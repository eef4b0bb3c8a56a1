import { describe, expect, it } from "@effect/vitest"
import * as fc from "fast-check"
import { createHmac, createPrivateKey, createPublicKey, diffieHellman, hkdfSync } from "node:crypto"
import {
  derive,
  isFrom,
  parsePskIdentity,
  pskIdentityOf,
  pskOf,
  wipeKeys
} from "../../../src/protocol/direct/directKeys.ts"
import type { PublicKey } from "../../../src/schema/Bytes.ts"
import { consecutive, hex, keyPairFrom, plainCrypto, unhex } from "../../utils/plainCrypto.ts"

// The vectors of the relay protocol: secret keys of 32 consecutive byte values.
const alice = keyPairFrom(0x01)
const bob = keyPairFrom(0x21)
const attempt = consecutive(0xc1, 16)

const keysOf = (ours: typeof alice, theirs: typeof alice) =>
  derive(plainCrypto.sharedSecret(theirs.publicKey, ours.secretKey)!, ours.publicKey, theirs.publicKey)

/** The design's formulas on the platform's own primitives. */
const platform = () => {
  const secretKey = (first: number) =>
    createPrivateKey({
      key: Buffer.concat([Buffer.from("302e020100300506032b656e04220420", "hex"), consecutive(first)]),
      format: "der",
      type: "pkcs8"
    })
  const ours = secretKey(0x01)
  const theirs = secretKey(0x21)
  const publicOf = (key: typeof ours) => createPublicKey(key).export({ format: "der", type: "spki" }).subarray(-32)
  const shared = diffieHellman({ privateKey: ours, publicKey: createPublicKey(theirs) })
  const sorted = [publicOf(ours), publicOf(theirs)].sort((a, b) => Buffer.compare(a, b))
  const derived = (info: ReadonlyArray<Uint8Array>) =>
    Buffer.from(hkdfSync("sha256", shared, "causeway direct v1", Buffer.concat(info), 32))
  const tagKey = derived([Buffer.from("tag"), ...sorted])
  return {
    tagKey: hex(tagKey),
    psk: hex(derived([Buffer.from("psk"), ...sorted, attempt])),
    identity: (dialler: PublicKey) =>
      Buffer.concat([
        attempt,
        createHmac("sha256", tagKey).update(attempt).update(dialler).digest().subarray(0, 16)
      ]).toString("base64url")
  }
}

describe("directKeys", () => {
  it("I23: keys and identities are the platform's HKDF and HMAC of the design's formulas", () => {
    const expected = platform()
    const keys = keysOf(alice, bob)
    expect(hex(keys.tagKey)).toBe(expected.tagKey)
    expect(hex(pskOf(keys, attempt))).toBe(expected.psk)
    expect(pskIdentityOf(keys, attempt, alice.publicKey)).toBe(expected.identity(alice.publicKey))
    expect(pskIdentityOf(keys, attempt, bob.publicKey)).toBe(expected.identity(bob.publicKey))
  })

  it("known answers", () => {
    const keys = keysOf(alice, bob)
    expect(hex(keys.tagKey)).toBe("a425979464579e3018664e224798595d39f8301762c804453dbb44ef16ca7f70")
    expect(hex(pskOf(keys, attempt))).toBe("71ffa5c8918b2f21225491e58dbea4ed57613280d1f7f2f3ea3dced0d07ef4cd")
    expect(pskIdentityOf(keys, attempt, alice.publicKey)).toBe("wcLDxMXGx8jJysvMzc7P0GClf2syKzL3rxwoJ_tcJ-g")
    expect(pskIdentityOf(keys, attempt, bob.publicKey)).toBe("wcLDxMXGx8jJysvMzc7P0LPps5BPcealGXVNe_CdEa4")
  })

  it("both sides derive the same, in whatever order they name themselves", () => {
    const bytes = fc.uint8Array({ minLength: 32, maxLength: 32 })
    fc.assert(
      fc.property(bytes, bytes, bytes, fc.uint8Array({ minLength: 16, maxLength: 16 }), (secret, a, b, drawn) => {
        const one = derive(secret, a as PublicKey, b as PublicKey)
        const other = derive(secret, b as PublicKey, a as PublicKey)
        expect(other).toEqual(one)
        expect(pskOf(other, drawn)).toEqual(pskOf(one, drawn))
        const text = pskIdentityOf(one, drawn, a as PublicKey)
        expect(text).toMatch(/^[A-Za-z0-9_-]{43}$/)
        const parsed = parsePskIdentity(text)!
        expect(parsed.attempt).toEqual(drawn)
        expect(isFrom(other, parsed, a as PublicKey)).toBe(true)
        expect(isFrom(other, parsed, b as PublicKey)).toBe(hex(a) === hex(b))
      })
    )
    expect(keysOf(bob, alice)).toEqual(keysOf(alice, bob))
  })

  it("I18: the tag says who dials; any changed bit of it, or of the attempt, is nobody's", () => {
    const keys = keysOf(alice, bob)
    const identity = parsePskIdentity(pskIdentityOf(keys, attempt, alice.publicKey))!
    expect(isFrom(keys, identity, alice.publicKey)).toBe(true)
    expect(isFrom(keys, identity, bob.publicKey), "our own, sent back").toBe(false)
    for (let bit = 0; bit < 128; bit++) {
      const changed = (bytes: Uint8Array) => bytes.map((byte, at) => at === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte)
      expect(isFrom(keys, { ...identity, tag: changed(identity.tag) }, alice.publicKey)).toBe(false)
      expect(isFrom(keys, { ...identity, attempt: changed(identity.attempt) }, alice.publicKey)).toBe(false)
    }
    expect(isFrom(keys, { ...identity, tag: identity.tag.slice(0, 15) }, alice.publicKey)).toBe(false)
    expect(isFrom(keys, { ...identity, tag: new Uint8Array(17) }, alice.publicKey)).toBe(false)
  })

  it("other peers, other attempts and other secrets share nothing", () => {
    const carol = keyPairFrom(0x41)
    const seen = new Set<string>()
    for (const keys of [keysOf(alice, bob), keysOf(alice, carol), keysOf(bob, carol)]) {
      seen.add(hex(keys.tagKey)).add(hex(keys.prk))
      for (const drawn of [attempt, consecutive(0xc2, 16)]) {
        seen.add(hex(pskOf(keys, drawn)))
        for (const { publicKey } of [alice, bob, carol]) seen.add(pskIdentityOf(keys, drawn, publicKey))
      }
    }
    expect(seen.size).toBe(3 * (2 + 2 * (1 + 3)))
  })

  it("parses its own text only", () => {
    const text = pskIdentityOf(keysOf(alice, bob), attempt, alice.publicKey)
    const bad = [
      "",
      text.slice(1),
      text + "A",
      text + "=",
      " " + text.slice(1),
      "+" + text.slice(1),
      "/" + text.slice(1),
      text.slice(0, 42) + "B",
      "\u0000".repeat(43),
      "ä".repeat(43),
      "A".repeat(10_000)
    ]
    for (const other of bad) expect(parsePskIdentity(other), other.slice(0, 50)).toBeUndefined()
    fc.assert(fc.property(fc.string(), (other) => {
      const parsed = parsePskIdentity(other)
      expect(parsed === undefined || parsed.attempt.length + parsed.tag.length === 32).toBe(true)
    }))
  })

  it("G1: wiping leaves zeros and takes no key from others", () => {
    const keys = keysOf(alice, bob)
    const psk = pskOf(keys, attempt)
    const before = hex(psk)
    psk.fill(0)
    expect(hex(pskOf(keys, attempt))).toBe(before)
    wipeKeys(keys)
    expect(hex(keys.prk) + hex(keys.tagKey)).toBe("00".repeat(64))
  })

  it("lengths that only a bug can have throw", () => {
    const keys = keysOf(alice, bob)
    expect(() => derive(new Uint8Array(31), alice.publicKey, bob.publicKey)).toThrow(RangeError)
    expect(() => pskOf(keys, new Uint8Array(15))).toThrow(RangeError)
    expect(() => pskIdentityOf(keys, new Uint8Array(17), alice.publicKey)).toThrow(RangeError)
    expect(() => pskIdentityOf(keys, attempt, unhex("00") as PublicKey)).toThrow(RangeError)
  })
})
