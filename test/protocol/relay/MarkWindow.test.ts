import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { markSize, MarkWindow, urgentOverdraw } from "../../../src/protocol/relay/MarkWindow.ts"

const numbers = {
  markWindow: 128 * 1024,
  markInterval: 8 * 1024,
  causewayMarkWindow: 4 * 1024 * 1024,
  pingInterval: 30_000,
  pingTimeout: 10_000,
  stuckTimeout: 1_000
}

/** A window whose marks are numbered, as a link drives it. */
class Driver {
  readonly window = new MarkWindow(numbers, 0)
  readonly pings: Array<number> = []
  #id = 0

  ping(now: number): void {
    this.window.mark(7, ++this.#id, now)
    this.pings.push(this.#id)
  }

  send(bytes: number, urgent: boolean, now: number): boolean {
    if (!this.window.fits(bytes, urgent)) {
      this.window.noteFull(now)
      return false
    }
    this.window.sent(bytes, true)
    if (this.window.isMarkDue) this.ping(now)
    return true
  }

  flush(now: number): void {
    if (this.window.isTrailingMarkDue) this.ping(now)
  }

  pong(now: number): boolean {
    const id = this.pings.shift()
    return id !== undefined && this.window.pong(7, id, now)
  }

  fill(now: number): number {
    let sent = 0
    while (this.send(1419, false, now)) sent++
    this.flush(now)
    return sent
  }
}

describe("MarkWindow", () => {
  it("F1: a stock relay that takes nothing of a full window for a second, or eight round trips, is wedged; ours is not", () => {
    for (
      const [roundTrip, isOurs, wedgedAfter] of [[20, false, 1_000], [300, false, 2_400], [20, true, 10_000]] as const
    ) {
      const window = new MarkWindow(numbers, 0)
      if (isOurs) window.allowGrowth()
      window.mark(1, 1, 0)
      window.pong(1, 1, roundTrip)
      window.sent(1_000, true)
      window.mark(2, 2, roundTrip)
      expect(window.isExpired(roundTrip + 9_000)).toBe(false)
      window.noteFull(roundTrip)
      expect(window.isExpired(roundTrip + wedgedAfter - 1)).toBe(false)
      expect(window.isExpired(roundTrip + wedgedAfter)).toBe(true)
      window.forgive(5_000)
      if (!isOurs) expect(window.isExpired(5_000 + wedgedAfter - 1)).toBe(false)
    }
  })

  it("F1: keeps uncovered bytes within 128 KiB towards a stock relay, with 8 marks or more in flight", () => {
    const driver = new Driver()
    driver.fill(0)
    expect(driver.window.uncovered).toBeLessThanOrEqual(128 * 1024)
    expect(driver.window.uncovered).toBeGreaterThan(128 * 1024 - 2 * 1419)
    expect(driver.pings.length).toBeGreaterThanOrEqual(8)
    expect(driver.window.isFull).toBe(true)
    // For good: no number of pongs widens it.
    for (let now = 1; now < 200; now++) {
      driver.pong(now)
      driver.fill(now)
      expect(driver.window.uncovered).toBeLessThanOrEqual(128 * 1024)
    }
  })

  it("lets urgent packets overdraw by 64 KiB and no more", () => {
    const driver = new Driver()
    driver.fill(0)
    expect(driver.window.room).toBeLessThan(1419)
    let extra = 0
    while (driver.send(1419, true, 0)) extra += 1419
    expect(extra).toBeGreaterThan(60 * 1024)
    expect(driver.window.uncovered).toBeLessThanOrEqual(128 * 1024 + urgentOverdraw)
    expect(driver.window.room).toBe(0)
  })

  it("keeps room for a mark behind the last packet", () => {
    const { window } = new Driver()
    expect(window.room).toBe(128 * 1024 - markSize)
    expect(window.fits(window.room + 1, false)).toBe(false)
    expect(window.fits(window.room, false)).toBe(true)
    window.sent(window.room, true)
    window.mark(7, 1, 0)
    expect(window.uncovered).toBe(128 * 1024)
    expect(window.fits(urgentOverdraw - markSize + 1, true)).toBe(false)
    expect(window.fits(urgentOverdraw - markSize, true)).toBe(true)
  })

  it("a pong covers everything before its mark, earlier marks included", () => {
    const driver = new Driver()
    for (let i = 0; i < 3; i++) {
      driver.window.sent(1_000, true)
      driver.ping(0)
    }
    driver.window.sent(500, true)
    expect(driver.window.pong(7, 2, 5)).toBe(true)
    expect(driver.window.uncovered).toBe(1_000 + markSize + 500)
    expect(driver.window.outstanding).toBe(1)
    // Late: it was covered already.
    expect(driver.window.pong(7, 1, 6)).toBe(false)
    expect(driver.window.uncovered).toBe(1_000 + markSize + 500)
  })

  it("a wrong pong changes nothing and does not count as an answer", () => {
    const driver = new Driver()
    driver.window.sent(1_000, true)
    driver.ping(0)
    expect(driver.window.pong(7, 99, 5)).toBe(false)
    expect(driver.window.pong(8, 1, 5)).toBe(false)
    expect(driver.window.uncovered).toBe(1_000 + markSize)
    expect(driver.window.roundTrip).toBeUndefined()
    expect(driver.window.isExpired(10_000)).toBe(true)
    expect(driver.window.pong(7, 1, 9)).toBe(true)
    expect(driver.window.pong(7, 1, 10)).toBe(false)
  })

  it("wants a mark behind the last bytes of a burst, and none for answers to the relay's pings", () => {
    const driver = new Driver()
    driver.window.sent(100, true)
    expect(driver.window.isMarkDue).toBe(false)
    expect(driver.window.isTrailingMarkDue).toBe(true)
    driver.flush(0)
    expect(driver.window.isTrailingMarkDue).toBe(false)
    driver.window.sent(100, true)
    // One is under way: its pong comes first.
    expect(driver.window.isTrailingMarkDue).toBe(false)
    driver.pong(1)
    expect(driver.window.isTrailingMarkDue).toBe(true)
    driver.flush(1)
    driver.pong(2)
    expect(driver.window.uncovered).toBe(0)
    driver.window.sent(markSize, false)
    expect(driver.window.isTrailingMarkDue).toBe(false)
    for (let i = 0; i < 400; i++) driver.window.sent(markSize, false)
    expect(driver.window.isMarkDue).toBe(true)
  })

  it("grows to 4 MiB towards a Causeway relay, while it is in use, with a mark every 64 KiB", () => {
    const driver = new Driver()
    driver.window.allowGrowth()
    expect(driver.window.size).toBe(128 * 1024)
    // Not in use: no growth.
    driver.send(1_000, false, 0)
    driver.flush(0)
    driver.pong(1)
    expect(driver.window.size).toBe(128 * 1024)
    let rounds = 0
    for (let now = 2; driver.window.size < 4 * 1024 * 1024; now++, rounds++) {
      driver.fill(now)
      for (let due = driver.pings.length; due > 0; due--) driver.pong(now + 1)
      expect(rounds).toBeLessThan(10)
    }
    driver.fill(100)
    expect(driver.window.uncovered).toBeLessThanOrEqual(4 * 1024 * 1024)
    expect(driver.pings.length).toBeGreaterThan(32)
    expect(driver.pings.length).toBeLessThan(70)
  })

  it("halves when its bytes add more than half a second of delay, once a round trip, and recovers", () => {
    const driver = new Driver()
    driver.send(100, false, 0)
    driver.flush(0)
    driver.pong(10)
    driver.fill(10)
    driver.pong(600)
    expect(driver.window.size).toBe(64 * 1024)
    // Marks of the same round trip say nothing new.
    for (let due = driver.pings.length; due > 0; due--) driver.pong(700)
    expect(driver.window.size).toBe(64 * 1024)
    driver.fill(700)
    for (let due = driver.pings.length; due > 0; due--) driver.pong(2_000)
    expect(driver.window.size).toBe(32 * 1024)
    driver.fill(2_000)
    for (let due = driver.pings.length; due > 0; due--) driver.pong(4_000)
    expect(driver.window.size).toBe(32 * 1024)
    for (let now = 4_000; now < 4_100; now += 10) {
      driver.fill(now)
      for (let due = driver.pings.length; due > 0; due--) driver.pong(now + 10)
    }
    expect(driver.window.size).toBe(128 * 1024)
  })

  it("does not mistake a long line for a full one", () => {
    const driver = new Driver()
    for (let now = 0; now < 20_000; now += 1_000) {
      driver.fill(now)
      for (let due = driver.pings.length; due > 0; due--) driver.pong(now + 900)
    }
    expect(driver.window.size).toBe(128 * 1024)
  })

  it("knows since when it has been stuck", () => {
    const driver = new Driver()
    expect(driver.window.stuckSince).toBeUndefined()
    driver.fill(100)
    expect(driver.window.stuckSince).toBe(100)
    driver.pong(150)
    expect(driver.window.stuckSince).toBe(150)
    driver.window.noteRoom()
    expect(driver.window.stuckSince).toBeUndefined()
  })

  describe("C10: liveness, 30 s and 10 s", () => {
    it("wants a ping 30 s after the last one", () => {
      const driver = new Driver()
      driver.ping(0)
      driver.pong(40)
      expect(driver.window.nextCheck).toBe(30_000)
      expect([driver.window.isPingDue(29_999), driver.window.isPingDue(30_000)]).toEqual([false, true])
      expect(driver.window.roundTrip).toBe(40)
    })

    it("a ping without its pong for 10 s is the end, whatever else is sent", () => {
      const driver = new Driver()
      driver.ping(5_000)
      for (let now = 5_000; now < 15_000; now += 100) driver.send(10, true, now)
      expect([driver.window.isExpired(14_999), driver.window.isExpired(15_000)]).toEqual([false, true])
      expect(driver.window.isPingDue(15_000)).toBe(false)
    })

    it("marks that are answered late but in turn keep the line alive", () => {
      const driver = new Driver()
      for (let i = 0; i < 5; i++) driver.ping(0)
      for (let now = 9_000; now <= 45_000; now += 9_000) {
        expect(driver.window.isExpired(now)).toBe(false)
        driver.pong(now)
      }
      expect(driver.window.outstanding).toBe(0)
    })

    it("gives the full time again when our own program stood still", () => {
      const driver = new Driver()
      driver.ping(0)
      driver.window.forgive(12_000)
      expect(driver.window.isExpired(12_000)).toBe(false)
      expect([driver.window.isExpired(21_999), driver.window.isExpired(22_000)]).toEqual([false, true])
    })
  })

  it("property: never above the window, and never stuck while the relay answers", () => {
    const step = fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({
          do: fc.constant("send" as const),
          bytes: fc.integer({ min: 19, max: 2050 }),
          urgent: fc.boolean()
        })
      },
      {
        weight: 2,
        arbitrary: fc.record({ do: fc.constant("burst" as const), bytes: fc.integer({ min: 19, max: 2050 }) })
      },
      {
        weight: 2,
        arbitrary: fc.record({ do: fc.constant("pongs" as const), count: fc.integer({ min: 1, max: 30 }) })
      },
      {
        weight: 1,
        arbitrary: fc.record({ do: fc.constant("wait" as const), millis: fc.integer({ min: 1, max: 3_000 }) })
      }
    )
    fc.assert(
      fc.property(fc.boolean(), fc.array(step, { maxLength: 80 }), (causeway, steps) => {
        const driver = new Driver()
        if (causeway) driver.window.allowGrowth()
        const largest = causeway ? numbers.causewayMarkWindow : numbers.markWindow
        let now = 0
        for (const step of steps) {
          switch (step.do) {
            case "send": {
              const before = driver.window.uncovered
              const sent = driver.send(step.bytes, step.urgent, now)
              if (sent && !step.urgent) expect(driver.window.uncovered).toBeLessThanOrEqual(driver.window.size)
              if (!sent) expect(driver.window.uncovered).toBe(before)
              break
            }
            case "burst":
              while (driver.send(step.bytes, false, now));
              break
            case "pongs":
              for (let i = 0; i < step.count; i++) driver.pong(now)
              break
            case "wait":
              now += step.millis
          }
          driver.flush(now)
          expect(driver.window.uncovered).toBeLessThanOrEqual(largest + urgentOverdraw)
          // Bytes that count always have a mark on the way.
          if (driver.window.uncovered > 0) expect(driver.window.outstanding).toBeGreaterThan(0)
        }
        // The relay answers everything: the window opens again completely.
        while (driver.window.outstanding > 0) {
          driver.pong(now)
          driver.flush(now)
        }
        expect(driver.window.uncovered).toBe(0)
        expect(driver.window.fits(2050, false)).toBe(true)
      }),
      { numRuns: 300 }
    )
  })
})
