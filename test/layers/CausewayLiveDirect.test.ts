/** Sessions on direct links and back: when links are announced, used, and left. The node with the lesser identity key is `a`. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { ConnectRequest, ConnectResponse, LinkControl } from "../../src/schema/LinkControl.ts"
import type { DirectNumbers } from "../../src/services/DirectSettings.ts"
import { FakeDirectLinks } from "../utils/FakeDirectLinks.ts"
import type { FakeEnd } from "../utils/FakeNetCrypto.ts"
import { FakeNetwork } from "../utils/FakeNetwork.ts"
import { talk } from "../utils/peerSteps.ts"
import { causewayOf } from "../utils/sessionPair.ts"
import { forkNow, join, rest, text } from "../utils/sessionSteps.ts"

const addressOf = FakeNetwork.addressOf
const endpoint = { host: "203.0.113.9", port: 4_000 }

interface Options {
  readonly a?: Partial<DirectNumbers>
  readonly b?: Partial<DirectNumbers>
  readonly isOpen?: boolean
  readonly auto?: boolean
  /** Called before there are any nodes. */
  readonly prepare?: (direct: FakeDirectLinks, network: FakeNetwork) => void
}

/** Two nodes of which `a` has called the other. */
const directPair = Effect.fnUntraced(function*(options: Options = {}) {
  const network = yield* FakeNetwork.make
  network.record = true
  const direct = new FakeDirectLinks()
  direct.isOpen = options.isOpen ?? true
  options.prepare?.(direct, network)
  const [a, b] = yield* Effect.all([
    causewayOf(network, "a", {}, 0, { fake: direct, numbers: options.a ?? {} }),
    causewayOf(network, "b", {}, 0, { fake: direct, numbers: options.b ?? {} })
  ])
  const calling = yield* forkNow(a.connect(addressOf("b")))
  const accepting = yield* forkNow(b.accept)
  yield* rest
  return { network, direct, calling, accepting, causeways: { a, b } }
})

/** The same, connected. */
const connected = Effect.fnUntraced(function*(options: Options = {}) {
  const pair = yield* directPair(options)
  return { ...pair, a: yield* Fiber.join(pair.calling), b: yield* Fiber.join(pair.accepting) }
})

/** A session of bytes over it. */
const withSession = Effect.fnUntraced(function*(options: Options = {}) {
  const pair = yield* connected(options)
  const [near, far] = yield* Effect.all(
    [pair.a.openBytes("test"), Effect.flatMap(pair.b.accept, (offer) => offer.bytes)],
    { concurrency: 2 }
  )
  return { ...pair, near, far }
})

/** The link control that an end has sent, by name. */
const controls = (end: FakeEnd | undefined): ReadonlyArray<string> =>
  (end?.taken ?? []).flatMap((packet) => {
    const decoded = packet[0] === 177 ? LinkControl.decode(packet) : undefined
    return decoded?._tag === "Success" ? [decoded.success._tag] : []
  })

const sessionBytes = (end: FakeEnd | undefined): number =>
  (end?.taken ?? []).reduce((sum, packet) => packet[0] === 176 ? sum + packet.length - 1 : sum, 0)

const pathOf = (state: ReturnType<Effect.Success<ReturnType<typeof connected>>["a"]["link"]>): string =>
  state._tag === "Up" ? state.path : state._tag

describe("a direct link", () => {
  it.effect("M09, M10: is announced by the greater identity, answered by the lower, and met by both with the same attempt", () =>
    Effect.gen(function*() {
      const pair = yield* directPair()
      pair.direct.endpoints.a.push(endpoint)
      const { direct, network } = pair
      assert.deepStrictEqual(controls(network.live?.b), ["LinkHello", "ConnectRequest"])
      assert.deepStrictEqual(controls(network.live?.a), ["LinkHello", "ConnectResponse"])
      assert.deepStrictEqual(direct.met.map(({ attempt, side }) => [side, attempt.announcedBy]), [
        ["a", "peer"],
        ["b", "us"]
      ])
      const [atA, atB] = direct.met
      assert.strictEqual(atA?.attempt.attempt.length, 16)
      assert.deepStrictEqual(atA?.attempt.attempt, atB?.attempt.attempt)
      assert.strictEqual(direct.links.length, 1)
    }))

  it.effect("M09, M10: each side expects the call before it speaks of the attempt, and dials where the other one listens", () =>
    Effect.gen(function*() {
      const [atA, atB] = [endpoint, { ...endpoint, port: 5_000 }]
      const expected: Array<unknown> = []
      const { direct } = yield* directPair({
        prepare: (direct, network) => {
          direct.endpoints.a.push(atA)
          direct.endpoints.b.push(atB)
          direct.onExpect = (side, { announcedBy, attempt }) =>
            expected.push([side, announcedBy, attempt, controls(network.live?.[side])])
        }
      })
      const attempt = direct.met[0]?.attempt.attempt
      assert.deepStrictEqual(expected, [["b", "us", attempt, ["LinkHello"]], ["a", "peer", attempt, ["LinkHello"]]])
      assert.deepStrictEqual(direct.met.map(({ attempt, side }) => [side, attempt.endpoints]), [
        ["a", [atB]],
        ["b", [atA]]
      ])
    }))

  it.effect("carries the sessions in both directions; Peer.link and Peer.links tell", () =>
    Effect.gen(function*() {
      const { a, b, direct, far, near, network } = yield* withSession({ isOpen: false })
      const seen: Array<string> = []
      yield* forkNow(Stream.runForEach(a.links, (state) => Effect.sync(() => seen.push(pathOf(state)))))
      assert.strictEqual(pathOf(a.link()), "relayed")
      yield* near.write(text("over relays, "))
      direct.isOpen = true
      yield* TestClock.adjust(10_000)
      assert.deepStrictEqual([pathOf(a.link()), pathOf(b.link())], ["direct", "direct"])
      const before = sessionBytes(network.live?.a)
      yield* near.write(text("directly"))
      yield* near.end
      assert.strictEqual(new TextDecoder().decode(join(yield* Stream.runCollect(far.stream))), "over relays, directly")
      yield* talk(b, a)
      assert.strictEqual(sessionBytes(network.live?.a), before)
      assert.strictEqual(seen[0], "relayed")
      assert.strictEqual(seen.at(-1), "direct")
    }))

  it.effect("T27: once it is up and quiet the relays are parked on both sides, by agreement", () =>
    Effect.gen(function*() {
      const { a, network } = yield* connected()
      yield* TestClock.adjust(4_000)
      assert.strictEqual(pathOf(a.link()), "direct")
      assert.deepStrictEqual([network.live?.a.rest, network.live?.b.rest], ["awake", "awake"])
      yield* TestClock.adjust(2_000)
      assert.deepStrictEqual([network.live?.a.rest, network.live?.b.rest], ["parked", "parked"])
      assert.deepStrictEqual(controls(network.live?.b).slice(-1), ["Park"])
      assert.deepStrictEqual(controls(network.live?.a).slice(-1), ["ParkAck"])
      const sent = [network.live?.a.sentPackets, network.live?.b.sentPackets]
      yield* TestClock.adjust(3_600_000)
      assert.deepStrictEqual([network.live?.a.sentPackets, network.live?.b.sentPackets], sent)
      assert.strictEqual(pathOf(a.link()), "direct")
    }))

  it.effect("T27: as long as no direct link is up nothing is parked, however quiet it is", () =>
    Effect.gen(function*() {
      const { a, network } = yield* connected({ isOpen: false })
      yield* TestClock.adjust(3_600_000)
      assert.strictEqual(pathOf(a.link()), "relayed")
      assert.deepStrictEqual([network.live?.a.rest, network.live?.b.rest], ["awake", "awake"])
      for (const end of [network.live?.a, network.live?.b]) assert.notInclude(controls(end), "Park")
    }))

  it.effect("T26: with warmRelay each side keeps one relay while they are parked, whoever asks for it", () =>
    Effect.gen(function*() {
      for (const [a, b] of [[true, false], [false, true], [true, true]] as const) {
        const { network } = yield* connected({ a: { warmRelay: a }, b: { warmRelay: b } })
        yield* TestClock.adjust(60_000)
        assert.deepStrictEqual([network.live?.a.rest, network.live?.b.rest], ["parked", "parked"])
        assert.deepStrictEqual([network.live?.a.keptRelays, network.live?.b.keptRelays], [Number(a), Number(b)])
      }
    }))

  for (
    const [what, break_] of [
      ["is reset", (direct: FakeDirectLinks) => direct.cut()],
      ["goes silent", (direct: FakeDirectLinks) => direct.freeze()]
    ] as const
  ) {
    it.effect(`T30: direct path dies: when it ${what}, the relays wake and the sessions go on there, whole`, () =>
      Effect.gen(function*() {
        const { a, b, direct, far, near, network } = yield* withSession()
        yield* TestClock.adjust(10_000)
        assert.deepStrictEqual([network.live?.a.rest, network.live?.b.rest], ["parked", "parked"])
        yield* near.write(text("before, "))
        yield* rest
        direct.isOpen = false
        break_(direct)
        yield* near.write(text("while it breaks, "))
        yield* far.write(text("and back"))
        yield* far.end
        yield* TestClock.adjust(2_000)
        assert.deepStrictEqual([pathOf(a.link()), pathOf(b.link())], ["relayed", "relayed"])
        assert.strictEqual(network.links.length, 1)
        yield* near.write(text("after"))
        yield* near.end
        const there = join(yield* Stream.runCollect(far.stream))
        assert.strictEqual(new TextDecoder().decode(there), "before, while it breaks, after")
        assert.strictEqual(new TextDecoder().decode(join(yield* Stream.runCollect(near.stream))), "and back")
      }))
  }

  it.effect("is tried again with pauses that double up to directRetryMax, and then the sessions move again", () =>
    Effect.gen(function*() {
      const { a, direct } = yield* connected({
        isOpen: false,
        a: { directRetryMax: 8_000 },
        b: { directRetryMax: 8_000 }
      })
      yield* TestClock.adjust(60_000)
      const attempts = direct.met.filter(({ side }) => side === "b").length
      // At once, then after half to a whole of 1, 2, 4, 8, 8, ... seconds, and a second for each attempt.
      assert.isAtLeast(attempts, 8)
      assert.isAtMost(attempts, 15)
      assert.strictEqual(pathOf(a.link()), "relayed")
      direct.isOpen = true
      yield* TestClock.adjust(9_000)
      assert.strictEqual(pathOf(a.link()), "direct")
    }))

  it.effect("an attempt takes no longer than the longest pause, or as long as the lower identity needs to dial late", () =>
    Effect.gen(function*() {
      for (const listening of [["a"], ["a", "b"]] as const) {
        const { direct } = yield* connected({
          isOpen: false,
          a: { directRetryMax: 2_000 },
          b: { directRetryMax: 2_000 }
        })
        for (const side of listening) direct.endpoints[side].push(endpoint)
        direct.hangs = true
        yield* TestClock.adjust(20_000)
        direct.met.length = 0
        yield* TestClock.adjust(60_000)
        const attempts = direct.met.filter(({ side }) => side === "b").length
        const each = listening.length === 1 ? 2_000 : 8_000
        assert.isAtLeast(attempts, Math.floor(60_000 / (each + 2_000)) - 1)
        assert.isAtMost(attempts, 60_000 / (each + 1_000) + 1)
      }
    }))

  it.effect("is tried at once when the addresses of either machine change", () =>
    Effect.gen(function*() {
      for (const side of ["a", "b"] as const) {
        const { direct } = yield* connected({ isOpen: false })
        yield* TestClock.adjust(300_000)
        direct.met.length = 0
        yield* TestClock.adjust(6_000)
        const usual = direct.met.length
        direct.endpoints[side].push(endpoint)
        direct.isOpen = true
        yield* TestClock.adjust(5_500)
        assert.isAbove(direct.met.length, usual, side)
        assert.strictEqual(direct.links.length, 1, side)
        assert.deepStrictEqual(direct.met.at(-1)?.attempt.announcedBy, direct.met.at(-1)?.side === side ? "us" : "peer")
      }
    }))

  it.effect("a change of addresses in the middle of an attempt is not overlooked", () =>
    Effect.gen(function*() {
      for (const side of ["a", "b"] as const) {
        const { direct } = yield* connected({ isOpen: false })
        yield* TestClock.adjust(300_000)
        direct.met.length = 0
        while (direct.met.length < 2) yield* TestClock.adjust(100)
        direct.endpoints[side].push(endpoint)
        direct.met.length = 0
        // In small steps: the clock does not wait for fibers that are woken through a microtask.
        for (let step = 0; step < 100; step++) yield* TestClock.adjust(100)
        assert.isTrue(direct.met.some((met) => met.side === side && met.attempt.announcedBy === "us"), side)
      }
    }))

  it.effect("the loss of the relays below does not touch it, and they are found again", () =>
    Effect.gen(function*() {
      const { a, b, far, near, network } = yield* withSession()
      yield* TestClock.adjust(10_000)
      network.cut()
      yield* near.write(text("one"))
      yield* TestClock.adjust(1_000)
      assert.deepStrictEqual([pathOf(a.link()), pathOf(b.link())], ["direct", "direct"])
      assert.strictEqual(network.links.length, 2)
      yield* near.end
      assert.strictEqual(new TextDecoder().decode(join(yield* Stream.runCollect(far.stream))), "one")
      yield* TestClock.adjust(10_000)
      assert.deepStrictEqual([network.live?.a.rest, network.live?.b.rest], ["parked", "parked"])
    }))

  it.effect("a probe while there are no relays asks nobody, and does not wait for any", () =>
    Effect.gen(function*() {
      const { a, network } = yield* connected()
      yield* TestClock.adjust(10_000)
      network.lose()
      yield* rest
      assert.strictEqual(pathOf(a.link()), "direct")
      const probing = yield* forkNow(a.probe)
      yield* rest
      assert.deepStrictEqual(yield* Fiber.join(probing), [])
    }))

  it.effect("a goodbye over it ends everything, and nobody waits", () =>
    Effect.gen(function*() {
      const { a, b, near } = yield* withSession()
      yield* TestClock.adjust(10_000)
      const leaving = yield* forkNow(b.refuse("enough"))
      yield* TestClock.adjust(1_100)
      yield* Fiber.join(leaving)
      assert.match((yield* a.closed).message, /enough/)
      assert.match((yield* Effect.flip(near.closed)).message, /enough/)
    }))
})

describe("announcements", () => {
  it.effect("M10: a response that does not bring our token back, or answers another attempt, is ignored", () =>
    Effect.gen(function*() {
      const { direct, network } = yield* connected({ isOpen: false, a: { policy: "relayed" } })
      const { live } = network
      const asked = live?.b.taken.map((packet) => ConnectRequest.decode(packet)).find((found) =>
        found._tag === "Success"
      )
      if (asked?._tag !== "Success") return assert.fail("nothing was announced")
      const { attempt, endpoints, token } = asked.success
      const forged = token.slice()
      forged[31] = (forged[31] ?? 0) ^ 1
      const other = attempt.slice()
      other[0] = (other[0] ?? 0) ^ 1
      // One at a time: the latest one counts.
      for (const bad of [{ attempt, token: forged }, { attempt: other, token }]) {
        live?.a.trySend(ConnectResponse.encode(ConnectResponse.make({ ...bad, endpoints })))
        yield* rest
        assert.strictEqual(direct.met.length, 0)
      }
      live?.a.trySend(ConnectResponse.encode(ConnectResponse.make({ attempt, endpoints, token })))
      yield* rest
      assert.strictEqual(direct.met.length, 1)
    }))

  it.effect("a peer that does not answer is asked again with pauses, and sessions stay on the relays", () =>
    Effect.gen(function*() {
      const { a, b, direct, network } = yield* connected({ a: { policy: "relayed" } })
      yield* TestClock.adjust(300_000)
      const asked = controls(network.live?.b).filter((name) => name === "ConnectRequest").length
      assert.isAtLeast(asked, 5)
      assert.isAtMost(asked, 15)
      assert.strictEqual(direct.met.length, 0)
      yield* talk(a, b)
    }))
})

describe("the policy", () => {
  for (const side of ["a", "b"] as const) {
    it.effect(`relayed: ${side === "a" ? "the lower" : "the greater"} identity tells no address, whatever it is asked`, () =>
      Effect.gen(function*() {
        const { a, b, causeways, direct, network } = yield* connected({ [side]: { policy: "relayed" } })
        direct.endpoints.a.push(endpoint)
        direct.endpoints.b.push(endpoint)
        yield* TestClock.adjust(200_000)
        assert.deepStrictEqual(controls(network.live?.[side]), ["LinkHello"])
        assert.deepStrictEqual(direct.met.filter((met) => met.side === side), [])
        yield* talk(a, b)
        assert.isDefined(causeways)
      }))
  }

  for (const side of ["a", "b"] as const) {
    it.effect(`relayed, in the middle of an attempt: ${side} ends it, and nothing comes of it`, () =>
      Effect.gen(function*() {
        const { a, b, direct } = yield* connected({ isOpen: false })
        direct.isOpen = true
        direct.delay = 3_000
        direct.met.length = 0
        while (direct.met.length < 2) yield* TestClock.adjust(100)
        const seen: Array<string> = []
        yield* forkNow(Stream.runForEach(a.links, (state) => Effect.sync(() => seen.push(pathOf(state)))))
        yield* TestClock.adjust(500)
        yield* (side === "a" ? a : b).setPolicy("relayed")
        yield* TestClock.adjust(20_000)
        assert.strictEqual(direct.links.length, 0)
        assert.deepStrictEqual(seen, ["relayed"])
      }))
  }

  it.effect("direct: nothing of a session goes over the relays; it waits for a direct link", () =>
    Effect.gen(function*() {
      const { accepting, calling, direct, network } = yield* directPair({
        isOpen: false,
        a: { policy: "direct" },
        b: { policy: "direct" }
      })
      yield* TestClock.adjust(20_000)
      assert.isUndefined(calling.pollUnsafe())
      direct.isOpen = true
      yield* TestClock.adjust(60_000)
      const [a, b] = [yield* Fiber.join(calling), yield* Fiber.join(accepting)]
      yield* talk(a, b)
      direct.isOpen = false
      direct.cut()
      yield* TestClock.adjust(1_000)
      assert.deepStrictEqual([pathOf(a.link()), pathOf(b.link())], ["Down", "Down"])
      direct.isOpen = true
      yield* TestClock.adjust(60_000)
      yield* talk(b, a)
      assert.deepStrictEqual([sessionBytes(network.links[0]?.a), sessionBytes(network.links[0]?.b)], [0, 0])
    }))

  it.effect("T30: when the relays must not carry sessions, they wake all the same when the direct link is lost", () =>
    Effect.gen(function*() {
      const { a, b, direct, network } = yield* connected({ a: { policy: "direct" }, b: { policy: "direct" } })
      yield* TestClock.adjust(10_000)
      assert.deepStrictEqual([network.live?.a.rest, network.live?.b.rest], ["parked", "parked"])
      // So that it is not announced again, which would wake them as well.
      direct.isOpen = false
      direct.cut()
      yield* rest
      assert.deepStrictEqual([network.live?.a.rest, network.live?.b.rest], ["awake", "awake"])
      assert.notStrictEqual(pathOf(a.link()), "relayed")
      assert.notStrictEqual(pathOf(b.link()), "relayed")
    }))

  it.effect("direct on one side only: it follows nobody onto the relays, and nothing is lost when it changes its mind", () =>
    Effect.gen(function*() {
      for (const side of ["a", "b"] as const) {
        const { direct, network, ...pair } = yield* withSession({ [side]: { policy: "direct" } })
        const there = side === "a" ? { peer: pair.a, session: pair.near } : { peer: pair.b, session: pair.far }
        const here = side === "a" ? { peer: pair.b, session: pair.far } : { peer: pair.a, session: pair.near }
        yield* TestClock.adjust(10_000)
        direct.isOpen = false
        direct.cut()
        yield* here.session.write(text("one, "))
        yield* there.session.write(text("three"))
        yield* there.session.end
        yield* TestClock.adjust(5_000)
        assert.strictEqual(sessionBytes(network.live?.[side]), 0)
        assert.deepStrictEqual([pathOf(here.peer.link()), pathOf(there.peer.link())], ["Down", "Down"])
        yield* there.peer.setPolicy("auto")
        yield* TestClock.adjust(1_000)
        assert.deepStrictEqual([pathOf(here.peer.link()), pathOf(there.peer.link())], ["relayed", "relayed"], side)
        yield* here.session.write(text("two"))
        yield* here.session.end
        const decode = (chunks: ReadonlyArray<Uint8Array>) => new TextDecoder().decode(join(chunks))
        assert.strictEqual(decode(yield* Stream.runCollect(there.session.stream)), "one, two")
        assert.strictEqual(decode(yield* Stream.runCollect(here.session.stream)), "three")
      }
    }))

  it.effect("may become direct while sessions run over relays: they stop there at once", () =>
    Effect.gen(function*() {
      const { a, b, direct, far, near, network } = yield* withSession({ isOpen: false })
      yield* b.setPolicy("direct")
      yield* near.write(text("waits"))
      yield* TestClock.adjust(5_000)
      assert.strictEqual(pathOf(b.link()), "Down")
      assert.strictEqual(network.links.length, 2)
      assert.strictEqual(sessionBytes(network.live?.b), 0)
      direct.isOpen = true
      yield* TestClock.adjust(60_000)
      assert.deepStrictEqual([pathOf(a.link()), pathOf(b.link())], ["direct", "direct"])
      yield* near.end
      assert.deepStrictEqual(join(yield* Stream.runCollect(far.stream)), text("waits"))
    }))

  it.effect("may change: relayed leaves the direct link at once, auto takes it up again", () =>
    Effect.gen(function*() {
      const { a, b, direct, far, near } = yield* withSession()
      yield* TestClock.adjust(10_000)
      yield* b.setPolicy("relayed")
      yield* near.write(text("one, "))
      yield* TestClock.adjust(1_000)
      assert.deepStrictEqual([pathOf(a.link()), pathOf(b.link())], ["relayed", "relayed"])
      const met = direct.met.length
      yield* TestClock.adjust(100_000)
      assert.isUndefined(direct.met.slice(met).find(({ side }) => side === "b"))
      yield* b.setPolicy("auto")
      yield* TestClock.adjust(100_000)
      assert.deepStrictEqual([pathOf(a.link()), pathOf(b.link())], ["direct", "direct"])
      yield* near.write(text("two"))
      yield* near.end
      assert.strictEqual(new TextDecoder().decode(join(yield* Stream.runCollect(far.stream))), "one, two")
    }))
})
