/**
 * Random lives of a tended table: peers come, move, sleep, wake and go, relays fail, refuse and return, and reports are answered in the
 * middle of everything. Whatever happened, the counts are exact, and once the world is quiet every peer has what it needs.
 */
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { type OpenPeer, relayAt } from "../../utils/FakeLinks.ts"
import { TendedHost } from "../../utils/TendedHost.ts"

const peers = [1, 2, 3] as const
const relays = [1, 2, 3, 4, 5, 6, 7, 8] as const
const minute = 60_000

const acts = [
  ...[
    "open",
    "open",
    "tie",
    "tie",
    "tie",
    "own",
    "close",
    "sleep",
    "sleep",
    "doze",
    "wake",
    "wake",
    "move",
    "move",
    "appear"
  ],
  ...[
    "appear",
    "vanish",
    "lose",
    "lose",
    "down",
    "up",
    "up",
    "refuse",
    "accept",
    "onion",
    "noOnion",
    "settle",
    "settle"
  ],
  ...["second", "second", "tenSeconds", "tenSeconds", "minute"]
] as const
const step = fc.record({
  act: fc.constantFrom(...acts),
  peer: fc.constantFrom(...peers),
  relay: fc.constantFrom(...relays),
  /** What the next report of a peer is answered with, for some peer. */
  reaction: fc.oneof(
    { weight: 4, arbitrary: fc.constant(null) },
    {
      weight: 1,
      arbitrary: fc.record({
        act: fc.constantFrom("close", "tie", "sleep", "doze", "wake", "move"),
        peer: fc.constantFrom(...peers),
        relay: fc.constantFrom(...relays)
      })
    }
  )
})
type Step = typeof step extends fc.Arbitrary<infer A> ? A : never

class World {
  readonly host = new TendedHost({ minimumRelays: 2, onionRelays: 2 })
  readonly open = new Map<number, OpenPeer>()
  readonly home = new Set<number>()
  /** Peers that keep one relay while they sleep, if that is what they do. */
  readonly dozing = new Set<number>()
  #reaction: Step["reaction"] = null

  act(act: string, peer: number, relay: number): void {
    const { host } = this
    const path = this.open.get(peer)?.path
    const on = host.whereabouts.get(peer) ?? new Set<number>()
    host.whereabouts.set(peer, on)
    switch (act) {
      case "open": {
        if (path !== undefined) return
        const opened = host.open(peer)
        opened.on = () => {
          const reaction = this.#reaction
          this.#reaction = null
          if (reaction !== null) this.act(reaction.act, reaction.peer, reaction.relay)
        }
        return void this.open.set(peer, opened)
      }
      case "close":
        this.open.delete(peer)
        return path?.close()
      case "tie":
        return path?.tie(relayAt(relay))
      case "own":
        this.home.add(relay)
        return host.table.addRelay(relayAt(relay))
      case "sleep":
        this.dozing.delete(peer)
        return path?.sleep()
      case "doze":
        this.dozing.add(peer)
        return path?.sleep(1)
      case "wake":
        return path?.wake()
      case "move":
        return void path?.moveOn()
      case "appear":
        return void on.add(relay)
      case "vanish":
        return void on.delete(relay)
      case "lose":
        return host.linkOf(relay)?.lose()
      case "down":
        host.down.add(relay)
        return host.linkOf(relay)?.lose()
      case "up":
        return void host.down.delete(relay)
      case "refuse":
        return void host.refusing.add(relay)
      case "accept":
        return void host.refusing.delete(relay)
      case "onion":
      case "noOnion":
        return host.table.setOnion(act === "onion")
      case "settle":
        return host.settle()
      default:
        return host.pass({ second: 1_000, tenSeconds: 10_000, minute }[act] ?? 0)
    }
  }

  run({ act, peer, reaction, relay }: Step): void {
    this.#reaction = reaction
    this.act(act, peer, relay)
    this.#reaction = null
  }

  check(): void {
    const { host } = this
    same(host.relays.violations, [])
    for (const entry of host.table.relays) {
      const n = entry.relay.publicKey[0]! - 100
      const link = host.linkOf(n)
      same(entry.link === link, true)
      // Exact: as many are online here as the relay says, each by the id that it gave out, and none twice.
      const byRelay = [...link?.ids ?? []].map(([id, { peer, state }]) =>
        `${id} ${Number.parseInt(peer.slice(0, 2), 16)} ${state}`
      )
      const byTable = [...entry.slots].flatMap(({ connectionId, peer, status }) =>
        status === "none" ? [] : [`${connectionId} ${peer.key[0]} ${status}`]
      )
      same(byTable.toSorted(), byRelay.toSorted())
      for (const { peer } of entry.slots) {
        same(peer.slots.filter((slot) => slot.entry === entry).length, 1)
        same(this.open.has(peer.key[0]!), true)
      }
    }
    for (const [peer, { path }] of this.open) {
      same(host.slots(peer).length <= 6, true)
      const on = host.onlineOn(peer).map((n) => relayAt(n).host)
      same([path.carrier() !== 0, host.carrierOf(peer) !== undefined], [on.length > 0, on.length > 0])
      if (on.length > 0) same(on.includes(host.carrierOf(peer)!), true)
    }
  }

  /** How many relays the peer wants to be online on. */
  needs(peer: number, path: OpenPeer["path"]): number {
    if (!path.isAsleep) return 3
    return this.dozing.has(peer) ? 1 : 0
  }

  /** The faults end, and some minutes go by. */
  calm(): void {
    const { host } = this
    host.down.clear()
    host.refusing.clear()
    host.table.setOnion(false)
    host.pass(5 * minute)
  }

  checkCalm(): void {
    const { host } = this
    const tied = (peer: number) =>
      relays.filter((n) => host.slots(peer).some((slot) => slot.startsWith(`${relayAt(n).host} `)))
    for (const [peer, { path }] of this.open) {
      if (this.needs(peer, path) === 0) continue
      const possible = tied(peer).filter((n) => host.whereabouts.get(peer)?.has(n) === true)
      expect(host.onlineOn(peer).length).toBeGreaterThanOrEqual(Math.min(this.needs(peer, path), possible.length))
    }
    const served = [...this.open].filter(([peer, { path }]) => this.needs(peer, path) > 0)
    const theirs = served.flatMap(([peer]) => tied(peer))
    for (const n of host.connected) if (!this.home.has(n) && this.home.size >= 2) expect(theirs).toContain(n)
    expect(host.connected.filter((n) => this.home.has(n)).length).toBeGreaterThanOrEqual(Math.min(2, this.home.size))
    const most = served.reduce((sum, [peer, { path }]) => sum + this.needs(peer, path), 2)
    expect(host.connected.length).toBeLessThanOrEqual(most)
    // At rest, but for a look once a minute at relays on which a peer may appear.
    const { kept, left } = host.relays
    const before = [kept.length, left.length]
    host.pass(10 * minute)
    expect(kept.length - before[0]!).toBeLessThanOrEqual(10 * relays.length)
    const isLooking = [...this.open].some(([peer, { path }]) => host.onlineOn(peer).length < this.needs(peer, path))
    if (!isLooking) expect([kept.length, left.length]).toEqual(before)
  }
}

/** `expect` is too slow for so many comparisons. */
const same = (actual: unknown, expected: unknown): void => {
  if (JSON.stringify(actual) !== JSON.stringify(expected)) expect(actual).toEqual(expected)
}

describe("a tended table in random lives", () => {
  it("C08: counts are exact at any time, and quiet worlds are well: T10, T19, T25, T29, T30, C03, C04", () => {
    let [online, asleep] = [0, 0]
    fc.assert(
      fc.property(fc.noBias(fc.array(step, { minLength: 30, maxLength: 100, size: "max" })), (steps) => {
        const world = new World()
        for (const peer of peers) {
          world.act("open", peer, 1)
          for (const n of relays) world.act(n % 3 === peer - 1 ? "vanish" : "appear", peer, n)
          for (const n of [peer, peer + 1, peer + 3]) world.act("tie", peer, n)
        }
        world.host.settle()
        for (const each of steps) {
          world.run(each)
          world.check()
        }
        world.calm()
        world.check()
        world.checkCalm()
        for (const [peer, { path }] of world.open) {
          online += world.host.onlineOn(peer).length
          if (path.isAsleep) asleep++
        }
        for (const peer of peers) world.act("wake", peer, 1)
        world.calm()
        world.checkCalm()
      }),
      { numRuns: 100 }
    )
    // It is no test if nobody is ever online, or asleep.
    expect(online).toBeGreaterThan(100)
    expect(asleep).toBeGreaterThan(30)
  }, 30_000)
})
