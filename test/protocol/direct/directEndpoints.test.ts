import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "fast-check"
import { dialable, offered, toDial } from "../../../src/protocol/direct/directEndpoints.ts"

const at = (host: string, port = 80) => ({ host, port })
const rules = (allowPrivate: boolean, own: ReadonlyArray<{ host: string; port: number }> = []) => ({
  allowPrivate,
  own
})
const hosts = (list: ReadonlyArray<{ readonly host: string }>) => list.map(({ host }) => host)

const publicOnes = ["93.184.216.34", "2606:2800:220:1::1"]
const privateOnes = ["10.0.0.1", "192.168.1.1", "172.16.0.1", "169.254.1.1", "100.64.0.1", "fd00::1", "fe80::1"]
const loopback = ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1", "::ffff:7f00:1"]
const nowhere = [
  "0.0.0.0",
  "::",
  "::ffff:0.0.0.0",
  "0.1.2.3",
  "224.0.0.1",
  "239.255.255.250",
  "255.255.255.255",
  "ff02::1",
  "::ffff:224.0.0.1"
]
const noAddresses = ["example.org", "localhost", "", "1.2.3", "[::1]", "fe80::1%eth0"]

describe("directEndpoints", () => {
  it("hostile endpoint lists: loopback, mapped loopback, private and link-local addresses are out", () => {
    for (const host of [...loopback, ...privateOnes]) {
      assert.deepStrictEqual(dialable([at(host)], rules(false)), [], host)
    }
    assert.deepStrictEqual(hosts(dialable(publicOnes.map((host) => at(host)), rules(false))), publicOnes)
  })

  it("hostile endpoint lists: unspecified, multicast and broadcast addresses, names and port 0 are out whatever is allowed", () => {
    for (const host of [...nowhere, ...noAddresses]) {
      for (const allowed of [true, false]) assert.deepStrictEqual(dialable([at(host)], rules(allowed)), [], host)
    }
    for (const port of [0, -1, 65_536, 1.5, Number.NaN]) {
      assert.deepStrictEqual(dialable([at(publicOnes[0]!, port)], rules(true)), [], `${port}`)
    }
  })

  it("hostile endpoint lists: private and loopback addresses only when they are allowed", () => {
    assert.deepStrictEqual(hosts(dialable(privateOnes.map((host) => at(host)), rules(true))), privateOnes)
    assert.deepStrictEqual(dialable([at("127.0.0.1"), at("::1")], rules(true)), [at("127.0.0.1"), at("::1")])
  })

  it("hostile endpoint lists: our own listener is out by any of its names, other ports are not", () => {
    const own = [at("93.184.216.34", 4_000), at("127.0.0.1", 4_000)]
    const list = [
      at("93.184.216.34", 4_000),
      at("::ffff:93.184.216.34", 4_000),
      at("::ffff:7f00:1", 4_000),
      at("93.184.216.34", 4_001)
    ]
    assert.deepStrictEqual(dialable(list, rules(true, own)), [at("93.184.216.34", 4_001)])
  })

  it("hostile endpoint lists: at most 8, each once, in the order given", () => {
    const many = Array.from({ length: 20 }, (_, port) => at("93.184.216.34", 1_000 + port))
    assert.deepStrictEqual(dialable(many, rules(false)), many.slice(0, 8))
    // Refused ones do not use up the room.
    assert.deepStrictEqual(dialable([...loopback.map((host) => at(host)), ...many], rules(false)), many.slice(0, 8))
    const doubled = [
      at("2606:2800:220:1::1"),
      at("2606:2800:0220:0001:0:0:0:1"),
      at("93.184.216.34"),
      at("::ffff:93.184.216.34")
    ]
    assert.deepStrictEqual(dialable(doubled, rules(false)), [at("2606:2800:220:1::1"), at("93.184.216.34")])
  })

  it("endpoints that the application knows are dialled first, whatever their class", () => {
    const found = toDial([at("127.0.0.1", 5), at("10.0.0.1", 5)], [
      at("10.0.0.1", 5),
      at("10.0.0.2", 5),
      at("93.184.216.34", 5)
    ], rules(false))
    assert.deepStrictEqual(hosts(found), ["127.0.0.1", "10.0.0.1", "93.184.216.34"])
  })

  it("whatever a peer names, at most 8 distinct addresses with a port are dialled", () => {
    const host = FastCheck.oneof(
      FastCheck.constantFrom(...publicOnes, ...privateOnes, ...loopback, ...nowhere, ...noAddresses),
      FastCheck.ipV4(),
      FastCheck.ipV6(),
      FastCheck.string()
    )
    const endpoint = FastCheck.record({ host, port: FastCheck.integer({ min: -1, max: 70_000 }) })
    FastCheck.assert(
      FastCheck.property(FastCheck.array(endpoint, { maxLength: 30 }), FastCheck.boolean(), (list, allowed) => {
        const found = dialable(list, rules(allowed))
        assert.isAtMost(found.length, 8)
        assert.strictEqual(new Set(found.map(({ host, port }) => `${host} ${port}`)).size, found.length)
        for (const { host, port } of found) {
          assert.isTrue(port > 0 && port < 65_536)
          assert.isFalse(
            host.startsWith("0.") || host === "::" || /^ff[0-9a-f]{2}:/.test(host) || host.startsWith("::ffff:")
          )
          if (!allowed) assert.isFalse(host.startsWith("127.") || host.startsWith("10.") || host === "::1")
        }
      })
    )
  })

  it("we offer the bound address, or all addresses of the machine where that stands for them: global and IPv4 ones first", () => {
    const interfaces = ["127.0.0.1", "::1", "fe80::1", "fd00::5", "192.168.1.5", "2606:2800:220:1::5", "93.184.216.5"]
    assert.deepStrictEqual(offered(at("192.168.1.5", 4_000), interfaces), [at("192.168.1.5", 4_000)])
    const all = ["93.184.216.5", "2606:2800:220:1::5", "192.168.1.5", "fd00::5", "127.0.0.1", "::1"]
    assert.deepStrictEqual(offered(at("::", 4_000), interfaces), all.map((host) => at(host, 4_000)))
    assert.deepStrictEqual(hosts(offered(at("0.0.0.0", 4_000), interfaces)), [
      "93.184.216.5",
      "192.168.1.5",
      "127.0.0.1"
    ])
    const many = Array.from({ length: 20 }, (_, n) => `93.184.216.${n + 1}`)
    assert.deepStrictEqual(hosts(offered(at("::", 1), ["10.0.0.1", ...many])), many.slice(0, 8))
    assert.deepStrictEqual(offered(at("::", 1), []), [])
  })
})
