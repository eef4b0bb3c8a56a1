import { assert, describe, it } from "@effect/vitest"
import { makeEphemeral } from "../../../src/protocol/crypto/ephemeral.ts"
import { DhtCiphers } from "../../../src/protocol/net-crypto/DhtCiphers.ts"
import { HandshakeLimits } from "../../../src/protocol/net-crypto/HandshakeLimits.ts"
import * as EntropySeeded from "../../../src/testing/EntropySeeded.ts"
import { keyPairFrom, plainCrypto as crypto } from "../../utils/plainCrypto.ts"

const { fill } = EntropySeeded.make(9)

describe("HandshakeLimits", () => {
  it("one source gets its rate and no more, and does not use up the relay's", () => {
    const limits = new HandshakeLimits(200, 10)
    let taken = 0
    for (let now = 0; now < 10_000; now += 0.1) if (limits.allow("relay", "loud", now)) taken++
    assert.approximately(taken, 110, 2)
    assert.isTrue(limits.allow("relay", "quiet", 10_000))
  })

  it("a relay gets its rate however many sources it shows, and other relays are not concerned", () => {
    const limits = new HandshakeLimits(200, 10)
    let taken = 0
    for (let i = 0; i < 20_000; i++) if (limits.allow("relay", `source ${i}`, i / 10)) taken++
    assert.approximately(taken, 600, 5)
    assert.isTrue(limits.allow("another relay", "honest", 2_000))
  })
})

describe("DhtCiphers", () => {
  it("keeps the most recent 256 and wipes what it drops", () => {
    let live = 0
    let made = 0
    const counting: typeof crypto = {
      ...crypto,
      box: (...args) => {
        const cipher = crypto.box(...args)
        if (cipher === undefined) return undefined
        live++
        made++
        return { ...cipher, dispose: () => (live--, cipher.dispose()) }
      }
    }
    const ciphers = new DhtCiphers(counting, keyPairFrom(0x41).secretKey)
    const keys = Array.from({ length: 300 }, () => makeEphemeral(crypto, fill).publicKey)
    for (const key of keys) {
      // The first one is used again and again, so it is never the oldest.
      const first = ciphers.get(keys[0]!)
      assert.strictEqual(ciphers.get(key), ciphers.get(key))
      assert.strictEqual(ciphers.get(keys[0]!), first)
    }
    assert.strictEqual(live, 256)
    assert.strictEqual(made, 300)
    ciphers.dispose()
    assert.strictEqual(live, 0)
  })

  it("an unusable key has no cipher", () => {
    assert.isUndefined(new DhtCiphers(crypto, keyPairFrom(0x41).secretKey).get(new Uint8Array(32)))
  })
})

describe("an ephemeral key pair", () => {
  it("G1: is zeroed when it is wiped, once, and unusable after that", () => {
    let wiped: Uint8Array | undefined
    const pair = makeEphemeral({ ...crypto, wipe: (bytes) => (wiped = bytes, crypto.wipe(bytes)) }, fill)
    assert.isDefined(crypto.box(keyPairFrom(0x21).publicKey, pair.secretKey))
    pair.wipe()
    pair.wipe()
    assert.deepStrictEqual(wiped, new Uint8Array(32))
    assert.throws(() => crypto.box(keyPairFrom(0x21).publicKey, pair.secretKey))
  })
})
