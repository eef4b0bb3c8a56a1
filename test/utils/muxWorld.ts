/**
 * Two multiplexers, their sessions and what each end has written and read, driven by any steps over links that come and go. Every
 * byte and value follows from its session, direction and place, so a loss, a double or another order shows at once.
 */
import { assert } from "@effect/vitest"
import type { MuxLink } from "../../src/protocol/session/MuxLink.ts"
import type { SessionState } from "../../src/protocol/session/SessionState.ts"
import { muxPair, type MuxPairOptions, type PairLink, type Side, type Taken, takeValues } from "./muxPair.ts"

export const acts = [
  "write",
  "read",
  "deliver",
  "exchange",
  "credit",
  "end",
  "reset",
  "open",
  "accept",
  "refuse",
  "make",
  "connect",
  "cut",
  "sever",
  "notice",
  "direct",
  "take",
  "move",
  "datagram"
] as const

export interface Step {
  readonly act: (typeof acts)[number]
  readonly side: "a" | "b"
  /** Which session, stream or link. */
  readonly index: number
  readonly size: number
}

interface SessionEnd {
  readonly side: "a" | "b"
  readonly session: SessionState
  /** Bytes of an opened session, values of a made one. */
  written: number
  taken: number
  /** This end has broken it off. */
  reset: boolean
}

interface Flow {
  readonly name: string
  readonly salt: number
  readonly ends: Partial<Record<"a" | "b", SessionEnd>>
}

const byteAt = (salt: number, side: "a" | "b", at: number): number =>
  (salt * 37 + (side === "a" ? 11 : 101) + at * 7 + (at >>> 8) * 13 + (at >>> 16)) & 0xff

/** Value number `at`: of a descriptor with a size of its own, or with a length. */
const valueAt = (salt: number, side: "a" | "b", at: number): Taken => {
  const bytes = (size: number) => Uint8Array.from({ length: size }, (_, i) => byteAt(salt, side, at * 31 + i))
  switch ((salt + at) % 4) {
    case 0:
      return { descriptor: 0x04, length: 0, payload: bytes(4) }
    case 1:
      return { descriptor: 0x05, length: 0, payload: bytes(8) }
    case 2:
      return { descriptor: 0x06, length: 2 * (at % 900), payload: bytes(2 * (at % 900)) }
    default:
      return { descriptor: 0x0c, length: at % 300, payload: bytes(at % 300) }
  }
}

const other = (side: "a" | "b"): "a" | "b" => side === "a" ? "b" : "a"

export class MuxWorld {
  readonly pair: ReturnType<typeof muxPair>
  readonly flows: Array<Flow> = []
  private readonly byName = new Map<string, Flow>()
  private readonly made = { a: 0, b: 0 }
  private opened = 0
  private readonly budget: number

  constructor(options: MuxPairOptions) {
    this.pair = muxPair(options)
    this.budget = this.pair.a.mux.sessionOptions.budget.left
  }

  step({ act, index, side, size }: Step): void {
    const self = this.pair[side]
    this.pair.times.now += 20
    switch (act) {
      case "write":
        return this.use(side, index, (end) => this.write(end, size))
      case "read":
        return this.use(side, index, (end) => this.read(end))
      case "end":
        return this.use(side, index, ({ session }) => {
          session.end()
          self.mux.touch(session)
        })
      case "reset":
        return this.use(side, index, (end) => {
          self.mux.reset(end.session, size % 65_536, "enough")
          end.reset ||= end.session.fault?._tag === "Reset" && !end.session.fault.byPeer
        })
      case "datagram":
        return this.use(side, index, ({ session }) => void self.mux.datagram(session, new Uint8Array(size % 1_200)))
      case "open":
        return this.open(side)
      case "make":
        return this.make(side, 1 + size % 3)
      case "accept":
        return this.accept(side)
      case "refuse": {
        const offer = self.mux.takeOffer()
        if (offer === undefined) return
        this.enter(offer.name, side, offer).reset = true
        return self.mux.reset(offer, 1, "no")
      }
      case "credit":
        self.creditLater = false
        return self.mux.creditInterval()
      case "deliver": {
        const link = this.linkAt(index % 4)
        link?.[side][(index >>> 2) % link[side].length]?.deliver(1 + size % 60)
        return
      }
      case "exchange":
        // Both ways on one link, so that it gets somewhere.
        for (let rounds = 1 + index % 5; rounds > 0; rounds--) {
          const link = this.linkAt(size % 3)
          for (const end of [...link?.a ?? [], ...link?.b ?? []]) end.deliver(1 + size % 30)
        }
        return
      case "connect":
        return void this.pair.connect(1 + size % 3)
      case "direct":
        return void this.pair.connectDirect([1, 2, 4][size % 3])
      case "take":
        return this.linkAt(index % 3)?.take(side)
      case "move": {
        const links = this.takenAt(side)
        const link = links[index % Math.max(1, links.length)]
        if (link !== undefined) self.mux.reattach(link)
        return
      }
      case "cut":
        return this.pair.cut(this.linkAt(index % 3))
      case "sever":
        return this.pair.sever(this.linkAt(index % 3))
      case "notice": {
        // Only of a link that is no more, or about to be: the other side sees nothing yet.
        const link = this.linkAt(index % 3)
        this.pair.sever(link)
        return this.pair.notice(side, link)
      }
    }
  }

  /** Counted from the newest. */
  private linkAt(index: number): PairLink | undefined {
    return this.pair.links.at(-1 - index)
  }

  /** The links that a side could use, as far as it knows. */
  private takenAt(side: "a" | "b"): ReadonlyArray<MuxLink> {
    return Array.from(this.pair[side].taken.values()).filter(({ isOver }) => !isOver)
  }

  /** All links but one come to an end, and both sides notice, in some order. What is left has to do. */
  private leaveOne(which: number): void {
    const { links, cut } = this.pair
    const alive = links.filter(({ a, b, severed }) =>
      !severed && [...a, ...b].every(({ error }) => error === undefined)
    )
    const last = alive[which % Math.max(1, alive.length)] ?? this.pair.connect(1 + which % 3)
    for (const link of links) if (link !== last) cut(link)
    for (const side of which % 2 === 0 ? ["a", "b"] as const : ["b", "a"] as const) {
      last.take(side)
      const { mux, taken } = this.pair[side]
      const link = taken.get(last)
      if (mux.link === undefined && link !== undefined) mux.reattach(link)
    }
    this.pair.settle()
    for (const side of ["a", "b"] as const) {
      const { mux, taken } = this.pair[side]
      assert.isTrue(mux.link !== undefined && mux.link === taken.get(last) && mux.link.isUp)
    }
  }

  /** Ends everything in order, over one link that stays, and looks at what is left. */
  finish(which = 0): void {
    const { a, b, settle } = this.pair
    this.leaveOne(which)
    const made = Math.max(this.made.a, this.made.b)
    this.make("a", made - this.made.a)
    this.make("b", made - this.made.b)
    for (
      let rounds = 0;
      rounds < 3_000 && (rounds < 2 || this.left().some(({ fault }) => fault === undefined));
      rounds++
    ) {
      settle()
      for (const side of ["a", "b"] as const) while (this.pair[side].mux.offered > 0) this.accept(side)
      for (const { ends } of this.flows) {
        for (const end of [ends.a, ends.b]) {
          if (end === undefined) continue
          this.read(end)
          if (end.session.writeEnded) continue
          end.session.end()
          this.pair[end.side].mux.touch(end.session)
        }
      }
    }
    settle()
    // Of a session that was broken off before its Open was answered, only the next Resume tells whether the peer has it.
    for (const session of this.left()) assert.isTrue(session.origin === "opened" && session.fault !== undefined)
    if (this.left().length > 0) {
      this.pair.connect(1)
      settle()
    }
    for (const side of [a, b]) this.assertClean(side)
    for (const flow of this.flows) this.assertDone(flow)
  }

  /** Sessions that have not been forgotten. */
  private left(): ReadonlyArray<SessionState> {
    const { a, b } = this.pair
    return [a, b].flatMap(({ mux }) => Array.from(mux.sessions.values()))
  }

  private assertClean({ mux }: Side): void {
    assert.isUndefined(mux.fault)
    assert.strictEqual(mux.counts.sessions, 0)
    assert.strictEqual(mux.counts.unknownSession, 0)
    assert.strictEqual(mux.counts.ignoredPackets, 0)
    assert.deepStrictEqual([mux.incoming, mux.refused, mux.offered, mux.earlyCredits.size], [0, 0, 0, 0])
    assert.strictEqual(mux.sessionOptions.budget.left, this.budget)
  }

  private assertDone({ ends, name }: Flow): void {
    for (const end of [ends.a, ends.b]) {
      if (end === undefined) continue
      const peer = ends[other(end.side)]
      const { fault } = end.session
      if (fault === undefined) {
        assert.isTrue(end.session.finished, name)
        assert.isTrue(end.session.readEnded, name)
        assert.strictEqual(end.taken, peer?.written, name)
        assert.strictEqual(end.session.counts.delivered, end.session.counts.written, name)
      } else if (fault._tag === "Reset") {
        assert.isTrue(fault.byPeer ? peer?.reset ?? false : end.reset, name)
      } else {
        assert.strictEqual(fault._tag, "Refused", name)
        assert.isTrue(peer?.reset ?? true, name)
      }
    }
    assert.isAtLeast(
      Object.keys(ends).length,
      ends.a?.session.fault === undefined && ends.b?.session.fault === undefined ? 2 : 1
    )
  }

  private use(side: "a" | "b", index: number, run: (end: SessionEnd) => void): void {
    const ends = this.flows.flatMap(({ ends }) => ends[side] ?? [])
    const end = ends[index % Math.max(1, ends.length)]
    if (end !== undefined) run(end)
  }

  private enter(name: string, side: "a" | "b", session: SessionState): SessionEnd {
    const flow = this.byName.get(name) ?? { name, salt: this.flows.length, ends: {} }
    if (!this.byName.has(name)) {
      this.byName.set(name, flow)
      this.flows.push(flow)
    }
    assert.isUndefined(flow.ends[side], `${name} came twice`)
    const end: SessionEnd = { side, session, written: 0, taken: 0, reset: false }
    flow.ends[side] = end
    return end
  }

  private open(side: "a" | "b"): void {
    const name = `opened ${this.opened++}`
    this.enter(name, side, this.pair[side].mux.open(name))
  }

  private make(side: "a" | "b", count: number): void {
    for (const session of this.pair[side].mux.make(count)) {
      assert.strictEqual(session.id, this.made[side]++)
      this.enter(`made ${session.id}`, side, session)
    }
  }

  private accept(side: "a" | "b"): void {
    const session = this.pair[side].mux.takeOffer()
    if (session === undefined) return
    this.enter(session.name, side, session)
    session.accept()
    this.pair[side].mux.touch(session)
  }

  private write(end: SessionEnd, size: number): void {
    const { session, side } = end
    if (session.fault !== undefined || session.writeEnded) return
    const { salt } = this.flowOf(end)
    if (session.origin === "made") {
      for (let left = 1 + size % 40; left > 0; left--) {
        const { descriptor, length, payload } = valueAt(salt, side, end.written++)
        session.writeValue(descriptor, descriptor === 0x06 || descriptor === 0x0c ? length : undefined, payload)
      }
    } else {
      session.write([Uint8Array.from({ length: size }, (_, i) => byteAt(salt, side, end.written + i))])
      end.written += size
    }
    this.pair[side].mux.touch(session)
  }

  /** Whatever was read is what the peer has written, in its place. */
  private read(end: SessionEnd): void {
    const { session, side } = end
    const { salt } = this.flowOf(end)
    for (const value of takeValues(this.pair[side], session)) {
      if (session.origin === "made") {
        assert.deepEqual(value, valueAt(salt, other(side), end.taken++))
        continue
      }
      assert.strictEqual(value.descriptor, 0x0c)
      for (const byte of value.payload) {
        if (byte !== byteAt(salt, other(side), end.taken)) {
          assert.fail(`byte ${end.taken} of ${session.name} is another`)
        }
        end.taken++
      }
    }
  }

  private flowOf(end: SessionEnd): Flow {
    const flow = this.flows.find(({ ends }) => ends[end.side] === end)
    if (flow === undefined) throw new Error("a session of nobody")
    return flow
  }
}
