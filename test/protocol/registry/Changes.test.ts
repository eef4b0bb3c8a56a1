/** What is known by a key and changes: the address of a relay, and the DHT key of a peer. */
import { describe, expect, it } from "vitest"
import { key, relayAt } from "../../utils/FakeLinks.ts"
import { TendedHost } from "../../utils/TendedHost.ts"

const minute = 60_000
const elsewhere = (n: number, host = "elsewhere.test") => ({ ...relayAt(n), host })
const hosts = (host: TendedHost) => [...host.table.relays].map(({ relay }) => relay.host)

/** A peer on relay 1, which is then lost and answers at its old address no more. */
const lost = () => {
  const host = new TendedHost({ minimumRelays: 0 })
  const peer = host.meet(1, [1, 2])
  host.down.add(1)
  host.relays.links.find(({ relay }) => relay.host === relayAt(1).host)!.lose()
  host.settle()
  return { host, peer }
}

describe("a relay that has moved", () => {
  it("T35, T36: is dialled at the other address when a dial at the first fails; its ties, and the peers on it, are kept", () => {
    const { host, peer } = lost()
    host.table.addRelay(elsewhere(1))
    // It is not known yet that it has gone.
    expect([hosts(host), host.relays.left]).toEqual([[relayAt(1).host, relayAt(2).host], []])
    host.table.dialFailed(host.entryOf(1)!.relay)
    expect(host.relays.left).toEqual([relayAt(1).host])
    expect(host.relays.kept.at(-1)).toBe("elsewhere.test")
    host.down.delete(1)
    const events = confirmElsewhere(host)
    expect(host.slots(1)).toEqual(["elsewhere.test online", `${relayAt(2).host} online`])
    expect([events.requests, host.relays.violations]).toEqual([[1], []])
    // The way that packets come by names the new address, and is followed.
    peer.path.heard([...host.table.relays][1]!.slots.values().next().value!.route)
    peer.path.heard([...host.table.relays][0]!.slots.values().next().value!.route)
    expect(host.carrierOf(1)).toBe("elsewhere.test")
  })

  it("keeps the address that works, and one that a peer tells of changes nothing", () => {
    const host = new TendedHost({ minimumRelays: 0 })
    const { path } = host.meet(1, [1])
    path.tie(elsewhere(1))
    host.table.addPeerRelays(key(1), [elsewhere(1, "8.8.8.8")])
    host.pass(minute)
    expect([hosts(host), host.connected, host.relays.left]).toEqual([[relayAt(1).host], [1], []])
    host.down.add(1)
    host.linkOf(1)!.lose()
    host.table.dialFailed(host.entryOf(1)!.relay)
    expect(hosts(host)).toEqual(["elsewhere.test"])
    host.pass(minute)
    host.table.dialFailed([...host.table.relays][0]!.relay)
    expect(hosts(host)).toEqual([relayAt(1).host])
  })

  it("is tried at both addresses in turns, and not in a spin", () => {
    const { host } = lost()
    host.table.addRelay(elsewhere(1))
    const begun = host.relays.kept.length
    for (let step = 0; step < 200; step++) {
      host.table.dialFailed([...host.table.relays][0]!.relay)
      host.pass(100)
    }
    const seen = host.relays.kept.slice(begun)
    expect(seen).toEqual(["elsewhere.test", relayAt(1).host, "elsewhere.test", relayAt(1).host])
  })

  it("what is reported of a dial that has been given up, or of one that led somewhere, changes nothing", () => {
    const { host } = lost()
    host.table.addRelay(elsewhere(1))
    const old = host.entryOf(1)!.relay
    host.table.dialFailed({ ...old })
    host.table.dialFailed(relayAt(9))
    host.table.dialFailed(host.entryOf(2)!.relay)
    expect([hosts(host), host.relays.left]).toEqual([[relayAt(1).host, relayAt(2).host], []])
    host.table.dialFailed(old)
    host.now += 10_000
    host.table.dialFailed(old)
    expect(hosts(host)[0]).toBe("elsewhere.test")
  })

  it("poisoned lists: the application's word replaces a peer's at once, also while that is being tried", () => {
    for (const isTried of [false, true]) {
      const host = new TendedHost({ minimumRelays: 0 })
      host.down.add(1)
      const { path } = host.meet(1, [], [])
      host.table.addPeerRelays(key(1), [elsewhere(1, "wrong.test")])
      if (isTried) host.table.tend()
      path.tie(relayAt(1))
      expect(host.relays.kept).toEqual(isTried ? ["wrong.test", relayAt(1).host] : [relayAt(1).host])
      expect(host.relays.left).toEqual(isTried ? ["wrong.test"] : [])
      expect(host.slots(1)).toEqual([`${relayAt(1).host} none`])
      // It is no trial any more: it is not given up after ten seconds.
      host.pass(minute)
      expect(host.wanted).toEqual([1])
    }
  })

  it("poisoned lists: the same address from the application makes a relay one of its own, tried or not", () => {
    const host = new TendedHost({ minimumRelays: 0, trialsAtOnce: 1 })
    for (const n of [1, 2]) host.down.add(n)
    const { path } = host.meet(1, [], [])
    host.table.addPeerRelays(key(1), [relayAt(1), relayAt(2)])
    host.settle()
    expect(host.wanted).toEqual([1])
    for (const n of [1, 2]) path.tie(relayAt(n))
    expect(host.relays.kept).toEqual([relayAt(1).host, relayAt(2).host])
    host.pass(minute)
    expect(host.wanted).toEqual([1, 2])
  })

  it("poisoned lists: a wrong address told first does not keep a right one away: it is the next to be tried", () => {
    const host = new TendedHost({ minimumRelays: 0 })
    host.meet(1, [], [])
    host.meet(2, [], [])
    host.table.addPeerRelays(key(1), [elsewhere(1, "wrong.test")])
    host.table.tend()
    host.table.addPeerRelays(key(2), [relayAt(1)])
    host.table.dialFailed([...host.table.relays][0]!.relay)
    host.pass(minute)
    expect(host.relays.kept).toEqual(["wrong.test", relayAt(1).host])
  })
})

describe("a peer that has another DHT key", () => {
  it("T06, T36: the relays of the old key serve the new one, online ones first, and the old path leaves nothing behind", () => {
    const host = new TendedHost({ minimumRelays: 0 })
    const old = host.meet(1, [4, 5, 6], [1, 2, 3, 4, 5, 6])
    host.whereabouts.set(2, new Set([4, 5]))
    const fresh = host.table.openPeer(
      key(2),
      { onPacket: () => {}, onCarrierChange: () => {}, onWritable: () => {} },
      key(1)
    )
    host.settle()
    expect(host.slots(2)).toEqual(hostsOnline(4, 5).concat(`${relayAt(6).host} registered`))
    // There is room for the relay by which the peer called.
    fresh.tie(relayAt(7))
    expect(host.slots(2)).toHaveLength(4)
    expect(host.onlineOn(1)).toEqual([4, 5, 6])
    old.path.close()
    host.settle()
    expect([host.slots(1), host.onlineOn(2)]).toEqual([[], [4, 5]])
    const held = [4, 5, 6].map((n) => [...host.linkOf(n)!.ids.values()].map(({ peer }) => peer.slice(0, 2)))
    expect(held).toEqual([["02"], ["02"], ["02"]])
    expect(host.log.filter((event) => event.startsWith("1 on"))).toHaveLength(3)
    expect(host.log.filter((event) => event.startsWith("1 off"))).toHaveLength(3)
    expect(host.relays.violations).toEqual([])
    fresh.close()
    host.pass(2 * minute)
    expect([[...host.table.relays].length, host.connected]).toEqual([0, []])
  })

  it("an old key that nobody knows, and a new one that falls through, change nothing", () => {
    const host = new TendedHost({ minimumRelays: 0 })
    host.meet(1, [1])
    const events = { onPacket: () => {}, onCarrierChange: () => {}, onWritable: () => {} }
    host.table.openPeer(key(3), events, key(9)).close()
    const fallen = host.table.openPeer(key(2), events, key(1))
    host.settle()
    fallen.close()
    host.settle()
    expect([host.slots(1), host.slots(2), host.slots(3)]).toEqual([hostsOnline(1), [], []])
    expect([[...host.linkOf(1)!.ids.values()].length, host.relays.violations]).toEqual([1, []])
  })

  it("poisoned lists: what was only a peer's word under the old key is no more under the new one", () => {
    const host = new TendedHost({ minimumRelays: 0 })
    host.down.add(1)
    host.meet(1, [], [])
    host.table.addPeerRelays(key(1), [relayAt(1)])
    host.table.openPeer(key(2), { onPacket: () => {}, onCarrierChange: () => {}, onWritable: () => {} }, key(1))
    expect([host.slots(2).length, host.entryOf(1)?.isGiven]).toEqual([1, false])
  })
})

const hostsOnline = (...relays: ReadonlyArray<number>) => relays.map((n) => `${relayAt(n).host} online`)

/** The relay at the other address confirms and brings the peer. */
const confirmElsewhere = (host: TendedHost) => {
  const link = host.relays.confirmAt(elsewhere(1))
  link.bring(1)
  return link
}
