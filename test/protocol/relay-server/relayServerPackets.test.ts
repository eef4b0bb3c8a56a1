/** Every packet that a client can send, good and bad (relay protocol, section 7; reliability, "Relay server, per packet"). */
import { assert, describe, it } from "@effect/vitest"
import { packetType } from "../../../src/protocol/relay/relayPacketType.ts"
import { toHex } from "../../../src/schema/Bytes.ts"
import * as Packet from "../../../src/schema/RelayPacket.ts"
import { keyPairFrom } from "../../utils/plainCrypto.ts"
import { type CoreClient, CoreHarness, relayKeys } from "../../utils/relayCoreHarness.ts"
import { isCausewayPing, packets } from "../../utils/RelayTestSession.ts"

const pingId = [9, 8, 7, 6, 5, 4, 3, 2] as const
const stranger = keyPairFrom(0x91).publicKey

/** The client is closed, for this cause, and said nothing more; the others did not notice. */
const assertClosed = (harness: CoreHarness, client: CoreClient, cause: string) => {
  assert.isTrue(client.ended, "closed")
  assert.deepStrictEqual(harness.core.counters.violations, { [cause]: 1 })
  assert.deepStrictEqual(client.take(), [])
}
const assertAlive = (client: CoreClient) => {
  assert.isFalse(client.ended)
  client.take()
  client.send(packets.ping(...pingId))
  assert.deepStrictEqual(client.take(), [[5, ...pingId]])
}

describe("relay server, per packet", () => {
  it("C09: packet types are those of the packet tables", () => {
    for (const [name, id] of Object.entries(packetType)) {
      const tag = name[0]!.toUpperCase() + name.slice(1)
      const { table } = Packet[tag as "Ping"]
      assert.deepStrictEqual(table.id.range, [id, id], tag)
    }
  })

  it("C09: the first frame of our relay is a ping with its mark, then comes the answer to the client's first frame", () => {
    const harness = new CoreHarness()
    const client = harness.connect()
    client.greet()
    assert.deepStrictEqual(client.take(), [])
    client.send(packets.ping(...pingId))
    const [first, second, ...more] = client.take()
    assert.isTrue(isCausewayPing(first))
    assert.deepStrictEqual([second, more], [[5, ...pingId], []])
    assert.strictEqual(harness.core.clients, 1)
  })

  describe("routing request", () => {
    it("C11: for oneself is answered with id 0 and nothing else", () => {
      const client = new CoreHarness().login()
      client.send(packets.route(client.keys.publicKey))
      assert.deepStrictEqual(client.take(), [[1, 0, ...client.keys.publicKey]])
      assertAlive(client)
    })

    it("C09: gets the lowest free id, and the same id with no second notification when repeated", () => {
      const harness = new CoreHarness()
      const a = harness.login(), b = harness.login()
      a.send(packets.route(stranger), packets.route(b.keys.publicKey), packets.route(stranger))
      assert.deepStrictEqual(a.take(), [[1, 16, ...stranger], [1, 17, ...b.keys.publicKey], [1, 16, ...stranger]])
      assert.deepStrictEqual(b.take(), [], "the peer is told nothing until it asks")
      b.send(packets.route(a.keys.publicKey))
      assert.deepStrictEqual(b.take(), [[1, 16, ...a.keys.publicKey], [2, 16]])
      assert.deepStrictEqual(a.take(), [[2, 17]])
      a.send(packets.route(b.keys.publicKey))
      b.send(packets.route(a.keys.publicKey))
      assert.deepStrictEqual(a.take(), [[1, 17, ...b.keys.publicKey]])
      assert.deepStrictEqual(b.take(), [[1, 16, ...a.keys.publicKey]])
    })

    it("C10: the 241st is refused with id 0", () => {
      const client = new CoreHarness({ routingPerSecond: 10_000 }).login()
      for (let i = 0; i < 240; i++) client.send(packets.route(stranger.map((byte) => byte ^ i)))
      assert.deepStrictEqual(client.take().map((plain) => plain[1]), Array.from({ length: 240 }, (_, i) => 16 + i))
      client.send(packets.route(stranger.map((byte) => byte ^ 240)))
      assert.strictEqual(client.take()[0]![1], 0)
      assertAlive(client)
    })

    it.each([1, 32, 34, 2_032])("of %i bytes closes", (size) => {
      const harness = new CoreHarness()
      const client = harness.login()
      client.send(packets.ofSize(0, size))
      assertClosed(harness, client, "routing request length")
    })

    it("for the relay's own key is like one for anybody who is away", () => {
      const client = new CoreHarness().login()
      client.send(packets.route(relayKeys.publicKey))
      assert.deepStrictEqual(client.take(), [[1, 16, ...relayKeys.publicKey]])
    })
  })

  it.each([1, 7, 9, 11])("C09: type %i, which only a relay sends, closes", (type) => {
    const harness = new CoreHarness()
    const client = harness.login()
    client.send(packets.ofSize(type, 40))
    assertClosed(harness, client, "packet that only a relay sends")
  })

  it.each([12, 13, 14, 15])("C09: unassigned type %i closes", (type) => {
    const harness = new CoreHarness()
    const client = harness.login()
    client.send(packets.ofSize(type, 9))
    assertClosed(harness, client, "unassigned packet type")
  })

  describe("connect notification", () => {
    it("is ignored, whatever its id", () => {
      const harness = new CoreHarness()
      const client = harness.login()
      client.send(packets.connect(16), packets.connect(0))
      assert.strictEqual(harness.core.counters.ignored["connect notification"], 2)
      assertAlive(client)
    })

    it.each([1, 3])("of %i bytes closes", (size) => {
      const harness = new CoreHarness()
      const client = harness.login()
      client.send(packets.ofSize(2, size))
      assertClosed(harness, client, "connect notification length")
    })
  })

  describe("disconnect notification", () => {
    it.each([0, 15, 16, 255])("of id %i, which is not in use, closes", (id) => {
      const harness = new CoreHarness()
      const client = harness.login()
      client.send(packets.disconnect(id))
      assertClosed(harness, client, "disconnect of an id that is not in use")
    })

    it.each([1, 3])("of %i bytes closes", (size) => {
      const harness = new CoreHarness()
      const client = harness.login()
      client.send(packets.ofSize(3, size))
      assertClosed(harness, client, "disconnect notification length")
    })

    it("frees a registered id and tells nobody; a second one closes", () => {
      const harness = new CoreHarness()
      const a = harness.login(), b = harness.login()
      a.send(packets.route(b.keys.publicKey))
      a.take()
      a.send(packets.disconnect(16))
      assert.deepStrictEqual(b.take(), [])
      assertAlive(a)
      a.send(packets.disconnect(16))
      assertClosed(harness, a, "disconnect of an id that is not in use")
    })

    it("frees an online id and tells the peer, whose data is then dropped, and links again on a new request", () => {
      const harness = new CoreHarness()
      const { a, ab, b, ba } = harness.linked()
      a.send(packets.disconnect(ab))
      assert.deepStrictEqual(b.take(), [[3, ba]])
      b.send(packets.data(ba, 1, 2, 3))
      assert.strictEqual(harness.core.counters.droppedPackets, 1)
      assert.deepStrictEqual(a.take(), [])
      a.send(packets.route(b.keys.publicKey))
      assert.deepStrictEqual(a.take(), [[1, ab, ...b.keys.publicKey], [2, ab]])
      assert.deepStrictEqual(b.take(), [[2, ba]])
    })
  })

  describe("ping and pong", () => {
    it("C09: a ping gets its pong, also with id 0", () => {
      const client = new CoreHarness().login()
      client.send(packets.ping(...pingId), packets.ping(0, 0, 0, 0, 0, 0, 0, 0))
      assert.deepStrictEqual(client.take(), [[5, ...pingId], [5, 0, 0, 0, 0, 0, 0, 0, 0]])
    })

    it.each([[4, "ping length"], [5, "pong length"]] as const)(
      "type %i of another length than 9 closes",
      (type, cause) => {
        for (const size of [1, 8, 10]) {
          const harness = new CoreHarness()
          const client = harness.login()
          client.send(packets.ofSize(type, size))
          assertClosed(harness, client, cause)
        }
      }
    )

    it("a pong with id 0 closes", () => {
      const harness = new CoreHarness()
      const client = harness.login()
      client.send(packets.pong(new Uint8Array(8)))
      assertClosed(harness, client, "pong id 0")
    })

    it("a wrong or late pong is ignored and does not clear the outstanding ping", () => {
      const harness = new CoreHarness()
      const client = harness.login()
      client.send(packets.pong(pingId))
      assert.strictEqual(harness.core.counters.ignored["pong without its ping"], 1)
      harness.pass(30_000)
      const [ping] = client.take()
      assert.strictEqual(ping![0], 4)
      client.send(packets.pong(pingId))
      harness.pass(9_750)
      assert.isFalse(client.ended)
      harness.pass(500)
      assert.isTrue(client.ended)
      assert.deepStrictEqual(harness.core.counters.closed, { "ping timeout": 1 })
    })
  })

  describe("out of band", () => {
    it("C09: reaches a confirmed client that has not asked for a link, and the sender itself", () => {
      const harness = new CoreHarness()
      const a = harness.login(), b = harness.login()
      for (const size of [1, 1_024]) {
        const payload = packets.ofSize(77, size)
        a.send(packets.oob(b.keys.publicKey, payload))
        assert.deepStrictEqual(b.take(), [[7, ...a.keys.publicKey, ...payload]])
        assert.deepStrictEqual(a.take(), [])
      }
      a.send(packets.oob(a.keys.publicKey, Uint8Array.of(1)))
      assert.deepStrictEqual(a.take(), [[7, ...a.keys.publicKey, 1]])
    })

    it("to an unknown key, or to a client that is not confirmed, is dropped silently", () => {
      const harness = new CoreHarness()
      const a = harness.login(), unconfirmed = harness.connect()
      unconfirmed.greet()
      a.send(packets.oob(stranger, Uint8Array.of(1)), packets.oob(unconfirmed.keys.publicKey, Uint8Array.of(1)))
      assert.strictEqual(harness.core.counters.ignored["out-of-band to nobody"], 2)
      assert.deepStrictEqual(unconfirmed.take(), [])
      assertAlive(a)
    })

    it.each([0, 1_025])("C10: of %i bytes closes", (size) => {
      const harness = new CoreHarness()
      const a = harness.login(), b = harness.login()
      a.send(packets.oob(b.keys.publicKey, new Uint8Array(size)))
      assertClosed(harness, a, "out-of-band length")
      assert.deepStrictEqual(b.take(), [])
    })

    it("shorter than a key closes", () => {
      const harness = new CoreHarness()
      const client = harness.login()
      client.send(packets.ofSize(6, 1))
      assertClosed(harness, client, "out-of-band length")
    })
  })

  it("onion requests of a possible size are ignored, shorter ones close", () => {
    const harness = new CoreHarness()
    const client = harness.login()
    client.send(...[160, 178, 179, 1_360, 2_032].map((size) => packets.ofSize(8, size)))
    assert.strictEqual(harness.core.counters.ignored["onion request"], 5)
    assertAlive(client)
    client.send(packets.ofSize(8, 159))
    assertClosed(harness, client, "onion request length")
  })

  it("a forward request closes: this relay does not forward", () => {
    const harness = new CoreHarness()
    const client = harness.login()
    client.send(packets.ofSize(10, 20))
    assertClosed(harness, client, "forward request")
  })

  describe("data", () => {
    it("C09: is passed on under the receiver's own id, 1 to 2,031 bytes", () => {
      const harness = new CoreHarness({ routingPerSecond: 10_000 })
      const a = harness.login(), b = harness.login()
      for (let i = 0; i < 9; i++) b.send(packets.route(stranger.map((byte) => byte ^ i)))
      a.send(packets.route(b.keys.publicKey))
      b.send(packets.route(a.keys.publicKey))
      a.take()
      b.take()
      const large = packets.ofSize(16, 2_032)
      a.send(packets.data(16, 1, 2, 3), large)
      assert.deepStrictEqual(b.take(), [[25, 1, 2, 3], [25, ...large.subarray(1)]])
      b.send(packets.data(25, 4))
      assert.deepStrictEqual(a.take(), [[16, 4]])
      assert.strictEqual(harness.core.counters.forwardedPackets, 3)
      assert.strictEqual(harness.core.counters.forwardedBytes, 3 + 2_031 + 1)
    })

    it.each([16, 255])("on id %i, which is not in use, closes", (id) => {
      const harness = new CoreHarness()
      const client = harness.login()
      client.send(packets.data(id, 1))
      assertClosed(harness, client, "data on an id that is not in use")
    })

    it("for a peer that is away is dropped", () => {
      const harness = new CoreHarness()
      const client = harness.login()
      client.send(packets.route(stranger))
      client.send(packets.data(16, 1))
      assert.strictEqual(harness.core.counters.droppedPackets, 1)
      assertAlive(client)
    })

    it("without payload is dropped, because a stock client would give up its connection", () => {
      const harness = new CoreHarness()
      const { a, ab, b } = harness.linked()
      a.send(packets.data(ab))
      assert.deepStrictEqual(b.take(), [])
      assertAlive(a)
    })
  })

  describe("a second login with the same key", () => {
    it("C11: replaces the first once its first frame opens; links are cleared and peers told once", () => {
      const harness = new CoreHarness()
      const { a, b, ba } = harness.linked()
      const again = harness.connect(a.keys)
      again.greet()
      assert.isFalse(a.ended, "a hello alone replaces nobody")
      assert.deepStrictEqual(b.take(), [])
      again.send(packets.ping(...pingId))
      assert.isTrue(a.ended)
      assert.deepStrictEqual(b.take(), [[3, ba]])
      assert.deepStrictEqual(again.take().slice(1), [[5, ...pingId]])
      assert.strictEqual(harness.core.clients, 2)
      b.send(packets.data(ba, 1))
      assert.deepStrictEqual(again.take(), [], "slots are not inherited")
      again.send(packets.route(b.keys.publicKey))
      assert.deepStrictEqual(again.take(), [[1, 16, ...b.keys.publicKey], [2, 16]])
      assert.deepStrictEqual(b.take(), [[2, ba]])
      harness.core.left(a.connection, "Ended")
      assert.deepStrictEqual(b.take(), [], "the end of the old socket is no event")
      assert.strictEqual(harness.core.client(toHex(a.keys.publicKey))?.connection, again.connection)
    })

    it("C11: replaces it also when its first packet is invalid, and then closes itself", () => {
      const harness = new CoreHarness()
      const first = harness.login()
      const second = harness.connect(first.keys)
      second.greet()
      second.send(packets.ofSize(12, 5))
      assert.isTrue(first.ended)
      assert.isTrue(second.ended)
      assert.strictEqual(harness.core.clients, 0)
      assert.strictEqual(harness.core.pending, 0)
    })
  })

  it("a lost client's peers are told, and linked again when it returns and asks", () => {
    const harness = new CoreHarness()
    const { a, ab, b } = harness.linked()
    harness.core.left(b.connection, "Reset")
    assert.deepStrictEqual(a.take(), [[3, ab]])
    const returned = harness.login(b.keys)
    returned.send(packets.route(a.keys.publicKey))
    assert.deepStrictEqual(returned.take(), [[1, 16, ...a.keys.publicKey], [2, 16]])
    assert.deepStrictEqual(a.take(), [[2, ab]])
  })

  it("nothing behind a bad packet in the same segment is handled", () => {
    const harness = new CoreHarness()
    const { a, ab, b, ba } = harness.linked()
    a.send(packets.data(ab, 1), packets.ofSize(12, 1), packets.data(ab, 2))
    assert.deepStrictEqual(b.take(), [[ba, 1], [3, ba]])
    assert.isTrue(a.ended)
  })
})
