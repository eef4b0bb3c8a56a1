/** Static groups whose links are lost, replaced, stalled or wrong; over links that the test makes. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import type { ValueSession } from "../../src/services/Session.ts"
import { FakeGroup, type FakeStream, keyOf } from "../utils/FakeGroup.ts"
import { member, type MemberOptions, mesh, numbered, peerOf, receive } from "../utils/groupWorld.ts"
import { forkNow, rest } from "../utils/sessionSteps.ts"

/** Member 1, who accepts, and member 2, who dials, with sessions made at both ends. */
const pair = Effect.fnUntraced(function*(sessions: number, options: MemberOptions = {}) {
  const network = new FakeGroup()
  const [one, two] = yield* mesh(network, [1, 2], options)
  const atOne = peerOf(one!.group, 2)
  const atTwo = peerOf(two!.group, 1)
  return {
    network,
    one: { ...one!, peer: atOne, sessions: yield* atOne.makeSessions(sessions) },
    two: { ...two!, peer: atTwo, sessions: yield* atTwo.makeSessions(sessions) }
  }
})

const reasonOf = Effect.fnUntraced(function*(session: ValueSession) {
  const error = yield* Effect.flip(Effect.catchTag(session.receive, "Done", () => Effect.die("the end")))
  return error.reason._tag
})

/** Member 1 builds a group of three, of which only member 2 is there so far. */
const halfBuilt = Effect.gen(function*() {
  const network = new FakeGroup()
  const [one, two, three] = [yield* member(network, 1), yield* member(network, 2), yield* member(network, 3)]
  yield* one.include(2, 3)
  yield* two.include(1)
  const building = yield* forkNow(one.builder.build)
  yield* rest
  return { network, two, three, building }
})

/** Member 2 has lost its link, and said hello and resumed on the next one: its sessions wait for an answer that will not come. */
const aboutToBegin = Effect.gen(function*() {
  const { network, two } = yield* pair(1)
  // Long enough for the next link to be made without a pause.
  yield* TestClock.adjust("2 seconds")
  let next: FakeStream | undefined
  network.onLink = ({ streams }) => {
    if (next !== undefined) return
    const end = next = streams[0]!
    const flush = end.flush.bind(end)
    // The hello arrives, and nothing behind it.
    end.flush = () => {
      flush()
      end.frozen ||= end.written.length > 0 && end.inFlight === 0
    }
  }
  for (const stream of network.open) stream.kill()
  for (let i = 0; i < 200 && next?.written.length !== 2; i++) yield* Effect.yieldNow
  assert.strictEqual(next?.written.length, 2)
  assert.strictEqual(two.peer.link()._tag, "Down")
  return { network, two, next: next! }
})

describe("a link of a static group", () => {
  it.effect("I12, I13: that is lost is made again without a pause; sessions go on where they were", () =>
    Effect.gen(function*() {
      const { network, one, two } = yield* pair(3, { parallelism: 2 })
      yield* TestClock.adjust("2 seconds")
      for (const stream of network.open) stream.frozen = stream.other.frozen = true
      for (const [index, session] of two.sessions.entries()) yield* session.send(numbered(index))
      yield* one.sessions[0]!.send(numbered(9))
      yield* rest
      for (const stream of network.open) stream.kill()
      for (const [index, session] of two.sessions.entries()) yield* session.send(numbered(10 + index))
      for (const [index, session] of one.sessions.entries()) {
        assert.deepStrictEqual(yield* receive(session, 2), [index, 10 + index])
      }
      assert.deepStrictEqual(yield* receive(two.sessions[0]!, 1), [9])
      assert.strictEqual(network.links.length, 2)
    }))

  it.effect("I09: one stream that dies takes the others with it, and all are made anew", () =>
    Effect.gen(function*() {
      const { network, one, two } = yield* pair(4, { parallelism: 4 })
      yield* TestClock.adjust("2 seconds")
      const first = network.links[0]!.streams
      first[2]!.kill()
      yield* rest
      assert.isTrue(first.every(({ isClosed }) => isClosed))
      assert.deepStrictEqual(network.links.map(({ streams }) => streams.length), [4, 4])
      for (const [index, session] of two.sessions.entries()) {
        yield* session.send(numbered(index))
        assert.deepStrictEqual(yield* receive(one.sessions[index]!, 1), [index])
      }
    }))

  it.effect("I09: a stream that stays silent at the beginning is the end of the link after the hello's time", () =>
    Effect.gen(function*() {
      const network = new FakeGroup()
      const [one, two] = yield* Effect.forEach([1, 2], (number) => member(network, number, { parallelism: 3 }))
      network.onLink = ({ streams }) => {
        streams[1]!.frozen = streams[1]!.other.frozen = network.links.length === 1
      }
      yield* one!.include(2)
      yield* two!.include(1)
      const building = yield* forkNow(two!.builder.build)
      yield* TestClock.adjust("4900 millis")
      assert.isUndefined(building.pollUnsafe())
      assert.strictEqual(network.links.length, 1)
      yield* TestClock.adjust("1 second")
      yield* rest
      assert.strictEqual((yield* Fiber.join(building)).connections.size, 1)
      assert.isTrue(network.links[0]!.streams.every(({ isClosed }) => isClosed))
    }))

  it.effect.each([
    { what: "something else than a hello", bytes: new Uint8Array(20).fill(1) },
    { what: "a hello of version 0", bytes: Uint8Array.from([177, 1, 0, 0, ...new Uint8Array(16)]) }
  ])(
    "a stream that begins with $what is given up, and the link is made again",
    ({ bytes }) =>
      Effect.gen(function*() {
        const network = new FakeGroup()
        const [one, two] = yield* Effect.forEach([1, 2], (number) => member(network, number))
        network.onLink = ({ streams }) => {
          if (network.links.length === 1) streams[0]!.other.write([bytes])
        }
        yield* one!.include(2)
        yield* two!.include(1)
        const reasons = new Set<string | undefined>()
        yield* forkNow(Stream.runForEach(two!.builder.progress, ([peer]) =>
          Effect.sync(() => {
            if (peer?.state._tag === "Dialling") reasons.add(peer.state.lastError?.reason._tag)
          })))
        const building = yield* forkNow(two!.builder.build)
        yield* rest
        assert.isTrue(network.links[0]!.streams[0]!.isClosed)
        assert.isTrue(reasons.has("HandshakeFailed"))
        yield* TestClock.adjust("1 second")
        yield* rest
        assert.strictEqual((yield* Fiber.join(building)).connections.size, 1)
        assert.strictEqual(network.links.length, 2)
      })
  )

  it.effect("I12: is dialled again with pauses that double up to five seconds, and half of them is random", () =>
    Effect.gen(function*() {
      const { network } = yield* pair(1)
      yield* TestClock.adjust("2 seconds")
      network.away.add(1)
      for (const stream of network.open) stream.kill()
      const dials: Array<number> = []
      for (let time = 0, before = 1; time < 60_000; time += 10) {
        yield* TestClock.adjust(10)
        for (; before < network.dials.length; before++) dials.push(time)
      }
      const pauses = dials.slice(1).map((time, index) => time - dials[index]!)
      for (const [index, pause] of pauses.entries()) {
        const most = Math.min(5_000, 250 * 2 ** index)
        assert.isAtMost(pause, most + 10)
        assert.isAtLeast(pause, most / 2 - 10)
      }
      assert.isAbove(pauses.length, 12)
      assert.isAbove(new Set(pauses.slice(5)).size, 3)
      network.away.delete(1)
      yield* TestClock.adjust("5 seconds")
      assert.isAbove(network.open.length, 0)
    }))

  it.effect("I12: that brings nothing any more is replaced, also when nobody sends", () =>
    Effect.gen(function*() {
      const { network, one, two } = yield* pair(1, { parallelism: 2 })
      yield* TestClock.adjust("2 seconds")
      for (const stream of network.links[0]!.streams) stream.frozen = stream.other.frozen = true
      yield* two.sessions[0]!.send(numbered(1))
      yield* TestClock.adjust("4 seconds")
      assert.strictEqual(network.links.length, 2)
      assert.deepStrictEqual(yield* receive(one.sessions[0]!, 1), [1])
      for (const stream of network.links[1]!.streams) stream.frozen = stream.other.frozen = true
      yield* TestClock.adjust("15 seconds")
      assert.strictEqual(network.links.length, 3)
      assert.strictEqual(one.peer.link()._tag, "Up")
    }))

  it.effect("I12: of which one stream brings nothing any more is replaced, although the others work", () =>
    Effect.gen(function*() {
      const { network, one, two } = yield* pair(3, { parallelism: 3 })
      yield* TestClock.adjust("2 seconds")
      network.links[0]!.streams[2]!.frozen = true
      for (let time = 0; time < 4_000; time += 100) {
        for (const session of two.sessions) yield* session.send(numbered(time))
        yield* TestClock.adjust(100)
      }
      assert.strictEqual(network.links.length, 2)
      assert.deepStrictEqual(
        yield* receive(one.sessions[2]!, 40),
        Array.from({ length: 40 }, (_, index) => 100 * index)
      )
    }))

  it.effect("I12: a peer that dials again has no use for the link before, which ends", () =>
    Effect.gen(function*() {
      const { network, one, two } = yield* pair(1)
      yield* TestClock.adjust("2 seconds")
      const [old] = network.links[0]!.streams
      old!.vanish()
      yield* rest
      assert.strictEqual(network.links.length, 2)
      yield* two.sessions[0]!.send(numbered(3))
      assert.deepStrictEqual(yield* receive(one.sessions[0]!, 1), [3])
      assert.isTrue(old!.other.isClosed)
    }))
})

describe("a peer of a static group", () => {
  it.effect("that is turned away is told so, stays away, and comes back when it is asked for", () =>
    Effect.gen(function*() {
      for (const refuser of [1, 2]) {
        const { network, ...members } = yield* pair(1)
        const [near, far] = refuser === 1 ? [members.one, members.two] : [members.two, members.one]
        const waiting = yield* forkNow(reasonOf(far.sessions[0]!))
        yield* near.peer.refuse("not now")
        yield* rest
        const exit = waiting.pollUnsafe()
        assert.strictEqual(exit?._tag === "Success" ? exit.value : exit?._tag, "SessionRefused")
        yield* TestClock.adjust("30 seconds")
        assert.strictEqual(network.open.length, 0)
        const peer = yield* near.group.reconnector.reconnect(keyOf(far.number)).pipe(forkNow)
        yield* TestClock.adjust("6 seconds")
        yield* rest
        const [session] = yield* (yield* Fiber.join(peer)).makeSessions(1)
        const [other] = yield* (yield* far.group.reconnector.reconnect(keyOf(near.number))).makeSessions(1)
        yield* session!.send(numbered(4))
        assert.deepStrictEqual(yield* receive(other!, 1), [4])
      }
    }))

  it.effect("that is turned away while its next link is about to begin comes back when it is asked for at once", () =>
    Effect.gen(function*() {
      const { two } = yield* aboutToBegin
      yield* two.peer.refuse("not now")
      const reconnecting = yield* forkNow(two.group.reconnector.reconnect(keyOf(1)))
      for (let time = 0; time < 120_000 && reconnecting.pollUnsafe() === undefined; time += 100) {
        yield* TestClock.adjust(100)
      }
      const exit = reconnecting.pollUnsafe()
      assert.strictEqual(exit?._tag === "Success" ? exit.value.link()._tag : exit?._tag, "Up")
    }))

  it.effect("I01: that is asked for while its next link is about to begin gets no other one, and no pause is left out after it", () =>
    Effect.gen(function*() {
      const { network, next, two } = yield* aboutToBegin
      const reconnecting = yield* forkNow(two.group.reconnector.reconnect(keyOf(1)))
      yield* rest
      assert.strictEqual(network.dials.length, 2)
      // It has not lasted.
      next.kill()
      let pause = 0
      for (; pause < 5_000 && network.dials.length === 2; pause += 10) yield* TestClock.adjust(10)
      assert.isAbove(pause, 100)
      yield* rest
      assert.strictEqual((yield* Fiber.join(reconnecting)).link()._tag, "Up")
    }))

  it.effect("that was gone for too long ends its sessions with LinkLost; when it is back there are others", () =>
    Effect.gen(function*() {
      const { network, one, two } = yield* pair(1, { settings: { resumeTimeout: 10_000 } })
      network.away.add(1)
      for (const stream of network.open) stream.kill()
      yield* TestClock.adjust("9 seconds")
      const waiting = yield* forkNow(Effect.all([reasonOf(one.sessions[0]!), reasonOf(two.sessions[0]!)]))
      assert.isUndefined(waiting.pollUnsafe())
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(yield* Fiber.join(waiting), ["LinkLost", "LinkLost"])
      network.away.delete(1)
      const near = yield* two.group.reconnector.reconnect(keyOf(1))
      const [session] = yield* near.makeSessions(1)
      const [other] = yield* (yield* one.group.reconnector.reconnect(keyOf(2))).makeSessions(1)
      yield* session!.send(numbered(4))
      assert.deepStrictEqual(yield* receive(other!, 1), [4])
    }))

  it.effect("that comes back as another process ends its sessions with PeerRestarted, and is connected anew", () =>
    Effect.gen(function*() {
      for (const restarted of [1, 2]) {
        const { network, ...members } = yield* pair(2)
        const [gone, left] = restarted === 1 ? [members.one, members.two] : [members.two, members.one]
        yield* left.sessions[0]!.send(numbered(1))
        assert.deepStrictEqual(yield* receive(gone.sessions[0]!, 1), [1])
        yield* gone.kill
        yield* TestClock.adjust("1 second")
        network.away.delete(restarted)
        const again = yield* member(network, restarted, { process: 1 })
        yield* again.include(left.number)
        const building = yield* forkNow(again.builder.build)
        const reconnecting = yield* forkNow(left.group.reconnector.reconnect(keyOf(restarted)))
        yield* TestClock.adjust("5 seconds")
        yield* rest
        for (const session of left.sessions) assert.strictEqual(yield* reasonOf(session), "PeerRestarted")
        const peer = yield* Fiber.join(reconnecting)
        assert.notStrictEqual(peer, left.peer)
        const [near] = yield* peer.makeSessions(1)
        const [far] = yield* peerOf(yield* Fiber.join(building), left.number).makeSessions(1)
        yield* near!.send(numbered(2))
        yield* far!.send(numbered(3))
        assert.deepStrictEqual(yield* receive(far!, 1), [2])
        assert.deepStrictEqual(yield* receive(near!, 1), [3])
      }
    }))

  it.effect("I05: that was restarted before build was done is given with sessions that live", () =>
    Effect.gen(function*() {
      const { building, network, three, two } = yield* halfBuilt
      yield* two.kill
      network.away.delete(2)
      yield* (yield* member(network, 2, { process: 1 })).include(1)
      yield* rest
      yield* three.include(1)
      const { connections } = yield* Fiber.join(building)
      for (const peer of connections.values()) assert.strictEqual(peer.link()._tag, "Up")
    }))

  it.effect("that is asked for after the group has ended is an error", () =>
    Effect.gen(function*() {
      const { one } = yield* pair(1)
      yield* one.close
      const error = yield* Effect.flip(one.group.reconnector.reconnect(keyOf(2)))
      assert.strictEqual(error.reason._tag, "GroupEnded")
    }))

  it.effect("that leaves before build is done is waited for until it is back", () =>
    Effect.gen(function*() {
      const { building, network, three, two } = yield* halfBuilt
      yield* two.close
      yield* three.include(1)
      yield* TestClock.adjust("5 seconds")
      assert.isUndefined(building.pollUnsafe())
      yield* (yield* member(network, 2, { process: 1 })).include(1)
      const { connections } = yield* Fiber.join(building)
      for (const peer of connections.values()) assert.strictEqual(peer.link()._tag, "Up")
    }))

  it.effect("that has given us up ends our sessions, which still waited, when it is back", () =>
    Effect.gen(function*() {
      const network = new FakeGroup()
      const one = yield* member(network, 1, { settings: { resumeTimeout: 10_000 } })
      const two = yield* member(network, 2)
      yield* one.include(2)
      yield* two.include(1)
      const [, group] = yield* Effect.all([one.builder.build, two.builder.build], { concurrency: "unbounded" })
      const [session] = yield* peerOf(group, 1).makeSessions(1)
      yield* session!.send(numbered(1))
      yield* TestClock.adjust("2 seconds")
      network.away.add(1)
      for (const stream of network.open) stream.kill()
      yield* TestClock.adjust("12 seconds")
      network.away.delete(1)
      yield* TestClock.adjust("6 seconds")
      yield* rest
      const waiting = yield* forkNow(reasonOf(session!))
      yield* rest
      const exit = waiting.pollUnsafe()
      assert.strictEqual(exit?._tag === "Success" ? exit.value : exit?._tag, "PeerRestarted")
    }))

  it.effect("that leaves says goodbye: its sessions end at once, and when it comes back there are others", () =>
    Effect.gen(function*() {
      const { network, one, two } = yield* pair(1)
      const waiting = yield* forkNow(reasonOf(one.sessions[0]!))
      yield* two.close
      yield* rest
      const exit = waiting.pollUnsafe()
      assert.strictEqual(exit?._tag === "Success" ? exit.value : exit?._tag, "LinkLost")
      assert.strictEqual(network.open.length, 0)
      const again = yield* member(network, 2, { process: 1 })
      yield* again.include(1)
      const building = yield* forkNow(again.builder.build)
      const peer = yield* one.group.reconnector.reconnect(keyOf(2))
      assert.strictEqual(peer.link()._tag, "Up")
      assert.strictEqual((yield* Fiber.join(building)).connections.size, 1)
    }))
})
