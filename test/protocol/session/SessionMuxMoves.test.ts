/** Several links at a time: sessions move to a direct link and back, in any order of events (docs/adr/0010). */
import { assert, describe, it } from "@effect/vitest"
import type { MuxLink } from "../../../src/protocol/session/MuxLink.ts"
import * as Frame from "../../../src/schema/SessionFrame.ts"
import {
  acceptOffer,
  byHand,
  instance,
  muxPair,
  openedPair,
  type PairLink,
  resume,
  type Side,
  take,
  write
} from "../../utils/muxPair.ts"

const theirId = 0xc000_0000
const open = Frame.Open.make({ sessionId: theirId, name: "theirs", credit: 1024 * 1024 })
const bytes = (text: string) => Frame.Bytes.make({ sessionId: theirId, bytes: new TextEncoder().encode(text) })
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)
const counting = (size: number, from = 0) =>
  Uint8Array.from({ length: size }, (_, i) => (from + i) * 7 + ((from + i) >> 8))

const linkOf = (side: Side, link: PairLink | undefined): MuxLink => {
  const found = link && side.taken.get(link)
  if (found === undefined) throw new Error("it has not been taken into use")
  return found
}

/** Both sides take a direct link, the greater first, and the sessions move to it. */
const upgrade = (pair: ReturnType<typeof muxPair>, streams: number): PairLink => {
  const link = pair.connectDirect(streams)
  link.take("b")
  link.take("a")
  pair.settle()
  assert.isTrue(linkOf(pair.a, link).isUp && linkOf(pair.b, link).isUp)
  return link
}

const assertOn = (pair: ReturnType<typeof muxPair>, link: PairLink | undefined): void => {
  for (const side of [pair.a, pair.b]) {
    assert.strictEqual(side.mux.link, linkOf(side, link))
    assert.isTrue(side.mux.link?.isUp)
    assert.isUndefined(side.mux.fault)
  }
}

const isViolation = ({ mux: { fault } }: Side, pattern: RegExp): void =>
  assert.match(fault?._tag === "Violation" ? fault.detail : "", pattern)

describe("moving between links", () => {
  for (const streams of [1, 2, 4]) {
    it(`I13 I21: upgrade mid-transfer to ${streams} direct streams and back to the relays, again and again, with bytes on the way each time`, () => {
      const pair = openedPair({ sendBuffer: 4_000, initialWindow: 1024 * 1024 })
      const { a, atA, atB, b, links, settle } = pair
      const [relayed] = links
      let sent = 0
      const got: Array<Uint8Array> = []
      const send = () => {
        write(a, atA, counting(10_000, sent))
        sent += 10_000
      }
      for (let round = 0; round < 4; round++) {
        send()
        // Neither side has finished a frame when the move begins: packets wait on both ends.
        relayed?.a[0]?.deliver(1)
        const direct = pair.connectDirect(streams)
        direct.take("b")
        send()
        direct.take("a")
        for (const end of direct.b) end.deliver(1)
        send()
        settle()
        assertOn(pair, direct)
        send()
        direct.a[0]?.deliver(1)
        const beginner = round % 2 === 0 ? a : b
        beginner.mux.reattach(linkOf(beginner, relayed))
        send()
        settle()
        assertOn(pair, relayed)
        pair.cut(direct)
        assertOn(pair, relayed)
        got.push(take(b, atB))
        settle()
      }
      got.push(take(b, atB))
      assert.deepStrictEqual(new Uint8Array(Buffer.concat(got)), counting(sent))
      settle()
      assert.strictEqual(atA.counts.delivered, sent)
      assert.strictEqual(b.mux.counts.unknownSession + a.mux.counts.unknownSession, 0)
    })
  }

  it("I13: a third move begins before the second has finished, and a fourth", () => {
    const pair = openedPair()
    const { a, atA, atB, b, links, settle } = pair
    const [relayed] = links
    const first = pair.connectDirect(2)
    first.take("b")
    write(a, atA, counting(50_000))
    b.mux.reattach(linkOf(b, relayed))
    first.take("a")
    const second = pair.connectDirect(4)
    second.take("a")
    second.take("b")
    // Of the last move only some streams have heard when the next begins.
    second.b[1]?.deliver()
    a.mux.reattach(linkOf(a, relayed))
    settle()
    assertOn(pair, relayed)
    assert.deepStrictEqual(take(b, atB), counting(50_000))
  })

  it("I13: the direct link dies in the middle of the move, at one end first", () => {
    for (const first of ["a", "b"] as const) {
      const pair = openedPair()
      const { a, atA, atB, b, links, settle } = pair
      const direct = pair.connectDirect(2)
      direct.take("b")
      direct.take("a")
      direct.b[0]?.deliver()
      write(a, atA, counting(30_000))
      pair.sever(direct)
      pair.notice(first, direct)
      assert.isUndefined(first === "b" ? b.mux.link : undefined)
      const side = pair[first]
      if (side.mux.link === undefined) side.mux.reattach(linkOf(side, links[0]))
      settle()
      pair.notice(first === "a" ? "b" : "a", direct)
      const other = first === "a" ? b : a
      if (other.mux.link === undefined) other.mux.reattach(linkOf(other, links[0]))
      settle()
      assertOn(pair, links[0])
      assert.deepStrictEqual(take(b, atB), counting(30_000))
    }
  })

  it("I13: the lesser stays where the greater is, also on a new link that the greater has left already", () => {
    const pair = openedPair()
    const { a, atA, atB, b, links, settle } = pair
    const direct = pair.connectDirect(1)
    direct.take("b")
    b.mux.reattach(linkOf(b, links[0]))
    settle()
    direct.take("a")
    settle()
    assertOn(pair, links[0])
    write(a, atA, counting(1_000))
    settle()
    assert.deepStrictEqual(take(b, atB), counting(1_000))
  })

  it("I13: the side that sees a stall begins, and the other follows although its link looks well", () => {
    for (const first of ["a", "b"] as const) {
      const pair = openedPair()
      const { a, atA, atB, b, links, settle } = pair
      const direct = upgrade(pair, 2)
      write(a, atA, counting(20_000))
      pair.sever(direct)
      pair.notice(first, direct)
      pair[first].mux.reattach(linkOf(pair[first], links[0]))
      settle()
      assertOn(pair, links[0])
      assert.deepStrictEqual(take(b, atB), counting(20_000))
    }
  })

  it("both begin at the same time, on the same link or on two, and agree", () => {
    for (const isSame of [true, false]) {
      const pair = openedPair()
      const { a, atA, atB, b, links, settle } = pair
      const direct = upgrade(pair, 2)
      const other = pair.connectDirect(1)
      other.take("a")
      a.mux.reattach(linkOf(a, links[0]))
      if (isSame) b.mux.reattach(linkOf(b, links[0]))
      else other.take("b")
      write(a, atA, counting(5_000))
      settle()
      assertOn(pair, isSame ? links[0] : other)
      assert.isTrue(linkOf(a, direct).isLeft && linkOf(b, direct).isLeft)
      assert.deepStrictEqual(take(b, atB), counting(5_000))
    }
  })

  it("whoever has a link in use that waits for a peer that has begun in vain begins", () => {
    const pair = openedPair()
    const { a, b, links, settle } = pair
    const direct = pair.connectDirect(1)
    // The lesser is ahead by a move that the greater never hears of.
    const lost = pair.connectDirect(1)
    lost.take("a")
    a.mux.reattach(linkOf(a, lost))
    direct.take("b")
    pair.cut(lost)
    direct.take("a")
    pair.cut(links[0])
    settle()
    assertOn(pair, direct)
    assert.isTrue(b.mux.link?.isUp)
  })

  it("the lesser waits on a new link when it has lost the one in use, and begins where the greater did so in vain", () => {
    for (const isOvertaken of [false, true]) {
      const pair = openedPair()
      const { a, b, links, settle } = pair
      const direct = pair.connectDirect(1)
      if (isOvertaken) {
        direct.take("b")
        b.mux.reattach(linkOf(b, links[0]))
        links[0]?.b[0]?.deliver()
      }
      direct.take("a")
      direct.b[0]?.deliver()
      pair.notice("a", links[0])
      assert.strictEqual(a.mux.link, linkOf(a, direct))
      if (!isOvertaken) {
        assert.isUndefined(a.mux.link?.epoch)
        direct.take("b")
      }
      settle()
      assertOn(pair, direct)
    }
  })

  it("what was said of an earlier move is forgotten with it", () => {
    const pair = openedPair()
    const { a, b, links, settle } = pair
    const direct = upgrade(pair, 2)
    const atRelayed = linkOf(a, links[0])
    atRelayed.leftovers.set(5, 3)
    a.mux.reattach(atRelayed)
    assert.strictEqual(atRelayed.leftovers.size, 0)
    assert.strictEqual(atRelayed.earlier, linkOf(a, direct))
    b.mux.reattach(linkOf(b, links[0]))
    a.mux.reattach(linkOf(a, direct))
    assert.isUndefined(atRelayed.earlier)
    settle()
    assert.isUndefined(linkOf(a, direct).earlier)
  })

  it("nothing moves to a link that has been detached, or that is in use", () => {
    const pair = openedPair()
    const { b, links, settle } = pair
    const direct = upgrade(pair, 1)
    const sent = direct.b[0]?.sentPackets
    assert.isTrue(b.mux.reattach(linkOf(b, direct)))
    assert.strictEqual(direct.b[0]?.sentPackets, sent)
    pair.cut(links[0])
    assert.isFalse(b.mux.reattach(linkOf(b, links[0])))
    settle()
    assertOn(pair, direct)
  })
})

describe("what the peer says on links that are not in use", () => {
  it("before its Resume of this move it is ignored and no violation, and comes again", () => {
    const { our, send, sent, speakOn, theirs, connect } = byHand()
    send(open)
    const session = acceptOffer(our)
    sent()
    const relayed = theirs()
    connect()
    const direct = theirs()
    send(resume(2, [theirId, 1]), bytes("a"))
    speakOn(relayed)
    send(bytes("overtaken"))
    assert.strictEqual(text(take(our, session)), "a")
    send(resume(4, [theirId, 1]), bytes("b"))
    assert.strictEqual(text(take(our, session)), "b")
    speakOn(direct)
    send(bytes("overtaken as well"), Frame.Ping.make({ value: 1n }))
    assert.strictEqual(text(take(our, session)), "")
    assert.deepStrictEqual([our.mux.fault, our.mux.counts.unknownSession], [undefined, 0])
  })

  it("a Resume that was overtaken changes nothing, and neither does what follows it", () => {
    const { connect, our, send, speakOn, theirs } = byHand()
    send(open)
    const session = acceptOffer(our)
    const relayed = theirs()
    connect()
    const direct = theirs()
    speakOn(relayed)
    send(resume(6, [theirId, 1]), bytes("here"))
    speakOn(direct)
    send(resume(4, [theirId, 1]), bytes("there"))
    speakOn(relayed)
    send(bytes(" only"))
    assert.strictEqual(text(take(our, session)), "here only")
    assert.isUndefined(our.mux.fault)
  })

  it("a frame on a stream that never had a Resume ends everything, also when another link is in use", () => {
    const { connect, our, send } = byHand()
    connect()
    send(Frame.Ping.make({ value: 1n }))
    isViolation(our, /before Resume/)
  })

  it("over 64 moves a second end everything, and slow ones do not", () => {
    const { our, send, times } = byHand()
    for (let epoch = 2; epoch < 200; epoch++) {
      times.now += 20
      send(resume(epoch))
    }
    assert.isUndefined(our.mux.fault)
    for (let epoch = 200; epoch < 300; epoch++) send(resume(epoch))
    isViolation(our, /moves a second/)
  })

  it("another process on any link ends the sessions with PeerRestarted", () => {
    const { connect, our, send } = byHand()
    connect()
    send(Frame.Resume.make({ ...resume(2), instanceId: instance(9) }))
    assert.deepStrictEqual(our.mux.fault, { _tag: "PeerRestarted" })
  })
})

describe("detaching", () => {
  it("a link that is not in use lets everything go and holds nobody up; the sessions notice nothing", () => {
    const pair = openedPair({ replyBacklog: 10 })
    const { a, atA, atB, b, links, settle } = pair
    const [relayed] = links
    const atRelayed = linkOf(b, relayed)
    // Half a frame has come, and replies wait for room, so nothing more is taken.
    write(a, atA, counting(10_000))
    relayed?.a[0]?.deliver(3)
    const end = relayed?.b[0]
    if (end === undefined) throw new Error("no link")
    end.sendBuffer = 0
    for (let i = 0; i < 4; i++) a.mux.ping(() => undefined)
    relayed?.a[0]?.deliver()
    const direct = upgrade(pair, 2)
    assert.isFalse(end.isHeld)
    const received = atRelayed.receivedBytes
    pair.notice("b", relayed)
    pair.notice("a", relayed)
    assert.isTrue(atRelayed.isOver)
    atRelayed.receive(0, new Uint8Array(100))
    assert.strictEqual(atRelayed.receivedBytes, received)
    assert.strictEqual(atRelayed.streams[0]?.pendingBytes, 0)
    settle()
    assertOn(pair, direct)
    assert.deepStrictEqual(take(b, atB), counting(10_000))
  })

  it("the link in use resumes its delivery as well", () => {
    const pair = openedPair({ replyBacklog: 10 })
    const { a, b, links } = pair
    const end = links[0]?.b[0]
    if (end === undefined) throw new Error("no link")
    end.sendBuffer = 0
    for (let i = 0; i < 4; i++) a.mux.ping(() => undefined)
    links[0]?.a[0]?.deliver()
    assert.isTrue(end.isHeld)
    b.mux.detach(linkOf(b, links[0]))
    assert.isFalse(end.isHeld)
  })

  it("all links are over when everything is", () => {
    const pair = openedPair()
    const { a, links } = pair
    const direct = upgrade(pair, 2)
    a.mux.fail({ _tag: "LinkLost", detail: "" })
    for (const link of [direct, links[0]]) assert.isTrue(linkOf(a, link).isOver)
    assert.isUndefined(a.mux.link)
    assert.isFalse(a.mux.reattach(linkOf(a, direct)))
  })
})

describe("several streams", () => {
  it("I21 I24: a stream that takes nothing holds up its own sessions and no others", () => {
    const pair = muxPair({ sendBuffer: 3_000 })
    const { a, b } = pair
    const direct = upgrade(pair, 4)
    const made = { a: a.mux.make(8), b: b.mux.make(8) }
    pair.settle()
    for (const session of made.a) write(a, session, counting(5_000, session.id))
    for (let round = 0; round < 50; round++) {
      for (const [index, end] of [...direct.a.entries(), ...direct.b.entries()]) if (index !== 1) end.deliver()
    }
    const sizes = made.b.map((session) => session.counts.received)
    assert.deepStrictEqual(sizes, [5_000, 0, 5_000, 5_000, 5_000, 0, 5_000, 5_000])
    pair.settle()
    for (const session of made.b) assert.deepStrictEqual(take(b, session), counting(5_000, session.id))
  })
})

describe("what the peer owes", () => {
  it("is an answer to a frame, a Resume or a ping over the link in use, and nothing when all have come", () => {
    const pair = openedPair()
    const { a, atA, atB, b, connect, cut, links, settle } = pair
    settle()
    assert.deepStrictEqual([a.mux.isOwedAnswer, b.mux.isOwedAnswer], [false, false])
    write(a, atA, counting(10))
    assert.isTrue(a.mux.isOwedAnswer)
    take(b, atB)
    settle()
    assert.isFalse(a.mux.isOwedAnswer)
    a.mux.ping(() => undefined)
    assert.isTrue(a.mux.isOwedAnswer)
    // The ping is lost with its link.
    cut()
    assert.isFalse(a.mux.isOwedAnswer)
    connect()
    settle()
    assert.isFalse(a.mux.isOwedAnswer)
    const direct = pair.connectDirect(2)
    direct.take("a")
    assert.isFalse(a.mux.isOwedAnswer)
    a.mux.reattach(linkOf(a, direct))
    assert.isTrue(a.mux.isOwedAnswer)
    direct.take("b")
    settle()
    assertOn(pair, direct)
    assert.deepStrictEqual([links.length, a.mux.isOwedAnswer, b.mux.isOwedAnswer], [3, false, false])
  })

  it("is nothing for a session of which only the next Resume can tell", () => {
    const { a, b, connect, cut, settle } = muxPair()
    const session = a.mux.open("once")
    a.end.deliver()
    acceptOffer(b)
    a.mux.reset(session, 0, "")
    a.end.deliver()
    cut()
    connect()
    settle()
    assert.strictEqual(a.mux.counts.sessions, 1)
    assert.isFalse(a.mux.isOwedAnswer)
  })
})

describe("a session that ends in order on one side and is broken off on the other", () => {
  it("I12: ends on both, when the news of the one overtakes the other by a move", () => {
    const pair = openedPair()
    const { a, atA, atB, b, links, settle } = pair
    atB.end()
    b.mux.touch(atB)
    settle()
    // Our Close is on its way when the peer breaks off. It arrives, and the Reset does not.
    atA.end()
    a.mux.touch(atA)
    b.mux.reset(atB, 1, "late")
    links[0]?.a[0]?.deliver()
    const direct = pair.connectDirect(1)
    pair.cut(links[0])
    direct.take("b")
    direct.take("a")
    settle()
    for (const { mux } of [a, b]) assert.deepStrictEqual([mux.counts.sessions, mux.counts.unknownSession], [0, 0])
  })

  it("I12: the Reset goes before the word of a Close that has come meanwhile", () => {
    const { a, atA, atB, b, links, settle } = openedPair()
    atB.end()
    b.mux.touch(atB)
    settle()
    atA.end()
    a.mux.touch(atA)
    const end = links[0]?.b[0]
    if (end === undefined) throw new Error("no link")
    end.sendBuffer = 0
    b.mux.ping(() => undefined)
    b.mux.reset(atB, 1, "late")
    links[0]?.a[0]?.deliver()
    b.mux.creditInterval()
    end.sendBuffer = 3_000
    b.mux.link?.pump()
    settle()
    for (const { mux } of [a, b]) assert.deepStrictEqual([mux.counts.sessions, mux.counts.unknownSession], [0, 0])
  })
})
