import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "fast-check"
import { LinkStall, type LinkVerdict } from "../../../src/protocol/session/LinkStall.ts"

const numbers = { stallTimeout: 400, idleProbeInterval: 5_000 }

/** A link, and whoever looks at every deadline until a time. */
const watched = (start = 1_000) => {
  const stall = new LinkStall(numbers, start)
  const signs = { heardAt: start, isOwed: false, roundTrip: 10 as number | undefined }
  let now = start
  const events: Array<readonly [number, LinkVerdict]> = []
  const look = (lag = 0): LinkVerdict => {
    const verdict = stall.look(now, lag, signs)
    if (verdict !== "fine") events.push([now, verdict])
    return verdict
  }
  /** Looks at every deadline up to `until`, and ends at a stall. */
  const run = (until: number): void => {
    while (stall.deadline <= until) {
      now = Math.max(now, stall.deadline)
      if (look() === "stalled") return
    }
    now = until
  }
  look()
  return {
    stall,
    signs,
    events,
    run,
    look,
    at: (time: number) => {
      now = time
    }
  }
}

describe("LinkStall", () => {
  it("asks after the stall time without a byte, and calls it a stall after the same time again", () => {
    const { events, look, run, signs } = watched()
    signs.isOwed = true
    look()
    run(10_000)
    assert.deepStrictEqual(events, [[1_400, "probe"], [1_800, "stalled"]])
  })

  it("takes three round trips when they are longer, and presumes half a second before the first measurement", () => {
    for (const [roundTrip, patience] of [[300, 900], [undefined, 1_500], [1, 400]] as const) {
      const { events, look, run, signs } = watched()
      signs.roundTrip = roundTrip
      signs.isOwed = true
      look()
      run(20_000)
      assert.deepStrictEqual(events, [[1_000 + patience, "probe"], [1_000 + 2 * patience, "stalled"]])
    }
  })

  it("begins when something is owed, not when the peer was last heard", () => {
    const { at, events, look, run, signs } = watched()
    at(3_000)
    signs.isOwed = true
    look()
    run(20_000)
    assert.deepStrictEqual(events, [[3_400, "probe"], [3_800, "stalled"]])
  })

  it("any byte of the peer begins it anew, also between the probe and the stall", () => {
    const { events, look, run, signs } = watched()
    signs.isOwed = true
    look()
    run(1_300)
    signs.heardAt = 1_200
    run(1_700)
    assert.deepStrictEqual(events, [[1_600, "probe"]])
    signs.heardAt = 1_650
    run(20_000)
    assert.deepStrictEqual(events, [[1_600, "probe"], [2_050, "probe"], [2_450, "stalled"]])
  })

  it("what has been answered is no stall", () => {
    const { events, look, run, signs } = watched()
    signs.isOwed = true
    look()
    run(1_350)
    signs.heardAt = 1_350
    signs.isOwed = false
    run(5_000)
    assert.deepStrictEqual(events, [])
  })

  it("a silent link is asked now and then, and stalls when that has no answer", () => {
    const { events, run, signs } = watched()
    run(6_100)
    assert.deepStrictEqual(events, [[6_000, "probe"]])
    signs.heardAt = 6_050
    run(20_000)
    assert.deepStrictEqual(events, [[6_000, "probe"], [11_050, "probe"], [11_450, "stalled"]])
  })

  it("a probe for another reason counts as one", () => {
    const { at, events, run, stall } = watched()
    at(2_000)
    stall.onProbe(2_000)
    run(20_000)
    assert.deepStrictEqual(events, [[2_400, "stalled"]])
  })

  it("I24: time in which our own event loop did not run counts for nobody", () => {
    const { at, events, look, run, signs } = watched()
    signs.isOwed = true
    look()
    at(61_000)
    look(60_000)
    assert.deepStrictEqual(events, [])
    run(61_400)
    assert.deepStrictEqual(events, [[61_400, "probe"]])
    at(90_000)
    look(28_600)
    run(100_000)
    assert.deepStrictEqual(events, [[61_400, "probe"], [90_400, "stalled"]])
  })

  it("never calls a link stalled that answers within its patience, and always one that says nothing", () => {
    const step = FastCheck.record({ after: FastCheck.integer({ min: 1, max: 390 }), isOwed: FastCheck.boolean() })
    FastCheck.assert(FastCheck.property(FastCheck.array(step, { maxLength: 30 }), (steps) => {
      const { events, look, run, signs } = watched(0)
      let time = 0
      for (const { after, isOwed } of steps) {
        time += after
        run(time)
        signs.heardAt = time
        signs.isOwed = isOwed
        look()
      }
      assert.deepStrictEqual(events, [])
      signs.isOwed = true
      look()
      run(time + 800)
      assert.deepStrictEqual(events.map(([at, verdict]) => [at - time, verdict]), [[400, "probe"], [800, "stalled"]])
    }))
  })
})
