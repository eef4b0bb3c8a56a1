/**
 * Random orders of everything that can happen to the registry, against a model that knows only who is tied to whom and how far that
 * has come. Reports may answer by closing, tying or moving, in the middle of whatever happens.
 */
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { FakeHost, type FakeLink, frame, key, type OpenPeer, relayAt } from "../../utils/FakeLinks.ts"

type Status = "none" | "registered" | "online"

const peers = [1, 2, 3] as const
const relays = [1, 2, 3, 4, 5] as const
const numbers = { desiredRelays: 2, maxRelays: 4, blockedTimeout: 200 }

/** What helps peers to be online comes more often than what ends it. */
const actions = [
  ...["open", "open", "tie", "tie", "tie", "tie", "add", "confirm", "confirm", "confirm", "grant", "grant", "grant"],
  ...["grant", "online", "online", "online", "online", "full", "full", "writable", "wait", "wait", "send", "send"],
  ...[
    "send",
    "send",
    "sendBig",
    "moveOn",
    "moveOn",
    "heard",
    "heard",
    "data",
    "oob",
    "offline",
    "refuse",
    "lose",
    "close"
  ]
] as const
type Action = (typeof actions)[number]
const step = fc.record({
  act: fc.constantFrom(...actions),
  /** Which of the targets that are possible at that moment. */
  pick: fc.nat(14),
  /** What the first report caused by this step is answered with. */
  reaction: fc.oneof(
    { weight: 4, arbitrary: fc.constant(null) },
    {
      weight: 1,
      arbitrary: fc.record({
        act: fc.constantFrom("close", "tie", "tie", "moveOn", "moveOn"),
        peer: fc.constantFrom(...peers),
        relay: fc.constantFrom(...relays)
      })
    }
  )
})
type Step = typeof step extends fc.Arbitrary<infer A> ? A : never

class World {
  readonly host = new FakeHost(numbers)
  /** The open peers, and how far each of their ties has come, by relay. */
  readonly open = new Map<number, { readonly peer: OpenPeer; readonly ties: Map<number, Status> }>()
  readonly closedLogs: Array<{ readonly log: Array<string>; readonly length: number }> = []
  readonly carriersSeen = new Map<number, string>()
  readonly refused = new Set<string>()
  #reaction: Step["reaction"] = null

  link(relay: number): FakeLink | undefined {
    return this.host.relays.links.findLast((link) => !link.isLost && link.relay.host === relayAt(relay).host)
  }

  isKnown = (relay: number): boolean => this.host.relays.kept.includes(relayAt(relay).host)

  isOnline = (peer: number): boolean => [...this.open.get(peer)?.ties.values() ?? []].includes("online")

  /** Applies a tie to the model, then to the table. */
  tie(peer: number, relay: number): void {
    const opened = this.open.get(peer)
    if (opened === undefined) return
    const { ties } = opened
    const online = [...ties.values()].filter((status) => status === "online").length
    const isRefused = ties.size >= numbers.maxRelays || this.refused.has(`${peer} ${relay}`) ||
      (!this.isKnown(relay) && online >= numbers.desiredRelays)
    if (!isRefused && !ties.has(relay)) ties.set(relay, "none")
    opened.peer.path.tie(relayAt(relay))
  }

  close(peer: number): void {
    const opened = this.open.get(peer)
    if (opened === undefined) return
    this.open.delete(peer)
    this.closedLogs.push({ log: opened.peer.log, length: opened.peer.log.length })
    opened.peer.path.close()
    opened.peer.path.close()
  }

  react(): void {
    const reaction = this.#reaction
    this.#reaction = null
    if (reaction === null) return
    if (reaction.act === "close") this.close(reaction.peer)
    else if (reaction.act === "tie") this.tie(reaction.peer, reaction.relay)
    else this.open.get(reaction.peer)?.peer.path.moveOn()
  }

  set(relay: number, peer: number, status: Status): void {
    const ties = this.open.get(peer)?.ties
    if (ties?.has(relay) === true) ties.set(relay, status)
  }

  send(peer: number, size: number): void {
    const opened = this.open.get(peer)
    if (opened === undefined) return
    const links = relays.map((relay) => this.link(relay))
    const before = links.map((link) => ({ data: link?.data.length ?? 0, oob: link?.oob.length ?? 0 }))
    const statuses = relays.map((relay) => opened.ties.get(relay))
    const wasOnline = this.isOnline(peer)
    const wasFull = links.map((link) => link?.full)
    const outcome = opened.peer.path.send(frame(...new Uint8Array(size)), size + 1, false)
    const data = links.map((link, i) => (link?.data.length ?? 0) - before[i]!.data)
    const oob = links.map((link, i) => (link?.oob.length ?? 0) - before[i]!.oob)
    if (wasOnline) {
      // Never out of band, and at most once as data, over a relay on which the peer is online and that had room.
      expect(oob).toEqual(relays.map(() => 0))
      expect(data.reduce((sum, n) => sum + n, 0)).toBe(outcome === "sent" ? 1 : 0)
      expect(outcome).not.toBe("unreachable")
      data.forEach((n, i) => n > 0 && expect([statuses[i], wasFull[i]]).toEqual(["online", false]))
    } else {
      expect(data).toEqual(relays.map(() => 0))
      expect(oob).toEqual(relays.map((_, i) => size <= 1024 && statuses[i] === "registered" && !wasFull[i] ? 1 : 0))
      expect(outcome).toBe(oob.includes(1) ? "sent" : "unreachable")
    }
  }

  /** The pairs of peer and relay with which an action does something now. */
  targets(act: Action): ReadonlyArray<readonly [number, number]> {
    const all = peers.flatMap((peer) => relays.map((relay) => [peer, relay] as const))
    return all.filter(([peer, relay]) => {
      const link = this.link(relay)
      const state = link?.ids.get(link.idOf(peer) ?? -1)?.state
      switch (act) {
        case "confirm":
          return this.isKnown(relay) && link === undefined
        case "grant":
        case "refuse":
          return link?.outstanding.has(hexKey(peer)) === true
        case "online":
          return state === "registered"
        case "offline":
          return state === "online"
        case "data":
          return state !== undefined
        case "heard":
          return this.open.get(peer)?.ties.has(relay) === true
        case "lose":
        case "oob":
        case "full":
        case "writable":
          return link !== undefined
        case "close":
        case "send":
        case "sendBig":
        case "moveOn":
          return this.open.has(peer)
        default:
          return true
      }
    })
  }

  run(step: Step): void {
    this.#reaction = step.reaction
    this.#do(step)
    this.#reaction = null
  }

  #do({ act, pick }: Step): void {
    const targets = this.targets(act)
    if (targets.length === 0) return
    const [peer, relay] = targets[pick % targets.length]!
    const { host } = this
    const link = this.link(relay)
    const opened = this.open.get(peer)
    const id = link?.idOf(peer)
    switch (act) {
      case "open": {
        if (opened !== undefined) return expect(() => host.open(peer)).toThrow()
        const fresh = host.open(peer)
        fresh.on = () => this.react()
        this.open.set(peer, { peer: fresh, ties: new Map() })
        return
      }
      case "close":
        return this.close(peer)
      case "tie":
        return this.tie(peer, relay)
      case "add":
        return void host.table.addRelay(relayAt(relay))
      case "confirm":
        return void host.relays.confirm(relay)
      case "lose":
        for (const each of peers) {
          this.set(relay, each, "none")
          this.refused.delete(`${each} ${relay}`)
        }
        return link!.lose()
      case "grant":
        this.set(relay, peer, "registered")
        return void link!.grant(peer)
      case "refuse":
        // Remembered only for a tie that there was, and until the relay is lost: the clock here never runs for a minute.
        if (opened?.ties.delete(relay) === true) this.refused.add(`${peer} ${relay}`)
        return link!.refuse(peer)
      case "online":
        this.set(relay, peer, "online")
        return link!.online(id!)
      case "offline":
        this.set(relay, peer, "registered")
        return link!.offline(id!)
      case "full":
        link!.full = true
        link!.stuck ??= host.now
        return
      case "writable":
        return link!.writable()
      case "wait":
        host.now += 150
        return
      case "send":
        return this.send(peer, 10)
      case "sendBig":
        return this.send(peer, 1300)
      case "moveOn":
        return void opened?.peer.path.moveOn()
      case "heard": {
        const slot = [...host.entryOf(relay)?.slots ?? []].find(({ peer: { key: k } }) => k[0] === peer)
        if (slot !== undefined) opened?.peer.path.heard(slot.route)
        return
      }
      case "data":
        return link!.receive(id!, 1)
      case "oob":
        return link!.receiveOob(peer, 1)
    }
  }

  check(): void {
    const { host } = this
    same(host.relays.violations, [])
    same(this.closedLogs.map(({ log }) => log.length), this.closedLogs.map(({ length }) => length))
    const balance = new Map<string, number>()
    const carriers = new Map<number, string>()
    for (const event of host.log) {
      const [peer, word, relay] = event.split(" ") as [string, string, string]
      if (word === "over") carriers.set(Number(peer), relay)
      else if (word === "on" || word === "off") {
        balance.set(`${peer} ${relay}`, (balance.get(`${peer} ${relay}`) ?? 0) + (word === "on" ? 1 : -1))
      }
    }
    for (const relay of relays) {
      const entry = host.entryOf(relay)
      const expected = [...this.open].flatMap(([peer, { ties }]) =>
        ties.has(relay) ? [`${peer} ${ties.get(relay)}`] : []
      )
      const actual = [...entry?.slots ?? []].map(({ peer, status }) => `${peer.key[0]} ${status}`)
      same(actual.toSorted(), expected.toSorted())
      // What the table knows by connection id is what the relay has given out, answers under way excepted.
      const held = [...this.link(relay)?.ids ?? []].map(([id, { peer, state }]) => `${id} ${peer} ${state}`)
      const known = [...entry?.byId ?? []].flatMap((slot, id) =>
        slot === undefined ? [] : [`${id} ${hexKey(slot.peer.key[0]!)} ${slot.status}`]
      )
      same(known.toSorted(), held.toSorted())
      for (const peer of peers) {
        const reported = balance.get(`${peer} ${relayAt(relay).host}`) ?? 0
        same(reported, this.open.get(peer)?.ties.get(relay) === "online" ? 1 : 0)
      }
    }
    for (const peer of peers) if (!this.open.has(peer)) same(carriers.get(peer) ?? "none", "none")
    for (const [peer, { peer: { path }, ties }] of this.open) {
      same(ties.size <= numbers.maxRelays, true)
      const carrier = path.carrier()
      const named = carriers.get(peer) ?? "none"
      same([carrier !== 0, named !== "none"], [this.isOnline(peer), this.isOnline(peer)])
      if (carrier === 0) continue
      // One number, one peer and one relay, for ever; and the relay is one on which the peer is online.
      same(this.carriersSeen.get(carrier) ?? `${peer} ${named}`, `${peer} ${named}`)
      this.carriersSeen.set(carrier, `${peer} ${named}`)
      same(ties.get(relays.find((relay) => named === relayAt(relay).host)!), "online")
    }
  }

  /** Every relay on which a peer is online can carry it: take all others away and send. */
  checkUsable(): void {
    for (const link of this.host.relays.links) {
      link.full = false
      link.stuck = undefined
    }
    for (const [peer, { peer: { path }, ties }] of this.open) {
      const online = relays.filter((relay) => ties.get(relay) === "online")
      for (const relay of online) {
        for (let i = 0; i < online.length * 10 && !this.named(peer).endsWith(relayAt(relay).host); i++) {
          this.host.now++
          path.moveOn()
        }
        const link = this.link(relay)!
        const before = link.data.length
        expect(path.send(frame(1), 2, false)).toBe("sent")
        expect(link.data.length).toBe(before + 1)
      }
    }
  }

  named = (peer: number): string => this.host.log.findLast((event) => event.startsWith(`${peer} over `)) ?? ""
}

/** `expect` is too slow for a million comparisons. */
const same = (actual: unknown, expected: unknown): void => {
  if (JSON.stringify(actual) !== JSON.stringify(expected)) expect(actual).toEqual(expected)
}
const hexKey = (n: number): string => Buffer.from(key(n)).toString("hex")

/** All peers open and tied, most relays there, some peers online: from an empty table random steps take long to get that far. */
const busyStart: ReadonlyArray<readonly [Action, number]> = [
  ...[0, 5, 10].map((pick) => ["open", pick] as const),
  ...[0, 1, 2, 6, 7, 8, 10, 12, 14].map((pick) => ["tie", pick] as const),
  ...[0, 0, 0, 0].map((pick) => ["confirm", pick] as const),
  ...[0, 3, 1, 0].map((pick) => ["grant", pick] as const),
  ...[0, 1].map((pick) => ["online", pick] as const)
]

describe("ConnectionTable against a model", () => {
  it("C08: slots, counts, ids, carriers and reports are exact under any order of events, also from inside reports", () => {
    let sent = 0
    let moved = 0
    fc.assert(
      fc.property(fc.noBias(fc.array(step, { minLength: 50, maxLength: 150, size: "max" })), (steps) => {
        const world = new World()
        for (const [act, pick] of busyStart) world.run({ act, pick, reaction: null })
        world.check()
        for (const each of steps) {
          world.run(each)
          world.check()
        }
        world.checkUsable()
        world.check()
        sent += world.host.relays.links.reduce((sum, link) => sum + link.data.length, 0)
        moved += world.carriersSeen.size
        for (const peer of peers) world.close(peer)
        world.check()
      }),
      { numRuns: 300 }
    )
    // It is no test if peers are hardly ever online.
    expect(sent).toBeGreaterThan(1_000)
    expect(moved).toBeGreaterThan(1_000)
  })
})
