import { assert, describe, it } from "@effect/vitest"
import { addressGroup, RelayServerAdmission } from "../../../src/protocol/relay-server/RelayServerAdmission.ts"

const limits = {
  pendingPerAddress: 16,
  pendingTotal: 1_024,
  acceptsPerAddress: 10,
  handshakesPerSecond: 1_000,
  loginsPerMinute: 5,
  limitLoopback: true
}

describe("RelayServerAdmission", () => {
  it("counts by IPv4 address, also when mapped into IPv6, and by IPv6 /64", () => {
    assert.strictEqual(addressGroup("192.0.2.7"), "192.0.2.7")
    assert.strictEqual(addressGroup("::ffff:192.0.2.7"), "192.0.2.7")
    assert.strictEqual(addressGroup("::FFFF:c000:207"), "192.0.2.7")
    assert.strictEqual(addressGroup("2001:db8::1"), "2001:db8:0:0::/64")
    assert.strictEqual(addressGroup("2001:0DB8:0:0:ffff::9"), "2001:db8:0:0::/64")
    assert.strictEqual(addressGroup("2001:db8:0:1::1"), "2001:db8:0:1::/64")
    assert.strictEqual(addressGroup("fe80::1%eth0"), "fe80:0:0:0::/64")
    assert.strictEqual(addressGroup("::1"), "::1")
    assert.strictEqual(addressGroup("64:ff9b::192.0.2.7"), "64:ff9b:0:0::/64")
  })

  it("lets 16 pending connections per address in, and 1,024 in all", () => {
    const admission = new RelayServerAdmission(limits)
    let now = 0
    const admitted = (source: string) => {
      now += 200
      return admission.admit(source, now)
    }
    for (let i = 0; i < 16; i++) assert.isTrue(admitted("192.0.2.1"))
    assert.isFalse(admitted("192.0.2.1"))
    assert.isTrue(admitted("192.0.2.2"))
    admission.settle("192.0.2.1")
    assert.isTrue(admitted("192.0.2.1"))
    for (let i = 0; i < 1_024 - 17; i++) assert.isTrue(admitted(`address ${i}`), `${i}`)
    assert.isFalse(admitted("another"))
    admission.settle("192.0.2.2")
    assert.isTrue(admitted("another"))
  })

  it("lets 10 connections per second and address in", () => {
    const admission = new RelayServerAdmission(limits)
    let admitted = 0
    for (let now = 0; now < 3_000; now++) {
      if (!admission.admit("192.0.2.1", now)) continue
      admitted++
      admission.settle("192.0.2.1")
    }
    assert.isAtLeast(admitted, 38)
    assert.isAtMost(admitted, 40)
    assert.isTrue(admission.admit("192.0.2.2", 3_000))
  })

  it("spreads handshakes beyond 1,000 a second over time", () => {
    const admission = new RelayServerAdmission(limits)
    for (let i = 0; i < 1_000; i++) assert.strictEqual(admission.handshakeDelay("a", 0), 0)
    assert.strictEqual(admission.handshakeDelay("b", 0), 1)
    for (let i = 0; i < 499; i++) admission.handshakeDelay("c", 0)
    assert.strictEqual(admission.handshakeDelay("d", 100), 401)
  })

  it("exempts loopback unless it is to be limited", () => {
    const open = new RelayServerAdmission({ ...limits, limitLoopback: false })
    for (const address of ["127.0.0.1", "127.3.4.5", "::1", "::ffff:127.0.0.1"]) {
      assert.isUndefined(open.sourceOf(address), address)
      assert.isDefined(new RelayServerAdmission(limits).sourceOf(address), address)
    }
    assert.strictEqual(open.sourceOf("192.0.2.1"), "192.0.2.1")
    for (let i = 0; i < 5_000; i++) assert.isTrue(open.admit(undefined, 0))
    assert.strictEqual(open.handshakeDelay(undefined, 0), 0)
  })

  it("calls a key flapping from its sixth login within a minute on", () => {
    const admission = new RelayServerAdmission(limits)
    for (let i = 0; i < 5; i++) {
      assert.isFalse(admission.isFlapping("k", i * 1_000))
      admission.loggedIn("k", i * 1_000)
    }
    assert.isTrue(admission.isFlapping("k", 5_000))
    assert.isFalse(admission.isFlapping("other", 5_000))
    assert.isTrue(admission.isFlapping("k", 59_999))
    assert.isFalse(admission.isFlapping("k", 60_000))
  })

  it("remembers nobody for long", () => {
    const admission = new RelayServerAdmission(limits)
    for (let i = 0; i < 500; i++) {
      admission.admit(`address ${i}`, 0)
      admission.loggedIn(`key ${i}`, 0)
    }
    admission.prune(59_999)
    assert.strictEqual(admission.size, 1_000)
    for (let i = 0; i < 500; i++) admission.settle(`address ${i}`)
    admission.prune(60_000)
    assert.strictEqual(admission.size, 0)
  })
})
