import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { SendWindow, windowSize } from "../../../src/protocol/net-crypto/SendWindow.ts"

/** The same bookkeeping, written as slowly and plainly as possible. */
class Model {
  readonly packets: Array<{
    size: number
    state: "queued" | "flying" | "again" | "received" | "gone"
    sends: number
    at: number
    carrier: number
  }> = []
  start = 0

  get sent(): number {
    const first = this.packets.findIndex(({ state }) => state === "queued")
    return first < 0 ? this.packets.length : first
  }

  sum(...states: ReadonlyArray<string>): number {
    return this.packets.reduce((sum, { size, state }) => sum + (states.includes(state) ? size : 0), 0)
  }

  next(): number {
    const again = this.packets.findIndex(({ state }) => state === "again")
    return again >= 0 ? again : this.sent < this.packets.length ? this.sent : -1
  }
}

type Step =
  | { readonly do: "push"; readonly size: number }
  | { readonly do: "send"; readonly carrier: number; readonly times: number }
  | { readonly do: "acknowledge"; readonly share: number }
  | { readonly do: "received" | "missing"; readonly share: number }
  | { readonly do: "lost"; readonly carrier: number }

const carrier = fc.integer({ min: 1, max: 3 })
const share = fc.double({ min: 0, max: 1, noNaN: true })
const steps: fc.Arbitrary<Array<Step>> = fc.array(
  fc.oneof<Array<fc.Arbitrary<Step>>>(
    fc.record({ do: fc.constant("push" as const), size: fc.integer({ min: 1, max: 1373 }) }),
    fc.record({ do: fc.constant("send" as const), carrier, times: fc.integer({ min: 1, max: 60 }) }),
    fc.record({ do: fc.constant("acknowledge" as const), share }),
    fc.record({ do: fc.constantFrom("received" as const, "missing" as const), share }),
    fc.record({ do: fc.constant("lost" as const), carrier })
  ),
  { minLength: 20, maxLength: 120 }
)

/** Applies one step to both; `first` is the number that the model calls 0. */
const apply = (window: SendWindow, model: Model, first: number, step: Step, now: number): void => {
  const number = (at: number): number => (first + at) >>> 0
  const unsettled = model.sent - model.start
  switch (step.do) {
    case "push": {
      // Bursts, so that the window has to grow.
      for (let i = 0; i < 40; i++) {
        assert.strictEqual(window.push(new Uint8Array(step.size)), number(model.packets.length))
        model.packets.push({ size: step.size, state: "queued", sends: 0, at: 0, carrier: 0 })
      }
      return
    }
    case "send": {
      for (let i = 0; i < step.times; i++) {
        const next = model.next()
        assert.strictEqual(window.next(), next < 0 ? -1 : number(next))
        if (next < 0) return
        const packet = model.packets[next]!
        assert.strictEqual(window.isResend(number(next)), packet.sends > 0)
        assert.strictEqual(window.payload(number(next)).length, packet.size)
        window.markSent(number(next), now, step.carrier)
        Object.assign(packet, { state: "flying", sends: packet.sends + 1, at: now, carrier: step.carrier })
        assert.strictEqual(window.sentAt(number(next)), now)
      }
      return
    }
    case "acknowledge": {
      const count = Math.round(step.share * unsettled)
      const upTo = model.start + count
      assert.strictEqual(window.acknowledge(number(upTo)), count === 0 ? "nothing" : "new")
      let sample = -1
      for (const packet of model.packets.slice(model.start, upTo)) {
        if (packet.sends === 1 && packet.state === "flying") sample = packet.at
        if (packet.state !== "received") packet.state = "gone"
      }
      assert.strictEqual(window.sampleSentAt, sample)
      model.start = upTo
      return
    }
    case "received":
    case "missing": {
      if (unsettled === 0) return
      const at = model.start + Math.min(unsettled - 1, Math.floor(step.share * unsettled))
      const packet = model.packets[at]!
      if (step.do === "received") {
        window.markReceived(number(at))
        packet.state = "received"
        return
      }
      const willBe = packet.state === "flying" && packet.at <= now - 3
      assert.strictEqual(window.markMissing(number(at), now - 3), willBe)
      if (willBe) packet.state = "again"
      return
    }
    case "lost": {
      window.markLost(step.carrier)
      for (const packet of model.packets) {
        if (packet.state === "flying" && packet.carrier === step.carrier) packet.state = "again"
      }
    }
  }
}

describe("SendWindow", () => {
  it("agrees with a naive model after any operations, wherever the numbers start", () => {
    fc.assert(
      fc.property(steps, fc.constantFrom(0, 5, 2 ** 31 - 50, 2 ** 32 - 1, 2 ** 32 - 300), (all, first) => {
        const window = new SendWindow(first)
        const model = new Model()
        all.forEach((step, now) => {
          apply(window, model, first, step, now)
          const next = model.next()
          assert.deepStrictEqual(
            {
              start: window.start,
              sent: window.sent,
              end: window.end,
              next: window.next(),
              inFlightBytes: window.inFlightBytes,
              queuedBytes: window.queuedBytes,
              resendCount: window.resendCount,
              deliveredBytes: window.deliveredBytes,
              isOutstanding: window.isOutstanding
            },
            {
              start: (first + model.start) >>> 0,
              sent: (first + model.sent) >>> 0,
              end: (first + model.packets.length) >>> 0,
              next: next < 0 ? -1 : (first + next) >>> 0,
              inFlightBytes: model.sum("flying"),
              queuedBytes: model.sum("queued"),
              resendCount: model.packets.filter(({ state }) => state === "again").length,
              deliveredBytes: model.sum("received", "gone"),
              isOutstanding: model.sent > model.start
            }
          )
        })
      }),
      { numRuns: 150 }
    )
  })

  it("is full at 32,768 unacknowledged packets, holes counted, and has room again after one acknowledgement", () => {
    const first = 2 ** 32 - 10_000
    const window = new SendWindow(first)
    for (let i = 0; i < windowSize; i++) {
      assert.isFalse(window.isFull)
      window.markSent(window.push(Uint8Array.of(160, i & 0xff, i >>> 8)), 0, 1)
    }
    assert.isTrue(window.isFull)
    for (let i = 1; i < windowSize; i++) window.markReceived((first + i) >>> 0)
    assert.isTrue(window.isFull)
    assert.deepStrictEqual([...window.payload(first)], [160, 0, 0])
    assert.strictEqual(window.acknowledge((first + 1) >>> 0), "new")
    assert.isFalse(window.isFull)
  })

  it("tells new, repeated, stale and impossible acknowledgements apart, also over the wrap-around", () => {
    for (const first of [0, 2 ** 32 - 5]) {
      const number = (at: number): number => (first + at) >>> 0
      const window = new SendWindow(first)
      for (let i = 0; i < 10; i++) window.push(Uint8Array.of(160))
      for (let i = 0; i < 8; i++) window.markSent(number(i), 0, 1)
      assert.strictEqual(window.acknowledge(number(6)), "new")
      assert.strictEqual(window.acknowledge(number(6)), "nothing")
      assert.strictEqual(window.acknowledge(number(3)), "stale")
      assert.strictEqual(window.acknowledge(number(9)), "ahead")
      assert.strictEqual(window.acknowledge(number(10)), "ahead")
      assert.strictEqual(window.acknowledge(number(8)), "new")
    }
  })

  it("forgets all payloads when it is cleared", () => {
    const window = new SendWindow()
    for (let i = 0; i < 10; i++) window.push(Uint8Array.of(160))
    window.markSent(0, 0, 1)
    window.clear()
    assert.deepStrictEqual([window.next(), window.inFlightBytes, window.queuedBytes, window.unacknowledged], [
      -1,
      0,
      0,
      0
    ])
  })
})
