/** What a peer says about relays, when it lies: long lists, wrong addresses, dead ends (reliability, "poisoned relay lists"). */
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import type { TableNumbers } from "../../../src/protocol/registry/TableHost.ts"
import { key, relayAt } from "../../utils/FakeLinks.ts"
import { TendedHost } from "../../utils/TendedHost.ts"

const minute = 60_000
const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i)
const list = (from: number, to: number) => range(from, to).map(relayAt)
const hostsOf = (...relays: ReadonlyArray<number>) => relays.map((n) => relayAt(n).host)

/** A host for which no relay with a number above 20 answers. */
const hostWith = (numbers: Partial<TableNumbers> = {}): TendedHost => {
  const host = new TendedHost(numbers)
  for (let n = 21; n <= 155; n++) host.down.add(n)
  return host
}

/** How many dials were begun to relays that do not answer. */
const deadDials = (host: TendedHost): number =>
  host.relays.kept.filter((name) => Number(/\d+/.exec(name)![0]) > 20).length

const known = (host: TendedHost): number => [...host.table.relays].length

/** Dials to these relays come to nothing at once, not only after ten seconds. */
const fail = (host: TendedHost): void => {
  for (const entry of [...host.table.relays]) {
    if (entry.intent === "up" && entry.link === undefined) host.table.dialFailed(entry.relay)
  }
  host.settle()
}

describe("relays that a peer tells of", () => {
  it("T06, T08: are tied to it and dialled, and carry its data when they are good", () => {
    const host = hostWith({ minimumRelays: 0 })
    host.meet(1, [1, 2, 3], [1])
    host.table.addPeerRelays(key(1), list(2, 3))
    host.settle()
    expect([host.onlineOn(1), host.table.refusedRelays]).toEqual([[1, 2, 3], 0])
    host.whereabouts.set(1, new Set([3]))
    host.settle()
    expect(host.carrierOf(1)).toBe(relayAt(3).host)
  })

  it("poisoned lists: private addresses are neither dialled nor known, unless they are allowed; each is counted", () => {
    const lan = { ...relayAt(1), host: "::ffff:192.168.0.1" }
    const outside = { ...relayAt(2), host: "8.8.8.8" }
    for (const allowPrivate of [false, true]) {
      const host = new TendedHost({ allowPrivate, minimumRelays: 0 })
      const { path } = host.open(1)
      host.table.addPeerRelays(key(1), [lan, outside, { ...relayAt(3), host: "0.0.0.0" }])
      host.table.tend()
      expect(host.relays.kept).toEqual(allowPrivate ? [lan.host, outside.host] : [outside.host])
      expect(host.table.refusedRelays).toBe(allowPrivate ? 1 : 2)
      // The user's own word is not judged.
      path.tie(lan)
      host.table.tend()
      expect(host.relays.kept).toContain(lan.host)
    }
  })

  it("poisoned lists: those of a peer without a path are refused", () => {
    const host = hostWith()
    host.table.addPeerRelays(key(9), list(1, 3))
    expect([known(host), host.table.refusedRelays]).toEqual([0, 3])
  })

  it("T12, poisoned lists: of hundreds six are known, and what works stays tied and carries on", () => {
    const host = hostWith()
    host.own(1, 2, 3)
    const { path } = host.meet(1, [1, 2], [1, 2])
    const carrier = path.carrier()
    for (let round = 0; round < 30; round++) {
      host.table.addPeerRelays(key(1), list(21, 155))
      if (round % 3 === 0) fail(host)
      host.pass(2_000)
      expect(host.slots(1).length).toBeLessThanOrEqual(6)
      expect(host.onlineOn(1)).toEqual([1, 2])
    }
    expect(path.carrier()).toBe(carrier)
    expect(host.connected).toEqual([1, 2, 3])
    // Those that failed are remembered for a minute, so that they are not dialled again because somebody tells of them again.
    host.pass(minute)
    expect(known(host)).toBeLessThanOrEqual(9)
  })

  it("T35, poisoned lists: the relays that the application named keep their ties while they are down", () => {
    const host = hostWith({ minimumRelays: 0 })
    host.meet(1, [1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6])
    for (const n of [2, 3, 4, 5, 6]) {
      host.down.add(n)
      host.linkOf(n)?.lose()
    }
    host.pass(minute)
    for (let round = 0; round < 20; round++) {
      host.table.addPeerRelays(key(1), list(21, 155))
      host.pass(11_000)
    }
    const tied = host.slots(1).map((slot) => slot.split(" ")[0]!)
    const given = tied.filter((name) => hostsOf(1, 2, 3, 4, 5, 6).includes(name))
    expect(given).toContain(relayAt(1).host)
    expect(given).toHaveLength(3)
    for (const n of range(1, 6)) host.down.delete(n)
    host.pass(minute)
    expect(host.onlineOn(1)).toHaveLength(3)
  })

  it("poisoned lists: what the application names takes the place of untried ones at once", () => {
    const host = hostWith({ minimumRelays: 0 })
    const { path } = host.meet(1, [1, 2], [])
    host.table.addPeerRelays(key(1), list(21, 26))
    host.settle()
    for (const n of [1, 2]) path.tie(relayAt(n))
    host.settle()
    expect([host.slots(1).length, host.onlineOn(1)]).toEqual([6, [1, 2]])
  })

  it("poisoned lists: a relay by which the peer calls finds a place among untried ones, though a peer told of it", () => {
    const host = hostWith({ minimumRelays: 0 })
    host.meet(2, [5], [])
    host.table.addPeerRelays(key(2), [relayAt(5)])
    host.settle()
    const { path } = host.meet(1, [5], [])
    host.table.addPeerRelays(key(1), list(21, 26))
    host.linkOf(5)!.receiveOob(1, 26)
    path.tie(host.oob[0]!.route.relay)
    host.settle()
    expect(host.onlineOn(1)).toEqual([5])
    // It is still only known because of a peer.
    expect(host.entryOf(5)?.isGiven).toBe(false)
  })
})

describe("the number of known relays", () => {
  it("poisoned lists: ten peers with long lists make it 64, and ours are among them", () => {
    const host = hostWith()
    host.own(1, 2, 3)
    for (const peer of range(1, 20)) host.meet(peer, [1], [1])
    for (const peer of range(1, 20)) host.table.addPeerRelays(key(peer), list(21 + 6 * peer, 26 + 6 * peer))
    host.settle()
    expect(known(host)).toBe(64)
    expect(host.connected).toEqual([1, 2, 3])
    expect(range(1, 20).every((peer) => host.onlineOn(peer).includes(1))).toBe(true)
    // What the application names comes in, and one that a peer told of goes; 64 is a setting.
    host.own(4)
    expect([known(host), host.entryOf(4)?.isHome]).toEqual([64, true])
    expect(hostWith({ maxKnownRelays: 6 }).table).toBeDefined()
  })

  it("poisoned lists: the application's own are never refused, however many, and no list has a place then", () => {
    const host = hostWith({ maxKnownRelays: 6 })
    host.own(...range(1, 9))
    host.meet(1, [1], [1])
    host.table.addPeerRelays(key(1), list(21, 23))
    expect([known(host), host.table.refusedRelays]).toEqual([9, 3])
  })

  /** Six known relays, of which 1 is the carrier of peer 1 and ours. */
  const full = () => {
    const host = hostWith({ maxKnownRelays: 6, minimumRelays: 0 })
    host.own(1)
    return host
  }
  const hosts = (host: TendedHost) => [...host.table.relays].map(({ relay }) => Number(/\d+/.exec(relay.host)![0]))

  it("poisoned lists: useless ones go first, then suspected, then sleeping ones, which give way to the application alone", () => {
    const host = full()
    // 2 sleeps with its peer, 3 is suspected by peer 1, 4 carries peer 3, 21 has failed: none of them is the application's.
    const sleeper = host.meet(2, [2], [])
    const first = host.meet(1, [1, 3], [1])
    host.meet(3, [4], [])
    host.table.addPeerRelays(key(2), [relayAt(2)])
    host.table.addPeerRelays(key(1), [relayAt(3)])
    host.table.addPeerRelays(key(3), [relayAt(4)])
    host.settle()
    host.table.addPeerRelays(key(3), [relayAt(21)])
    host.settle()
    host.pass(11_000)
    sleeper.path.sleep()
    host.pass(11_000)
    expect([host.onlineOn(1), host.onlineOn(3), host.connected]).toEqual([[1, 3], [4], [1, 3, 4]])
    const [standby] = first.path.standbys()
    for (let i = 0; i < 3; i++) first.path.judge(standby!, false)
    host.own(5)
    expect(hosts(host)).toEqual([1, 2, 3, 4, 21, 5])
    // A peer's word: the failed one goes, then the suspected one, then nothing more.
    host.table.addPeerRelays(key(3), [relayAt(22)])
    expect(hosts(host)).toEqual([1, 2, 3, 4, 5, 22])
    host.table.addPeerRelays(key(3), [relayAt(23)])
    expect(hosts(host)).toEqual([1, 2, 4, 5, 22, 23])
    const refused = host.table.refusedRelays
    host.table.addPeerRelays(key(3), [relayAt(24)])
    expect([hosts(host), host.table.refusedRelays]).toEqual([[1, 2, 4, 5, 22, 23], refused + 1])
    // The application's word: untried ones, then the sleeping one; what carries data stays, and it is one more then.
    for (const n of [6, 7, 8, 9]) host.table.addRelay(relayAt(n))
    expect(hosts(host)).toEqual([1, 4, 5, 6, 7, 8, 9])
    host.settle()
    expect([host.onlineOn(1), host.onlineOn(3), host.relays.violations]).toEqual([[1], [4], []])
  })

  it("poisoned lists: a suspected relay that is a peer's only one stays", () => {
    const host = hostWith({ maxKnownRelays: 6, minimumRelays: 0 })
    const { path } = host.meet(1, [1], [])
    host.table.addPeerRelays(key(1), [relayAt(1)])
    host.settle()
    for (let i = 0; i < 3; i++) path.judge(path.carrier(), false)
    host.own(...range(2, 6))
    host.own(7)
    expect([host.onlineOn(1), known(host)]).toEqual([[1], 7])
  })

  it("T25: a useless relay that is forgotten while it is connected is left as well", () => {
    const host = hostWith({ maxKnownRelays: 6, minimumRelays: 0 })
    const { path } = host.meet(1, [1], [])
    host.table.addPeerRelays(key(1), [relayAt(1)])
    host.settle()
    const link = host.linkOf(1)!
    expect(host.onlineOn(1)).toEqual([1])
    path.close()
    // Before the table has been tended.
    for (const n of range(2, 7)) host.table.addRelay(relayAt(n))
    expect([host.entryOf(1), link.isLost, host.relays.left]).toEqual([undefined, true, hostsOf(1)])
    host.settle()
    expect([known(host), host.relays.violations]).toEqual([6, []])
  })

  it("T10: all are forgotten when their peers are gone", () => {
    const host = hostWith({ minimumRelays: 0 })
    const peers = range(1, 8).map((peer) => host.meet(peer, [peer], []))
    for (const peer of range(1, 8)) {
      host.table.addPeerRelays(key(peer), [relayAt(peer), ...list(21 + 2 * peer, 22 + 2 * peer)])
    }
    host.pass(minute)
    expect(range(1, 8).every((peer) => host.onlineOn(peer).length === 1)).toBe(true)
    for (const { path } of peers) path.close()
    host.pass(3 * minute)
    expect([known(host), host.connected, host.relays.violations]).toEqual([0, [], []])
  })
})

describe("the dial budget", () => {
  it("poisoned lists: so many first dials at a time, and so many in any minute, whatever is told and however fast they fail", () => {
    for (const failsAtOnce of [true, false]) {
      const host = hostWith({ trialsAtOnce: 2, trialsPerMinute: 5, minimumRelays: 0 })
      for (const peer of range(1, 10)) host.meet(peer, [], [])
      const begun: Array<number> = []
      let most = 0
      for (let step = 0; step < 600; step++) {
        for (const peer of range(1, 10)) host.table.addPeerRelays(key(peer), list(21 + 10 * peer, 30 + 10 * peer))
        const before = deadDials(host)
        host.pass(500)
        for (let n = before; n < deadDials(host); n++) begun.push(host.now)
        most = Math.max(most, host.wanted.length)
        most = Math.max(most, [...host.table.relays].filter(({ intent }) => intent === "up").length)
        if (failsAtOnce) fail(host)
      }
      expect(most).toBe(2)
      const inWindow = begun.map((at) => begun.filter((other) => other >= at && other < at + minute - 500).length)
      expect(Math.max(...inWindow)).toBe(5)
      // It is a limit, not a stop: five minutes, five each.
      expect(begun.length).toBeGreaterThanOrEqual(20)
    }
  })

  it("poisoned lists: what the application names is dialled at once, with the budget spent", () => {
    const host = hostWith({ trialsAtOnce: 1, trialsPerMinute: 1, minimumRelays: 0 })
    const { path } = host.meet(1, [1, 2], [])
    host.table.addPeerRelays(key(1), list(21, 23))
    host.settle()
    expect(deadDials(host)).toBe(1)
    for (const n of [1, 2]) path.tie(relayAt(n))
    host.settle()
    expect(host.connected).toEqual([1, 2])
    expect(deadDials(host)).toBe(1)
  })

  it("poisoned lists: a first dial has ten seconds, and a relay that failed is not tried again for a minute", () => {
    const host = hostWith({ minimumRelays: 0 })
    host.meet(1, [], [])
    host.table.addPeerRelays(key(1), [relayAt(21)])
    host.settle()
    host.pass(9_999)
    expect(host.relays.left).toEqual([])
    host.pass(1)
    expect(host.relays.left).toEqual([relayAt(21).host])
    for (let waited = 0; waited < 5; waited++) {
      host.table.addPeerRelays(key(1), [relayAt(21)])
      host.pass(minute / 5 - 1)
    }
    expect(deadDials(host)).toBe(1)
    host.pass(5)
    expect(deadDials(host)).toBe(2)
  })

  it("poisoned lists: one that failed and lost its tie to others is not dialled because it is told again", () => {
    const host = hostWith({ trialsAtOnce: 20, trialsPerMinute: 100, minimumRelays: 0 })
    host.meet(1, [], [])
    for (const from of [21, 27, 21]) {
      host.table.addPeerRelays(key(1), list(from, from + 5))
      host.settle()
      fail(host)
    }
    expect(deadDials(host)).toBe(12)
    host.pass(minute)
    expect(deadDials(host)).toBeGreaterThan(12)
  })

  it("T10, poisoned lists: a known relay is not kept waiting because others, of which nothing is known, are being tried", () => {
    const host = hostWith({ minimumRelays: 0 })
    const { path } = host.meet(1, [1, 2, 3, 4])
    host.pass(2 * minute)
    const idle = [1, 2, 3, 4].find((n) => !host.connected.includes(n))!
    const [, ...dead] = host.connected
    for (const n of dead) {
      host.down.add(n)
      host.linkOf(n)!.lose()
    }
    host.now += 9_999
    host.settle()
    expect(host.connected).not.toContain(idle)
    host.table.addPeerRelays(key(1), list(21, 22))
    host.pass(1)
    expect([host.onlineOn(1), path.carrier() > 0]).toEqual([[host.connected[0]!, idle].toSorted((a, b) => a - b), true])
  })

  it("poisoned lists: once it has been connected, a relay is kept like any other", () => {
    const host = hostWith({ trialsAtOnce: 1, minimumRelays: 0 })
    host.meet(1, [1], [])
    host.table.addPeerRelays(key(1), [relayAt(1)])
    host.settle()
    host.down.add(1)
    host.linkOf(1)!.lose()
    host.pass(9_000)
    // The client dials again by itself, so nobody has to start it; a failed dial does not end that.
    host.table.dialFailed(host.entryOf(1)!.relay)
    host.pass(minute)
    expect([host.wanted, host.relays.left]).toEqual([[1], []])
    host.down.delete(1)
    host.settle()
    expect(host.onlineOn(1)).toEqual([1])
  })

  it("poisoned lists: whoever tells of many waits for them itself: the turn goes round the peers", () => {
    const host = hostWith({ trialsAtOnce: 1, trialsPerMinute: 4, minimumRelays: 0 })
    host.meet(1, [], [])
    host.meet(2, [1], [])
    host.table.addPeerRelays(key(1), list(21, 26))
    host.table.addPeerRelays(key(2), [relayAt(1)])
    host.settle()
    fail(host)
    expect([deadDials(host), host.onlineOn(2)]).toEqual([2, [1]])
  })

  it("T25, poisoned lists: nobody is dialled for a peer that is online on enough, or that sleeps", () => {
    const host = hostWith({ trialsAtOnce: 1, minimumRelays: 0 })
    const { path } = host.meet(1, [1, 2, 3], [])
    host.table.addPeerRelays(key(1), list(21, 22))
    for (const n of [1, 2, 3]) path.tie(relayAt(n))
    host.pass(2 * minute)
    expect([host.onlineOn(1), deadDials(host)]).toEqual([[1, 2, 3], 1])
    const other = host.meet(2, [], [])
    other.path.sleep()
    host.table.addPeerRelays(key(2), list(23, 24))
    host.pass(2 * minute)
    expect(deadDials(host)).toBe(1)
    other.path.wake()
    host.settle()
    expect(deadDials(host)).toBe(2)
  })

  it("T19, poisoned lists: what may be no relay stands in neither for our own nor for known ones", () => {
    const host = hostWith()
    host.own(1)
    host.meet(1, [], [])
    host.table.addPeerRelays(key(1), list(21, 26))
    host.settle()
    host.own(2, 3)
    expect(host.connected).toEqual([1, 2, 3])
    // One of ours that is idle is started although first dials are under way.
    host.own(4)
    host.pass(minute)
    const left = [1, 2, 3, 4].find((n) => !host.connected.includes(n))!
    host.table.addPeerRelays(key(1), list(30, 35))
    host.settle()
    const [gone] = host.connected
    host.down.add(gone!)
    host.linkOf(gone!)!.lose()
    host.pass(10_001)
    expect(host.connected).toContain(left)
  })

  it("C08, poisoned lists: under any lists, failures and sleep the limits hold and peers stay on what works", () => {
    const step = fc.record({
      act: fc.constantFrom("list", "list", "list", "fail", "pass", "sleep", "wake", "drop"),
      peer: fc.integer({ min: 1, max: 3 }),
      from: fc.integer({ min: 21, max: 140 }),
      many: fc.integer({ min: 1, max: 15 })
    })
    fc.assert(
      fc.property(fc.array(step, { minLength: 20, maxLength: 60 }), (steps) => {
        const host = hostWith({ maxKnownRelays: 12, trialsAtOnce: 3, trialsPerMinute: 6 })
        host.own(1, 2, 3)
        const peers = [1, 2, 3].map((peer) => host.meet(peer, [peer, 4], [peer]))
        for (const { act, from, many, peer } of steps) {
          if (act === "list") host.table.addPeerRelays(key(peer), [...list(from, from + many), relayAt(4)])
          else if (act === "fail") fail(host)
          else if (act === "pass") host.pass(from * 100)
          else if (act === "sleep") peers[peer - 1]!.path.sleep()
          else if (act === "wake") peers[peer - 1]!.path.wake()
          else host.linkOf(peer)?.lose()
          host.settle()
          expect(known(host)).toBeLessThanOrEqual(12)
          const trials = [...host.table.relays].filter(({ intent, isGiven, isProven }) =>
            intent === "up" && !isGiven && !isProven
          )
          expect(trials.length).toBeLessThanOrEqual(3)
          for (const n of [1, 2, 3]) {
            expect(host.slots(n).length).toBeLessThanOrEqual(6)
            expect(host.entryOf(n)?.isHome).toBe(true)
            if (!peers[n - 1]!.path.isAsleep) expect(host.onlineOn(n)).toContain(n)
          }
        }
        expect(deadDials(host)).toBeLessThanOrEqual(6 * (1 + Math.ceil(host.now / minute)))
        expect(host.relays.violations).toEqual([])
      }),
      { numRuns: 60 }
    )
  })
})
