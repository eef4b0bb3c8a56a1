/** Events for a slow reader: bounded, and strangers push out only each other. */
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { EventBacklog } from "../../../src/protocol/registry/EventBacklog.ts"

describe("EventBacklog", () => {
  it("C13: hands everything on in order, once", () => {
    const backlog = new EventBacklog<number>(4, 2)
    expect([1, 2, 3].map((event) => backlog.push(event, event === 2))).toEqual([false, false, false])
    expect(backlog.takeAll()).toEqual([1, 2, 3])
    expect([backlog.takeAll(), backlog.size]).toEqual([[], 0])
    // What was taken does not count any more.
    expect([4, 5].map((event) => backlog.push(event, true))).toEqual([false, false])
    expect(backlog.takeAll()).toEqual([4, 5])
  })

  it("C13: a flood of strangers' packets costs strangers' packets, the oldest first", () => {
    const backlog = new EventBacklog<string>(10, 3)
    backlog.push("ours", false)
    const missed = Array.from({ length: 100 }, (_, i) => backlog.push(`theirs ${i}`, true)).filter(Boolean)
    backlog.push("ours again", false)
    expect(missed).toHaveLength(97)
    expect(backlog.takeAll()).toEqual(["ours", "theirs 97", "theirs 98", "theirs 99", "ours again"])
  })

  it("C13: when it is full, strangers go first, then the oldest; a stranger never takes the place of ours", () => {
    const backlog = new EventBacklog<string>(3, 3)
    for (const event of ["a", "b"]) backlog.push(event, false)
    backlog.push("stranger", true)
    expect(backlog.push("c", false)).toBe(true)
    expect(backlog.push("another stranger", true)).toBe(true)
    expect(backlog.push("d", false)).toBe(true)
    expect(backlog.takeAll()).toEqual(["b", "c", "d"])
  })

  it("C13: never above its limits, every event is taken or counted as missed, and order is kept", () => {
    fc.assert(
      fc.property(fc.array(fc.option(fc.boolean(), { freq: 12 }), { maxLength: 200 }), (steps) => {
        const backlog = new EventBacklog<number>(8, 3)
        const taken: Array<number> = []
        let pushed = 0
        let missed = 0
        for (const isForeign of steps) {
          if (isForeign === null) taken.push(...backlog.takeAll())
          else if (backlog.push(pushed++, isForeign)) missed++
          expect(backlog.size).toBeLessThanOrEqual(8)
        }
        taken.push(...backlog.takeAll())
        expect(taken.length + missed).toBe(pushed)
        expect(taken).toEqual(taken.toSorted((a, b) => a - b))
      })
    )
  })
})
