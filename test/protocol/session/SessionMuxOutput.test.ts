/** What goes out and when: batches, turns, datagrams, pings, values. */
import { assert, describe, it } from "@effect/vitest"
import { acceptOffer, muxPair, openedPair, type Side, take, takeValues, write } from "../../utils/muxPair.ts"

/** The bytes of each `send` of a side: what was put on the link in one go. */
const frameBytes = (side: Side): number => side.end.queue.reduce((sum, packet) => sum + packet.length - 1, 0)

const manySessions = (count: number) => {
  const pair = muxPair({ initialWindow: 1024 * 1024, sendBuffer: 10 * 1024 * 1024 })
  const atA = pair.a.mux.make(count)
  const atB = pair.b.mux.make(count)
  pair.settle()
  return { ...pair, atA, atB }
}

describe("batches", () => {
  it("I20: are 32 KiB, or a frame of every session, and their ends are counted", () => {
    const { a, atA } = manySessions(3)
    const before = a.mux.counts
    const counts = () => ({
      full: a.mux.counts.fullBatches - before.fullBatches,
      round: a.mux.counts.roundBatches - before.roundBatches
    })
    const [first, second, third] = atA
    if (first === undefined || second === undefined || third === undefined) throw new Error("nothing was made")
    // One session: a frame of 16 KiB is its turn.
    write(a, first, new Uint8Array(64 * 1024))
    assert.deepStrictEqual(counts(), { full: 0, round: 4 })
    // Three sessions: two frames and their headers make a full batch, the third session begins the next.
    for (const session of [first, second, third]) session.write([new Uint8Array(16 * 1024)])
    for (const session of [first, second, third]) a.mux.note(session)
    a.mux.touch(first)
    assert.deepStrictEqual(counts(), { full: 1, round: 5 })
  })

  it("I20: small frames of many sessions share packets", () => {
    const { a, atA } = manySessions(100)
    const before = [a.end.sentPackets, a.mux.counts.roundBatches]
    for (const session of atA) {
      session.write([Uint8Array.of(1)])
      a.mux.note(session)
    }
    const [first] = atA
    if (first !== undefined) a.mux.touch(first)
    assert.strictEqual(frameBytes(a), 1_000)
    assert.deepStrictEqual([a.end.sentPackets, a.mux.counts.roundBatches], [(before[0] ?? 0) + 1, (before[1] ?? 0) + 1])
  })

  it("the counts of earlier links are kept", () => {
    const { a, atA, connect, cut, settle } = openedPair()
    write(a, atA, new Uint8Array(100))
    const { roundBatches } = a.mux.counts
    assert.isAbove(roundBatches, 0)
    cut()
    assert.strictEqual(a.mux.counts.roundBatches, roundBatches)
    connect()
    settle()
    assert.isAtLeast(a.mux.counts.roundBatches, roundBatches)
  })

  it("a mux with nothing to send is idle, one whose link takes nothing is not", () => {
    const { a, atA, settle } = openedPair({ sendBuffer: 3_000 })
    assert.isTrue(a.mux.isIdle)
    write(a, atA, new Uint8Array(10_000))
    assert.isFalse(a.mux.isIdle)
    settle()
    assert.isTrue(a.mux.isIdle)
  })
})

describe("values", () => {
  it("I16: arrive whole, in order, with descriptor and length, and are counted as payload", () => {
    const { a, atA, atB, b, settle } = openedPair()
    const values = [
      { descriptor: 0x12, length: undefined, payload: new Uint8Array(0) },
      { descriptor: 0x04, length: undefined, payload: Uint8Array.of(1, 2, 3, 4) },
      { descriptor: 0x0f, length: 9, payload: Uint8Array.of(0xff, 1) },
      { descriptor: 0x0c, length: 100_000, payload: new Uint8Array(100_000).fill(7) },
      { descriptor: 0x0c, length: 0, payload: new Uint8Array(0) }
    ]
    for (const { descriptor, length, payload } of values) atA.writeValue(descriptor, length, payload)
    a.mux.touch(atA)
    settle()
    const got = takeValues(b, atB)
    settle()
    assert.deepStrictEqual(
      [...got, ...takeValues(b, atB)].map(({ descriptor, length, payload }) => ({
        descriptor,
        length,
        size: payload.length
      })),
      values.map(({ descriptor, length = 0, payload }) => ({ descriptor, length, size: payload.length }))
    )
    settle()
    assert.deepStrictEqual(atB.counts.received, 100_006)
    assert.isTrue(atA.hasDelivered(100_006))
  })

  it("I24: a message waits for credit as a whole, and Close goes behind it", () => {
    const { a, atA, atB, b, settle } = openedPair()
    for (let i = 0; i < 4; i++) atA.writeValue(0x0c, 50_000, new Uint8Array(50_000))
    atA.end()
    a.mux.touch(atA)
    settle()
    assert.strictEqual(atB.counts.received, 100_000)
    assert.isFalse(atB.readEnded)
    let taken = take(b, atB).length
    settle()
    taken += take(b, atB).length
    settle()
    assert.strictEqual(taken, 200_000)
    assert.isTrue(atB.readEnded)
  })
})

describe("datagrams", () => {
  it("go at once, are not numbered, and the latest 256 are kept", () => {
    const { a, atA, atB, b, settle } = openedPair()
    for (let i = 0; i < 300; i++) assert.isTrue(a.mux.datagram(atA, Uint8Array.of(i, i >> 8)))
    settle()
    const got = atB.datagrams?.take() ?? []
    assert.deepStrictEqual(
      got.map((bytes) => (bytes[0] ?? 0) + 256 * (bytes[1] ?? 0)),
      Array.from({ length: 256 }, (_, i) => i + 44)
    )
    assert.isUndefined(atB.datagrams?.take())
    assert.strictEqual(b.mux.counts.droppedDatagrams, 44)
    assert.strictEqual(atB.waitingValues, 0)
    assert.isTrue(a.mux.datagram(atA, Uint8Array.of(1)))
    settle()
    assert.strictEqual(atB.datagrams?.take()?.length, 1)
  })

  it("are dropped and counted while the link is busy, before the session is accepted, and after it has ended", () => {
    const { a, atA, settle } = openedPair({ sendBuffer: 3_000 })
    write(a, atA, new Uint8Array(10_000))
    assert.isFalse(a.mux.datagram(atA, new Uint8Array(10)))
    settle()
    assert.isTrue(a.mux.datagram(atA, new Uint8Array(10)))
    const waiting = a.mux.open("waiting")
    settle()
    assert.isFalse(a.mux.datagram(waiting, new Uint8Array(10)))
    a.mux.reset(atA, 0, "")
    assert.isFalse(a.mux.datagram(atA, new Uint8Array(10)))
    assert.strictEqual(a.mux.counts.droppedDatagrams, 3)
  })

  it("too long ones throw", () => {
    const { a, atA } = openedPair({ maxDatagramSize: 100 })
    assert.throws(() => a.mux.datagram(atA, new Uint8Array(101)), RangeError)
    assert.isTrue(a.mux.datagram(atA, new Uint8Array(100)))
  })

  it("I25: large ones are kept up to 64 KiB, and none keeps its packet alive", () => {
    const { a, atA, atB, settle } = openedPair()
    for (let i = 0; i < 100; i++) {
      assert.isTrue(a.mux.datagram(atA, new Uint8Array(1_200).fill(i)))
      settle()
    }
    const got = atB.datagrams?.take() ?? []
    assert.strictEqual(got.length, Math.floor(64 * 1024 / 1_200))
    for (const bytes of got) assert.strictEqual(bytes.buffer.byteLength, 1_200)
    assert.strictEqual(got.at(-1)?.[0], 99)
  })
})

describe("pings", () => {
  it("are answered once each, before anything that waits", () => {
    const { a, atA, b, settle } = openedPair({ sendBuffer: 3_000 })
    const answers: Array<number> = []
    write(a, atA, new Uint8Array(60_000))
    for (let i = 0; i < 3; i++) assert.isTrue(a.mux.ping(() => void answers.push(i)))
    settle()
    assert.deepStrictEqual(answers, [0, 1, 2])
    assert.deepStrictEqual([a.mux.counts.ignoredFrames, b.mux.counts.ignoredFrames], [0, 0])
  })

  it("of more than 64 without an answer the oldest are given up", () => {
    const { a, settle } = muxPair()
    const answers: Array<number> = []
    for (let i = 0; i < 70; i++) a.mux.ping(() => void answers.push(i))
    settle()
    assert.deepStrictEqual(answers, Array.from({ length: 64 }, (_, i) => i + 6))
    assert.strictEqual(a.mux.counts.ignoredFrames, 6)
  })
})

describe("offers", () => {
  it("are taken oldest first, and one that nobody accepts does not hold up the others", () => {
    const { a, b, settle } = muxPair()
    const sessions = ["one", "two", "three"].map((name) => a.mux.open(name))
    settle()
    assert.strictEqual(b.mux.takeOffer()?.name, "one")
    acceptOffer(b)
    acceptOffer(b)
    settle()
    assert.deepStrictEqual(sessions.map(({ accepted }) => accepted), [false, true, true])
  })
})
