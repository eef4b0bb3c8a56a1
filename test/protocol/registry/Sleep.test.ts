/** Peers that sleep because another way to them works: what is kept, what is left, and what comes back. */
import { describe, expect, it } from "vitest"
import { frame, relayAt } from "../../utils/FakeLinks.ts"
import { TendedHost } from "../../utils/TendedHost.ts"

const minute = 60_000
const peersOnly = { minimumRelays: 0 }

describe("sleep and wake", () => {
  it("T26, T29, T31: a peer that sleeps is online nowhere, its relays are disconnected, and nothing dials them again", () => {
    const host = new TendedHost(peersOnly)
    const { log, path } = host.meet(1, [1, 2, 3])
    host.pass(minute)
    const old = host.connected.map((n) => host.linkOf(n)!)
    path.sleep()
    expect(path.isAsleep).toBe(true)
    host.settle()
    expect([host.connected, host.onlineOn(1), path.carrier()]).toEqual([[], [], 0])
    expect(old.every(({ isLost }) => isLost)).toBe(true)
    expect(log.filter((event) => event.startsWith("carrier")).length).toBeLessThanOrEqual(2)
    host.pass(60 * minute)
    expect([host.relays.kept.length, host.relays.left.length]).toEqual([3, 3])
  })

  it("T26, T29: a peer that keeps one relay while it sleeps is left by the others, and all are back when it wakes", () => {
    const host = new TendedHost(peersOnly)
    const { path } = host.meet(1, [1, 2, 3])
    const other = host.meet(2, [3, 4, 5])
    host.pass(minute)
    path.sleep(1)
    host.pass(minute)
    // The one that is needed anyway.
    expect(host.connected).toEqual([3, 4, 5])
    expect(path.carrier()).not.toBe(0)
    other.path.close()
    host.pass(minute)
    expect(host.onlineOn(1)).toEqual([3])
    expect(host.connected).toEqual([3])
    // One that fails is replaced.
    host.down.add(3)
    host.linkOf(3)!.lose()
    host.pass(minute)
    expect(host.onlineOn(1).length).toBe(1)
    host.down.delete(3)
    path.wake()
    host.pass(10_000)
    expect(host.onlineOn(1)).toEqual([1, 2, 3])
    // Nothing is kept when it is not asked for.
    path.sleep(1)
    path.sleep()
    host.pass(minute)
    expect(host.connected).toEqual([])
    expect(host.relays.violations).toEqual([])
  })

  it("T27: a direct way that opens while the relays are still new lets them finish their ten seconds first", () => {
    const host = new TendedHost(peersOnly)
    const { path } = host.meet(1, [1, 2])
    host.pass(4_000)
    path.sleep()
    host.pass(5_999)
    expect(host.connected).toEqual([1, 2])
    // It can still be sent to.
    expect(path.send(frame(1, 2), 3, false)).toBe("sent")
    host.pass(1)
    expect(host.connected).toEqual([])
  })

  it("T28, T30, T32: the ties are kept, and on waking the same relays are dialled, asked and online again, at once", () => {
    const host = new TendedHost(peersOnly)
    const { path } = host.meet(1, [1, 2], [1, 2, 3])
    host.pass(minute)
    path.sleep()
    host.pass(60 * minute)
    expect(host.slots(1)).toEqual([1, 2, 3].map((n) => `${relayAt(n).host} none`))
    path.wake()
    host.settle()
    expect(path.isAsleep).toBe(false)
    expect(host.connected).toEqual([1, 2, 3])
    expect(host.connected.map((n) => host.linkOf(n)!.requests)).toEqual([[1], [1], [1]])
    expect(host.onlineOn(1)).toEqual([1, 2])
    expect(path.carrier()).not.toBe(0)
    expect(path.send(frame(7), 2, false)).toBe("sent")
    expect(host.relays.violations).toEqual([])
  })

  it("T28: what is learned of a sleeping peer is kept as well, and dialled only when it wakes", () => {
    const host = new TendedHost(peersOnly)
    const { path } = host.meet(1, [1, 5])
    host.pass(minute)
    path.sleep()
    host.settle()
    path.tie(relayAt(5))
    path.tie(relayAt(6))
    host.settle()
    expect(host.wanted).toEqual([])
    host.pass(minute)
    expect(host.connected).toEqual([])
    path.wake()
    host.settle()
    expect(host.connected).toEqual([1, 5, 6])
  })

  it("T29, C03: a relay with another peer that is awake is kept, and that peer is not disturbed in any way", () => {
    const host = new TendedHost(peersOnly)
    const asleep = host.meet(1, [1, 2, 3])
    const awake = host.meet(2, [3, 4, 5])
    host.pass(minute)
    const [before, carrier] = [awake.log.length, awake.path.carrier()]
    for (let round = 0; round < 20; round++) {
      asleep.path.sleep()
      host.pass(30_000)
      expect(host.connected).toEqual([3, 4, 5])
      asleep.path.wake()
      host.pass(30_000)
      expect(host.connected).toEqual([1, 2, 3, 4, 5])
    }
    expect([awake.log.length, awake.path.carrier()]).toEqual([before, carrier])
    expect(host.relays.violations).toEqual([])
  })

  it("C03: defect B: sleep, wake and sleep of one peer count once, so that a relay never sleeps under the other", () => {
    const host = new TendedHost(peersOnly)
    const first = host.meet(1, [1])
    const second = host.meet(2, [1])
    host.pass(minute)
    for (let i = 0; i < 5; i++) {
      first.path.sleep()
      first.path.sleep()
      host.pass(11_000)
      first.path.wake()
      first.path.wake()
      host.pass(11_000)
    }
    first.path.sleep()
    host.pass(minute)
    expect(host.onlineOn(2)).toEqual([1])
    expect(host.relays.left).toEqual([])
    // Only when the other sleeps as well.
    second.path.sleep()
    host.pass(minute)
    expect(host.connected).toEqual([])
    // Waking one of them is enough.
    second.path.wake()
    host.settle()
    expect(host.onlineOn(2)).toEqual([1])
  })

  it("C03: an onion relay does not sleep", () => {
    const host = new TendedHost({ minimumRelays: 0, onionRelays: 2 })
    const { path } = host.meet(1, [1, 2, 3])
    host.table.setOnion(true)
    host.pass(minute)
    path.sleep()
    host.pass(minute)
    expect([host.connected, host.onion]).toEqual([[1, 2], [1, 2]])
    host.table.setOnion(false)
    host.settle()
    expect(host.connected).toEqual([])
  })

  it("C03: a relay does not sleep within the announce time after a tie of somebody awake", () => {
    const host = new TendedHost(peersOnly)
    const first = host.meet(1, [1])
    host.pass(minute)
    first.path.sleep()
    const second = host.meet(2, [], [1])
    host.pass(9_999)
    expect(host.connected).toEqual([1])
    second.path.close()
    host.pass(1)
    expect(host.connected).toEqual([])
  })

  it("T18: our own relays do not sleep with a peer: others must reach us", () => {
    const host = new TendedHost()
    host.own(1, 2, 3)
    const { path } = host.meet(1, [1, 2, 3, 4])
    host.pass(minute)
    path.sleep()
    host.pass(60 * minute)
    expect(host.connected).toEqual([1, 2, 3])
  })

  it("C03: an awake peer that is waited for on a relay where only a sleeping one is online: the relay is not dialled without end", () => {
    const host = new TendedHost(peersOnly)
    const first = host.meet(1, [1])
    host.meet(2, [], [1])
    host.pass(minute)
    first.path.sleep()
    host.pass(10 * minute)
    expect([host.relays.kept.length, host.connected]).toEqual([1, [1]])
    // It is found when it comes.
    host.whereabouts.set(2, new Set([1]))
    host.settle()
    expect(host.onlineOn(2)).toEqual([1])
  })

  it("C03: nor is it kept for an awake peer that has all the relays it wants", () => {
    const host = new TendedHost(peersOnly)
    const first = host.meet(1, [1])
    host.meet(2, [2, 3, 4], [1, 2, 3, 4])
    host.pass(minute)
    expect(host.connected).toEqual([1, 2, 3, 4])
    first.path.sleep()
    host.settle()
    expect(host.connected).toEqual([2, 3, 4])
  })
})

describe("sleep and wake in the middle of something", () => {
  it("T30: woken before the relay had connected, or while it was being left: everything ends up online", () => {
    for (const moment of ["connecting", "routing", "leaving", "left"]) {
      const host = new TendedHost(peersOnly)
      const { path } = host.meet(1, [1, 2])
      host.pass(minute)
      if (moment === "connecting") {
        path.sleep()
        host.settle()
        path.wake()
        path.sleep()
        path.wake()
      } else if (moment === "routing") {
        path.sleep()
        host.settle()
        path.wake()
        const link = host.relays.confirm(1)
        path.sleep()
        link.grant(1)
        path.wake()
      } else {
        path.sleep()
        if (moment === "left") host.settle()
        path.wake()
      }
      host.pass(minute)
      expect([moment, host.onlineOn(1), host.wanted]).toEqual([moment, [1, 2], [1, 2]])
      expect(host.relays.violations).toEqual([])
    }
  })

  it("T29: put to sleep before the relay had connected: it is not held for ever", () => {
    const host = new TendedHost(peersOnly)
    host.down.add(1)
    const { path } = host.meet(1, [1])
    path.sleep()
    host.pass(5_000)
    host.down.delete(1)
    host.pass(2 * minute)
    expect(host.connected).toEqual([])
    path.wake()
    host.settle()
    expect(host.onlineOn(1)).toEqual([1])
  })

  it("T29: a relay that is down when its only peer falls asleep is not dialled while it sleeps", () => {
    const host = new TendedHost(peersOnly)
    const { path } = host.meet(1, [1, 2])
    host.pass(minute)
    host.down.add(1)
    host.linkOf(1)!.lose()
    path.sleep()
    host.pass(2 * minute)
    host.down.delete(1)
    host.pass(5 * minute)
    expect(host.connected).toEqual([])
  })

  it("T31: closed while asleep: its relays are forgotten, and a new connection to the same key starts awake", () => {
    const host = new TendedHost(peersOnly)
    const { path } = host.meet(1, [1, 2])
    host.pass(minute)
    path.sleep()
    host.settle()
    path.close()
    path.wake()
    host.pass(minute)
    expect([host.connected, host.relays.kept.length]).toEqual([[], 2])
    const again = host.meet(1, [2])
    expect([again.path.isAsleep, host.onlineOn(1)]).toEqual([false, [2]])
  })

  it("T30: a report of a relay being left is answered by waking, sleeping or closing: the end is as it was asked for", () => {
    for (const answer of ["wake", "sleep other", "close", "tie"]) {
      const host = new TendedHost(peersOnly)
      const first = host.meet(1, [1, 2, 3, 4])
      const other = host.meet(2, [2, 3])
      host.pass(minute)
      let isAnswered = false
      first.on = (event) => {
        if (isAnswered || !event.startsWith("carrier")) return
        isAnswered = true
        if (answer === "wake") first.path.wake()
        if (answer === "sleep other") other.path.sleep()
        if (answer === "close") first.path.close()
        if (answer === "tie") first.path.tie(relayAt(9))
      }
      first.path.sleep()
      host.pass(3 * minute)
      expect(isAnswered).toBe(true)
      // Asleep, the first stays online where the other is, which costs nothing.
      const [ofFirst, ofOther] = { "wake": [3, 2], "sleep other": [0, 0], "close": [0, 2], "tie": [2, 2] }[answer]!
      expect([answer, host.onlineOn(1).length, host.onlineOn(2).length]).toEqual([answer, ofFirst, ofOther])
      expect(host.relays.violations).toEqual([])
    }
  })

  it("T21: a peer that wakes keeps the carrier it got first; later relays change nothing", () => {
    const host = new TendedHost(peersOnly)
    const { log, path } = host.meet(1, [1, 2, 3])
    host.pass(minute)
    path.sleep()
    host.settle()
    log.length = 0
    path.wake()
    host.pass(minute)
    expect(log.filter((event) => event.startsWith("carrier"))).toEqual(["carrier 0 lost"])
  })
})
