import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { ClientQueue } from "../../../src/protocol/relay-server/ClientQueue.ts"

const collect = (queue: ClientQueue, bytes = Infinity) => {
  const out: Array<Array<number>> = []
  const keep = (plain: Uint8Array) => void out.push([...plain])
  queue.drain(bytes, keep, keep)
  return out
}
const data = (id: number, size: number, mark: number) => {
  const plain = new Uint8Array(size).fill(mark)
  plain[0] = id
  return plain
}

describe("ClientQueue", () => {
  it("hands out control packets before data", () => {
    const queue = new ClientQueue(65_536, 256)
    queue.pushData(data(16, 3, 1))
    queue.pushControl(Uint8Array.of(5, 1))
    queue.pushData(data(16, 3, 2))
    queue.pushControl(Uint8Array.of(5, 2))
    assert.deepStrictEqual(collect(queue), [[5, 1], [5, 2], [16, 1, 1], [16, 2, 2]])
    assert.isTrue(queue.isEmpty)
  })

  it("refuses the 257th control packet", () => {
    const queue = new ClientQueue(65_536, 256)
    for (let i = 0; i < 256; i++) assert.isTrue(queue.pushControl(Uint8Array.of(5, i)))
    assert.isFalse(queue.pushControl(Uint8Array.of(5, 0)))
  })

  it("cancels a connect that has not left with its disconnect, but never across a routing response", () => {
    const queue = new ClientQueue(65_536, 256)
    for (let i = 0; i < 1_000; i++) {
      assert.isTrue(queue.pushNotification(Uint8Array.of(2, 20)))
      assert.isTrue(queue.pushNotification(Uint8Array.of(3, 20)))
    }
    assert.deepStrictEqual(collect(queue), [])
    queue.pushNotification(Uint8Array.of(3, 20))
    queue.pushNotification(Uint8Array.of(2, 20))
    queue.pushNotification(Uint8Array.of(3, 21))
    assert.deepStrictEqual(collect(queue), [[3, 20], [2, 20], [3, 21]], "a disconnect that the client must see stays")
    queue.pushNotification(Uint8Array.of(2, 20))
    queue.pushControl(Uint8Array.of(1, 20, 9, 9))
    queue.pushNotification(Uint8Array.of(3, 20))
    assert.strictEqual(collect(queue).length, 3)
  })

  it("a reused slot never receives a stale id's data: withdraw removes its data and its notifications", () => {
    const queue = new ClientQueue(65_536, 256)
    queue.pushNotification(Uint8Array.of(2, 17))
    queue.pushNotification(Uint8Array.of(2, 18))
    queue.pushControl(Uint8Array.of(5, 17))
    queue.pushData(data(17, 100, 1))
    queue.pushData(data(18, 100, 2))
    queue.pushData(data(17, 100, 3))
    assert.strictEqual(queue.withdraw(17), 2)
    assert.strictEqual(queue.dataBytes, 100)
    queue.pushData(data(17, 3, 4))
    assert.deepStrictEqual(collect(queue).map((plain) => plain.slice(0, 2)), [[2, 18], [5, 17], [18, 2], [17, 4]])
  })

  it("drops the oldest data within its limit, in order, whatever is pushed, drained and withdrawn", () => {
    const step = fc.oneof(
      {
        weight: 8,
        arbitrary: fc.record({ push: fc.integer({ min: 1, max: 2_032 }), id: fc.integer({ min: 16, max: 18 }) })
      },
      { weight: 2, arbitrary: fc.record({ drain: fc.integer({ min: 0, max: 6_000 }) }) },
      { weight: 1, arbitrary: fc.record({ withdraw: fc.integer({ min: 16, max: 18 }) }) }
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), fc.integer({ min: 2_032, max: 8_000 }), (steps, limit) => {
        const queue = new ClientQueue(limit, 256)
        let model: Array<Array<number>> = []
        let mark = 0
        const bytes = () => model.reduce((sum, plain) => sum + plain.length, 0)
        for (const step of steps) {
          if ("push" in step) {
            const plain = data(step.id, step.push, mark++ & 0xff)
            let expected = 0
            while (model.length > 0 && bytes() + plain.length > limit) {
              model.shift()
              expected++
            }
            assert.strictEqual(queue.pushData(plain), expected)
            model.push([...plain])
          } else if ("drain" in step) {
            const out = collect(queue, step.drain)
            let handed = 0
            const expected: Array<Array<number>> = []
            while (model.length > 0 && handed < step.drain) {
              const plain = model.shift()!
              handed += plain.length
              expected.push(plain)
            }
            assert.deepStrictEqual(out, expected)
          } else {
            const before = model.length
            model = model.filter((plain) => plain[0] !== step.withdraw)
            assert.strictEqual(queue.withdraw(step.withdraw), before - model.length)
          }
          assert.strictEqual(queue.dataBytes, bytes())
          assert.isAtMost(queue.dataBytes, limit)
        }
        assert.deepStrictEqual(collect(queue), model)
        assert.isTrue(queue.isEmpty)
      }),
      { numRuns: 500 }
    )
  })

  it("uses its limit: ordinary packets are dropped only when 64 KiB are waiting", () => {
    const queue = new ClientQueue(65_536, 256)
    let dropped = 0
    for (let i = 0; i < 1_000; i++) {
      dropped += queue.pushData(data(16, 1_401, i))
      if (i >= 46) assert.isAtLeast(queue.dataBytes, 65_536 - 2 * 1_401)
    }
    assert.strictEqual(dropped, 1_000 - 46)
  })
})
