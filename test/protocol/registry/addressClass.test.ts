/** Which addresses out of a peer's list may be dialled. */
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { type AddressClass, addressClass, isDialable } from "../../../src/protocol/registry/addressClass.ts"
import { ipFromBytes, ipToBytes } from "../../../src/schema/IpEndpoint.ts"
import { relayAt } from "../../utils/FakeLinks.ts"

/** The first and the last address of each range, and its neighbours on both sides. */
const edges: ReadonlyArray<readonly [string, AddressClass]> = [
  ["0.0.0.0", "nowhere"],
  ["0.255.255.255", "nowhere"],
  ["1.0.0.0", "public"],
  ["9.255.255.255", "public"],
  ["10.0.0.0", "private"],
  ["10.255.255.255", "private"],
  ["11.0.0.0", "public"],
  ["100.63.255.255", "public"],
  ["100.64.0.0", "private"],
  ["100.127.255.255", "private"],
  ["100.128.0.0", "public"],
  ["126.255.255.255", "public"],
  ["127.0.0.1", "private"],
  ["127.255.255.255", "private"],
  ["128.0.0.0", "public"],
  ["169.253.255.255", "public"],
  ["169.254.169.254", "private"],
  ["169.255.0.0", "public"],
  ["172.15.255.255", "public"],
  ["172.16.0.0", "private"],
  ["172.31.255.255", "private"],
  ["172.32.0.0", "public"],
  ["192.0.0.1", "private"],
  ["192.0.2.1", "private"],
  ["192.88.99.1", "private"],
  ["192.167.255.255", "public"],
  ["192.168.0.1", "private"],
  ["192.169.0.0", "public"],
  ["198.17.255.255", "public"],
  ["198.18.0.0", "private"],
  ["198.19.255.255", "private"],
  ["198.20.0.0", "public"],
  ["198.51.100.7", "private"],
  ["203.0.113.7", "private"],
  ["223.255.255.255", "public"],
  ["224.0.0.1", "nowhere"],
  ["239.255.255.255", "nowhere"],
  ["240.0.0.0", "nowhere"],
  ["255.255.255.255", "nowhere"],
  ["::", "nowhere"],
  ["::1", "private"],
  ["::127.0.0.1", "private"],
  ["64:ff9b::7f00:1", "private"],
  ["1fff:ffff::1", "private"],
  ["2000::1", "public"],
  ["2001:0:4136:e378::1", "private"],
  ["2001:1ff::1", "private"],
  ["2001:200::1", "public"],
  ["2001:db8::1", "private"],
  ["2001:db9::1", "public"],
  ["2002:7f00:1::1", "private"],
  ["2003::1", "public"],
  ["2606:4700::1111", "public"],
  ["3ffe::1", "public"],
  ["3fff:fff::1", "private"],
  ["3fff:1000::1", "public"],
  ["4000::1", "private"],
  ["fc00::1", "private"],
  ["fdff::1", "private"],
  ["fe80::1", "private"],
  ["ff02::1", "nowhere"]
]

describe("addressClass", () => {
  it.each(edges)("poisoned lists: %s is %s", (host, expected) => {
    expect(addressClass(host)).toBe(expected)
  })

  it("poisoned lists: an IPv4-mapped IPv6 address is what it hides", () => {
    expect(addressClass("::ffff:127.0.0.1")).toBe("private")
    expect(addressClass("::ffff:7f00:1")).toBe("private")
    expect(addressClass("::ffff:0.0.0.0")).toBe("nowhere")
    const octet = fc.nat(255)
    fc.assert(
      fc.property(fc.tuple(octet, octet, octet, octet), (octets) => {
        const plain = Uint8Array.from(octets)
        const mapped = Uint8Array.from([...new Uint8Array(10), 0xff, 0xff, ...octets])
        expect(addressClass(ipFromBytes(mapped))).toBe(addressClass(ipFromBytes(plain)))
        // The text that a reader of a list would make of it, too.
        expect(addressClass(`::ffff:${octets.join(".")}`)).toBe(addressClass(octets.join(".")))
      })
    )
  })

  it("poisoned lists: what is no canonical IP address is nothing that a peer may send us to", () => {
    for (
      const host of ["localhost", "relay.example", "127.1", "0x7f.0.0.1", "2130706433", "[::1]", "fe80::1%eth0", ""]
    ) {
      expect([host, ipToBytes(host), addressClass(host)]).toEqual([host, undefined, "private"])
    }
  })

  it("poisoned lists: no address outside the global ranges is public", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
        if ((bytes[0]! & 0xe0) !== 0x20) expect(addressClass(ipFromBytes(bytes))).not.toBe("public")
      })
    )
  })
})

describe("isDialable", () => {
  const at = (host: string, port = 33_445) => ({ ...relayAt(1), host, port })

  it("poisoned lists: private addresses and names only when they are allowed, addresses of nobody never", () => {
    const hosts = ["8.8.8.8", "192.168.0.1", "::ffff:10.0.0.1", "relay.example", "0.0.0.0", "ff02::1"]
    expect(hosts.map((host) => isDialable(at(host), false))).toEqual([true, false, false, false, false, false])
    expect(hosts.map((host) => isDialable(at(host), true))).toEqual([true, true, true, true, false, false])
  })

  it("poisoned lists: a port that cannot be dialled and a key of the wrong size are refused", () => {
    expect([0, -1, 1.5, 65_536, Number.NaN].map((port) => isDialable(at("8.8.8.8", port), true)))
      .toEqual([false, false, false, false, false])
    expect([1, 65_535].map((port) => isDialable(at("8.8.8.8", port), false))).toEqual([true, true])
    expect(isDialable({ ...at("8.8.8.8"), publicKey: new Uint8Array(31) as never }, true)).toBe(false)
  })
})
