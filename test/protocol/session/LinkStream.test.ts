import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "fast-check"
import { LinkPacker, LinkStream } from "../../../src/protocol/session/LinkStream.ts"
import { LinkHello } from "../../../src/schema/LinkControl.ts"
import { Bytes, SessionFrame } from "../../../src/schema/SessionFrame.ts"
import { hello } from "../../utils/muxPair.ts"

const join = (chunks: ReadonlyArray<Uint8Array>): Uint8Array => new Uint8Array(Buffer.concat(chunks))

const stream = (trySend: (packet: Uint8Array) => boolean = () => true) =>
  new LinkStream({ hello: hello(1), trySend, maxFrameSize: 1024 * 1024 })

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

describe("LinkStream", () => {
  it("sends its hello first and nothing else before the peer's", () => {
    const packets: Array<Uint8Array> = []
    const link = stream((packet) => packets.push(packet) > 0)
    link.push(Uint8Array.of(7))
    link.flush()
    assert.isFalse(link.send())
    assert.isFalse(link.send())
    assert.deepStrictEqual(packets.map((packet) => [...packet]), [[177, 1, 0, 1, ...new Array(16).fill(1)]])
    assert.deepStrictEqual(link.receive(LinkHello.encode(hello(2))).hello?.instanceId, new Uint8Array(16).fill(2))
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

  it("finds frames however the peer cut its bytes into packets", () => {
    const payloads = FastCheck.array(FastCheck.uint8Array({ maxLength: 3_000 }), { maxLength: 10 })
    FastCheck.assert(
      FastCheck.property(payloads, FastCheck.infiniteStream(FastCheck.integer({ min: 1, max: 1372 })), (all, sizes) => {
        const link = stream()
        link.receive(LinkHello.encode(hello(2)))
        const bytes = join(all.map((payload) => SessionFrame.encode(Bytes.make({ sessionId: 5, bytes: payload }))))
        const found: Array<Uint8Array> = []
        for (let at = 0; at < bytes.length;) {
          const size = sizes.next().value
          const { frames, violation } = link.receive(Uint8Array.of(176, ...bytes.subarray(at, at + size)))
          assert.isUndefined(violation)
          for (const frame of frames) if (frame._tag === "Bytes") found.push(frame.bytes)
          at += size
        }
        assert.deepStrictEqual(found.map((bytes) => [...bytes]), all.map((bytes) => [...bytes]))
      }),
      { numRuns: 50 }
    )
  })

  it("refuses session bytes before the hello, and a hello of version 0", () => {
    assert.match(stream().receive(Uint8Array.of(176, 0)).violation ?? "", /before the hello/)
    const old = LinkHello.encode(LinkHello.make({ version: 0, instanceId: new Uint8Array(16) }))
    assert.match(stream().receive(old).violation ?? "", /version 0/)
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
    for (const packet of others) {
      const { frames, hello, violation } = link.receive(packet)
      assert.deepStrictEqual([frames.length, hello, violation], [0, undefined, undefined])
    }
    assert.strictEqual(link.ignoredPackets, others.length)
  })
})
