/**
 * What a peer may do in the middle of any report: close itself or another, tie, send, move on, lose the link. And what happens to
 * somebody who keeps using a path that is closed.
 */
import { describe, expect, it } from "vitest"
import type { ReplyRoute } from "../../../src/protocol/registry/PeerPath.ts"
import { FakeHost, frame, relayAt } from "../../utils/FakeLinks.ts"

/** The route of the peer's slot on `relayAt(n)`. */
const routeOf = (host: FakeHost, peer: number, n: number): ReplyRoute =>
  [...host.entryOf(n)!.slots].find((slot) => slot.peer.key[0] === peer)!.route

describe("ConnectionTable: callbacks that change the table", () => {
  /** Everything that makes a peer on relays 1 and 2 (online) and 3 (requested) report something. */
  const reports: Record<string, (host: FakeHost) => void> = {
    data: (host) => host.relays.links[0]!.receive(host.relays.links[0]!.idOf(1)!, 1),
    "out-of-band": (host) => host.relays.links[2]!.receiveOob(1, 1),
    writable: (host) => host.relays.links[0]!.writable(),
    offline: (host) => host.relays.links[0]!.offline(host.relays.links[0]!.idOf(1)!),
    lost: (host) => host.relays.links[0]!.lose()
  }

  it.each(Object.entries(reports))("a peer that closes itself while %s is reported hears nothing more", (_, report) => {
    const host = new FakeHost()
    const peer = host.openOn(1, 1, 2)
    peer.path.tie(relayAt(3))
    host.relays.confirm(3)
    const bystander = host.openOn(2, 1, 2)
    peer.log.length = 0
    peer.on = () => peer.path.close()
    report(host)
    expect(peer.log).toHaveLength(1)
    expect([host.slots(1), peer.path.carrier()]).toEqual([[], 0])
    for (const link of host.relays.links) {
      if (link.outstanding.size > 0) link.grant(1)
      link.writable()
      link.lose()
    }
    expect(peer.log).toHaveLength(1)
    expect(host.relays.violations).toEqual([])
    expect(bystander.log.at(-1)).toMatch(/^carrier/)
  })

  it.each(["registered", "first online"])("a peer that closes itself when it is %s gives its ids back", (moment) => {
    const host = new FakeHost()
    const peer = host.open(1)
    peer.path.tie(relayAt(1))
    const link = host.relays.confirm(1)
    if (moment === "registered") peer.on = () => peer.path.close()
    const id = link.grant(1)
    if (moment !== "registered") {
      peer.on = () => peer.path.close()
      link.online(id)
    }
    expect([link.disconnects, host.slots(1), peer.path.carrier()]).toEqual([[id], [], 0])
    expect(host.relays.violations).toEqual([])
  })

  it("closing another peer of the same relay while its loss is reported silences that one", () => {
    const host = new FakeHost()
    const first = host.openOn(1, 1)
    const second = host.openOn(2, 1, 2)
    second.log.length = 0
    first.on = () => second.path.close()
    host.relays.links[0]!.lose()
    expect(second.log).toEqual([])
    expect(host.slots(2)).toEqual([])
    expect(host.relays.links[1]!.disconnects).toEqual([16])
    expect(host.relays.violations).toEqual([])
  })

  it("closing another peer while room is reported to all of them silences that one, and nobody else", () => {
    const host = new FakeHost()
    const peers = [1, 2, 3].map((n) => host.openOn(n, 1))
    for (const peer of peers) peer.log.length = 0
    peers[0]!.on = () => peers[1]!.path.close()
    host.relays.links[0]!.writable()
    expect(peers.map((peer) => peer.log)).toEqual([["writable"], [], ["writable"]])
  })

  it("a peer may open its successor in the report of a loss", () => {
    const host = new FakeHost()
    const old = host.openOn(1, 1)
    let successor: ReturnType<FakeHost["open"]> | undefined
    old.on = () => {
      if (successor !== undefined) return
      old.path.close()
      successor = host.open(1)
      successor.path.tie(relayAt(1))
    }
    host.relays.links[0]!.lose()
    expect(host.slots(1)).toEqual(["relay-1.test none"])
    host.relays.confirm(1).bring(1)
    expect(successor!.path.send(frame(1), 2, false)).toBe("sent")
  })

  it("ties made in any report are asked for once", () => {
    const host = new FakeHost()
    host.table.addRelay(relayAt(9))
    const extra = host.relays.confirm(9)
    const peer = host.open(1)
    peer.on = () => peer.path.tie(relayAt(9))
    peer.path.tie(relayAt(1))
    const link = host.relays.confirm(1)
    link.bring(1)
    link.receive(16, 1)
    link.lose()
    expect(extra.requests).toEqual([1])
    expect(host.slots(1)).toEqual(["relay-9.test none", "relay-1.test none"])
    expect(host.relays.violations).toEqual([])
  })

  it("sends made in any report go the way the report describes", () => {
    const host = new FakeHost()
    const peer = host.openOn(1, 1, 2)
    const [one, two] = peer.links
    const outcomes: Array<string> = []
    peer.on = () => outcomes.push(peer.path.send(frame(1), 2, true))
    one!.lose()
    expect([outcomes, two!.data.length]).toEqual([["sent"], 1])
    two!.offline(16)
    expect([outcomes, two!.oob.length]).toEqual([["sent", "sent"], 1])
    two!.lose()
    expect([outcomes, peer.path.send(frame(1), 2, true)]).toEqual([["sent", "sent"], "unreachable"])
  })

  it("moving on and closing in the report of a move ends at one carrier, or at none", () => {
    const host = new FakeHost()
    const peer = host.openOn(1, 1, 2, 3)
    let depth = 0
    peer.on = () => depth++ < 2 && peer.path.moveOn()
    peer.path.moveOn()
    expect(host.slots(1)).toHaveLength(3)
    expect(peer.path.carrier()).not.toBe(0)
    peer.on = () => peer.path.close()
    expect(peer.path.moveOn()).toBe(true)
    expect([peer.path.carrier(), host.slots(1)]).toEqual([0, []])
    expect(host.relays.violations).toEqual([])
  })

  it("a link that ends inside a send: the packet is not counted as sent, and the next relay carries", () => {
    const host = new FakeHost()
    const { links: [one, two], log, path } = host.openOn(1, 1, 2)
    one!.full = true
    one!.onSend = () => one!.lose()
    const carrier = path.carrier()
    expect(path.send(frame(1), 2, false)).toBe("blocked")
    expect(log.at(-1)).toBe(`carrier ${carrier} lost`)
    expect(path.send(frame(2), 2, false)).toBe("sent")
    expect(two!.data.map(({ bytes }) => bytes)).toEqual([[2]])
  })

  it("the next relay's link ends inside the send that was to move there: it does not become the carrier", () => {
    for (const takesIt of [true, false]) {
      const host = new FakeHost()
      const { links: [one, two, three], path } = host.openOn(1, 1, 2, 3)
      one!.full = true
      one!.stuck = host.now
      host.now += 200
      two!.full = !takesIt
      two!.onSend = () => two!.lose()
      expect(path.send(frame(1), 2, false)).toBe("sent")
      one!.writable()
      expect(path.send(frame(2), 2, false)).toBe("sent")
      expect([one!.data.length, three!.data.length]).toEqual(takesIt ? [1, 0] : [0, 2])
    }
  })

  it("a path closed inside the send that was to move it has no carrier afterwards, and reports nothing", () => {
    const host = new FakeHost()
    const { links: [one, two], log, path } = host.openOn(1, 1, 2)
    one!.full = true
    one!.stuck = host.now
    host.now += 200
    two!.onSend = () => path.close()
    log.length = 0
    path.send(frame(1), 2, false)
    expect([path.carrier(), log, host.slots(1)]).toEqual([0, [], []])
    expect([one!.disconnects, two!.disconnects]).toEqual([[16], [16]])
  })

  it("out of band: a peer closed by the answer to its own packet stays closed", () => {
    const host = new FakeHost()
    host.table.addRelay(relayAt(1))
    const link = host.relays.confirm(1)
    link.receiveOob(9, 1)
    const peer = host.open(9)
    peer.path.tie(host.oob[0]!.route.relay)
    link.grant(9)
    peer.path.close()
    link.receiveOob(9, 2)
    expect(host.oob.map(({ bytes }) => bytes)).toEqual([[1], [2]])
  })
})

describe("PeerSlots: a path that is closed", () => {
  it("takes nothing, reports nothing and ties nothing", () => {
    const host = new FakeHost()
    const { links, log, path } = host.openOn(1, 1, 2)
    const route = routeOf(host, 1, 2)
    path.close()
    log.length = 0
    path.tie(relayAt(1))
    path.tie(relayAt(5))
    path.heard(route)
    expect([path.send(frame(1), 2, true), path.moveOn(), path.carrier(), path.room()])
      .toEqual(["unreachable", false, 0, 0])
    for (const link of links) {
      link.writable()
      link.lose()
    }
    expect([log, host.slots(1), host.relays.kept]).toEqual([[], [], ["relay-1.test", "relay-2.test"]])
    expect(host.relays.confirm(1).requests).toEqual([])
  })

  it("closed again, it does not close the one that was opened to the same key since", () => {
    const host = new FakeHost()
    const old = host.openOn(1, 1)
    old.path.close()
    const { log, links: [link] } = host.openOn(1, 1)
    old.path.close()
    log.length = 0
    link!.receive(link!.idOf(1)!, 1)
    link!.receiveOob(1, 2)
    expect(log).toEqual(["packet 1 by relay-1.test", "packet 2 by relay-1.test"])
    expect(host.oob).toEqual([])
    expect(() => host.open(1)).toThrow("path already")
  })
})
