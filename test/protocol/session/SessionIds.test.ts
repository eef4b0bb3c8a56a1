import { assert, describe, it } from "@effect/vitest"
import { SessionIds } from "../../../src/protocol/session/SessionIds.ts"

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
})
