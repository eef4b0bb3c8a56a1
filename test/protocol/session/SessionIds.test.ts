import { assert, describe, it } from "@effect/vitest"
import { maxMadeSessions, SessionIds } from "../../../src/protocol/session/SessionIds.ts"

describe("SessionIds", () => {
  it("both sides count in halves of their own, which the other side recognises", () => {
    const lesser = new SessionIds(false)
    const greater = new SessionIds(true)
    for (let i = 0; i < 1_000; i++) {
      const [low, high] = [lesser.next(() => false), greater.next(() => false)]
      assert.deepStrictEqual([low, high], [0x8000_0000 + i, 0xc000_0000 + i])
      assert.deepStrictEqual([greater.isPeers(low), lesser.isPeers(low)], [true, false])
      assert.deepStrictEqual([greater.isPeers(high), lesser.isPeers(high)], [false, true])
    }
    for (const id of [0, 0x7fff_ffff, 0xffff_ffff]) assert.isFalse(lesser.isPeers(id) || greater.isPeers(id))
  })

  it("never gives an id that is in use", () => {
    const ids = new SessionIds(false)
    assert.strictEqual(ids.next((id) => id < 0x8000_0005), 0x8000_0005)
    assert.strictEqual(ids.next((id) => id < 0x8000_0005), 0x8000_0006)
  })

  it("I11: makeSessions counts from 0, goes on with every call, and stops where a Resume could not name them all", () => {
    const ids = new SessionIds(false)
    assert.deepStrictEqual(ids.make(3), [0, 1, 2])
    assert.deepStrictEqual(ids.make(0), [])
    assert.deepStrictEqual([ids.isUnmade(2), ids.isUnmade(3), ids.isUnmade(maxMadeSessions)], [false, true, false])
    assert.deepStrictEqual(ids.make(2), [3, 4])
    for (const count of [-1, 0.5, Number.NaN, maxMadeSessions - 4]) assert.throws(() => ids.make(count), RangeError)
    assert.strictEqual(ids.make(maxMadeSessions - 5).at(-1), maxMadeSessions - 1)
    assert.throws(() => ids.make(1), RangeError)
    const other = new SessionIds(true)
    for (const id of other.make(100)) assert.isFalse(ids.isPeers(id) || other.isPeers(id))
  })
})
