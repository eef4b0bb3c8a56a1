import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { PublicKey } from "../../src/schema/Bytes.ts"
import { IpEndpoint, ipFromBytes, ipToBytes } from "../../src/schema/IpEndpoint.ts"
import { type PackedNode, relayFromNode, ShareRelays } from "../../src/schema/PackedNode.ts"
import { hex, unhex } from "../vectors/vectors.ts"

const key = PublicKey.make(new Uint8Array(32).fill(7))
const node = (family: number, address: string) => hex(Uint8Array.of(family)) + address + "01bb" + hex(key)
const ipv4 = node(130, "c0000201")
const ipv6 = node(138, "20010db8000000000000000000000001")
const nodes = (...parts: ReadonlyArray<string>): Result.Result<ReadonlyArray<PackedNode>, string> =>
  Result.mapError(Result.map(ShareRelays.decode(unhex(`11${parts.join("")}`)), ({ nodes }) => nodes), (i) => i.message)
const hosts = (...parts: ReadonlyArray<string>) => Result.getOrThrow(nodes(...parts)).map(({ host }) => host)

describe("ipToBytes", () => {
  it("reads IPv4, and IPv6 in every form", () => {
    const forms: ReadonlyArray<readonly [text: string, bytes: string, canonical: string]> = [
      ["0.0.0.0", "00000000", "0.0.0.0"],
      ["192.0.2.255", "c00002ff", "192.0.2.255"],
      ["::", "00000000000000000000000000000000", "::"],
      ["::1", "00000000000000000000000000000001", "::1"],
      ["1::", "00010000000000000000000000000000", "1::"],
      ["2001:DB8:0:0:0:0:0:1", "20010db8000000000000000000000001", "2001:db8::1"],
      ["2001:db8:0:1:1:1:1:1", "20010db8000000010001000100010001", "2001:db8:0:1:1:1:1:1"],
      ["2001:0:0:1::1", "20010000000000010000000000000001", "2001:0:0:1::1"],
      ["::ffff:192.0.2.1", "00000000000000000000ffffc0000201", "::ffff:192.0.2.1"],
      ["64:ff9b::192.0.2.1", "0064ff9b0000000000000000c0000201", "64:ff9b::c000:201"]
    ]
    for (const [text, bytes, canonical] of forms) {
      assert.strictEqual(hex(ipToBytes(text) ?? new Uint8Array(0)), bytes, text)
      assert.strictEqual(ipFromBytes(unhex(bytes)), canonical)
    }
  })

  it("refuses everything else", () => {
    const others = ["", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1.2.3.4 ", "::1::", "1:2:3:4:5:6:7", "[::1]"]
    for (const text of [...others, "fe80::1%eth0", "12345::", "g::", "localhost", "1:2:3:4:5:6:7:8:9", ":::"]) {
      assert.isUndefined(ipToBytes(text), text)
    }
  })

  it.prop("every address survives text and bytes", [IpEndpoint], ([{ host }]) => {
    assert.strictEqual(ipFromBytes(ipToBytes(host) ?? new Uint8Array(4)), host)
  })

  it.prop("every 16 bytes have a text that leads back to them", [PublicKey], ([bytes]) => {
    const address = bytes.slice(0, 16)
    // Zeros make compression happen, which random bytes never do.
    for (let i = 0; i < 16; i++) if (bytes[16 + i]! > 100) address[i] = 0
    assert.deepStrictEqual(ipToBytes(ipFromBytes(address)), address)
  })
})

describe("ShareRelays", () => {
  it("takes at most three nodes and does not look at what follows", () => {
    assert.deepStrictEqual(hosts(), [])
    assert.deepStrictEqual(hosts(ipv4, ipv6), ["192.0.2.1", "2001:db8::1"])
    assert.deepStrictEqual(hosts(ipv4, ipv6, ipv4, ipv6), ["192.0.2.1", "2001:db8::1", "192.0.2.1"])
    assert.deepStrictEqual(hosts(ipv4, ipv4, ipv4, "82c0"), ["192.0.2.1", "192.0.2.1", "192.0.2.1"])
  })

  it("an unknown family ends the list, and is an error at its beginning", () => {
    assert.deepStrictEqual(hosts(ipv4, node(3, "c0000201")), ["192.0.2.1"])
    assert.deepStrictEqual(hosts(ipv4, "00"), ["192.0.2.1"])
    assert.isTrue(Result.isFailure(nodes(node(3, "c0000201"))))
    assert.isTrue(Result.isFailure(nodes("f0", ipv4)))
  })

  it("a truncated node spoils the whole list, wherever it is cut", () => {
    for (const whole of [ipv4, ipv6]) {
      for (let size = 2; size < whole.length; size += 2) {
        assert.isTrue(Result.isFailure(nodes(whole.slice(0, size))), `${size}`)
        assert.isTrue(Result.isFailure(nodes(ipv4, whole.slice(0, size))), `${size}`)
      }
    }
  })

  it("only nodes that are reached by TCP on a real port are relays, and their key is a copy", () => {
    const relay = (hexNode: string) => relayFromNode(Result.getOrThrow(nodes(hexNode))[0]!)
    assert.deepStrictEqual(relay(ipv4), { host: "192.0.2.1", port: 443, publicKey: key })
    assert.isUndefined(relay(node(2, "c0000201")))
    assert.isUndefined(relay(node(10, "20010db8000000000000000000000001")))
    assert.isUndefined(relay(ipv4.replace("01bb", "0000")))
    const packet = unhex(`11${ipv4}`)
    const copy = relayFromNode(Result.getOrThrow(ShareRelays.decode(packet)).nodes[0]!)
    packet.fill(0)
    assert.deepStrictEqual(copy?.publicKey, key)
  })

  it("more than three nodes, or a name instead of an address, are a defect when encoding", () => {
    const one: PackedNode = { transport: "Tcp", host: "192.0.2.1", port: 1, publicKey: key }
    assert.throws(() => ShareRelays.encode(ShareRelays.make({ nodes: [one, one, one, one] })), RangeError)
    assert.throws(() => ShareRelays.encode(ShareRelays.make({ nodes: [{ ...one, host: "localhost" }] })), TypeError)
    assert.isTrue(Result.isFailure(
      Schema.encodeResult(ShareRelays.fromBytes)(ShareRelays.make({
        nodes: [{ ...one, host: "localhost" }]
      }))
    ))
  })
})
