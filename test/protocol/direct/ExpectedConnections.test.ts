import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "fast-check"
import { type Expectation, ExpectedConnections } from "../../../src/protocol/direct/ExpectedConnections.ts"
import { UsedAttempts } from "../../../src/protocol/direct/UsedAttempts.ts"
import { PublicKey } from "../../../src/schema/Bytes.ts"

const lifetime = 20_000
const keyOf = (peer: number) => PublicKey.make(new Uint8Array(32).fill(peer % 256).fill(peer >> 8, 0, 1))
const attemptOf = (attempt: number) => new Uint8Array(16).fill(attempt % 256).fill(attempt >> 8, 0, 1)
const expectation = (peer: number, attempt: number, announcedBy: "us" | "peer" = "us"): Expectation => ({
  peer: keyOf(peer),
  attempt: attemptOf(attempt),
  announcedBy,
  theirCall: `call ${peer} ${attempt}`,
  ourCall: `our call ${peer} ${attempt}`
})

const make = (limits: { capacity?: number; perPeer?: number } = {}) => {
  const gone: Array<string> = []
  const expected = new ExpectedConnections<string>(
    { capacity: 1_024, perPeer: 4, lifetime, ...limits },
    (value) => gone.push(value)
  )
  const add = (peer: number, attempt: number, now = 0, announcedBy: "us" | "peer" = "us") =>
    expected.expect(expectation(peer, attempt, announcedBy), now, () => `${peer} ${attempt} ${announcedBy}`)
  const judge = (peer: number, attempt: number, now = 0) => expected.judge(`call ${peer} ${attempt}`, now)._tag
  return { expected, gone, add, judge }
}

describe("ExpectedConnections", () => {
  it("M07: a connection that is announced is expected for its lifetime, and told from one that comes too late", () => {
    const { add, expected, gone, judge } = make()
    add(1, 1, 100)
    assert.strictEqual(judge(1, 1, 100), "Expected")
    assert.strictEqual(judge(1, 1, 100 + lifetime - 1), "Expected")
    assert.strictEqual(expected.nextExpiry, 100 + lifetime)
    assert.deepStrictEqual(gone, [])
    assert.strictEqual(judge(1, 1, 100 + lifetime), "Expired")
    assert.deepStrictEqual([gone, expected.size, expected.nextExpiry], [["1 1 us"], 0, Infinity])
  })

  it("M07: announcing again what is expected changes nothing, and makes nothing live longer", () => {
    const { add, expected, judge } = make()
    const first = add(1, 1, 0)
    assert.strictEqual(add(1, 1, 15_000), first)
    assert.strictEqual(expected.size, 1)
    assert.strictEqual(judge(1, 1, lifetime), "Expired")
  })

  it("M08: an entry says who announced it; the same attempt may be announced by both", () => {
    const { add, expected } = make()
    add(1, 1, 0, "us")
    add(1, 1, 0, "peer")
    const verdict = expected.judge("call 1 1", 0)
    assert.deepStrictEqual(
      verdict._tag === "Expected" && verdict.entries.map(({ announcedBy, value }) => [announcedBy, value]),
      [["us", "1 1 us"], ["peer", "1 1 peer"]]
    )
  })

  it("M11: a connection that is made is expected no more; whoever calls for it again replays", () => {
    const { add, expected, gone, judge } = make()
    const entry = add(1, 1)!
    assert.isTrue(expected.take(entry))
    assert.isFalse(expected.take(entry))
    expected.complete(entry)
    assert.deepStrictEqual([judge(1, 1), expected.size, gone], ["Replayed", 0, ["1 1 us"]])
    expected.withdraw(entry)
    assert.strictEqual(judge(1, 1), "Replayed")
    assert.strictEqual(expected.fate("call 1 1"), "Replayed")
  })

  it("M14: unexpected, expired, replayed and wrong-direction calls are told apart", () => {
    const { add, expected, judge } = make()
    expected.complete(add(1, 1)!)
    expected.withdraw(add(1, 2)!)
    add(1, 3)
    assert.deepStrictEqual([judge(1, 1), judge(1, 2), judge(1, 3), judge(1, 4)], [
      "Replayed",
      "Expired",
      "Expected",
      "Unexpected"
    ])
    const ours = expected.judge("our call 1 3", 0)
    assert.deepStrictEqual(ours, { _tag: "WrongDirection", peer: keyOf(1) })
  })

  it("M07: flood of expectations: a peer has 4 at most, and a new one pushes out its own oldest", () => {
    const { add, expected, gone, judge } = make()
    add(2, 1)
    for (let attempt = 1; attempt <= 100; attempt++) add(1, attempt, attempt)
    assert.strictEqual(expected.size, 5)
    assert.deepStrictEqual([96, 97, 98, 99, 100].map((attempt) => judge(1, attempt, 100)), [
      "Expired",
      "Expected",
      "Expected",
      "Expected",
      "Expected"
    ])
    assert.strictEqual(judge(2, 1, 100), "Expected")
    assert.strictEqual(gone.length, 96)
  })

  it("M07: flood of expectations: 1,024 in all, and nobody can evict another key's entry", () => {
    const { add, expected, judge } = make()
    for (let peer = 0; peer < 1_024; peer++) assert.isDefined(add(peer, 1, peer))
    assert.isUndefined(add(2_000, 1, 1_024))
    assert.strictEqual(expected.size, 1_024)
    for (let peer = 0; peer < 1_024; peer++) assert.strictEqual(judge(peer, 1, 1_024), "Expected")
    // Its own may go.
    assert.isDefined(add(5, 2, 1_024))
    assert.deepStrictEqual([judge(5, 1, 1_024), judge(5, 2, 1_024), expected.size], ["Expired", "Expected", 1_024])
    // Room comes with time.
    assert.isDefined(add(2_000, 1, lifetime))
    assert.strictEqual(judge(0, 1, lifetime), "Expired")
  })

  it("an entry that somebody has taken over is not pushed out", () => {
    const { add, expected, judge } = make({ perPeer: 2 })
    for (const attempt of [1, 2]) expected.take(add(1, attempt)!)
    assert.isUndefined(add(1, 3))
    expected.withdraw(add(1, 2)!)
    assert.isDefined(add(1, 3))
    assert.deepStrictEqual([judge(1, 1), judge(1, 3)], ["Expected", "Expected"])
  })

  it("remembers no more past attempts than may be expected at once, the oldest go first", () => {
    const { add, expected, judge } = make({ capacity: 8 })
    for (let attempt = 0; attempt < 100; attempt++) expected.complete(add(1, attempt)!)
    assert.strictEqual(expected.size, 0)
    const fates = Array.from({ length: 100 }, (_, attempt) => judge(1, attempt))
    assert.deepStrictEqual(fates, [...Array(92).fill("Unexpected"), ...Array(8).fill("Replayed")])
  })

  it("keeps copies: the packet that announced it may be overwritten", () => {
    const { expected } = make()
    const given = expectation(1, 1)
    const entry = expected.expect(given, 0, () => "")!
    given.peer.fill(0)
    given.attempt.fill(0)
    assert.deepStrictEqual([entry.peer, entry.attempt], [keyOf(1), attemptOf(1)])
    assert.strictEqual(expected.find(expectation(1, 1), 0), entry)
  })

  it("M07: agrees with a plain model under any order of events, within its bounds, and tells of each end once", () => {
    const limits = { capacity: 6, perPeer: 2 }
    const step = FastCheck.record({
      kind: FastCheck.constantFrom("expect", "expect", "expect", "take", "complete", "withdraw", "wait"),
      peer: FastCheck.nat(3),
      attempt: FastCheck.nat(5),
      wait: FastCheck.constantFrom(1, 1, 5_000, lifetime)
    })
    FastCheck.assert(FastCheck.property(FastCheck.array(step, { maxLength: 60 }), (steps) => {
      const { add, expected, gone, judge } = make(limits)
      /** In the order in which they were announced. */
      let model: Array<{ id: string; peer: number; attempt: number; until: number; taken: boolean }> = []
      let ended = 0
      let now = 0
      const drop = (id: string) => {
        model = model.filter((entry) => entry.id !== id)
        ended++
      }
      for (const { attempt, kind, peer, wait } of steps) {
        const id = `${peer} ${attempt}`
        const held = model.find((entry) => entry.id === id)
        const entry = expected.find(expectation(peer, attempt), now)
        assert.strictEqual(entry !== undefined, held !== undefined)
        if (kind === "wait") {
          now += wait
          for (const { id } of model.filter(({ until }) => until <= now)) drop(id)
          expected.expire(now)
        }
        if (kind === "take" && entry !== undefined && held !== undefined) {
          assert.strictEqual(expected.take(entry), !held.taken)
          held.taken = true
        }
        if ((kind === "complete" || kind === "withdraw") && entry !== undefined) {
          expected[kind](entry)
          drop(id)
          assert.strictEqual(judge(peer, attempt, now), kind === "complete" ? "Replayed" : "Expired")
        }
        if (kind === "expect" && held === undefined) {
          const own = model.filter((entry) => entry.peer === peer)
          const isFull = own.length >= limits.perPeer || model.length >= limits.capacity
          const oldest = own.find(({ taken }) => !taken)
          if (isFull && oldest !== undefined) drop(oldest.id)
          const fits = !isFull || oldest !== undefined
          assert.strictEqual(add(peer, attempt, now) !== undefined, fits)
          if (fits) model.push({ id, peer, attempt, until: now + lifetime, taken: false })
        }
        assert.strictEqual(expected.size, model.length)
        assert.isAtMost(expected.size, limits.capacity)
        for (const { attempt, peer } of model) assert.strictEqual(judge(peer, attempt, now), "Expected")
        assert.strictEqual(expected.nextExpiry, model[0]?.until ?? Infinity)
      }
      assert.strictEqual(gone.length, ended)
      expected.clear()
      assert.strictEqual(gone.length, ended + model.length)
    }))
  })
})

describe("UsedAttempts", () => {
  it("M14: remembers the latest 1,024 attempts", () => {
    const used = new UsedAttempts()
    for (let attempt = 0; attempt < 2_000; attempt++) used.add(attemptOf(attempt))
    const known = Array.from({ length: 2_001 }, (_, attempt) => attempt).filter((attempt) =>
      used.has(attemptOf(attempt))
    )
    assert.deepStrictEqual([known[0], known.at(-1), known.length], [976, 1_999, 1_024])
  })
})
