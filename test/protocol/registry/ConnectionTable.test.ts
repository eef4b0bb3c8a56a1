/** Ties, routing requests and the fate of slots: which relay knows of which peer, and what becomes of that when relays come and go. */
import { describe, expect, it } from "vitest"
import { FakeHost, frame, key, relayAt } from "../../utils/FakeLinks.ts"

describe("ConnectionTable: relays and ties", () => {
  it("T01: many relays at once are one connection: a packet that comes by any of them is the peer's", () => {
    const host = new FakeHost()
    const { links, log, path } = host.openOn(1, 1, 2, 3, 4, 5, 6)
    log.length = 0
    links.forEach((link, at) => link.receive(link.idOf(1)!, at))
    expect(log).toEqual(links.map((link, at) => `packet ${at} by ${link.relay.host}`))
    expect(path.send(frame(7), 2, false)).toBe("sent")
    expect(links.map((link) => link.data.length)).toEqual([1, 0, 0, 0, 0, 0])
  })

  it("T02: a peer is asked for on every relay that it is tied to, and online on several at once", () => {
    const host = new FakeHost()
    const { links } = host.openOn(1, 1, 2, 3)
    expect(links.map((link) => link.requests)).toEqual([[1], [1], [1]])
    expect(host.slots(1)).toEqual(["relay-1.test online", "relay-2.test online", "relay-3.test online"])
  })

  it("T05: a connection is the relays tied to one DHT key; other keys on the same relays are other connections", () => {
    const host = new FakeHost()
    const a = host.openOn(1, 1, 2)
    const b = host.openOn(2, 2, 3)
    expect([a.path.peer, b.path.peer]).toEqual([key(1), key(2)])
    expect(host.slots(1)).toEqual(["relay-1.test online", "relay-2.test online"])
    expect(host.slots(2)).toEqual(["relay-2.test online", "relay-3.test online"])
    const shared = a.links[1]!
    expect(b.links[0]).toBe(shared)
    shared.receive(shared.idOf(2)!, 9)
    expect(a.log).not.toContain("packet 9 by relay-2.test")
    expect(b.log).toContain("packet 9 by relay-2.test")
    expect(() => host.open(1)).toThrow("path already")
    a.path.close()
    expect(host.slots(2)).toEqual(["relay-2.test online", "relay-3.test online"])
    expect(() => host.open(1)).not.toThrow()
  })

  it("T06: a relay that the peer is known to use is tied to it, connected to if need be, and asked at once if it is there", () => {
    const host = new FakeHost()
    host.table.addRelay(relayAt(1))
    const known = host.relays.confirm(1)
    expect(known.requests).toEqual([])
    const { path } = host.open(1)
    path.tie(relayAt(1))
    path.tie(relayAt(2))
    expect(known.requests).toEqual([1])
    expect(host.relays.kept).toEqual(["relay-1.test", "relay-2.test"])
    expect(host.slots(1)).toEqual(["relay-1.test none", "relay-2.test none"])
  })

  it("T09: there is one list of relays by key; the same key again, also at another address, changes nothing", () => {
    const host = new FakeHost()
    host.table.addRelay(relayAt(1))
    host.table.addRelay({ ...relayAt(1), host: "elsewhere.test", port: 1 })
    const { path } = host.open(1)
    path.tie({ ...relayAt(1), host: "third.test" })
    path.tie(relayAt(1))
    expect(host.relays.kept).toEqual(["relay-1.test"])
    expect([...host.table.relays].map(({ relay }) => relay.host)).toEqual(["relay-1.test"])
    expect(host.slots(1)).toEqual(["relay-1.test none"])
    expect(host.relays.confirm(1).requests).toEqual([1])
  })

  it("T08: a peer that calls is tied to all relays of our own, and not to those known because of other peers", () => {
    const host = new FakeHost()
    for (const n of [1, 2]) host.table.addRelay(relayAt(n))
    host.open(1).path.tie(relayAt(3))
    const { path } = host.open(2)
    path.tie(relayAt(2))
    path.tieHome()
    expect(host.slots(2)).toEqual(["relay-1.test none", "relay-2.test none"])
    path.close()
    path.tieHome()
    expect(host.slots(2)).toEqual([])
  })

  it("T34: each relay is asked to be kept once, whoever needs it", () => {
    const host = new FakeHost()
    const a = host.open(1)
    const b = host.open(2)
    for (const { path } of [a, b]) for (const n of [1, 2, 3]) path.tie(relayAt(n))
    host.table.addRelay(relayAt(2))
    expect(host.relays.kept).toEqual(["relay-1.test", "relay-2.test", "relay-3.test"])
  })

  it("T11, C05: an unknown relay is refused while the peer is online on 3, and connected to again when it is not", () => {
    const host = new FakeHost()
    const { links, path } = host.openOn(1, 1, 2, 3)
    path.tie(relayAt(4))
    expect(host.relays.kept).toHaveLength(3)
    // Tied is not online: only what is online counts.
    links[2]!.offline(links[2]!.idOf(1)!)
    path.tie(relayAt(4))
    expect(host.relays.kept).toHaveLength(4)
    path.tie(relayAt(5))
    expect(host.relays.kept).toHaveLength(5)
  })

  it("T12, C05: known relays are tied even then, up to 6 and never 7", () => {
    const host = new FakeHost()
    for (let n = 4; n <= 8; n++) host.table.addRelay(relayAt(n))
    const { path } = host.openOn(1, 1, 2, 3)
    for (let n = 4; n <= 8; n++) path.tie(relayAt(n))
    expect(host.slots(1)).toHaveLength(6)
    expect(host.slots(1).slice(-3)).toEqual(["relay-1.test online", "relay-2.test online", "relay-3.test online"])
    expect(host.relays.confirm(7).requests).toEqual([])
    expect(host.relays.confirm(6).requests).toEqual([1])
  })

  it("T12: a 7th relay that nobody knows is not even connected to", () => {
    const host = new FakeHost()
    const { path } = host.open(1)
    for (let n = 1; n <= 7; n++) path.tie(relayAt(n))
    expect(host.relays.kept).toHaveLength(6)
  })

  it("T13: two peers on the same 6 relays: the maximum holds for each of them", () => {
    const host = new FakeHost()
    for (const peer of [1, 2]) {
      const { path } = host.open(peer)
      for (let n = 1; n <= 7; n++) path.tie(relayAt(n))
      expect(host.slots(peer)).toHaveLength(6)
    }
    for (let n = 1; n <= 6; n++) expect(host.relays.confirm(n).requests).toEqual([1, 2])
  })

  it("T13: the maximum holds as well on relays that are known, connected and needed for other peers", () => {
    const host = new FakeHost()
    const all = [1, 2, 3, 4, 5, 6, 7, 8]
    for (const n of all) host.table.addRelay(relayAt(n))
    const others = [host.open(3), host.open(4)]
    for (const n of all) others[n % 2]!.path.tie(relayAt(n))
    for (const n of all) host.relays.confirm(n)
    const twins = [host.open(1), host.open(2)]
    for (const n of all) for (const { path } of twins) path.tie(relayAt(n))
    expect([1, 2, 3, 4].map((peer) => host.slots(peer).length)).toEqual([6, 6, 4, 4])
  })

  it("T11, T12: both numbers are settings", () => {
    const host = new FakeHost({ desiredRelays: 1, maxRelays: 2 })
    host.table.addRelay(relayAt(3))
    host.table.addRelay(relayAt(4))
    const { path } = host.openOn(1, 1)
    path.tie(relayAt(2))
    path.tie(relayAt(3))
    path.tie(relayAt(4))
    expect(host.slots(1)).toEqual(["relay-3.test none", "relay-1.test online"])
  })
})

describe("ConnectionTable: relays come and go", () => {
  it("T36: a relay that confirms is asked for every peer tied to it, once each, on every new connection", () => {
    const host = new FakeHost()
    const a = host.open(1)
    const b = host.open(2)
    host.open(3)
    for (const { path } of [a, b]) path.tie(relayAt(1))
    const first = host.relays.confirm(1)
    expect(first.requests).toEqual([1, 2])
    // Neither an answer that is missing nor one that came survives the connection.
    first.grant(1)
    first.lose()
    const second = host.relays.confirm(1)
    expect(second.requests).toEqual([1, 2])
    expect(host.relays.violations).toEqual([])
  })

  it("T36: a peer whose path is opened anew is asked for again on the same connection, and has an id of its own", () => {
    const host = new FakeHost()
    const { links: [link], path } = host.openOn(1, 1)
    path.close()
    expect(link!.disconnects).toEqual([16])
    const again = host.open(1)
    again.path.tie(relayAt(1))
    expect(link!.requests).toEqual([1, 1])
    link!.bring(1)
    expect(again.path.send(frame(3), 2, false)).toBe("sent")
    expect(host.relays.violations).toEqual([])
  })

  it("T35: a relay that is lost leaves its slots without id and unused at once; the tie stays for its return", () => {
    const host = new FakeHost()
    const { links: [first, other], log, path } = host.openOn(1, 1, 2)
    const before = path.carrier()
    first!.lose()
    expect(host.slots(1)).toEqual(["relay-1.test none", "relay-2.test online"])
    expect(log.at(-1)).toBe(`carrier ${before} lost`)
    expect(path.carrier()).not.toBe(before)
    expect(path.send(frame(5), 2, false)).toBe("sent")
    expect([first!.data.length, other!.data.length]).toEqual([0, 1])
    const again = host.relays.confirm(1)
    expect(again.requests).toEqual([1])
    again.bring(1)
    expect(host.slots(1)).toEqual(["relay-1.test online", "relay-2.test online"])
    other!.lose()
    expect(path.send(frame(6), 2, false)).toBe("sent")
    expect(again.data).toEqual([{ id: 16, bytes: [6], urgent: false }])
  })

  it("T35: ids of the lost connection mean nothing on the next one", () => {
    const host = new FakeHost()
    const a = host.openOn(1, 1)
    const b = host.openOn(2, 1)
    host.relays.links[0]!.lose()
    const link = host.relays.confirm(1)
    a.log.length = b.log.length = 0
    link.receive(16, 1)
    expect([a.log, b.log]).toEqual([[], []])
    // The ids are given the other way round this time.
    link.bring(2)
    link.bring(1)
    a.log.length = b.log.length = 0
    link.receive(16, 1)
    link.receive(17, 2)
    expect([a.log, b.log]).toEqual([["packet 2 by relay-1.test"], ["packet 1 by relay-1.test"]])
    a.path.close()
    expect(link.disconnects).toEqual([17])
    expect(host.relays.violations).toEqual([])
  })

  it("T03: of three relays two go down, in any order, and the peer stays reachable", () => {
    for (const [x, y, left] of [[0, 1, 2], [1, 0, 2], [0, 2, 1], [2, 0, 1], [1, 2, 0], [2, 1, 0]] as const) {
      const host = new FakeHost()
      const { links, path } = host.openOn(1, 1, 2, 3)
      for (const gone of [x, y]) {
        links[gone]!.lose()
        expect(path.carrier()).not.toBe(0)
        expect(path.send(frame(1), 2, false)).toBe("sent")
      }
      expect(links[left]!.data.length).toBeGreaterThan(0)
      links[left]!.lose()
      expect([path.carrier(), path.room(), path.send(frame(1), 2, false)]).toEqual([0, 0, "unreachable"])
    }
  })

  it("C08: doubled notifications are no transitions", () => {
    const host = new FakeHost()
    const { links: [link], log, path } = host.openOn(1, 1)
    const carrier = path.carrier()
    const [events, reports] = [host.log.length, log.length]
    link!.online(16)
    expect([path.carrier(), host.log.length, log.length]).toEqual([carrier, events, reports])
    link!.offline(16)
    link!.offline(16)
    expect([host.log.length, log.length]).toEqual([events + 2, reports + 1])
    expect(host.slots(1)).toEqual(["relay-1.test registered"])
  })

  it("data of a peer that has just gone offline is still its data", () => {
    const host = new FakeHost()
    const { links: [link], log } = host.openOn(1, 1)
    link!.offline(16)
    link!.receive(16, 1)
    expect(log.at(-1)).toBe("packet 1 by relay-1.test")
  })

  it("a connection id that was given back and granted to another key brings that key's data", () => {
    const host = new FakeHost()
    const old = host.openOn(1, 1)
    old.path.close()
    old.links[0]!.receive(16, 1)
    const { log } = host.openOn(2, 1)
    old.log.length = 0
    old.links[0]!.receive(16, 2)
    expect([old.log, log.at(-1)]).toEqual([[], "packet 2 by relay-1.test"])
  })

  it("all slots of a lost relay fall before anybody is told", () => {
    const host = new FakeHost()
    const a = host.openOn(1, 1)
    const b = host.openOn(2, 1)
    const seen: Array<ReadonlyArray<string>> = []
    a.on = b.on = () => seen.push([...host.slots(1), ...host.slots(2)])
    host.relays.links[0]!.lose()
    expect(seen).toEqual([["relay-1.test none", "relay-1.test none"], ["relay-1.test none", "relay-1.test none"]])
  })

  it("C13: relays and peers are reported with the relay concerned, and every coming has one going", () => {
    const host = new FakeHost()
    const { links: [first], path } = host.openOn(1, 1, 2)
    first!.lose()
    path.close()
    expect(host.log).toEqual([
      "relay-1.test up",
      "1 on relay-1.test",
      "1 over relay-1.test",
      "relay-2.test up",
      "1 on relay-2.test",
      "relay-1.test down",
      "1 off relay-1.test",
      "1 over relay-2.test",
      "1 off relay-2.test",
      "1 over none"
    ])
  })

  it("C13: data, out-of-band, onion and forwarded packets carry the relay that they came by", () => {
    const host = new FakeHost()
    const { links: [link], log } = host.openOn(1, 1)
    link!.receive(16, 1, 2)
    link!.receiveOob(1, 3)
    link!.receiveOob(9, 4)
    link!.receiveOnion(5)
    link!.receiveForwarded(6, 7)
    link!.batchEnd()
    expect(log.slice(-2)).toEqual(["packet 1,2 by relay-1.test", "packet 3 by relay-1.test"])
    expect(host.oob.map(({ bytes, route, sender }) => [sender, bytes, route.relay.host]))
      .toEqual([[9, [4], "relay-1.test"]])
    expect(host.log.slice(-2)).toEqual(["onion relay-1.test 5", "forwarded relay-1.test 6,7"])
    expect(host.batches).toBe(1)
  })
})

describe("ConnectionTable: out-of-band packets that arrive", () => {
  it("C06: one of a tied peer is its data, also before the relay has answered", () => {
    const host = new FakeHost()
    const { log, path } = host.open(1)
    path.tie(relayAt(1))
    const link = host.relays.confirm(1)
    link.receiveOob(1, 1)
    link.grant(1)
    link.receiveOob(1, 2)
    link.online(16)
    link.receiveOob(1, 3)
    expect(log.filter((event) => event.startsWith("packet"))).toEqual(
      [1, 2, 3].map((n) => `packet ${n} by relay-1.test`)
    )
    expect(host.oob).toEqual([])
  })

  it("C06: from anyone else it goes to the handler, which can answer by the same relay and tie it", () => {
    const host = new FakeHost()
    const { links: [first], log, path } = host.openOn(1, 1)
    host.table.addRelay(relayAt(2))
    const other = host.relays.confirm(2)
    log.length = 0
    // A stranger, and the peer by a relay that is not tied to it.
    first!.receiveOob(9, 1)
    other.receiveOob(1, 2)
    expect(log).toEqual([])
    expect(host.oob.map(({ bytes, sender }) => [sender, bytes])).toEqual([[9, [1]], [1, [2]]])
    expect(host.oob[0]!.route.reply(Uint8Array.of(7))).toBe(true)
    expect(first!.oob).toEqual([{ to: 9, bytes: [7] }])
    path.tie(host.oob[1]!.route.relay)
    expect(other.requests).toEqual([1])
    other.receiveOob(1, 3)
    expect(log).toEqual(["packet 3 by relay-2.test"])
  })

  it("C06: an answer after the relay was lost is not sent", () => {
    const host = new FakeHost()
    host.table.addRelay(relayAt(1))
    const link = host.relays.confirm(1)
    link.receiveOob(9, 1)
    link.lose()
    expect(host.oob[0]!.route.reply(Uint8Array.of(7))).toBe(false)
    const again = host.relays.confirm(1)
    expect(host.oob[0]!.route.reply(Uint8Array.of(7))).toBe(true)
    expect(again.oob).toEqual([{ to: 9, bytes: [7] }])
  })
})

describe("ConnectionTable: the defects of the protocol's section 8", () => {
  it("A: closing a peer whose request is not answered sends no disconnect, least of all for somebody else's id", () => {
    const host = new FakeHost()
    const other = host.openOn(2, 1)
    const { path } = host.open(1)
    path.tie(relayAt(1))
    path.close()
    const link = other.links[0]!
    expect(link.disconnects).toEqual([])
    expect(other.path.send(frame(1), 2, false)).toBe("sent")
    expect(host.slots(2)).toEqual(["relay-1.test online"])
  })

  it("A: closing gives registered and online ids back, each once", () => {
    const host = new FakeHost()
    const { links, path } = host.openOn(1, 1, 2)
    path.tie(relayAt(3))
    const registered = host.relays.confirm(3)
    registered.grant(1)
    path.tie(relayAt(4))
    const asked = host.relays.confirm(4)
    path.close()
    path.close()
    expect([...links, registered, asked].map((link) => link.disconnects)).toEqual([[16], [16], [16], []])
    expect(host.relays.violations).toEqual([])
  })

  it("E: an answer for a peer that has gone gives the id back, and resurrects nothing", () => {
    const host = new FakeHost()
    const { log, path } = host.open(1)
    path.tie(relayAt(1))
    const link = host.relays.confirm(1)
    path.close()
    const id = link.grant(1)
    expect(link.disconnects).toEqual([id])
    expect([host.slots(1), log]).toEqual([[], []])
    expect(host.entryOf(1)!.slots.size).toBe(0)
  })

  it("E: a peer opened again meanwhile gets the answer to the old request, and there is no second one", () => {
    const host = new FakeHost()
    const old = host.open(1)
    old.path.tie(relayAt(1))
    const link = host.relays.confirm(1)
    old.path.close()
    const { path } = host.open(1)
    path.tie(relayAt(1))
    expect(link.requests).toEqual([1])
    link.bring(1)
    expect(link.disconnects).toEqual([])
    expect(path.send(frame(1), 2, false)).toBe("sent")
    expect(old.log).toEqual([])
    expect(host.relays.violations).toEqual([])
  })

  it("E: an answer for another peer's tie does not take an id from it", () => {
    const host = new FakeHost()
    const gone = host.open(1)
    gone.path.tie(relayAt(1))
    const stays = host.open(2)
    stays.path.tie(relayAt(1))
    const link = host.relays.confirm(1)
    gone.path.close()
    link.grant(1)
    expect(link.bring(2)).toBe(16)
    expect(host.slots(2)).toEqual(["relay-1.test online"])
  })

  it("F, C09: a refusal (id 0) frees the slot for another relay", () => {
    const host = new FakeHost()
    const { path } = host.open(1)
    for (let n = 1; n <= 6; n++) path.tie(relayAt(n))
    const link = host.relays.confirm(1)
    path.tie(relayAt(7))
    expect(host.relays.kept).toHaveLength(6)
    link.refuse(1)
    expect(host.slots(1)).toHaveLength(5)
    expect(link.disconnects).toEqual([])
    path.tie(relayAt(7))
    expect(host.relays.kept.at(-1)).toBe("relay-7.test")
    expect(host.slots(1)).toHaveLength(6)
    path.close()
    expect(link.disconnects).toEqual([])
    // Refused for the peer of a tie that is gone.
    expect(host.relays.confirm(1).requests).toEqual([])
  })

  it("F: refusals are forgotten when they have expired, however many peers come and go on one connection", () => {
    const host = new FakeHost()
    host.table.addRelay(relayAt(1))
    const link = host.relays.confirm(1)
    for (let n = 1; n <= 50; n++) {
      const { path } = host.open(n)
      path.tie(relayAt(1))
      link.refuse(n)
      path.close()
      host.now += 30_000
    }
    expect(host.entryOf(1)!.refused.size).toBe(2)
  })

  it("F: a refusal for a peer that has gone changes nothing", () => {
    const host = new FakeHost()
    const { path } = host.open(1)
    path.tie(relayAt(1))
    const link = host.relays.confirm(1)
    path.close()
    link.refuse(1)
    expect([link.disconnects, host.slots(1)]).toEqual([[], []])
  })
})
