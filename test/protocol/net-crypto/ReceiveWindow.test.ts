import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { ReceiveWindow } from "../../../src/protocol/net-crypto/ReceiveWindow.ts"

const mebi = 1024 * 1024
const budget = (limit = 256 * mebi) => ({ used: 0, limit })

describe("ReceiveWindow", () => {
  it("agrees with a naive model after any operations, wherever the numbers start", () => {
    const step = fc.record({
      kind: fc.constantFrom("packet", "packet", "packet", "take", "pass", "learn"),
      offset: fc.oneof(
        { weight: 8, arbitrary: fc.integer({ min: -20, max: 200 }) },
        fc.integer({ min: -9, max: 40_000 })
      ),
      size: fc.integer({ min: 1, max: 1373 })
    })
    fc.assert(
      fc.property(
        fc.array(step, { minLength: 30, maxLength: 250 }),
        fc.constantFrom(0, 2 ** 31 - 60, 2 ** 32 - 100),
        (steps, first) => {
          const shared = budget()
          const window = new ReceiveWindow(40_000, shared, first)
          const held = new Map<number, number>()
          let start = 0
          let end = 0
          const number = (at: number): number => (first + at) >>> 0
          const bytes = (): number => [...held.values()].reduce((sum, size) => sum + size, 0)
          for (const { kind, offset, size } of steps) {
            const at = start + offset
            if (kind === "packet") {
              const verdict = offset < 0 || held.has(at)
                ? "duplicate"
                : offset >= 32_768
                ? "outside"
                : offset > 0 && bytes() + size > 40_000
                ? "full"
                : "stored"
              assert.strictEqual(window.judge(number(at), size), verdict)
              if (verdict === "stored") {
                window.store(number(at), new Uint8Array(size).fill(at & 0xff))
                held.set(at, size)
                end = Math.max(end, at + 1)
              }
            } else if (kind === "take") {
              const taken = window.take()
              assert.strictEqual(taken?.length, held.get(start))
              if (taken !== undefined) {
                assert.strictEqual(taken[0], start & 0xff)
                held.delete(start++)
              }
            } else if (kind === "pass" && !held.has(start)) {
              window.passOne()
              start++
              end = Math.max(end, start)
            } else if (kind === "learn") {
              window.learnEnd(number(at))
              if (offset >= 0 && offset <= 32_768) end = Math.max(end, at)
            }
            assert.deepStrictEqual(
              [window.start, window.end, window.bytes, window.count, window.isMissing, shared.used],
              [number(start), number(end), bytes(), held.size, end - start !== held.size, bytes()]
            )
            for (const near of [start - 1, start, start + 1, at]) {
              assert.strictEqual(window.has(number(near)), held.has(near))
            }
          }
        }
      ),
      { numRuns: 150 }
    )
  })

  it("takes the packet 32,767 ahead and drops the one 32,768 ahead, also over the wrap-around", () => {
    for (const first of [0, 2 ** 32 - 7]) {
      const window = new ReceiveWindow(4 * mebi, budget(), first)
      assert.strictEqual(window.judge((first + 32_767) >>> 0, 10), "stored")
      assert.strictEqual(window.judge((first + 32_768) >>> 0, 10), "outside")
      assert.strictEqual(window.judge((first - 1) >>> 0, 10), "duplicate")
      window.store((first + 32_767) >>> 0, new Uint8Array(10))
      assert.isTrue(window.has((first + 32_767) >>> 0))
      assert.strictEqual(window.end, (first + 32_768) >>> 0)
      window.learnEnd((first + 32_769) >>> 0)
      assert.strictEqual(window.end, (first + 32_768) >>> 0)
    }
  })

  it("holds 4 MiB while packet 0 is withheld, and drains when it comes", () => {
    const shared = budget()
    const window = new ReceiveWindow(4 * mebi, shared)
    let stored = 0
    for (let number = 1; number < 32_768; number++) {
      if (window.judge(number, 1373) !== "stored") continue
      window.store(number, new Uint8Array(1373))
      stored++
    }
    assert.strictEqual(stored, Math.floor(4 * mebi / 1373))
    assert.isAtMost(shared.used, 4 * mebi)
    assert.strictEqual(window.judge(0, 1373), "stored")
    window.store(0, new Uint8Array(1373))
    for (let taken = 0; taken <= stored; taken++) assert.isDefined(window.take())
    assert.isUndefined(window.take())
    assert.strictEqual(shared.used, 0)
  })

  it("windows share one budget; the packet that is due fits all the same, and clearing gives everything back", () => {
    const shared = budget(3_000)
    const [one, two] = [new ReceiveWindow(4 * mebi, shared), new ReceiveWindow(4 * mebi, shared)]
    one.store(1, new Uint8Array(1_300))
    one.store(2, new Uint8Array(1_300))
    assert.strictEqual(two.judge(1, 1_300), "full")
    assert.strictEqual(two.judge(0, 1_300), "stored")
    one.clear()
    assert.strictEqual(shared.used, 0)
    assert.strictEqual(two.judge(1, 1_300), "stored")
    assert.isFalse(one.isMissing)
  })
})
