import { assert, describe, it } from "@effect/vitest"
import { type Candidate, chooseRelays, type Demand } from "../../../src/protocol/registry/relayChoice.ts"
import * as EntropySeeded from "../../../src/testing/EntropySeeded.ts"

const plain = (count: number): Array<Candidate> =>
  Array.from({ length: count }, () => ({ isFixed: false, preference: 0 }))

const isCovered = (chosen: ReadonlySet<number>, demands: ReadonlyArray<Demand>): boolean =>
  demands.every(({ needs, relays }) =>
    relays.filter((relay) => chosen.has(relay)).length >= Math.min(needs, relays.length)
  )

/** The size of the smallest cover, by trying all subsets. */
const optimum = (relays: number, demands: ReadonlyArray<Demand>, minimum: number): number => {
  let smallest = relays
  for (let bits = 0; bits < 1 << relays; bits++) {
    const chosen = new Set(Array.from({ length: relays }, (_, i) => i).filter((i) => (bits & (1 << i)) !== 0))
    if (chosen.size < smallest && chosen.size >= Math.min(minimum, relays) && isCovered(chosen, demands)) {
      smallest = chosen.size
    }
  }
  return smallest
}

describe("chooseRelays", () => {
  it("T10, T13: 200 worlds of 50 friends over 10 relays need at most one relay more than the optimum in 95 % of them", () => {
    const entropy = EntropySeeded.make(20)
    let close = 0
    for (let world = 0; world < 200; world++) {
      const demands = Array.from({ length: 50 }, (): Demand => {
        const count = 1 + Math.floor(entropy.fraction() * 6)
        const relays = new Set<number>()
        while (relays.size < count) relays.add(Math.floor(entropy.fraction() * 10))
        return { relays: [...relays], needs: 3 }
      })
      const few = demands.slice(0, 1 + Math.floor(entropy.fraction() * 50))
      const chosen = chooseRelays(plain(10), few, 3)
      assert.isTrue(isCovered(chosen, few))
      if (chosen.size <= optimum(10, few, 3) + 1) close++
    }
    assert.isAtLeast(close, 190)
  })

  it("T19: keeps three relays with no peers at all, the preferred ones", () => {
    const candidates = [5, 1, 4, 2, 3].map((preference) => ({ isFixed: false, preference }))
    assert.deepStrictEqual([...chooseRelays(candidates, [], 3)].toSorted(), [1, 3, 4])
  })

  it("T10: relays that most peers share win over those of a single peer", () => {
    const demands = [{ relays: [0, 1], needs: 1 }, { relays: [1, 2], needs: 1 }, { relays: [1, 3], needs: 1 }]
    assert.deepStrictEqual([...chooseRelays(plain(4), demands, 0)], [1])
  })

  it("T10: a relay that was taken first is given up when those taken after it serve all of its peers", () => {
    const demands = [[0, 1], [0, 1], [0, 2], [0, 2], [1], [2]].map((relays): Demand => ({ relays, needs: 1 }))
    assert.deepStrictEqual([...chooseRelays(plain(3), demands, 0)].toSorted(), [1, 2])
    // Not below the minimum.
    assert.strictEqual(chooseRelays(plain(3), demands, 3).size, 3)
  })

  it("keeps what is fixed, and prefers among equals", () => {
    const candidates = [
      { isFixed: true, preference: 9 },
      { isFixed: false, preference: 2 },
      { isFixed: false, preference: 1 }
    ]
    const chosen = chooseRelays(candidates, [{ relays: [0, 1, 2], needs: 2 }], 0)
    assert.deepStrictEqual([...chosen].toSorted(), [0, 2])
  })

  it("asks no more of a peer than its relays allow", () => {
    assert.deepStrictEqual([...chooseRelays(plain(3), [{ relays: [2], needs: 3 }], 0)], [2])
  })
})
