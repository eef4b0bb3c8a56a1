import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "fast-check"
import { ByteQueue } from "../../../src/protocol/session/ByteQueue.ts"
import { Fifo } from "../../../src/protocol/session/Fifo.ts"

const runs = <A>(act: FastCheck.Arbitrary<A>) => FastCheck.array(act, { maxLength: 600, size: "max" })

describe("Fifo", () => {
  it("is an array of which the front is taken", () => {
    const act = FastCheck.oneof(
      { weight: 9, arbitrary: FastCheck.constantFrom("push", "shift") },
      { weight: 3, arbitrary: FastCheck.integer({ min: -2, max: 300 }) },
      { weight: 1, arbitrary: FastCheck.constantFrom("fill", "drain", "clear") }
    )
    FastCheck.assert(
      FastCheck.property(runs(act), (acts) => {
        const fifo = new Fifo<number>()
        let model: Array<number> = []
        let next = 0
        const push = (): void => {
          fifo.push(next)
          model.push(next++)
        }
        for (const act of acts) {
          if (act === "push") push()
          else if (act === "fill") { for (let i = 0; i < 150; i++) push() }
          else if (act === "shift") assert.strictEqual(fifo.shift(), model.shift())
          else if (act === "drain") { for (let i = 0; i < 100; i++) assert.strictEqual(fifo.shift(), model.shift()) }
          else if (act === "clear") {
            fifo.clear()
            model = []
          } else assert.strictEqual(fifo.at(act), act < 0 ? fifo.at(act) : model[act])
          assert.strictEqual(fifo.length, model.length)
          assert.strictEqual(fifo.at(0), model[0])
        }
      }),
      { numRuns: 60 }
    )
  })

  it("takes a hundred thousand from a long queue in linear time, and keeps none of them alive", () => {
    const fifo = new Fifo<object>()
    for (let i = 0; i < 200_000; i++) fifo.push({})
    for (let i = 0; i < 150_000; i++) fifo.shift()
    assert.strictEqual(fifo.length, 50_000)
    const { items } = fifo as unknown as { readonly items: ReadonlyArray<object> }
    assert.isAtMost(items.length, 100_001)
  }, 5_000)
})

describe("ByteQueue", () => {
  const act = FastCheck.oneof(
    { weight: 6, arbitrary: FastCheck.record({ push: FastCheck.integer({ min: 0, max: 300 }) }) },
    { weight: 6, arbitrary: FastCheck.record({ cut: FastCheck.integer({ min: 0, max: 700 }) }) },
    { weight: 1, arbitrary: FastCheck.constant("clear" as const) }
  )

  it("gives the bytes as they came, wherever chunks begin and end", () => {
    FastCheck.assert(
      FastCheck.property(runs(act), (acts) => {
        const queue = new ByteQueue()
        let first = 0
        let next = 0
        for (const act of acts) {
          if (act === "clear") {
            queue.clear()
            first = next
          } else if ("push" in act) queue.push(Uint8Array.from({ length: act.push }, () => next++))
          else {
            const size = Math.min(act.cut, queue.length)
            const parts: Array<Uint8Array> = []
            queue.cut(size, parts)
            for (const part of parts) assert.isAbove(part.length, 0)
            assert.strictEqual(Buffer.concat(parts).findIndex((byte) => byte !== (first++ & 0xff)), -1)
          }
          assert.strictEqual(queue.length, next - first)
        }
      }),
      { numRuns: 60 }
    )
  })

  it("cuts without copying", () => {
    const queue = new ByteQueue()
    const chunk = new Uint8Array(1_000)
    queue.push(chunk)
    const parts: Array<Uint8Array> = []
    queue.cut(400, parts)
    queue.cut(600, parts)
    for (const part of parts) assert.strictEqual(part.buffer, chunk.buffer)
    assert.deepStrictEqual(parts.map(({ length }) => length), [400, 600])
  })

  it("does not give what it has not got", () => {
    const queue = new ByteQueue()
    queue.push(new Uint8Array(3))
    assert.throws(() => queue.cut(4, []))
  })
})
