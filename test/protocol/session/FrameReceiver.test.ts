import { assert, describe, it } from "@effect/vitest"
import { FrameReceiver } from "../../../src/protocol/session/FrameReceiver.ts"

const kib = 1024

const receiver = (window = 64 * kib, granted = window) => {
  const times = { now: 0 }
  const budget = { left: 1024 * kib }
  const around = {
    now: () => times.now,
    roundTrip: () => 10,
    leastRoundTrip: () => 10,
    budget,
    maxWindow: 256 * kib,
    creditStep: 16 * kib
  }
  return { times, budget, self: new FrameReceiver(around, window, granted) }
}

/** A frame of bytes with this payload; whether there was credit for it. */
const value = (self: FrameReceiver, size: number): boolean =>
  !self.count() || self.value(0x0c, size, new Uint8Array(size), size, 9 + size)

describe("FrameReceiver", () => {
  it("I24: takes values while credit is above zero, the last beyond it", () => {
    const { self } = receiver(1_000)
    assert.isTrue(value(self, 990))
    assert.isTrue(value(self, 500))
    assert.isFalse(value(self, 0))
    assert.deepStrictEqual([self.received, self.receivedBytes, self.inbox.length], [3, 1_490, 2])
  })

  it("tells of received frames later, of opened credit at once when it is worth it, of nothing twice", () => {
    const { self } = receiver()
    assert.strictEqual(self.need, "none")
    value(self, 991)
    assert.strictEqual(self.need, "later")
    assert.deepStrictEqual(self.credit(), { received: 1, credit: 64 * kib - 1_000 })
    assert.strictEqual(self.need, "none")
    self.consume(1_000)
    assert.strictEqual(self.need, "later")
    value(self, 16 * kib - 1_009)
    self.consume(16 * kib - 1_000)
    assert.strictEqual(self.need, "now")
    assert.deepStrictEqual(self.credit(), { received: 2, credit: 64 * kib })
    assert.strictEqual(self.need, "none")
  })

  it("half of a small window is worth a Credit at once", () => {
    const { self } = receiver(4 * kib)
    value(self, 2 * kib - 9)
    self.credit()
    self.consume(2 * kib)
    assert.strictEqual(self.need, "now")
  })

  it("asked to, it tells at once whatever there is to tell", () => {
    const { self } = receiver()
    value(self, 1)
    self.urgent = true
    assert.strictEqual(self.need, "now")
    self.credit()
    assert.strictEqual(self.need, "none")
  })

  it("after the end it opens no credit, and needs none", () => {
    const { budget, self } = receiver()
    value(self, 40 * kib)
    self.count()
    self.closed = true
    const { credit } = self.credit()
    self.consume(40 * kib + 9)
    assert.strictEqual(budget.left, 1024 * kib)
    assert.strictEqual(self.need, "none")
    assert.strictEqual(self.credit().credit, credit)
    self.tellAgain()
    assert.strictEqual(self.need, "none")
  })

  it("a reader that keeps up gets a larger window, out of the budget; what it reads after the end takes nothing", () => {
    const { budget, self, times } = receiver()
    value(self, 40 * kib)
    times.now = 5
    self.consume(40 * kib)
    assert.strictEqual(budget.left, (1024 - 64) * kib)
    assert.strictEqual(self.credit().credit, 128 * kib - 9)
    value(self, 100 * kib)
    self.release()
    assert.strictEqual(budget.left, 1024 * kib)
    self.consume(100 * kib)
    assert.strictEqual(budget.left, 1024 * kib)
  })

  it("the credit of an Accept counts from the beginning and takes nothing back", () => {
    const { self } = receiver(64 * kib, 64 * kib)
    assert.strictEqual(self.grant(32 * kib), 64 * kib)
    assert.strictEqual(self.grant(256 * kib), 256 * kib)
    value(self, 1_000)
    assert.strictEqual(self.credit().credit, 256 * kib - 1_009)
  })

  it("what is discarded is no longer there, and opens credit", () => {
    const { self } = receiver()
    value(self, 30 * kib)
    self.discard()
    assert.deepStrictEqual([self.inbox.length, self.credit().credit], [0, 64 * kib])
  })

  it("I13: what came over the earlier link after the Resume comes again and does not count", () => {
    const { self } = receiver()
    value(self, 1)
    assert.strictEqual(self.resume(), 1)
    value(self, 2)
    value(self, 3)
    self.resumed()
    assert.strictEqual(self.repeated, 2)
    assert.deepStrictEqual([self.count(), self.count(), self.count()], [false, false, true])
    assert.strictEqual(self.received, 4)
    // A link that is lost before it has brought everything again changes nothing for the next.
    self.resume()
    value(self, 5)
    self.resumed()
    assert.strictEqual(self.resume(), 5)
    self.resumed()
    assert.isTrue(self.count())
  })

  it("a Resume tells of what was received; the credit has to be told again", () => {
    const { self } = receiver()
    value(self, 1)
    self.resume()
    assert.strictEqual(self.need, "none")
    self.tellAgain()
    assert.strictEqual(self.need, "now")
  })

  it("credit beyond what a Credit can say is cut", () => {
    const { self } = receiver(0xffff_ffff + 10)
    assert.strictEqual(self.credit().credit, 0xffff_ffff)
  })
})
