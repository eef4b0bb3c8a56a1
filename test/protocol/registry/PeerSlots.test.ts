/** How one packet is sent: the relay that carries, the next one, or out of band; and when the carrier changes. */
import { describe, expect, it } from "vitest"
import { FakeHost, type FakeLink, frame, relayAt } from "../../utils/FakeLinks.ts"

const sentBy = (links: ReadonlyArray<FakeLink>): ReadonlyArray<number> => links.map((link) => link.data.length)

/** A peer that is registered on these relays and online on none. */
const registeredOn = (host: FakeHost, n: number, ...on: ReadonlyArray<number>) => {
  const { log, path } = host.open(n)
  const links = on.map((relay) => {
    path.tie(relayAt(relay))
    const link = host.relays.confirm(relay)
    link.grant(n)
    return link
  })
  return { log, path, links }
}

describe("PeerSlots: the carrier", () => {
  it("T21: the first relay on which the peer is online carries everything, also when others follow", () => {
    const host = new FakeHost()
    const { links, log, path } = host.openOn(1, 2, 1, 3)
    for (let i = 0; i < 100; i++) expect(path.send(frame(i), 2, i % 2 === 0)).toBe("sent")
    expect(sentBy(links)).toEqual([100, 0, 0])
    expect(links[0]!.data[7]).toEqual({ id: 16, bytes: [7], urgent: false })
    expect(links[0]!.data[8]!.urgent).toBe(true)
    expect(log.filter((event) => event.startsWith("carrier"))).toEqual(["carrier 0 lost"])
    expect(host.entryOf(2)!.sentBytes).toBe(100)
    expect(host.entryOf(1)!.sentBytes).toBe(0)
  })

  it("T22: no chance is involved: the same events give the same relay, and another only when something happened", () => {
    const run = () => {
      const host = new FakeHost()
      const { links, path } = host.openOn(1, 1, 2, 3)
      const carriers: Array<number> = []
      for (let i = 0; i < 50; i++) {
        path.send(frame(i), 2, false)
        carriers.push(path.carrier())
        if (i === 20) path.moveOn()
      }
      return { carriers, sent: sentBy(links) }
    }
    const { carriers, sent } = run()
    expect(sent).toEqual([21, 29, 0])
    expect(new Set(carriers).size).toBe(2)
    for (let i = 0; i < 5; i++) expect(run()).toEqual({ carriers, sent })
  })

  it("T21: the number of a carrier is never used again, and 0 means none", () => {
    const host = new FakeHost()
    const { links: [link], path } = host.openOn(1, 1)
    const seen = new Set([path.carrier()])
    for (let i = 0; i < 5; i++) {
      link!.offline(16)
      expect(path.carrier()).toBe(0)
      link!.online(16)
      seen.add(path.carrier())
    }
    expect(seen.size).toBe(6)
    expect(seen.has(0)).toBe(false)
  })

  it("T37: an online peer gets data with the connection id of the relay that carries", () => {
    const host = new FakeHost()
    host.openOn(2, 1)
    host.openOn(3, 2)
    host.openOn(4, 2)
    const { links, log, path } = host.openOn(1, 1, 2)
    path.send(frame(1, 2, 3), 4, false)
    // What comes with that id is the peer's, what comes with another is not.
    links[0]!.receive(16, 7)
    links[0]!.receive(17, 8)
    links[1]!.receive(18, 9)
    expect(log.filter((event) => event.startsWith("packet"))).toEqual([
      "packet 8 by relay-1.test",
      "packet 9 by relay-2.test"
    ])
    links[0]!.lose()
    path.send(frame(4, 5), 2, true)
    expect(links[0]!.data).toEqual([{ id: 17, bytes: [1, 2, 3], urgent: false }])
    expect(links[1]!.data).toEqual([{ id: 18, bytes: [4], urgent: true }])
    expect([links[0]!.oob, links[1]!.oob]).toEqual([[], []])
  })

  it("T40: whatever the relays do, it is one connection: one carrier, one room, and reports of its own", () => {
    const host = new FakeHost()
    const { links: [first, second], log, path } = host.openOn(1, 1, 2)
    first!.roomBytes = 111
    second!.roomBytes = 222
    const carrier = path.carrier()
    expect(path.room()).toBe(111)
    log.length = 0
    second!.writable()
    expect(log).toEqual([])
    first!.writable()
    expect(log.at(-1)).toBe("writable")
    first!.offline(16)
    expect(log.at(-1)).toBe(`carrier ${carrier} lost`)
    expect(path.room()).toBe(222)
    // Back again: nothing is moved that works.
    const next = path.carrier()
    first!.online(16)
    expect([path.carrier(), path.room()]).toEqual([next, 222])
    log.length = 0
    second!.offline(16)
    first!.offline(16)
    expect(log).toHaveLength(2)
    expect([path.carrier(), path.room()]).toEqual([0, 0])
  })
})

describe("PeerSlots: the ways", () => {
  it("are all tied relays in the order of their ties, each with the number of its spell, or 0 while the peer is not there", () => {
    const host = new FakeHost()
    const { links: [first, second], path } = host.openOn(1, 2, 1)
    path.tie(relayAt(3))
    const ways = () => path.ways().map(({ carrier, relay }) => [relay.host, carrier])
    const other = path.standbys()[0]!
    const hosts = [2, 1, 3].map((n) => relayAt(n).host)
    expect(ways()).toEqual([[hosts[0], path.carrier()], [hosts[1], other], [hosts[2], 0]])
    // By these numbers packets go, over the carrier as well.
    for (const carrier of [path.carrier(), other]) expect(path.sendVia(carrier, frame(24), 2)).toBe(true)
    expect(sentBy([first!, second!])).toEqual([1, 1])
    host.relays.confirm(3).bring(1)
    expect(path.ways()[2]!.carrier).toBe(path.standbys().at(-1))
    second!.offline(16)
    expect(path.ways()[1]!.carrier).toBe(0)
    second!.online(16)
    expect(path.ways()[1]!.carrier).toBeGreaterThan(other)
    first!.lose()
    expect(path.ways()[0]!.carrier).toBe(0)
    path.close()
    expect(path.ways()).toEqual([])
  })
})

describe("PeerSlots: full relays", () => {
  it("T23: when the carrier has taken nothing for 200 ms, the next relay takes the packet and carries from then on", () => {
    const host = new FakeHost()
    const { links, log, path } = host.openOn(1, 1, 2, 3)
    const carrier = path.carrier()
    links[0]!.full = true
    links[0]!.stuck = host.now
    host.now += 199
    expect(path.send(frame(1), 2, false)).toBe("blocked")
    expect(sentBy(links)).toEqual([0, 0, 0])
    host.now += 1
    expect(path.send(frame(1), 2, false)).toBe("sent")
    expect(sentBy(links)).toEqual([0, 1, 0])
    expect(log.at(-1)).toBe(`carrier ${carrier} lost`)
    links[0]!.writable()
    expect(path.send(frame(2), 2, false)).toBe("sent")
    expect(sentBy(links)).toEqual([0, 2, 0])
  })

  it("T23: a next relay that is full as well is passed over", () => {
    const host = new FakeHost()
    const { links, path } = host.openOn(1, 1, 2, 3)
    links[0]!.full = links[1]!.full = true
    links[0]!.stuck = links[1]!.stuck = host.now
    host.now += 200
    expect(path.send(frame(1), 2, false)).toBe("sent")
    expect(sentBy(links)).toEqual([0, 0, 1])
  })

  it("T23: who looks for room before sending finds that of the next relay once the carrier is stuck", () => {
    const host = new FakeHost()
    const { links, path } = host.openOn(1, 1, 2, 3)
    links[1]!.full = true
    links[2]!.roomBytes = 333
    links[0]!.full = true
    links[0]!.stuck = host.now
    host.now += 199
    expect(path.room()).toBe(0)
    host.now += 1
    expect(path.room()).toBe(333)
    links[2]!.full = true
    expect(path.room()).toBe(0)
    links[0]!.writable()
    expect(path.room()).toBe(100_000)
  })

  it("T23: when all are full nothing changes, and nothing is sent twice", () => {
    const host = new FakeHost()
    const { links, log, path } = host.openOn(1, 1, 2)
    const carrier = path.carrier()
    for (const link of links) link.full = true
    links[0]!.stuck = host.now
    host.now += 10_000
    log.length = 0
    expect(path.send(frame(1), 2, false)).toBe("blocked")
    expect([path.carrier(), log, sentBy(links)]).toEqual([carrier, [], [0, 0]])
  })

  it("T23: a full mark window is back-pressure, however long, while the relay consumes", () => {
    const host = new FakeHost()
    const { links, path } = host.openOn(1, 1, 2)
    links[0]!.full = true
    host.now += 60_000
    links[0]!.stuck = host.now - 199
    expect([path.room(), path.send(frame(1), 2, false)]).toEqual([0, "blocked"])
    expect(sentBy(links)).toEqual([0, 0])
  })

  it("T24: a full relay is neither dropped nor untied, and serves again", () => {
    const host = new FakeHost()
    const { links, path } = host.openOn(1, 1, 2)
    links[0]!.full = true
    links[0]!.stuck = host.now
    expect(path.send(frame(1), 2, false)).toBe("blocked")
    host.now += 60_000
    path.send(frame(1), 2, false)
    expect(path.ways().map(({ carrier }) => carrier > 0)).toEqual([true, true])
    expect(host.slots(1)).toEqual(["relay-1.test online", "relay-2.test online"])
    expect([links[0]!.isLost, links[0]!.disconnects]).toEqual([false, []])
    links[0]!.writable()
    links[1]!.lose()
    expect(path.send(frame(2), 2, false)).toBe("sent")
    expect(sentBy(links)).toEqual([1, 1])
  })

  it("T25: neither fullness, suspicion, silence nor a peer that is away drops a relay; its own end does", () => {
    const host = new FakeHost()
    const { links, path } = host.openOn(1, 1, 2, 3)
    const [first, second, third] = links
    first!.full = true
    first!.stuck = host.now
    host.now += 3_600_000
    path.send(frame(1), 2, false)
    path.moveOn()
    third!.offline(16)
    expect(links.every((link) => !link.isLost && link.disconnects.length === 0)).toBe(true)
    expect(host.log.filter((event) => event.endsWith("down"))).toEqual([])
    second!.lose()
    expect(host.log.filter((event) => event.endsWith("down"))).toEqual(["relay-2.test down"])
    expect([...host.table.relays]).toHaveLength(3)
  })
})

describe("PeerSlots: out of band", () => {
  it("T38, C02: a peer that is online nowhere is sent copies over every registered relay", () => {
    const host = new FakeHost()
    const { links, path } = registeredOn(host, 1, 1, 2, 3)
    path.tie(relayAt(4))
    const asked = host.relays.confirm(4)
    path.tie(relayAt(5))
    expect(path.send(frame(8, 9), 3, true)).toBe("sent")
    expect(links.map((link) => link.oob)).toEqual(links.map(() => [{ to: 1, bytes: [8, 9] }]))
    expect([asked.oob, sentBy(links)]).toEqual([[], [0, 0, 0]])
  })

  it("C02: a full carrier answers not sent, and no copy goes out of band", () => {
    const host = new FakeHost()
    const { links, path } = host.openOn(1, 1)
    path.tie(relayAt(2))
    const registered = host.relays.confirm(2)
    registered.grant(1)
    links[0]!.full = true
    links[0]!.stuck = host.now
    expect(path.send(frame(1), 2, true)).toBe("blocked")
    host.now += 10_000
    expect(path.send(frame(1), 2, true)).toBe("blocked")
    expect([registered.oob, links[0]!.oob]).toEqual([[], []])
  })

  it("C02: it is sent when at least one relay took it, unreachable when none did", () => {
    const host = new FakeHost()
    const { links, path } = registeredOn(host, 1, 1, 2)
    links[0]!.full = true
    expect(path.send(frame(1), 2, true)).toBe("sent")
    links[1]!.full = true
    expect(path.send(frame(1), 2, true)).toBe("unreachable")
    expect(links.map((link) => link.oob.length)).toEqual([0, 1])
    expect(host.open(2).path.send(frame(1), 2, true)).toBe("unreachable")
  })

  it("C02: it ends when the peer comes online, and is used again when it goes", () => {
    const host = new FakeHost()
    const { links, path } = registeredOn(host, 1, 1, 2)
    links[1]!.online(16)
    path.send(frame(1), 2, true)
    expect(links.map((link) => [link.oob.length, link.data.length])).toEqual([[0, 0], [0, 1]])
    links[1]!.offline(16)
    path.send(frame(2), 2, true)
    expect(links.map((link) => [link.oob.length, link.data.length])).toEqual([[1, 0], [1, 1]])
  })

  it("T39: a packet of 1024 bytes fits, a larger one is not sent and not cut", () => {
    const host = new FakeHost()
    const { links: [link], path } = registeredOn(host, 1, 1)
    const bytes = new Uint8Array(2_000)
    expect(path.send(bytes, 1 + 1024, false)).toBe("sent")
    expect(link!.oob[0]!.bytes).toHaveLength(1024)
    expect(path.send(bytes, 1 + 1025, false)).toBe("unreachable")
    expect(link!.oob).toHaveLength(1)
    // Once online, size does not matter.
    link!.online(16)
    expect(path.send(bytes, 1 + 1025, false)).toBe("sent")
    expect(host.relays.violations).toEqual([])
  })

  it("a route that opens tells a peer that has none that it can send", () => {
    const host = new FakeHost()
    const { log, path } = host.open(1)
    path.tie(relayAt(1))
    host.relays.confirm(1).grant(1)
    expect(log).toEqual(["writable"])
    host.relays.links[0]!.online(16)
    path.tie(relayAt(2))
    host.relays.confirm(2).grant(1)
    expect(log).toEqual(["writable", "carrier 0 lost"])
  })
})

describe("PeerSlots: moving", () => {
  it("T33: moves on to the relay that was suspected longest ago, and round", () => {
    const host = new FakeHost()
    const { links, log, path } = host.openOn(1, 1, 2, 3)
    const order: Array<string> = []
    for (let i = 0; i < 6; i++) {
      host.now += 1_000
      const before = path.carrier()
      expect(path.moveOn()).toBe(true)
      expect(log.at(-1)).toBe(`carrier ${before} lost`)
      path.send(frame(i), 2, false)
      order.push(links.find((link) => link.data.at(-1)?.bytes[0] === i)!.relay.host)
    }
    expect(order).toEqual([2, 3, 1, 2, 3, 1].map((n) => `relay-${n}.test`))
  })

  it("T33: a relay that was suspected is the last to be chosen when the carrier is lost", () => {
    const host = new FakeHost()
    const { links, path } = host.openOn(1, 1, 2, 3)
    path.moveOn()
    links[1]!.lose()
    path.send(frame(1), 2, false)
    expect(sentBy(links)).toEqual([0, 0, 1])
  })

  it("stays where it is when there is nowhere to move to, and says so", () => {
    const host = new FakeHost()
    const { links: [link], log, path } = host.openOn(1, 1)
    path.tie(relayAt(2))
    host.relays.confirm(2).grant(1)
    const carrier = path.carrier()
    log.length = 0
    expect([path.moveOn(), path.carrier(), log]).toEqual([false, carrier, []])
    link!.offline(16)
    expect([path.moveOn(), path.carrier()]).toEqual([false, 0])
  })

  /** The routes by which packets of the peer come in. */
  const routes = (host: FakeHost, n: number, links: ReadonlyArray<FakeLink>) => {
    const found = links.map((link) =>
      [...host.entryOf(Number(link.relay.host[6]))!.slots].find((s) => s.peer.key[0] === n)!
    )
    return found.map((slot) => slot.route)
  }

  it("follows the peer when it leaves the relay that carries our data too", () => {
    const host = new FakeHost()
    const { links, log, path } = host.openOn(1, 1, 2)
    const [one, two] = routes(host, 1, links)
    path.heard(one!)
    const carrier = path.carrier()
    log.length = 0
    path.heard(two!)
    expect(log).toEqual([`carrier ${carrier} lost`])
    path.send(frame(1), 2, false)
    expect(sentBy(links)).toEqual([0, 1])
    path.heard(two!)
    expect(log).toHaveLength(1)
  })

  it("T22: does not follow when the peer has only ever used another relay, or left one that is not ours", () => {
    const host = new FakeHost()
    const { links, path } = host.openOn(1, 1, 2, 3)
    const [, two, three] = routes(host, 1, links)
    const carrier = path.carrier()
    path.heard(two!)
    path.heard(three!)
    path.heard(two!)
    expect(path.carrier()).toBe(carrier)
  })

  it("does not follow to a relay on which the peer is not online", () => {
    const host = new FakeHost()
    const { links, path } = host.openOn(1, 1)
    path.tie(relayAt(2))
    const registered = host.relays.confirm(2)
    registered.grant(1)
    const [one, two] = routes(host, 1, [links[0]!, registered])
    const carrier = path.carrier()
    path.heard(one!)
    path.heard(two!)
    expect(path.carrier()).toBe(carrier)
  })
})
