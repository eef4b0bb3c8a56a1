/** Relays that connect, answer and still do not deliver: avoided, replaced, tried again, and never for nothing. */
import { describe, expect, it } from "vitest"
import { frame, relayAt } from "../../utils/FakeLinks.ts"
import { TendedHost } from "../../utils/TendedHost.ts"

const minute = 60_000
const peersOnly = { minimumRelays: 0 }
const hostsOf = (...relays: ReadonlyArray<number>) => relays.map((n) => relayAt(n).host)

/** A peer on six relays, of which the plan has kept three: 1, 2 and 3. */
const settled = () => {
  const host = new TendedHost(peersOnly)
  const opened = host.meet(1, [1, 2, 3, 4, 5, 6])
  host.pass(2 * minute)
  expect([host.connected, host.carrierOf(1)]).toEqual([[1, 2, 3], relayAt(1).host])
  return { host, ...opened }
}

describe("a relay that does not deliver", () => {
  it("T33: is left at once, and a relay that was idle takes its place: three trusted ones again", () => {
    const { host, path } = settled()
    expect(path.moveOn()).toBe(true)
    expect(host.carrierOf(1)).toBe(relayAt(2).host)
    host.settle()
    // Make before break: it is closed only after the substitute has had its time.
    expect(host.onlineOn(1)).toEqual([1, 2, 3, 4])
    host.pass(minute / 2 - 1_000)
    expect(host.onlineOn(1)).toEqual([2, 3, 4])
  })

  it("T33: the connected relays never fall below the desired number, whatever net_crypto accuses", () => {
    const { host, path } = settled()
    for (let turn = 0; turn < 600; turn++) {
      if (turn % 3 === 0) path.moveOn()
      for (const carrier of path.standbys()) if (turn % 5 === 0) path.judge(carrier, false)
      host.pass(1_000)
      expect(host.onlineOn(1).length).toBeGreaterThanOrEqual(3)
      expect(path.carrier()).not.toBe(0)
    }
    // All are bad alike: that is no reason to dial up and down.
    expect(host.relays.kept.length).toBeLessThan(40)
  })

  it("T33: with all connected ones bad the idle ones are tried, and the good one is found and kept", () => {
    const { host, path } = settled()
    for (let turn = 0; turn < 90; turn++) {
      // Only relay 6 delivers.
      if (host.carrierOf(1) !== relayAt(6).host) path.moveOn()
      host.pass(1_000)
    }
    expect(host.carrierOf(1)).toBe(relayAt(6).host)
    const moves = host.log.filter((event) => event.startsWith("1 over")).length
    for (let turn = 0; turn < 600; turn++) host.pass(1_000)
    expect(host.carrierOf(1)).toBe(relayAt(6).host)
    expect(host.log.filter((event) => event.startsWith("1 over")).length).toBe(moves)
  })

  it("T33: it does not stay in the place of a trusted one because another peer needs it", () => {
    const host = new TendedHost(peersOnly)
    const { path } = host.meet(1, [1, 2, 3, 4])
    host.meet(2, [1])
    path.moveOn()
    host.pass(25_000)
    expect(host.connected).toEqual([1, 2, 3, 4])
    host.pass(60 * minute)
    // Trusted again, it is the one that both share.
    expect(host.connected).toHaveLength(3)
  })

  it("T33: in quarantine it is nobody's choice while another is there, and afterwards it is one again", () => {
    const host = new TendedHost(peersOnly)
    const { path } = host.meet(1, [1, 2, 3])
    host.pass(minute)
    path.moveOn()
    expect(host.carrierOf(1)).toBe(relayAt(2).host)
    // The next move, and the loss of a carrier, avoid it.
    path.moveOn()
    expect(host.carrierOf(1)).toBe(relayAt(3).host)
    host.pass(10_000)
    host.down.add(3)
    host.linkOf(3)!.lose()
    expect(hostsOf(1, 2)).toContain(host.carrierOf(1))
    host.pass(5 * minute)
    for (const n of [1, 2]) {
      const [slot] = host.entryOf(n)!.slots
      expect(slot!.suspicion.isQuarantined(host.now)).toBe(false)
    }
  })

  it("T33: a trusted relay that comes online takes over from one in quarantine, and from no other", () => {
    const host = new TendedHost(peersOnly)
    const { path } = host.meet(1, [1], [1, 2])
    expect(path.moveOn()).toBe(false)
    expect(host.carrierOf(1)).toBe(relayAt(1).host)
    host.whereabouts.get(1)!.add(2)
    host.settle()
    expect(host.carrierOf(1)).toBe(relayAt(2).host)
    path.tie(relayAt(3))
    host.whereabouts.get(1)!.add(3)
    host.settle()
    expect(host.onlineOn(1)).toEqual([1, 2, 3])
    expect(host.carrierOf(1)).toBe(relayAt(2).host)
  })

  it("T33: what one peer suffers by a relay is not held against it by another", () => {
    const host = new TendedHost(peersOnly)
    const first = host.meet(1, [1, 2, 3])
    const second = host.meet(2, [1, 2, 3])
    host.pass(minute)
    for (let i = 0; i < 4; i++) first.path.moveOn()
    host.pass(minute)
    expect([second.log.filter((event) => event.startsWith("carrier")), host.onlineOn(2)])
      .toEqual([["carrier 0 lost"], [1, 2, 3]])
  })

  it("T33: a standby that is judged is suspected or cleared, one that is gone is not, and a preferred one carries", () => {
    const host = new TendedHost(peersOnly)
    const { path } = host.meet(1, [1, 2, 3])
    const [two, three] = path.standbys()
    path.judge(two!, false)
    expect(path.standbys()).toEqual([three, two])
    path.judge(three!, false)
    expect(path.standbys()).toEqual([two, three])
    path.judge(three!, true)
    expect(path.standbys()).toEqual([three, two])
    for (let i = 0; i < 4; i++) path.judge(two!, true)
    path.judge(999, false)
    path.prefer(999)
    expect(host.carrierOf(1)).toBe(relayAt(1).host)
    path.prefer(three!)
    expect(host.carrierOf(1)).toBe(relayAt(3).host)
    const before = host.log.length
    path.prefer(path.carrier())
    expect(host.log.length).toBe(before)
    // A probe goes by the relay that it is for, whoever carries.
    const data = host.linkOf(2)!.data.length
    expect(path.sendVia(two!, frame(24), 2)).toBe(true)
    expect(host.linkOf(2)!.data.length).toBe(data + 1)
    host.linkOf(2)!.lose()
    expect(path.sendVia(two!, frame(24), 2)).toBe(false)
  })
})

describe("relays that are gone", () => {
  it("T03: when all connected relays die at once, those that were idle are dialled at once", () => {
    const { host, path } = settled()
    for (const n of [1, 2, 3]) {
      host.down.add(n)
      host.linkOf(n)!.lose()
    }
    expect(path.carrier()).toBe(0)
    host.settle()
    expect(host.onlineOn(1)).toEqual([4, 5, 6])
    expect(path.send(frame(1), 2, false)).toBe("sent")
  })

  it("T25: a relay that was left a moment ago is dialled at once when the peer is nowhere else any more", () => {
    const host = new TendedHost(peersOnly)
    host.meet(1, [1, 2, 3, 4])
    for (let waited = 0; host.connected.length > 3 && waited < minute; waited += 100) host.pass(100)
    expect(host.connected).toEqual([1, 2, 3])
    // The other end has left the other three at the same moment.
    host.whereabouts.set(1, new Set([4]))
    host.settle()
    expect(host.onlineOn(1)).toEqual([4])
  })

  it("T12: a relay that has been away for long gives its tie to a new one, one that is away since just now does not", () => {
    const host = new TendedHost(peersOnly)
    for (const n of [1, 2, 3, 4, 5, 6]) host.down.add(n)
    const { path } = host.meet(1, [7], [1, 2, 3, 4, 5, 6])
    host.pass(9_999)
    path.tie(relayAt(7))
    expect(host.entryOf(7)).toBeUndefined()
    host.pass(1)
    path.tie(relayAt(7))
    host.settle()
    expect([host.slots(1).length, host.onlineOn(1)]).toEqual([6, [7]])
  })

  it("T12: a tie that works, or on which the peer may still come, is never given away", () => {
    const host = new TendedHost(peersOnly)
    const { path } = host.meet(1, [1], [1, 2, 3, 4, 5, 6])
    host.pass(minute)
    host.down.add(9)
    path.tie(relayAt(9))
    host.pass(minute)
    expect(host.slots(1)).toContain(`${relayAt(1).host} online`)
    expect(host.slots(1).length).toBeLessThanOrEqual(6)
  })

  it("T12, T28: relays that we left ourselves, idle or asleep, keep their ties", () => {
    const { host, path } = settled()
    host.own(7)
    path.tie(relayAt(7))
    expect(host.slots(1)).toHaveLength(6)
    path.sleep()
    host.pass(minute)
    path.tie(relayAt(7))
    path.tie(relayAt(8))
    expect(host.slots(1).map((slot) => slot.split(" ")[0])).toEqual(hostsOf(1, 2, 3, 4, 5, 6))
  })

  it("T25: a relay that does not answer is given up once nobody awake wants it, and dialled again when somebody does", () => {
    const host = new TendedHost(peersOnly)
    host.down.add(1)
    const { path } = host.meet(1, [1])
    host.pass(10 * minute)
    expect(host.wanted).toEqual([1])
    path.sleep()
    host.pass(minute)
    expect(host.wanted).toEqual([])
    path.wake()
    host.settle()
    expect(host.wanted).toEqual([1])
    host.pass(minute)
    path.close()
    host.pass(minute)
    expect(host.wanted).toEqual([])
    // Our own are dialled for ever.
    host.own(1)
    host.pass(60 * minute)
    expect(host.wanted).toEqual([1])
  })

  it("T09: relays that nobody uses any more are forgotten, our own are not", () => {
    const host = new TendedHost(peersOnly)
    host.own(50)
    for (let peer = 1; peer <= 20; peer++) {
      const relays = [2 * peer, 2 * peer + 1]
      if (peer % 2 === 0) host.down.add(relays[0]!)
      const { path } = host.meet(peer, relays)
      host.pass(minute)
      path.close()
      host.pass(2 * minute)
    }
    expect([...host.table.relays].length).toBeLessThanOrEqual(3)
    expect(host.entryOf(50)).toBeDefined()
    expect(host.connected).toEqual([])
  })

  it("C09: refused everywhere, a peer is asked for again only after a minute", () => {
    const host = new TendedHost(peersOnly)
    for (const n of [1, 2]) host.refusing.add(n)
    const { path } = host.meet(1, [1, 2])
    expect(host.slots(1)).toEqual([])
    const asked = () => host.relays.links.reduce((sum, { requests }) => sum + requests.length, 0)
    for (let i = 0; i < 59; i++) {
      for (const n of [1, 2]) path.tie(relayAt(n))
      host.pass(1_000)
    }
    expect(asked()).toBe(2)
    host.refusing.clear()
    host.pass(1_000)
    for (const n of [1, 2]) path.tie(relayAt(n))
    host.settle()
    expect(host.onlineOn(1)).toEqual([1, 2])
  })
})
