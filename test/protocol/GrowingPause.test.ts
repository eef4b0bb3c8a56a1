import { assert, describe, it } from "@effect/vitest"
import { GrowingPause } from "../../src/protocol/GrowingPause.ts"

describe("GrowingPause", () => {
  it("is none at first, then doubles up to the maximum; half of each is random", () => {
    const pause = new GrowingPause(100, 350)
    assert.deepStrictEqual([0, 0, 0.5, 0, 0.5].map((fraction) => pause.take(fraction)), [0, 50, 150, 175, 262.5])
  })

  it("begins anew with none, or with the shortest", () => {
    const pause = new GrowingPause(100, 1_000)
    for (let i = 0; i < 4; i++) pause.take(0)
    pause.shorten()
    assert.deepStrictEqual([pause.take(0), pause.take(0)], [50, 100])
    pause.reset()
    assert.deepStrictEqual([pause.take(0.9), pause.take(0)], [0, 50])
  })
})
