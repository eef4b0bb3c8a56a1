import { assert, describe, it } from "@effect/vitest"
import { TokenBucket } from "../../src/protocol/TokenBucket.ts"

describe("TokenBucket", () => {
  it("gives one second's worth at once, then asks to wait for each token", () => {
    const bucket = new TokenBucket(200)
    for (let i = 0; i < 200; i++) bucket.charge(1_000)
    assert.strictEqual(bucket.delay(1_000), 0)
    bucket.charge(1_000)
    assert.strictEqual(bucket.delay(1_000), 5)
    assert.strictEqual(bucket.delay(1_005), 0)
  })

  it("remembers a debt of any size", () => {
    const bucket = new TokenBucket(100)
    bucket.charge(0, 350)
    assert.strictEqual(bucket.delay(0), 2_500)
    assert.strictEqual(bucket.delay(2_000), 500)
  })

  it("never holds more than its capacity, however long it rests", () => {
    const bucket = new TokenBucket(10)
    let taken = 0
    while (bucket.take(1_000_000)) taken++
    assert.strictEqual(taken, 10)
    assert.isFalse(bucket.isFull(1_000_999))
    assert.isTrue(bucket.isFull(1_001_000))
  })

  it("take refuses without charging", () => {
    const bucket = new TokenBucket(1)
    assert.isTrue(bucket.take(0))
    for (let i = 0; i < 50; i++) assert.isFalse(bucket.take(999))
    assert.isTrue(bucket.take(1_000))
  })
})
