import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "fast-check"
import { createHash, type Hash } from "node:crypto"
import type { SessionState } from "../../../src/protocol/session/SessionState.ts"
import { acceptOffer, end, muxPair, openedPair as opened, type Side, take, write } from "../../utils/muxPair.ts"

/** Payload bytes that have arrived. Nobody has taken any. */
const arrived = (session: SessionState): number => session.counts.received

const text = (value: string): Uint8Array => new TextEncoder().encode(value)

describe("SessionMux", () => {
  it("opens, carries bytes both ways, half-closes each direction on its own, and is forgotten", () => {
    const { a, atA, atB, b, settle } = opened()
    assert.strictEqual(atB.name, "test")
    assert.isTrue(atA.accepted)
    write(a, atA, text("ping"))
    end(a, atA)
    settle()
    assert.deepStrictEqual(take(b, atB), text("ping"))
    assert.isTrue(atB.readEnded)
    assert.isTrue(atA.hasDelivered(4))
    assert.isFalse(atA.finished)
    write(b, atB, text("pong"))
    settle()
    assert.deepStrictEqual(take(a, atA), text("pong"))
    assert.isFalse(atA.readEnded)
    end(b, atB)
    settle()
    assert.isTrue(atA.readEnded)
    for (const session of [atA, atB]) assert.isTrue(session.finished)
    for (const side of [a, b]) assert.strictEqual(side.mux.counts.sessions, 0)
    for (const side of [a, b]) assert.strictEqual(side.mux.counts.unknownSession, 0)
  })

  it("delivers the end of an empty direction", () => {
    const { a, atA, atB, b, settle } = opened()
    end(a, atA)
    end(b, atB)
    settle()
    assert.isTrue(atA.readEnded && atB.readEnded && atA.finished && atB.finished)
  })

  it("gives both sides ids that cannot collide when they open at the same time", () => {
    const { a, b, settle } = muxPair()
    const [a1, a2] = [a.mux.open("a1"), a.mux.open("a2")]
    const [b1, b2] = [b.mux.open("b1"), b.mux.open("b2")]
    assert.deepStrictEqual([a1.id, a2.id], [0x8000_0000, 0x8000_0001])
    assert.deepStrictEqual([b1.id, b2.id], [0xc000_0000, 0xc000_0001])
    settle()
    const atB = [acceptOffer(b), acceptOffer(b)]
    const atA = [acceptOffer(a), acceptOffer(a)]
    settle()
    assert.deepStrictEqual(atB.map((session) => session.name), ["a1", "a2"])
    assert.deepStrictEqual(atA.map((session) => session.name), ["b1", "b2"])
    for (const session of [a1, a2, b1, b2]) assert.isTrue(session.accepted)
    write(a, a2, text("for a2"))
    settle()
    assert.deepStrictEqual(atB.map(arrived), [0, 6])
  })

  it("sends at most 64 KiB and a frame before it is accepted, and the rest afterwards", () => {
    const { a, b, settle } = muxPair({ initialWindow: 1024 * 1024 })
    const session = a.mux.open("early")
    write(a, session, new Uint8Array(200_000))
    settle()
    const early = 200_000 - session.queuedBytes
    assert.isAtLeast(early, 48 * 1024)
    assert.isAtMost(early, 80 * 1024)
    const atB = acceptOffer(b)
    settle()
    assert.strictEqual(session.queuedBytes, 0)
    assert.strictEqual(arrived(atB), 200_000)
  })

  it("I24: a reader that stops bounds memory to the window and a frame, keeps being acknowledged, and does not stall Close", () => {
    const { a, atA, atB, b, settle } = opened()
    write(a, atA, new Uint8Array(8 * 1024 * 1024))
    settle()
    assert.isAtMost(arrived(atB), 64 * 1024 + 16 * 1024)
    assert.isAtLeast(arrived(atB), 64 * 1024 - 16 * 1024)
    assert.strictEqual(atA.counts.delivered, arrived(atB), "what was received is acknowledged though not consumed")
    assert.strictEqual(a.end.queue.length + b.end.queue.length, 0)
    // The other direction, and the end of it, are not held up.
    write(b, atB, text("still here"))
    end(b, atB)
    settle()
    assert.deepStrictEqual(take(a, atA), text("still here"))
    assert.isTrue(atA.readEnded)
    let total = 0
    for (let reads = 0; total < 8 * 1024 * 1024 && reads < 400; reads++) {
      total += take(b, atB).length
      settle()
    }
    assert.strictEqual(total, 8 * 1024 * 1024)
  })

  it("I24: Close needs no credit", () => {
    const { a, atA, atB, b, settle } = opened()
    // Exactly the window: four frames of 16 KiB with their headers leave nothing.
    write(a, atA, new Uint8Array(64 * 1024))
    settle()
    const left = atA.queuedBytes
    assert.strictEqual(left, 0)
    end(a, atA)
    settle()
    assert.isTrue(atA.hasDelivered(64 * 1024))
    assert.strictEqual(take(b, atB).length, 64 * 1024)
    assert.isTrue(atB.readEnded)
  })

  it("I24: a session whose reader stopped stalls no other", () => {
    const { a, atA, atB, b, settle } = opened()
    const other = a.mux.open("other")
    settle()
    const otherAtB = acceptOffer(b)
    write(a, atA, new Uint8Array(4 * 1024 * 1024))
    for (let i = 0; i < 40; i++) {
      write(a, other, new Uint8Array(100_000))
      settle()
      let length = take(b, otherAtB).length
      for (let reads = 0; length < 100_000 && reads < 4; reads++) {
        settle()
        length += take(b, otherAtB).length
      }
      assert.strictEqual(length, 100_000)
    }
    assert.isAbove(atA.queuedBytes, 2 * 1024 * 1024)
    assert.isAtMost(arrived(atB), 64 * 1024 + 16 * 1024)
  })

  it("I24: sessions with much to send take turns", () => {
    const { a, atA, b, settle } = opened({ sendBuffer: 4 * 1024, initialWindow: 1024 * 1024 })
    const other = a.mux.open("other")
    settle()
    acceptOffer(b)
    settle()
    write(a, atA, new Uint8Array(512 * 1024))
    write(a, other, new Uint8Array(512 * 1024))
    a.end.deliver(3)
    for (let i = 0; i < 100; i++) a.end.deliver()
    assert.isAtMost(Math.abs(atA.queuedBytes - other.queuedBytes), 64 * 1024)
  })

  it("sends Credit every 64 KiB consumed at once, and for less within the credit interval", () => {
    const { a, atA, atB, b, settle } = opened({ initialWindow: 512 * 1024 })
    write(a, atA, new Uint8Array(30_000))
    a.end.deliver()
    assert.isTrue(b.creditLater)
    b.creditLater = false
    take(b, atB)
    assert.strictEqual(b.end.queue.length, 0)
    b.mux.creditInterval()
    assert.strictEqual(b.end.queue.length, 1)
    settle()
    write(a, atA, new Uint8Array(70_000))
    a.end.deliver()
    take(b, atB)
    assert.strictEqual(b.end.queue.length, 1)
  })

  it("sends Credit at once for an eighth of a larger window", () => {
    const { a, atA, atB, b } = opened({ initialWindow: 1024 * 1024 })
    for (const [size, credits] of [[120_000, 0], [20_000, 1]] as const) {
      write(a, atA, new Uint8Array(size))
      a.end.deliver()
      take(b, atB)
      assert.strictEqual(b.end.queue.length, credits)
    }
  })

  it("acknowledges although it has bytes to send all the time", () => {
    const { a, atA, atB, b } = opened({ sendBuffer: 2_000, initialWindow: 8 * 1024 * 1024 })
    write(b, atB, new Uint8Array(4 * 1024 * 1024))
    write(a, atA, new Uint8Array(100))
    const exchange = (): number => a.end.deliver() + b.end.deliver()
    for (let i = 0; i < 20; i++) exchange()
    assert.isTrue(b.creditLater)
    b.mux.creditInterval()
    for (let i = 0; i < 60 && atA.counts.delivered < 100; i++) exchange()
    assert.strictEqual(atA.counts.delivered, 100)
  })

  it("keeps the order when packets are answered while they are being sent", () => {
    const { a, atA, atB, b, settle } = opened()
    // From here on every packet arrives inside trySend.
    for (const { end } of [a, b]) {
      const { queue } = end
      queue.push = (packet) => {
        if (packet === undefined) return 0
        queue[0] = packet
        queue.length = 1
        end.deliver()
        return 0
      }
    }
    atB.onChange = () => {
      const bytes = take(b, atB)
      if (bytes.length > 0) write(b, atB, bytes)
    }
    const sent = Uint8Array.from({ length: 300_000 }, (_, i) => i * 31)
    write(a, atA, sent)
    const parts: Array<Uint8Array> = []
    for (let size = 0; size < sent.length;) {
      settle()
      const part = take(a, atA)
      if (part.length === 0) break
      size += part.length
      parts.push(part)
    }
    const back = Buffer.concat(parts)
    assert.strictEqual(back.length, sent.length)
    assert.deepStrictEqual(
      createHash("sha256").update(back).digest("hex"),
      createHash("sha256").update(sent).digest("hex")
    )
    assert.deepStrictEqual([a.mux.fault, b.mux.fault], [undefined, undefined])
  })

  it("packs the small writes of one batch into few packets", () => {
    const { a, atA, atB, settle } = opened()
    const before = a.end.sentPackets
    write(a, atA, ...Array.from({ length: 1_000 }, (_, i) => Uint8Array.of(i)))
    assert.strictEqual(a.end.sentPackets - before, 1)
    settle()
    assert.strictEqual(arrived(atB), 1_000)
  })

  it("a Reset reaches the peer with code and message, drops what waits, and both sides forget the session", () => {
    const { a, atA, atB, b, settle } = opened()
    write(b, atB, new Uint8Array(5_000))
    write(a, atA, new Uint8Array(4 * 1024 * 1024))
    settle()
    a.mux.reset(atA, 77, "enough")
    settle()
    assert.deepStrictEqual(atB.fault, { _tag: "Reset", code: 77, detail: "enough", byPeer: true })
    assert.deepStrictEqual(atA.fault, { _tag: "Reset", code: 77, detail: "enough", byPeer: false })
    assert.deepStrictEqual([atA.waitingValues, atB.waitingValues, atA.queuedBytes], [0, 0, 0])
    assert.deepStrictEqual([a.mux.counts.sessions, b.mux.counts.sessions], [0, 0])
  })

  it("a Reset does not take away a direction that had ended", () => {
    const { a, atA, atB, b, settle } = opened()
    write(a, atA, text("all of it"))
    end(a, atA)
    settle()
    a.mux.reset(atA, 0, "bye")
    settle()
    assert.strictEqual(atB.fault?._tag, "Reset")
    assert.deepStrictEqual(take(b, atB), text("all of it"))
    assert.isTrue(atB.readEnded)
  })

  it("a session given up when both directions have ended ends in order, whatever is on its way", () => {
    const { a, atA, atB, b, settle } = opened()
    write(a, atA, text("last words"))
    end(b, atB)
    settle()
    end(a, atA)
    a.end.deliver()
    a.mux.reset(atA, 0, "given up")
    settle()
    assert.isTrue(atA.finished && atB.finished)
    assert.deepStrictEqual(take(b, atB), text("last words"))
    for (const { mux } of [a, b]) assert.deepStrictEqual([mux.counts.sessions, mux.counts.unknownSession], [0, 0])
  })

  it("survives a Reset from both sides at once", () => {
    const { a, atA, atB, b, settle } = opened()
    a.mux.reset(atA, 1, "a")
    b.mux.reset(atB, 2, "b")
    settle()
    assert.deepStrictEqual([a.mux.counts.sessions, b.mux.counts.sessions], [0, 0])
    assert.isUndefined(a.mux.fault ?? b.mux.fault)
  })

  it("an open given up before its answer takes the offer back", () => {
    const { a, b, settle } = muxPair()
    const session = a.mux.open("never mind")
    settle()
    assert.strictEqual(b.mux.offered, 1)
    a.mux.reset(session, 0, "")
    settle()
    assert.strictEqual(b.mux.offered, 0)
    assert.deepStrictEqual([a.mux.counts.sessions, b.mux.counts.sessions], [0, 0])
  })

  it("refuses a session too many as busy, leaves the others alone, and takes the next one after an end", () => {
    const { a, atA, atB, b, settle } = opened({ maxIncomingSessions: 1 })
    const second = a.mux.open("second")
    settle()
    assert.deepStrictEqual(second.fault, { _tag: "Refused", code: 1, detail: "no more sessions" })
    write(a, atA, text("fine"))
    settle()
    assert.deepStrictEqual(take(b, atB), text("fine"))
    end(a, atA)
    end(b, atB)
    settle()
    const third = a.mux.open("third")
    settle()
    assert.strictEqual(acceptOffer(b).name, "third")
    settle()
    assert.isTrue(third.accepted)
    assert.strictEqual(b.mux.counts.refusedSessions, 1)
  })

  it("GoAway refuses what is not accepted, now and later, and lets accepted sessions finish", () => {
    const { a, atA, atB, b, settle } = opened()
    const waiting = a.mux.open("waiting")
    settle()
    b.mux.goAway(1, "one at a time")
    settle()
    const refused = { _tag: "Refused", code: 1, detail: "one at a time" } as const
    assert.deepStrictEqual(waiting.fault, refused)
    assert.deepStrictEqual(a.mux.open("later").fault, refused)
    write(a, atA, text("on"))
    settle()
    assert.deepStrictEqual(take(b, atB), text("on"))
    assert.strictEqual(b.mux.offered, 0)
    assert.strictEqual(a.mux.counts.sessions, 1)
  })

  it("GoAway while sessions are being opened leaves nothing behind on either side", () => {
    const { a, b, settle } = muxPair({ maxIncomingSessions: 1_024 })
    for (let i = 0; i < 100; i++) a.mux.open(`offered ${i}`)
    settle()
    for (let i = 0; i < 100; i++) a.mux.open(`on its way ${i}`)
    b.mux.goAway(1, "enough")
    settle()
    for (const { mux } of [a, b]) {
      assert.isUndefined(mux.fault)
      assert.deepStrictEqual([mux.counts.sessions, mux.incoming, mux.refused, mux.offered], [0, 0, 0, 0])
      assert.strictEqual(mux.counts.unknownSession, 0)
    }
  })

  it("sessions that both sides break off at once, or that are refused all at once, are nobody's mistake", () => {
    const { a, b, settle } = muxPair({ maxIncomingSessions: 300 })
    const opened = Array.from({ length: 600 }, () => a.mux.open("one of many"))
    a.end.deliver()
    b.end.deliver()
    // The credit interval passes before the answers have come back.
    b.mux.creditInterval()
    settle()
    assert.strictEqual(opened.filter(({ fault }) => fault?._tag === "Refused").length, 300)
    const accepted = Array.from({ length: 300 }, () => acceptOffer(b))
    settle()
    for (const session of opened) a.mux.reset(session, 0, "")
    for (const session of accepted) b.mux.reset(session, 0, "")
    settle()
    for (const { mux } of [a, b]) {
      assert.isUndefined(mux.fault)
      assert.deepStrictEqual([mux.counts.sessions, mux.incoming, mux.refused], [0, 0, 0])
      assert.strictEqual(mux.counts.unknownSession, 0)
    }
  })

  it("a lost link fails every session that is not finished, and leaves what had arrived to be read", () => {
    const { a, atA, atB, b, settle } = opened()
    write(a, atA, text("made it"))
    settle()
    b.mux.fail({ _tag: "LinkLost", detail: "gone" })
    assert.deepStrictEqual(take(b, atB), text("made it"))
    assert.deepStrictEqual(atB.fault, { _tag: "LinkLost", detail: "gone" })
    assert.deepStrictEqual(b.mux.open("again").fault, { _tag: "LinkLost", detail: "gone" })
  })

  it("refuses names and codes that no frame can carry before anything is sent", () => {
    const { a, atA } = opened()
    assert.throws(() => a.mux.open("x".repeat(256)), RangeError)
    assert.throws(() => a.mux.reset(atA, 65_536, ""), RangeError)
    assert.throws(() => a.mux.reset(atA, -1, ""), RangeError)
    a.mux.reset(atA, 65_535, "\ud800".repeat(5_000))
    assert.strictEqual(atA.fault?._tag, "Reset")
  })

  it("I24: carries any bytes through any order of writes, reads, holds, deliveries and pauses of both sides", () => {
    const step = FastCheck.record({
      side: FastCheck.integer({ min: 0, max: 1 }),
      act: FastCheck.constantFrom("write", "write", "read", "deliver", "deliver", "hold", "release", "credit", "end"),
      size: FastCheck.oneof(FastCheck.integer({ min: 0, max: 3_000 }), FastCheck.integer({ min: 0, max: 150_000 }))
    })
    const sizes = FastCheck.record({
      initialWindow: FastCheck.constantFrom(64 * 1024, 100_000, 1024 * 1024),
      windowBudget: FastCheck.constantFrom(0, 50_000, 64 * 1024 * 1024),
      maxFramePayload: FastCheck.constantFrom(100, 1_363, 16 * 1024),
      sendBuffer: FastCheck.constantFrom(1_500, 20_000, 512 * 1024)
    })
    FastCheck.assert(
      FastCheck.property(sizes, FastCheck.array(step, { maxLength: 120 }), (options, steps) => {
        const { a, atA, atB, b, settle } = opened(options)
        const ends = [{ side: a, session: atA }, { side: b, session: atB }].map((end) => ({
          ...end,
          ended: false,
          sent: createHash("sha256"),
          got: createHash("sha256"),
          taken: 0,
          next: 0
        }))
        const read = (end: { side: Side; session: SessionState; got: Hash; taken: number }): void => {
          const most = options.initialWindow + options.windowBudget + options.maxFramePayload + 9
          assert.isAtMost(end.session.counts.received - end.taken, most)
          const bytes = take(end.side, end.session)
          end.taken += bytes.length
          end.got.update(bytes)
        }
        for (const { act, side, size } of steps) {
          const self = ends[side]
          if (self === undefined) continue
          if (act === "write" && !self.ended) {
            const bytes = Uint8Array.from({ length: size }, () => self.next++ * 7)
            self.sent.update(bytes)
            write(self.side, self.session, bytes)
          } else if (act === "end" && steps.length % 3 === 0) {
            self.ended = true
            end(self.side, self.session)
          } else if (act === "read") read(self)
          else if (act === "deliver") self.side.end.deliver(size % 40)
          else if (act === "hold" || act === "release") self.side.end.hold(act === "hold")
          else if (act === "credit") self.side.mux.creditInterval()
        }
        for (const self of ends) {
          self.side.end.hold(false)
          end(self.side, self.session)
        }
        for (
          let rounds = 0;
          rounds < 2_000 && !(atA.finished && atB.finished && atA.readEnded && atB.readEnded);
          rounds++
        ) {
          settle()
          for (const self of ends) read(self)
        }
        const [first, second] = ends
        assert.isTrue(atA.finished && atB.finished)
        assert.strictEqual(second?.got.digest("hex"), first?.sent.digest("hex"))
        assert.strictEqual(first?.got.digest("hex"), second?.sent.digest("hex"))
        assert.deepStrictEqual([a.mux.counts.sessions, b.mux.counts.sessions], [0, 0])
        assert.deepStrictEqual([a.mux.fault, b.mux.fault], [undefined, undefined])
      }),
      { numRuns: 150 }
    )
  })
})
