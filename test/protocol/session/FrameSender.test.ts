import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "fast-check"
import { FrameSender } from "../../../src/protocol/session/FrameSender.ts"
import type { LinkOutput } from "../../../src/protocol/session/LinkOutput.ts"

/** Frames as they are put on the link, one string of hex each. */
const output = () => {
  const parts: Array<Uint8Array> = []
  const link: LinkOutput = {
    push: (bytes) => void parts.push(bytes),
    flush: () => undefined,
    send: () => true,
    hold: () => undefined
  }
  return { link, take: () => Buffer.concat(parts.splice(0)).toString("hex") }
}

/** Writes everything that may go. */
const writeAll = (sender: FrameSender, maxPayload = 16 * 1024): ReadonlyArray<string> => {
  const { link, take } = output()
  const frames: Array<string> = []
  while (sender.canSend) {
    const size = sender.writeFrame(link, maxPayload)
    frames.push(take())
    assert.strictEqual(frames.at(-1)?.length, 2 * size)
  }
  return frames
}

const control = (byte: number): Uint8Array => Uint8Array.of(1, 0, 0, 0, 0x43, byte, byte, byte, byte)
const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")
const bytesFrame = (...payload: ReadonlyArray<number>): string =>
  hexOf(Uint8Array.of(1, 0, 0, 0, 0x0c, payload.length, 0, 0, 0, ...payload))

describe("FrameSender", () => {
  it("cuts bytes into frames, and sends messages and control frames as they are, in order", () => {
    const sender = new FrameSender(1, 1_000)
    sender.control(control(7))
    sender.writeValue(0x04, undefined, Uint8Array.of(1, 2, 3, 4))
    assert.deepStrictEqual([sender.queuedBytes, sender.writtenBytes], [9, 4])
    assert.deepStrictEqual(writeAll(sender), [hexOf(control(7)), "010000000401020304"])
    sender.write([Uint8Array.of(1, 2), new Uint8Array(0), Uint8Array.of(3, 4, 5)])
    assert.deepStrictEqual([sender.queuedBytes, sender.writtenBytes], [5, 9])
    assert.deepStrictEqual(writeAll(sender, 4), [bytesFrame(1, 2, 3, 4), bytesFrame(5)])
    assert.deepStrictEqual([sender.queuedBytes, sender.sent], [0, 4])
  })

  it("I14: the header of a value is its session id and descriptor, and a length where there is one, little-endian", () => {
    const sender = new FrameSender(0x8403_0201, 1_000)
    sender.writeValue(0x04, undefined, Uint8Array.of(1, 2, 3, 4))
    sender.writeValue(0x0f, 0x8765_4321, Uint8Array.of(9))
    sender.write([new Uint8Array(0x0102).fill(0xee)])
    const frames = writeAll(sender)
    assert.deepStrictEqual(frames, [
      "01020384" + "04" + "01020304",
      "01020384" + "0f" + "21436587" + "09",
      "01020384" + "0c" + "02010000" + "ee".repeat(0x0102)
    ])
  })

  it("I24: credit counts whole frames, is overdrawn by one frame at most, and control frames need none", () => {
    const sender = new FrameSender(1, 100)
    sender.write([new Uint8Array(500)])
    assert.strictEqual(writeAll(sender, 41).length, 2)
    assert.isTrue(sender.credit(0, 101))
    assert.strictEqual(writeAll(sender, 41).length, 1)
    assert.isFalse(sender.canSend)
    sender.control(control(1))
    assert.deepStrictEqual(writeAll(sender), [hexOf(control(1))])
  })

  it("an older credit, or a smaller one, takes nothing back; one beyond what was sent is refused", () => {
    const sender = new FrameSender(1, 100)
    sender.write([new Uint8Array(91), new Uint8Array(200)])
    writeAll(sender, 91)
    assert.isTrue(sender.credit(1, 100))
    assert.isTrue(sender.credit(0, 5))
    assert.isTrue(sender.credit(1, 0))
    assert.isTrue(sender.canSend)
    assert.isFalse(sender.credit(2, 100))
    assert.strictEqual(sender.received, 1)
  })

  it("counts payload as delivered when its frame has been received", () => {
    const sender = new FrameSender(1, 1_000)
    sender.control(control(1))
    sender.write([new Uint8Array(10)])
    writeAll(sender, 4)
    const delivered = [0, 1, 2, 3, 4].map((received) => {
      assert.isTrue(sender.credit(received, 1_000))
      return sender.deliveredBytes
    })
    assert.deepStrictEqual(delivered, [0, 0, 4, 8, 10])
    assert.isTrue(sender.settled)
  })

  it("I25: keeps a bounded number of frames that were not received, however small they are", () => {
    const sender = new FrameSender(1, 0xffff_ffff)
    for (let i = 0; i < 40_000; i++) sender.control(control(1))
    assert.strictEqual(writeAll(sender).length, 32_768)
    assert.isTrue(sender.credit(10_000, 0))
    assert.strictEqual(writeAll(sender).length, 40_000 - 32_768)
  })

  it("gated, nothing goes", () => {
    const sender = new FrameSender(1, 1_000)
    sender.control(control(1))
    sender.gated = true
    assert.isFalse(sender.canSend)
    sender.gated = false
    assert.isTrue(sender.canSend)
  })

  it("I13: goes on behind what was received, and refuses to begin behind what was sent or before what was acknowledged", () => {
    const sender = new FrameSender(1, 1_000)
    sender.write([Uint8Array.of(1, 2, 3, 4)])
    writeAll(sender, 1)
    assert.isTrue(sender.credit(1, 500))
    assert.isFalse(sender.resume(5))
    assert.isFalse(sender.resume(0))
    assert.isTrue(sender.resume(3))
    assert.deepStrictEqual(writeAll(sender, 1), [bytesFrame(4)])
    assert.strictEqual(sender.deliveredBytes, 3)
    const again = new FrameSender(1, 1_000)
    again.write([Uint8Array.of(1, 2, 3)])
    const frames = writeAll(again, 1)
    assert.isTrue(again.resume(1))
    // Received by way of the earlier link meanwhile: it goes again all the same, because the peer counts.
    assert.isTrue(again.credit(3, 500))
    assert.isTrue(again.settled)
    assert.deepStrictEqual(writeAll(again, 1), frames.slice(1))
  })

  it("lost frames go again without new credit, and before anything new", () => {
    const sender = new FrameSender(1, 20)
    sender.write([Uint8Array.of(1, 2, 3)])
    const first = writeAll(sender, 1)
    assert.strictEqual(first.length, 2)
    sender.control(control(9))
    assert.isTrue(sender.resume(0))
    assert.deepStrictEqual(writeAll(sender, 1), [...first, hexOf(control(9))])
  })

  it("discards what was never sent, and abandons everything", () => {
    const sender = new FrameSender(1, 30)
    sender.write([new Uint8Array(100)])
    writeAll(sender, 10)
    sender.control(control(1))
    sender.discard()
    assert.deepStrictEqual([sender.queuedBytes, sender.hasWaiting, sender.settled], [0, false, false])
    assert.isTrue(sender.resume(0))
    sender.abandon()
    assert.deepStrictEqual([sender.canSend, sender.settled, sender.deliveredBytes], [false, true, 0])
    assert.isTrue(sender.credit(1, 100))
  })

  it("I13: over any links a peer that counts gets every frame once and in order", () => {
    const act = FastCheck.record({
      act: FastCheck.constantFrom(
        "write",
        "write",
        "value",
        "control",
        "send",
        "send",
        "take",
        "take",
        "take",
        "credit",
        "link"
      ),
      size: FastCheck.nat(40)
    })
    FastCheck.assert(
      FastCheck.property(FastCheck.array(act, { maxLength: 300, size: "max" }), (acts) => {
        const sender = new FrameSender(1, 200)
        const { link, take } = output()
        const order: Array<string> = []
        const got: Array<string> = []
        let onTheWay: Array<string> = []
        let bytes = 0
        const send = (): void => {
          const isNew = sender.sent
          sender.writeFrame(link, 13)
          const frame = take()
          if (sender.sent > isNew) order.push(frame)
          onTheWay.push(frame)
        }
        const step = (act: string, size: number): void => {
          if (act === "write") sender.write([Uint8Array.from({ length: size }, () => bytes++)])
          else if (act === "value") {
            sender.writeValue(0x04, undefined, Uint8Array.of(size, 1, 1, bytes++))
          } else if (act === "control") sender.control(control(size))
          else if (act === "send") { for (let i = 0; i < size && sender.canSend; i++) send() }
          else if (act === "take") got.push(...onTheWay.splice(0, size))
          else if (act === "credit") assert.isTrue(sender.credit(got.length, 200))
          else {
            onTheWay = []
            assert.isTrue(sender.resume(got.length))
          }
        }
        for (const { act, size } of acts) step(act, size)
        for (let rounds = 0; rounds < 1_000 && !sender.settled; rounds++) {
          for (const act of ["send", "take", "credit"]) step(act, 40)
        }
        assert.isTrue(sender.settled)
        assert.deepStrictEqual(got, order)
        assert.deepStrictEqual([sender.deliveredBytes, sender.queuedBytes], [sender.writtenBytes, 0])
      }),
      { numRuns: 100 }
    )
  })
})
