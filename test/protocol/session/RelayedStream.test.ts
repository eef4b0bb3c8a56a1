import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "fast-check"
import { LinkPacker, RelayedStream } from "../../../src/protocol/session/RelayedStream.ts"
import { LinkHello, Park, ParkAck } from "../../../src/schema/LinkControl.ts"
import { hello } from "../../utils/muxPair.ts"

const join = (chunks: ReadonlyArray<Uint8Array>): Uint8Array => new Uint8Array(Buffer.concat(chunks))

const stream = (trySend: (packet: Uint8Array) => boolean = () => true) =>
  new RelayedStream({ hello: hello(1), trySend, hold: () => undefined })

describe("LinkPacker", () => {
  it("packs any chunks into packets of which all but the last of a batch are full", () => {
    const batch = FastCheck.array(FastCheck.uint8Array({ maxLength: 4_000 }), { maxLength: 8 })
    FastCheck.assert(FastCheck.property(FastCheck.array(batch, { maxLength: 5 }), (batches) => {
      const packer = new LinkPacker()
      for (const chunks of batches) {
        const before = packer.packets.length
        for (const chunk of chunks) packer.push(chunk)
        packer.flush()
        const packets = packer.packets.slice(before)
        for (const packet of packets.slice(0, -1)) assert.strictEqual(packet.length, 1373)
        for (const packet of packets) assert.isAbove(packet.length, 1)
        for (const packet of packets) assert.strictEqual(packet[0], 176)
        assert.deepStrictEqual(join(packets.map((packet) => packet.subarray(1))), join(chunks))
      }
    }))
  })

  it("does not change a packet that it has given away", () => {
    const packer = new LinkPacker()
    packer.push(Uint8Array.of(1, 2, 3))
    packer.flush()
    packer.push(new Uint8Array(40_000).fill(9))
    packer.flush()
    assert.deepStrictEqual([...packer.packets[0] ?? []], [176, 1, 2, 3])
  })
})

describe("RelayedStream", () => {
  it("sends its hello first and nothing else before the peer's", () => {
    const packets: Array<Uint8Array> = []
    const link = stream((packet) => packets.push(packet) > 0)
    link.push(Uint8Array.of(7))
    link.flush()
    assert.isFalse(link.send())
    assert.isFalse(link.send())
    assert.deepStrictEqual(packets.map((packet) => [...packet]), [[177, 1, 0, 1, ...new Array(16).fill(1)]])
    assert.deepStrictEqual(link.receive(LinkHello.encode(hello(2))), { _tag: "Hello", hello: hello(2) })
    assert.isTrue(link.send())
    assert.deepStrictEqual([...packets[1] ?? []], [176, 7])
  })

  it("keeps a refused packet, and the order, until packets are taken again", () => {
    const packets: Array<Uint8Array> = []
    let room = 2
    const link = stream((packet) => room-- > 0 && packets.push(packet) > 0)
    link.receive(LinkHello.encode(hello(2)))
    const bytes = Uint8Array.from({ length: 5_000 }, (_, i) => i)
    link.push(bytes)
    link.flush()
    assert.isFalse(link.send())
    assert.strictEqual(packets.length, 2)
    room = 100
    assert.isTrue(link.send())
    assert.isTrue(link.send())
    assert.deepStrictEqual(join(packets.slice(1).map((packet) => packet.subarray(1))), bytes)
  })

  it("keeps a refused hello until packets are taken again", () => {
    const packets: Array<Uint8Array> = []
    let room = 0
    const link = stream((packet) => room-- > 0 && packets.push(packet) > 0)
    link.receive(LinkHello.encode(hello(2)))
    link.push(Uint8Array.of(7))
    link.flush()
    assert.isFalse(link.send())
    room = 100
    assert.isTrue(link.send())
    assert.isTrue(link.send())
    assert.deepStrictEqual(packets.map((packet) => packet[0]), [177, 176])
  })

  it("gives the peer's bytes as they come", () => {
    const chunks = FastCheck.array(FastCheck.uint8Array({ minLength: 1, maxLength: 1372 }), { maxLength: 10 })
    FastCheck.assert(FastCheck.property(chunks, (all) => {
      const link = stream()
      link.receive(LinkHello.encode(hello(2)))
      for (const bytes of all) {
        assert.deepStrictEqual(link.receive(Uint8Array.of(176, ...bytes)), { _tag: "Bytes", bytes })
      }
    }))
  })

  it("refuses session bytes before the hello, and a hello of version 0", () => {
    const violation = (detail: string) => ({ _tag: "Violation", detail } as const)
    assert.deepStrictEqual(stream().receive(Uint8Array.of(176, 0)), violation("session bytes before the hello"))
    const old = LinkHello.encode(LinkHello.make({ version: 0, instanceId: new Uint8Array(16) }))
    assert.deepStrictEqual(stream().receive(old), violation("a hello of version 0"))
  })

  it("takes a hello of a later version, and ignores a second one, unknown kinds and other ids", () => {
    const link = stream()
    link.receive(LinkHello.encode(LinkHello.make({ version: 9, instanceId: new Uint8Array(16) })))
    assert.isTrue(link.ready)
    const others = [
      LinkHello.encode(hello(3)),
      Uint8Array.of(177, 99, 1),
      Uint8Array.of(177),
      Uint8Array.of(160, 1),
      Uint8Array.of(200)
    ]
    for (const packet of others) assert.deepStrictEqual(link.receive(packet), { _tag: "Ignored" })
  })

  it("passes link control on once the peer has said hello, and ignores it before", () => {
    const link = stream()
    assert.deepStrictEqual(link.receive(ParkAck.encode(ParkAck.make({}))), { _tag: "Ignored" })
    link.receive(LinkHello.encode(hello(2)))
    const control = Park.make({ nextPacketNumber: 7 })
    assert.deepStrictEqual(link.receive(Park.encode(control)), { _tag: "Control", control })
  })

  it("sends link control in order behind the hello, before stream bytes, when there is room, each once", () => {
    const packets: Array<Uint8Array> = []
    let room = 0
    const link: RelayedStream = stream((packet) => {
      if (room === 0) return false
      room--
      packets.push(packet)
      // Sending may bring an answer, and more room, before it returns.
      link.sendControls()
      return true
    })
    link.receive(LinkHello.encode(hello(2)))
    link.push(Uint8Array.of(5))
    link.flush()
    link.control(Park.make({ nextPacketNumber: 1 }))
    link.control(ParkAck.make({}))
    assert.strictEqual(packets.length, 0)
    room = 2
    assert.isFalse(link.sendControls())
    room = 2
    assert.isTrue(link.send())
    assert.deepStrictEqual(packets.map((packet) => [packet[0], packet[1]]), [[177, 1], [177, 2], [177, 3], [176, 5]])
  })
})
