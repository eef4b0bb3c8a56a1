import { assert, describe, it } from "@effect/vitest"
import { Parking } from "../../../src/protocol/net-crypto/Parking.ts"

const numbers = { parkGrace: 1_000, wakeTimeout: 2_000, requestInterval: 1_000 }

/** A machine that has parked at 10,000 ms, with nothing heard in the grace. */
const parked = (): Parking => {
  const parking = new Parking(numbers)
  parking.park(10_000)
  parking.onTimer(parking.deadline, 0)
  return parking
}

describe("Parking", () => {
  it("awake, it wants nothing, and packets, timers and calls to wake change nothing", () => {
    const parking = new Parking(numbers)
    assert.isFalse(parking.wake(5))
    assert.isUndefined(parking.onPacket(6, true))
    parking.onRequest(7, true)
    parking.onTimer(8, 0)
    assert.deepStrictEqual([parking.state, parking.isResting, parking.isPathIdle], ["awake", false, false])
    assert.deepStrictEqual([parking.deadline, parking.suspectAt, parking.waitUntil], [Infinity, Infinity, -Infinity])
    assert.deepStrictEqual([parking.isRepeating, parking.isAskDue(1e9), parking.since], [false, false, -Infinity])
  })

  it("T26, T27: it parks, and after the grace the path is idle and nothing is due any more", () => {
    const parking = new Parking(numbers)
    assert.isTrue(parking.park(10_000))
    assert.isTrue(parking.park(10_500))
    assert.deepStrictEqual([parking.state, parking.deadline], ["parking", 11_000])
    parking.onTimer(10_999, 0)
    assert.deepStrictEqual([parking.state, parking.isPathIdle], ["parking", false])
    parking.onTimer(11_000, 0)
    assert.deepStrictEqual([parking.state, parking.isPathIdle, parking.deadline], ["parked", true, Infinity])
    assert.isTrue(parking.park(12_000))
    assert.strictEqual(parking.deadline, Infinity)
  })

  it("what crosses in the grace wakes nobody", () => {
    const parking = new Parking(numbers)
    parking.park(10_000)
    for (const at of [10_001, 10_050, 10_100]) assert.isUndefined(parking.onPacket(at, false))
    parking.onTimer(11_000, 0)
    assert.strictEqual(parking.state, "parked")
  })

  it("a peer that goes on talking is given until its next sign of life before the path sleeps, and that wakes", () => {
    const parking = new Parking(numbers)
    parking.park(10_000)
    assert.isUndefined(parking.onPacket(10_900, false))
    parking.onTimer(11_000, 0)
    assert.deepStrictEqual([parking.state, parking.isPathIdle, parking.deadline], ["parked", false, 12_150])
    assert.strictEqual(parking.onPacket(11_900, false), "peer")
    assert.deepStrictEqual([parking.state, parking.isPathIdle, parking.deadline], ["awake", false, Infinity])
  })

  it("the same, and no sign of life comes: the path sleeps then", () => {
    const parking = new Parking(numbers)
    parking.park(10_000)
    parking.onPacket(10_400, false)
    parking.onTimer(11_000, 0)
    assert.strictEqual(parking.deadline, 11_650)
    parking.onTimer(11_650, 0)
    assert.deepStrictEqual([parking.isPathIdle, parking.deadline], [true, Infinity])
  })

  it("news of the peer in the grace wake at once", () => {
    const parking = new Parking(numbers)
    parking.park(10_000)
    assert.strictEqual(parking.onPacket(10_001, true), "peer")
    assert.strictEqual(parking.state, "awake")
  })

  it("T30: any packet wakes a parked one, and what comes after it is nothing special", () => {
    const parking = parked()
    assert.strictEqual(parking.onPacket(9e6, false), "peer")
    assert.isUndefined(parking.onPacket(9e6, true))
    assert.deepStrictEqual([parking.state, parking.isPathIdle], ["awake", false])
  })

  it("T30: woken, the peer is asked at once and every 250 ms, over all relays from the second time on", () => {
    const parking = parked()
    assert.isTrue(parking.wake(50_000))
    assert.isFalse(parking.wake(50_001))
    assert.isFalse(parking.park(50_001))
    assert.deepStrictEqual([parking.state, parking.isPathIdle, parking.since], ["waking", false, 50_000])
    assert.isTrue(parking.isAskDue(50_000))
    parking.onRequest(50_000, false)
    assert.deepStrictEqual([parking.deadline, parking.isRepeating, parking.waitUntil], [50_250, false, Infinity])
    // Nothing has left yet, so the peer's time has not begun.
    assert.strictEqual(parking.suspectAt, Infinity)
    parking.onRequest(50_250, true)
    assert.deepStrictEqual([parking.deadline, parking.isRepeating], [50_500, true])
    parking.onRequest(50_500, true)
    assert.deepStrictEqual([parking.suspectAt, parking.waitUntil], [51_250, 52_250])
    assert.strictEqual(parking.onPacket(51_000, false), "us")
    assert.deepStrictEqual([parking.suspectAt, parking.waitUntil, parking.isRepeating], [Infinity, -Infinity, false])
  })

  it("waking out of the grace: any packet will do", () => {
    const parking = new Parking(numbers)
    parking.park(10_000)
    assert.isTrue(parking.wake(10_300))
    assert.strictEqual(parking.onPacket(10_301, false), "us")
  })

  it("it parks and wakes again as if it had never done so", () => {
    const parking = parked()
    parking.wake(20_000)
    parking.onRequest(20_000, true)
    parking.onPacket(20_100, false)
    assert.isTrue(parking.park(30_000))
    assert.deepStrictEqual([parking.state, parking.deadline, parking.isPathIdle], ["parking", 31_000, false])
    parking.onTimer(31_000, 0)
    assert.isTrue(parking.wake(40_000))
    assert.deepStrictEqual([parking.isRepeating, parking.suspectAt, parking.since], [false, Infinity, 40_000])
  })

  it("time in which our event loop stood still is added to the grace and to the peer's time", () => {
    const parking = new Parking(numbers)
    parking.park(10_000)
    parking.onTimer(13_000, 2_500)
    assert.deepStrictEqual([parking.state, parking.deadline], ["parking", 13_500])
    parking.onTimer(13_500, 0)
    parking.wake(20_000)
    parking.onRequest(20_000, true)
    parking.onTimer(23_000, 2_750)
    assert.deepStrictEqual([parking.suspectAt, parking.waitUntil, parking.since], [23_750, 24_750, 22_750])
  })
})
