/** One link after the other: what a Resume may say, frames of the earlier link, sessions that both sides make. */
import { assert, describe, it } from "@effect/vitest"
import type { SessionFault } from "../../../src/protocol/session/sessionFault.ts"
import * as Frame from "../../../src/schema/SessionFrame.ts"
import {
  acceptOffer,
  byHand,
  type ByHandOptions,
  end,
  instance,
  muxPair,
  openedPair,
  resume,
  take,
  takeValues,
  write
} from "../../utils/muxPair.ts"

const theirId = 0xc000_0000
const open = (sessionId = theirId) => Frame.Open.make({ sessionId, name: "theirs", credit: 1024 * 1024 })
const bytes = (text: string, sessionId = theirId) =>
  Frame.Bytes.make({ sessionId, bytes: new TextEncoder().encode(text) })
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

/** A session the peer has opened and we have accepted. We have sent one numbered frame, the Accept. */
const accepted = (options: ByHandOptions = {}) => {
  const hand = byHand(options)
  hand.send(open())
  const session = acceptOffer(hand.our)
  hand.sent()
  return { ...hand, session }
}

const isViolation = (fault: SessionFault | undefined, pattern: RegExp): void => {
  assert.strictEqual(fault?._tag, "Violation")
  assert.match(fault?._tag === "Violation" ? fault.detail : "", pattern)
}

describe("Resume", () => {
  it("the greater begins; the lesser says nothing before, and names what it has received", () => {
    const { connect, cut, our, send, sent, session } = accepted()
    send(bytes("one"), bytes("two"))
    write(our, session, new Uint8Array(10))
    sent()
    cut()
    connect()
    assert.deepStrictEqual(sent(), [])
    send(resume(2, [theirId, 1]))
    const [answer, ...frames] = sent()
    const expected = { sessionId: theirId, received: 3 }
    assert.deepInclude(answer, { _tag: "Resume", epoch: 2, instanceId: instance(1) })
    assert.deepInclude(answer?._tag === "Resume" ? answer.sessions[0] : undefined, expected)
    // The Accept had arrived, so only the bytes go again.
    assert.deepStrictEqual(frames.map((frame) => frame._tag), ["Credit", "Bytes"])
  })

  it("a session that it does not name, and that has had no answer, goes again from its beginning", () => {
    const { connect, cut, our, send, sent } = byHand()
    const session = our.mux.open("ours")
    write(our, session, new Uint8Array(3))
    assert.strictEqual(sent().length, 2)
    cut()
    connect()
    send(resume(2))
    const again = sent().map((frame) => frame._tag)
    assert.deepStrictEqual(again, ["Resume", "Open", "Bytes"])
  })

  it("more received than was ever sent ends everything", () => {
    const { connect, cut, our, send } = accepted()
    cut()
    connect()
    send(resume(2, [theirId, 2]))
    isViolation(our.mux.fault, /received 2 frames/)
  })

  it("less received than was acknowledged ends everything", () => {
    const { connect, cut, our, send } = accepted()
    send(Frame.Credit.make({ sessionId: theirId, received: 1, credit: 100 }))
    cut()
    connect()
    send(resume(2, [theirId, 0]))
    isViolation(our.mux.fault, /received 0 frames/)
  })

  it("without a session that has not ended it ends everything", () => {
    const { connect, cut, our, send, session } = accepted()
    cut()
    connect()
    send(resume(2))
    isViolation(our.mux.fault, /forgot/)
    isViolation(session.fault, /forgot/)
  })

  it("a second one of the same move, one of another link's move, or an epoch beyond all use ends everything", () => {
    const second = byHand()
    second.send(resume(1))
    isViolation(second.our.mux.fault, /second Resume/)
    const again = byHand()
    again.cut()
    again.connect()
    again.send(resume(1))
    isViolation(again.our.mux.fault, /epoch 1 after 1/)
    const beyond = byHand()
    beyond.send(resume(2 ** 50))
    isViolation(beyond.our.mux.fault, /epoch/)
    const later = byHand()
    later.cut()
    later.connect()
    later.send(resume(7))
    assert.isUndefined(later.our.mux.fault)
  })

  it("a frame before it ends everything", () => {
    const early = [open(), bytes("x"), Frame.Ping.make({ value: 1n }), Frame.GoAway.make({ code: 0, message: "" })]
    for (const frame of early) {
      const { our, send } = byHand({ resume: false })
      send(frame)
      isViolation(our.mux.fault, /before Resume/)
    }
  })

  it("of another process ends the sessions with PeerRestarted", () => {
    const { connect, cut, our, send, session } = accepted()
    cut()
    connect()
    send(Frame.Resume.make({ ...resume(2, [theirId, 1]), instanceId: instance(9) }))
    assert.deepStrictEqual([our.mux.fault, session.fault], [{ _tag: "PeerRestarted" }, { _tag: "PeerRestarted" }])
  })

  it("I21: names each session on its own stream, and sessions move when the number of streams changes", () => {
    const { a, b, connect, cut, links, settle } = muxPair({ streams: 3 })
    const made = { a: a.mux.make(6), b: b.mux.make(6) }
    settle()
    const streamOf = (id: number): number => {
      const session = made.a[id]
      if (session === undefined) return -1
      const before = links.at(-1)?.a.map(({ sentPackets }) => sentPackets) ?? []
      write(a, session, Uint8Array.of(id))
      const after = links.at(-1)?.a.map(({ sentPackets }) => sentPackets) ?? []
      settle()
      return after.findIndex((packets, index) => packets !== before[index])
    }
    const ids = [0, 1, 2, 3, 4, 5]
    assert.deepStrictEqual(ids.map(streamOf), [0, 1, 2, 0, 1, 2])
    cut()
    connect(2)
    settle()
    assert.deepStrictEqual(ids.map(streamOf), [0, 1, 0, 1, 0, 1])
    cut()
    connect(1)
    settle()
    assert.deepStrictEqual(ids.map(streamOf), [0, 0, 0, 0, 0, 0])
    for (const [id, session] of made.b.entries()) assert.deepStrictEqual([...take(b, session)], [id, id, id])
  })
})

describe("moving to another link", () => {
  it("I13: frames on the earlier link count until the peer has resumed, and are ignored afterwards", () => {
    const { connect, our, send, session, speakOn, theirs } = accepted()
    const earlier = theirs()
    send(bytes("a"))
    connect()
    const later = theirs()
    speakOn(earlier)
    send(bytes("b"))
    assert.strictEqual(text(take(our, session)), "ab")
    speakOn(later)
    send(resume(2, [theirId, 1]))
    speakOn(earlier)
    send(bytes("lost"), open(theirId + 1))
    speakOn(later)
    send(bytes("c"))
    assert.strictEqual(text(take(our, session)), "c")
    assert.deepStrictEqual([our.mux.fault, our.mux.offered, our.mux.counts.unknownSession], [undefined, 0, 0])
  })

  it("I13: what came over the earlier link after our Resume comes again, and counts once", () => {
    const { a, atA, atB, b, connect, links, settle } = openedPair()
    const earlier = links[0]
    write(a, atA, new TextEncoder().encode("twice "))
    connect()
    // The greater says what it has received as soon as it has the lesser's hello.
    links[1]?.a[0]?.deliver()
    earlier?.a[0]?.deliver()
    assert.strictEqual(atB.counts.received, 6)
    settle()
    write(a, atA, new TextEncoder().encode("and once"))
    settle()
    assert.strictEqual(text(take(b, atB)), "twice and once")
    assert.deepStrictEqual([atA.counts.delivered, b.mux.counts.unknownSession], [14, 0])
  })

  it("I13 I21: the earlier link counts no longer for a stream that the peer has resumed on, although others wait", () => {
    const { a, atA, atB, b, connect, links, settle } = openedPair()
    write(a, atA, new TextEncoder().encode("once"))
    const later = connect(2)
    for (const side of [later.a, later.b, later.b]) for (const end of side) end.deliver()
    // The lesser has resumed on both streams; one of them is slow, and so is the earlier link.
    later.a[atA.id % 2]?.deliver()
    assert.strictEqual(text(take(b, atB)), "once")
    links[0]?.a[0]?.deliver()
    settle()
    assert.strictEqual(text(take(b, atB)), "")
    assert.deepStrictEqual([atA.counts.delivered, b.mux.fault], [4, undefined])
  })

  it("close/reopen race: what comes again for a session that has just ended is for no unknown session", () => {
    const { a, atA, atB, b, connect, links, settle } = openedPair()
    end(b, atB)
    links[0]?.b[0]?.deliver()
    write(a, atA, new TextEncoder().encode("twice"))
    end(a, atA)
    connect()
    // The greater resumes before it has the bytes, and ends when the lesser has resumed: then they come again.
    links[1]?.a[0]?.deliver()
    links[0]?.a[0]?.deliver()
    assert.strictEqual(text(take(b, atB)), "twice")
    settle()
    assert.deepStrictEqual([b.mux.counts.sessions, b.mux.counts.unknownSession], [0, 0])
  })

  it("a Pong over the earlier link measures nothing", () => {
    const { b, connect, links, settle } = muxPair()
    let answers = 0
    b.mux.ping(() => void answers++)
    links[0]?.b[0]?.deliver()
    connect()
    // The greater begins on the new link as soon as it has the hello there.
    links[1]?.a[0]?.deliver()
    links[0]?.a[0]?.deliver()
    settle()
    assert.deepStrictEqual([answers, b.mux.counts.ignoredFrames], [0, 1])
  })

  it("I13: a made session that nothing has been sent on yet does not take a first value twice", () => {
    const { a, b, connect, links, settle } = muxPair()
    const [atA] = a.mux.make(1)
    const [atB] = b.mux.make(1)
    if (atA === undefined || atB === undefined) throw new Error("nothing was made")
    settle()
    atA.writeValue(0x04, undefined, Uint8Array.of(1, 2, 3, 4))
    a.mux.touch(atA)
    connect()
    links[1]?.a[0]?.deliver()
    links[0]?.a[0]?.deliver()
    settle()
    assert.strictEqual(takeValues(b, atB).length, 1)
    assert.deepStrictEqual([a.mux.fault, b.mux.fault], [undefined, undefined])
  })

  it("nothing of ours goes over the earlier link once the later one is attached", () => {
    const { connect, our, sent, session, theirs } = accepted()
    connect()
    const [, ours] = [theirs(), our.end]
    write(our, session, new Uint8Array(100))
    our.mux.creditInterval()
    assert.deepStrictEqual(sent(), [])
    assert.strictEqual(ours.queue.length, 0)
  })

  it("I13: a link that never began is skipped: its frames belong to another place than they would be read at", () => {
    const { a, atA, atB, b, connect, links, settle } = openedPair()
    write(a, atA, new TextEncoder().encode("one "))
    connect()
    // The greater resumes before "one " has come, and the lesser resumes behind it, which does not arrive.
    links[1]?.a[0]?.deliver()
    links[1]?.b[0]?.deliver()
    links[0]?.a[0]?.deliver()
    connect()
    links[2]?.a[0]?.deliver()
    links[1]?.a[0]?.deliver()
    settle()
    write(a, atA, new TextEncoder().encode("two"))
    settle()
    assert.strictEqual(text(take(b, atB)), "one two")
    assert.deepStrictEqual([a.mux.fault, b.mux.fault], [undefined, undefined])
  })
})

describe("links that are lost", () => {
  it("I12: a half-closed session goes on in the open direction", () => {
    const { a, atA, atB, b, connect, cut, settle } = openedPair()
    write(a, atA, new Uint8Array(1_000))
    end(a, atA)
    cut()
    write(b, atB, new Uint8Array(2_000))
    connect()
    settle()
    assert.strictEqual(take(b, atB).length, 1_000)
    assert.isTrue(atB.readEnded)
    cut()
    write(b, atB, new Uint8Array(3_000))
    end(b, atB)
    connect()
    settle()
    assert.strictEqual(take(a, atA).length, 5_000)
    assert.isTrue(atA.finished && atB.finished && atA.readEnded)
  })

  it("I12: a Reset is remembered until it has arrived", () => {
    const { a, atA, atB, b, connect, cut, settle } = openedPair()
    a.mux.reset(atA, 5, "enough")
    for (let i = 0; i < 3; i++) {
      cut()
      assert.strictEqual(a.mux.counts.sessions, 1)
      connect()
    }
    settle()
    assert.deepStrictEqual(atB.fault, { _tag: "Reset", code: 5, detail: "enough", byPeer: true })
    for (const { mux } of [a, b]) assert.deepStrictEqual([mux.counts.sessions, mux.counts.unknownSession], [0, 0])
  })

  it("I13: a session that was broken off, and that the peer may have forgotten, does not begin once more", () => {
    const { a, b, connect, cut, settle } = muxPair()
    const session = a.mux.open("once")
    write(a, session, new Uint8Array(100))
    a.end.deliver()
    assert.strictEqual(take(b, acceptOffer(b)).length, 100)
    a.mux.reset(session, 0, "")
    a.end.deliver()
    assert.strictEqual(b.mux.counts.sessions, 0)
    // What the peer has answered is lost.
    for (const left of [1, 0]) {
      cut()
      connect()
      settle()
      assert.deepStrictEqual([b.mux.offered, b.mux.counts.sessions, a.mux.counts.sessions], [0, 0, left])
    }
  })

  it("I12: a session that was broken off, and that the peer was told of only after its Resume, ends there too", () => {
    const { a, b, connect, links, settle } = muxPair()
    const session = a.mux.open("late")
    connect()
    links[1]?.a[0]?.deliver()
    links[0]?.a[0]?.deliver()
    const atB = acceptOffer(b)
    a.mux.reset(session, 3, "too late")
    settle()
    assert.deepStrictEqual(atB.fault, { _tag: "Reset", code: 3, detail: "too late", byPeer: true })
    for (const { mux } of [a, b]) assert.deepStrictEqual([mux.counts.sessions, mux.counts.unknownSession], [0, 0])
  })

  it("I12: the same when what the peer says of it is lost, and the next Resume names it", () => {
    const { a, b, connect, cut, links, settle } = muxPair()
    const session = a.mux.open("late")
    end(a, session)
    connect()
    links[1]?.a[0]?.deliver()
    links[0]?.a[0]?.deliver()
    const atB = acceptOffer(b)
    a.mux.reset(session, 3, "too late")
    links[1]?.b[0]?.deliver()
    assert.strictEqual(a.mux.counts.sessions, 1)
    cut()
    cut(links[0])
    connect()
    settle()
    assert.deepStrictEqual(atB.fault, { _tag: "Reset", code: 3, detail: "too late", byPeer: true })
    for (const { mux } of [a, b]) assert.deepStrictEqual([mux.counts.sessions, mux.counts.unknownSession], [0, 0])
  })

  it("I12: sessions that are opened, made and written to while there is no link begin with the next", () => {
    const { a, b, connect, settle } = muxPair({ streams: 0 })
    const opened = a.mux.open("early")
    write(a, opened, new Uint8Array(10_000))
    const [madeA] = a.mux.make(1)
    const [madeB] = b.mux.make(1)
    if (madeA === undefined || madeB === undefined) throw new Error("nothing was made")
    write(b, madeB, new Uint8Array(20_000))
    connect()
    settle()
    assert.strictEqual(take(b, acceptOffer(b)).length, 10_000)
    assert.strictEqual(take(a, madeA).length, 20_000)
  })

  it("a ping is lost with its link, and a datagram has none to go over", () => {
    const { a, atA, cut } = openedPair()
    let answers = 0
    assert.isTrue(a.mux.ping(() => void answers++))
    cut()
    assert.isFalse(a.mux.ping(() => void answers++))
    assert.isFalse(a.mux.datagram(atA, new Uint8Array(3)))
    assert.deepStrictEqual([answers, a.mux.counts.droppedDatagrams], [0, 1])
  })
})

describe("makeSessions", () => {
  it("I10: nothing is sent before the peer has made its end, and then all of it", () => {
    for (const [first, second] of [["a", "b"], ["b", "a"]] as const) {
      const pair = muxPair()
      const made = pair[first].mux.make(3)
      for (const [id, session] of made.entries()) {
        session.writeValue(0x04, undefined, Uint8Array.of(id, 0, 0, 0))
        pair[first].mux.touch(session)
      }
      pair.settle()
      for (const session of made) assert.isFalse(session.untouched && session.accepted === false)
      assert.deepStrictEqual(made.map(({ hasOutput }) => hasOutput), [false, false, false])
      assert.strictEqual(pair[second].mux.counts.unknownSession, 0)
      const others = pair[second].mux.make(3)
      pair.settle()
      for (const [id, session] of others.entries()) {
        const expected = [{ descriptor: 0x04, length: 0, payload: Uint8Array.of(id, 0, 0, 0) }]
        assert.deepStrictEqual(takeValues(pair[second], session).map((value) => ({ ...value })), expected)
      }
      for (const { mux } of [pair.a, pair.b]) {
        assert.deepStrictEqual([mux.counts.unknownSession, mux.fault], [0, undefined])
      }
    }
  })

  it("I11: both ends have the same ids without a word, and a second call goes on where the first ended", () => {
    const { a, b, settle } = muxPair()
    const ids = (sessions: ReadonlyArray<{ readonly id: number }>) => sessions.map(({ id }) => id)
    assert.deepStrictEqual(ids(a.mux.make(2)), [0, 1])
    settle()
    assert.deepStrictEqual(ids(b.mux.make(1)), [0])
    assert.deepStrictEqual(ids(b.mux.make(3)), [1, 2, 3])
    settle()
    assert.deepStrictEqual(ids(a.mux.make(2)), [2, 3])
    assert.deepStrictEqual(ids(a.mux.make(0)), [])
    settle()
    assert.deepStrictEqual([a.mux.earlyCredits.size, b.mux.earlyCredits.size], [0, 0])
  })

  it("a session that one side has given up before the other makes it ends as soon as that one does", () => {
    const { a, b, connect, cut, settle } = muxPair()
    const [atA] = a.mux.make(1)
    if (atA === undefined) throw new Error("nothing was made")
    settle()
    a.mux.reset(atA, 9, "given up")
    cut()
    connect()
    settle()
    const [atB] = b.mux.make(1)
    cut()
    connect()
    settle()
    assert.deepInclude(atB?.fault, { _tag: "Reset", code: 9, byPeer: true })
    for (const { mux } of [a, b]) assert.deepStrictEqual([mux.counts.sessions, mux.counts.unknownSession], [0, 0])
  })
})
