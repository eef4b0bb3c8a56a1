/** Every bad input of sessions (reliability, "Sessions and values"), spoken by hand to a multiplexer. */
import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "fast-check"
import { LinkHello } from "../../../src/schema/LinkControl.ts"
import { joined } from "../../../src/schema/Payload.ts"
import * as Frame from "../../../src/schema/SessionFrame.ts"
import { acceptOffer, byHand, type ByHandOptions, hello, resume, takeValues } from "../../utils/muxPair.ts"

const theirId = 0xc000_0000
const open = (sessionId = theirId, name = "theirs") => Frame.Open.make({ sessionId, name, credit: 1024 * 1024 })
const bytes = (size: number, sessionId = theirId) => Frame.Bytes.make({ sessionId, bytes: new Uint8Array(size) })
const close = (sessionId = theirId) => Frame.Close.make({ sessionId })

/** A session the peer has opened and we have accepted. */
const accepted = (options: ByHandOptions = {}) => {
  const hand = byHand(options)
  hand.send(open())
  const session = acceptOffer(hand.our)
  hand.sent()
  return { ...hand, session }
}

const isViolation = (fault: { readonly _tag: string; readonly detail?: string } | undefined, pattern: RegExp): void => {
  assert.strictEqual(fault?._tag, "Violation")
  assert.match(fault?.detail ?? "", pattern)
}

describe("SessionMux, bad input", () => {
  it("golden bytes: Resume, Open, Accept, Bytes, Credit and Close of a short session", () => {
    const hand = byHand({ resume: false })
    hand.sent()
    hand.send(resume(1))
    hand.deliver()
    const session = hand.our.mux.open("x")
    session.write([Uint8Array.of(0xaa, 0xbb)])
    session.end()
    hand.our.mux.touch(session)
    hand.deliver()
    hand.send(Frame.Accept.make({ sessionId: session.id, credit: 5 }))
    hand.our.mux.creditInterval()
    hand.deliver()
    const hex = hand.packets.map((packet) => Buffer.from(packet).toString("hex"))
    assert.deepStrictEqual(hex, [
      "b101" + "0001" + "01".repeat(16),
      "b0" + "ffffffff" + "45" + "18000000" + "01".repeat(16) + "0100000000000000",
      "b0" + "00000080" + "40" + "06000000" + "0178" + "00000100",
      "b0" + "00000080" + "0c" + "02000000" + "aabb" + "00000080" + "43" + "00000000",
      "b0" + "00000080" + "44" + "0c000000" + "0100000000000000" + "00000100"
    ])
  })

  it("drops and counts frames of an unknown session", () => {
    const { our, send, session } = accepted()
    send(bytes(10, 0xc000_0001), close(7))
    // One for a session that is over may have crossed our last word.
    send(Frame.Credit.make({ sessionId: 0x8000_0000, received: 1, credit: 1 }))
    send(
      Frame.Reset.make({ sessionId: 0xc000_0009, code: 0, message: "" }),
      Frame.Accept.make({ sessionId: 0, credit: 0 })
    )
    assert.strictEqual(our.mux.counts.unknownSession, 4)
    assert.strictEqual(our.mux.counts.ignoredFrames, 1)
    assert.isUndefined(our.mux.fault)
    send(bytes(3))
    assert.strictEqual(session.counts.received, 3)
  })

  it("ends everything with a peer that keeps sending frames for unknown sessions, and forgives slow ones", () => {
    const { our, send, times } = accepted()
    for (let i = 0; i < 1_000; i++) {
      times.now += 1000 / 32
      send(bytes(1, 0xc000_0001))
    }
    assert.isUndefined(our.mux.fault)
    assert.strictEqual(our.mux.counts.unknownSession, 1_000)
    for (let i = 0; i < 200; i++) send(bytes(1, 0xc000_0001))
    isViolation(our.mux.fault, /unknown sessions/)
  })

  it("refuses sessions beyond the limit, and ends everything with a peer that does not care", () => {
    const { our, send, sent } = byHand({ maxIncomingSessions: 4 })
    for (let i = 0; i < 4 + 12 + 256; i++) send(open(theirId + i))
    assert.isUndefined(our.mux.fault)
    assert.strictEqual(our.mux.offered, 4)
    const refused = sent().filter((frame) => frame._tag === "Reset")
    assert.strictEqual(refused.length, 12 + 256)
    assert.deepInclude(refused[0], { sessionId: theirId + 4, code: 1 })
    send(open(theirId + 1_000))
    isViolation(our.mux.fault, /too many sessions/)
  })

  it("closes the link on an unknown descriptor", () => {
    for (const descriptor of [0x00, 0x10, 0x3f, 0x4a, 0xff]) {
      const { our, sendBytes, session } = accepted()
      sendBytes(Uint8Array.of(0, 0, 0, 0xc0, descriptor, 0, 0, 0, 0))
      isViolation(our.mux.fault, /descriptor/)
      isViolation(session.fault, /descriptor/)
    }
  })

  it("I25: closes the link on a length over the cap before anything is allocated", () => {
    for (const length of [0xffff_ffff, 0x8000_0000, 1024 * 1024 - 8]) {
      const { our, sendBytes } = accepted()
      const header = new Uint8Array(9)
      new DataView(header.buffer).setUint32(0, theirId, true)
      header[4] = 0x0c
      new DataView(header.buffer).setUint32(5, length, true)
      const before = process.memoryUsage().arrayBuffers
      sendBytes(header)
      isViolation(our.mux.fault, /at most 1048576/)
      assert.isBelow(process.memoryUsage().arrayBuffers - before, 256 * 1024)
    }
  })

  it("I25: takes the largest allowed frame of a peer", () => {
    const { our, send, session } = accepted()
    send(bytes(1024 * 1024 - 9))
    assert.isUndefined(our.mux.fault)
    assert.strictEqual(session.counts.received, 1024 * 1024 - 9)
  })

  it("closes the link on trailing bytes, and on a control frame that is too short", () => {
    const long = Uint8Array.of(0, 0, 0, 0xc0, 0x43, 1, 0, 0, 0, 99)
    const short = Uint8Array.of(0, 0, 0, 0xc0, 0x44, 2, 0, 0, 0, 1, 2)
    for (const frame of [long, short]) {
      const { our, sendBytes } = accepted()
      sendBytes(frame)
      assert.strictEqual(our.mux.fault?._tag, "Violation")
    }
  })

  it("I16: closes the link on a value that does not fit its descriptor", () => {
    const bad: ReadonlyArray<
      readonly [what: string, descriptor: number, length: number, payload: ReadonlyArray<number>]
    > = [
      ["a length that is not a multiple of the element", 0x06, 3, [1, 2, 3]],
      ["a vector inside a vector", 0x0a, 5, [0x0a, 0, 0, 0, 0]],
      ["an inner length past the end", 0x0a, 6, [0x0c, 2, 0, 0, 0, 1]],
      ["trailing bytes inside a vector", 0x0a, 4, [0x03, 1, 0, 0]],
      ["an unused bit that is set", 0x0f, 3, [0xff]],
      ["a bit count of 2^32 - 1", 0x0f, 0xffff_ffff, []]
    ]
    for (const [what, descriptor, length, payload] of bad) {
      const { our, sendBytes, session } = accepted()
      const frame = new Uint8Array(9 + payload.length)
      const view = new DataView(frame.buffer)
      view.setUint32(0, theirId, true)
      frame[4] = descriptor
      view.setUint32(5, length, true)
      frame.set(payload, 9)
      sendBytes(frame)
      assert.strictEqual(our.mux.fault?._tag, "Violation", what)
      assert.deepStrictEqual([session.fault?._tag, session.waitingValues], ["Violation", 0], what)
    }
  })

  it("duplicate id: closes the link on an Open with an id that is in use, without touching the session's bytes", () => {
    const { our, send, sent, session } = accepted()
    send(bytes(5))
    send(open())
    isViolation(our.mux.fault, /in use/)
    isViolation(session.fault, /in use/)
    assert.deepInclude(sent().at(-1), { _tag: "GoAway", code: 2 })
    assert.strictEqual(our.mux.offered, 0)
  })

  it("closes the link on an Open with an id of our half, of makeSessions, or of the link", () => {
    for (const id of [0x8000_0000, 0xbfff_ffff, 0, 0x7fff_ffff, 0xffff_ffff]) {
      const { our, send } = byHand()
      send(open(id))
      isViolation(our.mux.fault, /session id/)
    }
  })

  it("close/reopen race: a closed id may be opened again, and gets nothing that belonged to the old session", () => {
    const { our, send, sent, session } = accepted()
    send(bytes(5), close())
    session.end()
    our.mux.touch(session)
    send(Frame.Credit.make({ sessionId: theirId, received: 2, credit: 0 }))
    assert.isTrue(session.finished)
    sent()
    send(bytes(7))
    assert.strictEqual(our.mux.counts.unknownSession, 1)
    send(open(theirId, "again"), bytes(9))
    assert.strictEqual(acceptOffer(our).counts.received, 9)
    assert.strictEqual(session.counts.received, 5)
  })

  it("resets the session on bytes after Close and on a second Close; the link goes on", () => {
    for (const frame of [bytes(1), close()]) {
      const { our, send, sent, session } = accepted()
      send(close(), frame)
      isViolation(session.fault, /after Close/)
      assert.isUndefined(our.mux.fault)
      assert.deepInclude(sent().find((frame) => frame._tag === "Reset"), { sessionId: theirId, code: 2 })
    }
  })

  it("resets the session on bytes beyond the credit, after one frame of overdraft", () => {
    const { our, send, session } = accepted()
    send(bytes(64 * 1024 - 10), bytes(16 * 1024))
    assert.isUndefined(session.fault)
    send(bytes(1))
    isViolation(session.fault, /credit/)
    assert.strictEqual(session.waitingValues, 0)
    assert.isUndefined(our.mux.fault)
  })

  it("holds the peer to 64 KiB and a frame before we accept", () => {
    const { our, send } = byHand()
    send(open(), bytes(60_000), bytes(16_000))
    assert.strictEqual(our.mux.offered, 1)
    send(bytes(1))
    assert.strictEqual(our.mux.offered, 0)
  })

  it("resets the session when frames are acknowledged that were never sent", () => {
    const { our, send, session } = accepted()
    send(Frame.Credit.make({ sessionId: theirId, received: 2, credit: 0 }))
    isViolation(session.fault, /never sent/)
    assert.isUndefined(our.mux.fault)
  })

  it("resets the session on Accept where none is due, and on bytes before it", () => {
    const twice = accepted()
    twice.send(Frame.Accept.make({ sessionId: theirId, credit: 0 }))
    isViolation(twice.session.fault, /Accept/)
    const early = byHand()
    const session = early.our.mux.open("ours")
    early.send(bytes(4, session.id))
    isViolation(session.fault, /before Accept/)
  })

  it("an older credit than the last takes nothing back", () => {
    const { our, send, sent } = byHand()
    const session = our.mux.open("ours")
    send(Frame.Accept.make({ sessionId: session.id, credit: 100_000 }))
    send(Frame.Credit.make({ sessionId: session.id, received: 0, credit: 0 }))
    session.write([new Uint8Array(90_000)])
    our.mux.touch(session)
    assert.strictEqual(session.queuedBytes, 0)
    assert.strictEqual(sent().filter((frame) => frame._tag === "Bytes").length, 6)
  })

  it("answers Ping, ignores what it has not asked for", () => {
    const { our, send, sent } = byHand()
    send(Frame.Ping.make({ value: 0x1234_5678_9abc_def0n }), Frame.Pong.make({ value: 1n }))
    send(Frame.Datagram.make({ sessionId: theirId, bytes: new Uint8Array(3) }))
    assert.deepStrictEqual(sent(), [{ _tag: "Pong", value: 0x1234_5678_9abc_def0n }])
    assert.strictEqual(our.mux.counts.ignoredFrames, 1)
    assert.strictEqual(our.mux.counts.droppedDatagrams, 1)
  })

  it("drops datagrams that are too long, or for a session that is over", () => {
    const { our, send, session } = accepted({ maxDatagramSize: 100 })
    const datagram = (size: number) => Frame.Datagram.make({ sessionId: theirId, bytes: new Uint8Array(size) })
    send(datagram(101), datagram(100))
    assert.strictEqual(session.datagrams?.take()?.length, 1)
    our.mux.reset(session, 0, "")
    send(datagram(1))
    assert.strictEqual(our.mux.counts.droppedDatagrams, 2)
  })

  it("takes nothing more from a peer that wants replies but takes none, until it takes them", () => {
    const { our, send, sent, theirs } = byHand({ replyBacklog: 1_000 })
    our.end.sendBuffer = 0
    for (let i = 0; i < 100; i++) send(Frame.Ping.make({ value: BigInt(i) }))
    assert.isTrue(our.end.isHeld)
    our.end.sendBuffer = 1_000_000
    our.mux.link?.pump()
    assert.isFalse(our.end.isHeld)
    theirs().deliver()
    assert.strictEqual(sent().length, 100)
  })

  it("tiny frames cost the memory of their bytes, not of their packets", () => {
    const { sendPacket, session } = accepted()
    // One byte each, in a packet that has room for much more.
    const frame = Frame.SessionFrame.encode(bytes(1))
    for (let i = 0; i < 6_000; i++) {
      const packet = new Uint8Array(1373)
      packet[0] = 176
      packet.set(frame, 1)
      sendPacket(packet.subarray(0, 1 + frame.length))
    }
    assert.strictEqual(session.waitingValues, 6_000)
    const values = Array.from({ length: 6_000 }, () => session.take())
    const buffers = new Set(values.map((value) => joined(value?.payload ?? []).buffer))
    const kept = Array.from(buffers, (buffer) => buffer?.byteLength ?? 0).reduce((sum, size) => sum + size, 0)
    // The last page may be nearly empty.
    assert.isAtMost(kept, 6_000 * 8 + 32 * 1024)
  })

  it("I25: frames without bytes are bounded by the credit and give it back when they are taken", () => {
    const { our, send, session } = accepted()
    const most = Math.ceil(64 * 1024 / 9)
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < most; i++) send(bytes(0))
      assert.isUndefined(session.fault)
      assert.strictEqual(session.waitingValues, most)
      const values = takeValues(our, session)
      assert.strictEqual(values.length, most)
      const kept = Array.from(
        new Set(values.map(({ payload }) => joined(payload).buffer)),
        (buffer) => buffer.byteLength
      )
      assert.isAtMost(kept.reduce((sum, size) => sum + size, 0), 64 * 1024)
      our.mux.creditInterval()
    }
    for (let i = 0; i < 1_000_000 && session.fault === undefined; i++) send(bytes(0))
    isViolation(session.fault, /credit/)
    assert.strictEqual(session.waitingValues, 0)
  })

  it("says GoAway before it gives the link up", () => {
    const { our, sendBytes, sent } = byHand()
    our.mux.open("ours")
    sendBytes(Uint8Array.of(1, 0, 0, 0, 0xee, 0, 0, 0, 0))
    assert.deepInclude(sent().at(-1), { _tag: "GoAway", code: 2 })
    sendBytes(Uint8Array.of(1, 2, 3))
    assert.strictEqual(our.mux.counts.sessions, 0)
  })

  it("session bytes before the hello end the link", () => {
    const { our, send } = byHand({ greet: false })
    send(open())
    isViolation(our.mux.fault, /hello/)
  })

  it("no bytes whatever make it throw, and every end is a typed fault", () => {
    const frames = FastCheck.oneof(
      FastCheck.uint8Array({ maxLength: 60 }),
      FastCheck.record({
        id: FastCheck.constantFrom(theirId, theirId + 1, 0x8000_0000, 0xffff_ffff, 3),
        descriptor: FastCheck.oneof(FastCheck.constantFrom(0x0c), FastCheck.integer({ min: 0x40, max: 0x4a })),
        payload: FastCheck.uint8Array({ maxLength: 24 })
      }).map(({ descriptor, id, payload }) => {
        const frame = new Uint8Array(9 + payload.length)
        const view = new DataView(frame.buffer)
        view.setUint32(0, id, true)
        view.setUint8(4, descriptor)
        view.setUint32(5, payload.length, true)
        frame.set(payload, 9)
        return frame
      }),
      FastCheck.constantFrom(open(), bytes(3), close(), Frame.Accept.make({ sessionId: 0x8000_0000, credit: 9 }))
        .map((frame) => Frame.SessionFrame.encode(frame))
    )
    FastCheck.assert(
      FastCheck.property(FastCheck.array(frames, { maxLength: 30 }), (all) => {
        const { our, sendBytes } = byHand()
        our.mux.open("ours")
        for (const frame of all) {
          sendBytes(frame)
          const offer = our.mux.takeOffer()
          if (offer !== undefined) {
            offer.accept()
            our.mux.touch(offer)
          }
          our.mux.creditInterval()
        }
        assert.oneOf(our.mux.fault?._tag, [undefined, "Violation"])
      }),
      { numRuns: 500 }
    )
  })

  it("a peer that repeats its hello changes nothing", () => {
    const { our, sendPacket } = byHand()
    const { link } = our.mux
    sendPacket(LinkHello.encode(hello(9)))
    assert.strictEqual(our.mux.link, link)
    assert.strictEqual(our.mux.counts.ignoredPackets, 1)
  })
})
