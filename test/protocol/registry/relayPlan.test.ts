/** How many relays are connected, which, and for how long: the table tended over hours of virtual time. */
import { describe, expect, it } from "vitest"
import * as EntropySeeded from "../../../src/testing/EntropySeeded.ts"
import { relayAt } from "../../utils/FakeLinks.ts"
import { TendedHost } from "../../utils/TendedHost.ts"

const range = (count: number, from = 1): ReadonlyArray<number> => Array.from({ length: count }, (_, i) => from + i)
const minute = 60_000
/** Nobody needs to reach us: only peers count. */
const peersOnly = { minimumRelays: 0 }

/** The size of the smallest set of relays of which each peer has three, or all that it is on. */
const optimum = (relays: number, peers: ReadonlyArray<ReadonlyArray<number>>): number => {
  let smallest = relays
  for (let bits = 0; bits < 1 << relays; bits++) {
    const chosen = range(relays).filter((n) => (bits & (1 << (n - 1))) !== 0)
    const isEnough = peers.every((on) => on.filter((n) => chosen.includes(n)).length >= Math.min(3, on.length))
    if (isEnough) smallest = Math.min(smallest, chosen.length)
  }
  return smallest
}

describe("the relays of peers", () => {
  it("T07: before a connection exists the relays of its ticket are connected to, and all of them are asked for the peer", () => {
    const host = new TendedHost(peersOnly)
    host.meet(1, [], [1, 2, 3])
    expect(host.connected).toEqual([1, 2, 3])
    expect(host.connected.map((n) => host.linkOf(n)!.requests)).toEqual([[1], [1], [1]])
    // However long it takes: they are all that is known of this peer.
    host.pass(30 * minute)
    expect(host.connected).toEqual([1, 2, 3])
    expect(host.relays.left).toEqual([])
    host.whereabouts.set(1, new Set([2]))
    host.settle()
    expect(host.onlineOn(1)).toEqual([2])
  })

  it("T07: a ticket with more relays than wanted: when the peer is not on the first, the others get their turn", () => {
    const host = new TendedHost(peersOnly)
    host.meet(1, [6], [1, 2, 3, 4, 5, 6])
    host.whereabouts.set(1, new Set())
    host.settle()
    host.pass(20_000)
    expect(host.connected).toHaveLength(3)
    // It appears where we are not connected at the moment.
    const absent = range(6).find((n) => !host.connected.includes(n))!
    host.whereabouts.set(1, new Set([absent]))
    host.pass(2 * minute)
    expect(host.onlineOn(1)).toEqual([absent])
  })

  it("T08: relays that a connected peer names are tied when we hold them anyway, and left alone when it has three", () => {
    const host = new TendedHost({ minimumRelays: 0 })
    const { path } = host.meet(1, [1, 2, 3])
    host.own(4)
    host.whereabouts.get(1)!.add(4).add(5)
    path.tie(relayAt(4))
    path.tie(relayAt(5))
    host.settle()
    expect(host.onlineOn(1)).toEqual([1, 2, 3, 4])
    expect(host.entryOf(5)).toBeUndefined()
    // One of the three is gone: a new one is welcome.
    host.whereabouts.set(1, new Set([1, 2, 5]))
    host.settle()
    path.tie(relayAt(5))
    host.settle()
    expect(host.onlineOn(1)).toEqual([1, 2, 5])
  })

  it("T08: a peer that called us is looked for on our own relays, which the plan may have put aside", () => {
    const host = new TendedHost()
    host.own(1, 2, 3, 4, 5)
    host.pass(20_000)
    expect(host.connected).toEqual([1, 2, 3])
    host.meet(2, [7])
    const { path } = host.meet(1, [4, 5], [])
    path.tieHome()
    host.settle()
    expect(host.onlineOn(1)).toEqual([4, 5])
    // The relay of another peer is none that a caller could know of.
    expect(host.slots(1)).toHaveLength(5)
  })

  it("T09: two peers on one relay share one connection to it, and so does the list of our own", () => {
    const host = new TendedHost()
    host.own(1)
    host.meet(1, [1])
    host.meet(2, [1])
    host.table.addRelay({ ...relayAt(1), host: "elsewhere.test" })
    host.settle()
    expect(host.relays.kept).toEqual([relayAt(1).host])
    expect([...host.table.relays].map(({ relay }) => relay)).toEqual([relayAt(1)])
    expect(host.linkOf(1)!.requests).toEqual([1, 2])
  })

  it("T02, T11: a peer that could be reached over six relays is kept on three, neither more nor fewer, also when some fail", () => {
    const host = new TendedHost(peersOnly)
    host.meet(1, range(6))
    for (let failures = 0; failures < 3; failures++) {
      host.pass(minute)
      expect([host.onlineOn(1).length, host.connected.length]).toEqual([3, 3])
      const failing = host.connected[0]!
      host.down.add(failing)
      host.linkOf(failing)!.lose()
      host.settle()
    }
  })

  it("T10, T25: a peer that is online on six relays keeps three after ten seconds, not sooner, and the rest is closed", () => {
    const host = new TendedHost(peersOnly)
    const { path } = host.meet(1, range(6))
    host.pass(9_999)
    expect(host.connected).toHaveLength(6)
    // One by one, so that the other end, which may choose otherwise, is heard of in between.
    for (let before = 6; before > 3; before--) {
      host.pass(400)
      expect(host.connected).toHaveLength(before)
      for (let waited = 0; host.connected.length === before && waited < 5_000; waited += 10) host.pass(10)
      expect(host.connected).toHaveLength(before - 1)
    }
    expect(host.onlineOn(1)).toEqual(host.connected)
    host.pass(60 * minute)
    // Nothing else happens in an hour.
    expect([host.relays.kept.length, host.relays.left.length]).toEqual([6, 3])
    expect(path.carrier()).not.toBe(0)
    expect(host.relays.violations).toEqual([])
  })

  it("T10: relays that several peers share win: two peers who have three in common need no others", () => {
    const host = new TendedHost(peersOnly)
    host.meet(1, [1, 2, 3, 7, 8, 9])
    host.meet(2, [4, 5, 6, 7, 8, 9])
    host.pass(minute)
    expect(host.connected).toEqual([7, 8, 9])
    host.pass(10 * minute)
    expect(host.connected).toEqual([7, 8, 9])
  })

  it("T10: in 60 random worlds each peer keeps what it needs, with at most one relay more than the optimum in nine of ten", () => {
    const entropy = EntropySeeded.make(10)
    let close = 0
    for (let world = 0; world < 60; world++) {
      const host = new TendedHost(peersOnly)
      const peers = range(1 + Math.floor(entropy.fraction() * 12)).map((peer) => {
        const on = range(9).toSorted(() => entropy.fraction() - 0.5).slice(0, 1 + Math.floor(entropy.fraction() * 6))
        host.meet(peer, on)
        return on
      })
      host.pass(2 * minute)
      for (const [at, on] of peers.entries()) {
        expect(host.onlineOn(at + 1).length).toBeGreaterThanOrEqual(Math.min(3, on.length))
      }
      if (host.connected.length <= optimum(9, peers) + 1) close++
      // It has come to rest.
      const { kept, left } = host.relays
      const before = [kept.length, left.length]
      host.pass(10 * minute)
      expect([kept.length, left.length]).toEqual(before)
    }
    expect(close).toBeGreaterThanOrEqual(54)
  })

  it("T13: two peers on the same eight relays, both with other peers beside them: six ties at most, three relays each", () => {
    const host = new TendedHost(peersOnly)
    host.meet(1, range(8))
    host.meet(2, range(8))
    host.meet(3, [1, 2, 3, 4])
    host.meet(4, [5, 6, 7, 8])
    const check = () => {
      for (const peer of [1, 2, 3, 4]) {
        expect(host.slots(peer).length).toBeLessThanOrEqual(6)
        expect(host.onlineOn(peer).length).toBeGreaterThanOrEqual(3)
      }
    }
    check()
    for (let passed = 0; passed < 5 * minute; passed += 1_000) {
      host.pass(1_000)
      check()
    }
    expect(host.connected.length).toBeLessThanOrEqual(6)
  })

  it("T25: a relay on which our peer never appears is left after ten seconds when it has three others", () => {
    const host = new TendedHost(peersOnly)
    host.meet(1, [1, 2, 3], [1, 2, 3, 4])
    host.pass(9_999)
    expect(host.connected).toEqual([1, 2, 3, 4])
    host.pass(1)
    expect(host.connected).toEqual([1, 2, 3])
    // The tie is kept: if one of the three goes, it is tried again.
    host.whereabouts.set(1, new Set([1, 2, 4]))
    host.pass(2 * minute)
    expect(host.onlineOn(1)).toEqual([1, 2, 4])
  })

  it("T25: a relay that peers leave for good serves nobody and is left", () => {
    const host = new TendedHost(peersOnly)
    const { path } = host.meet(1, [1, 2])
    host.pass(minute)
    path.close()
    host.settle()
    expect(host.connected).toEqual([])
    host.pass(10 * minute)
    expect(host.relays.kept).toHaveLength(2)
  })

  it("T25: surplus is the only reason to leave a relay: one that is down is dialled on", () => {
    const host = new TendedHost(peersOnly)
    host.meet(1, [1, 2, 3])
    host.pass(minute)
    host.down.add(2)
    host.linkOf(2)!.lose()
    host.pass(60 * minute)
    expect(host.relays.left).toEqual([])
    expect(host.wanted).toEqual([1, 2, 3])
    host.down.clear()
    host.settle()
    expect(host.onlineOn(1)).toEqual([1, 2, 3])
  })

  it("T10, T21: the carrier is left for one that stays before its relay is left, once, however many are left", () => {
    const host = new TendedHost(peersOnly)
    // Tied in an order in which those that will be left come first.
    host.meet(1, [6, 5, 4, 3, 2, 1])
    expect(host.carrierOf(1)).toBe(relayAt(6).host)
    const before = host.log.length
    host.pass(minute)
    expect(host.connected).toEqual([1, 2, 3])
    const reports = host.log.slice(before)
    const moves = reports.filter((event) => event.startsWith("1 over"))
    expect(moves).toHaveLength(1)
    expect([1, 2, 3].map((n) => `1 over ${relayAt(n).host}`)).toContain(moves[0])
    expect(reports.indexOf(moves[0]!)).toBeLessThan(reports.indexOf(`${relayAt(6).host} down`))
  })

  it("T10: a relay that refuses us is replaced at once by another that the peer is tied to", () => {
    const host = new TendedHost(peersOnly)
    const { path } = host.meet(1, [1, 2, 3, 4])
    host.pass(2 * minute)
    expect(host.connected).toEqual([1, 2, 3])
    // It comes back with no room for us.
    host.refusing.add(3)
    host.linkOf(3)!.lose()
    host.settle()
    expect(host.onlineOn(1)).toEqual([1, 2, 4])
    // For a minute nobody asks it again, whoever names it.
    host.refusing.clear()
    path.tie(relayAt(3))
    host.pass(59_000)
    path.tie(relayAt(3))
    host.settle()
    expect(host.slots(1)).toHaveLength(3)
    host.pass(1_000)
    path.tie(relayAt(3))
    host.settle()
    expect(host.slots(1)).toHaveLength(4)
  })
})

describe("the relays by which we are reached", () => {
  it("T18, T19: three of our own stay connected without any peer, and no more", () => {
    const host = new TendedHost()
    host.own(...range(6))
    host.pass(60 * minute)
    expect(host.connected).toEqual([1, 2, 3])
  })

  it("T19, T18: one that goes down is replaced within ten seconds, and the substitute left when it is back", () => {
    const host = new TendedHost()
    host.own(...range(5))
    host.pass(minute)
    host.down.add(1)
    host.linkOf(1)!.lose()
    host.pass(10_000)
    expect(host.connected).toEqual([2, 3, 4])
    host.down.delete(1)
    host.settle()
    host.pass(minute)
    expect(host.connected).toHaveLength(3)
    expect(host.wanted).toHaveLength(3)
  })

  it("T19: however many are down, three are connected as soon as three of those we know work", () => {
    const host = new TendedHost()
    for (const n of range(5)) host.down.add(n)
    host.own(...range(8))
    host.pass(minute)
    expect(host.connected).toEqual([6, 7, 8])
    host.down.add(7)
    host.linkOf(7)!.lose()
    host.down.delete(4)
    host.pass(minute)
    expect(host.connected).toEqual([4, 6, 8])
  })

  it("T18: peers do not take them away: our own three are kept beside the relays of a peer", () => {
    const host = new TendedHost()
    host.own(7, 8, 9)
    host.meet(1, [1, 2, 3])
    host.pass(10 * minute)
    expect(host.connected).toEqual([1, 2, 3, 7, 8, 9])
  })

  it("T20: they are kept only while starting up, if so configured; relays of peers stay", () => {
    const host = new TendedHost({ minimumOnlyFor: 5 * minute })
    host.own(1, 2, 3, 4)
    host.meet(1, [5])
    host.pass(5 * minute - 1)
    // Looked at for another reason, just before it is time.
    host.table.setOnion(false)
    host.settle()
    expect(host.connected).toEqual([1, 2, 3, 5])
    host.pass(1)
    expect(host.connected).toEqual([5])
    // Nobody tops them up again, unless a peer comes to need them.
    host.pass(60 * minute)
    expect(host.connected).toEqual([5])
    host.meet(2, [1])
    expect(host.onlineOn(2)).toEqual([1])
  })

  it("C04: surplus relays are closed when nobody is online on them, but not an onion relay, nor within the announce time", () => {
    const host = new TendedHost()
    host.own(1, 2, 3)
    host.pass(minute)
    // Nobody is tied to them: they need no time for peers to appear.
    host.own(4, 5)
    expect(host.connected).toEqual([1, 2, 3])
    const { path } = host.meet(1, [], [14, 15])
    path.close()
    host.table.setOnion(true)
    host.pass(9_999)
    expect(host.connected).toEqual([1, 2, 3, 14, 15])
    host.pass(1)
    expect(host.connected).toEqual([1, 2, 3])
  })

  it("C04: a relay that carries our only way to a peer is no surplus", () => {
    const host = new TendedHost()
    host.own(1, 2, 3)
    host.meet(1, [4])
    host.pass(60 * minute)
    expect(host.connected).toEqual([1, 2, 3, 4])
    host.whereabouts.set(1, new Set())
    host.settle()
    expect(host.connected).toEqual([1, 2, 3, 4])
  })

  it("C05: with three relays online a new one is not even dialled, and with two it is", () => {
    const host = new TendedHost(peersOnly)
    const { path } = host.meet(1, [1, 2, 3, 4])
    host.pass(minute)
    expect(host.onlineOn(1)).toEqual([1, 2, 3])
    path.tie(relayAt(9))
    host.settle()
    expect(host.entryOf(9)).toBeUndefined()
    host.down.add(1)
    host.linkOf(1)!.lose()
    path.tie(relayAt(9))
    expect(host.entryOf(9)?.intent).toBe("up")
  })
})

describe("onion relays", () => {
  it("T15, T16: three are connected and flagged when wanted, none before, and none is left over afterwards", () => {
    const host = new TendedHost(peersOnly)
    host.own(...range(5))
    host.pass(minute)
    expect([host.connected, host.onion]).toEqual([[], []])
    host.table.setOnion(true)
    host.settle()
    expect([host.connected, host.onion]).toEqual([[1, 2, 3], [1, 2, 3]])
    host.pass(60 * minute)
    expect(host.connected).toEqual([1, 2, 3])
    host.table.setOnion(false)
    host.settle()
    expect([host.connected, host.onion]).toEqual([[], []])
  })

  it("T15: relays that are connected anyway are used first, and one that is lost is replaced", () => {
    const host = new TendedHost(peersOnly)
    host.own(...range(6))
    host.meet(1, [4, 5])
    host.pass(minute)
    host.table.setOnion(true)
    host.settle()
    expect(host.onion).toEqual([1, 4, 5])
    host.down.add(4)
    host.linkOf(4)!.lose()
    host.settle()
    expect(host.onion).toEqual([1, 5])
    host.pass(10_001)
    expect(host.onion).toHaveLength(3)
    expect(host.onion).not.toContain(4)
  })

  it("T17: with UDP no connected relay is one for onion packets", () => {
    const host = new TendedHost()
    host.own(1, 2, 3)
    host.table.setOnion(true)
    host.settle()
    expect(host.onion).toEqual([1, 2, 3])
    host.table.setOnion(false)
    host.settle()
    expect([host.connected, host.onion]).toEqual([[1, 2, 3], []])
    host.pass(60 * minute)
    expect(host.onion).toEqual([])
  })

  it("T15, C04: an onion relay is not closed as surplus", () => {
    const host = new TendedHost({ minimumRelays: 1, onionRelays: 5 })
    host.own(...range(6))
    host.table.setOnion(true)
    host.pass(60 * minute)
    expect(host.connected).toEqual([1, 2, 3, 4, 5])
  })

  it("C07: only as many sleeping relays are woken as are missing", () => {
    const host = new TendedHost(peersOnly)
    const { path } = host.meet(1, range(6))
    path.sleep()
    host.pass(minute)
    expect(host.connected).toEqual([])
    const [starts, left] = [host.relays.kept.length, host.relays.left.length]
    expect(left).toBe(6)
    host.meet(2, [7, 8])
    host.table.setOnion(true)
    host.settle()
    expect(host.connected).toHaveLength(3)
    expect(host.relays.kept.length - starts).toBe(3)
    expect(host.onion).toHaveLength(3)
    // One is enough: nobody wakes the rest later either.
    host.pass(60 * minute)
    expect(host.connected).toHaveLength(3)
  })
})
