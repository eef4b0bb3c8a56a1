/** Static groups: requesting, building, and who dials; over links that the test makes. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { toHex } from "../../src/schema/Bytes.ts"
import { instanceIdSize } from "../../src/schema/LinkControl.ts"
import type { PeerConnectionProgress } from "../../src/services/PeerConnectionBuilder.ts"
import { FakeGroup, keyOf } from "../utils/FakeGroup.ts"
import { endpoints, member, mesh, numbered, peerOf, receive } from "../utils/groupWorld.ts"
import { forkNow, rest } from "../utils/sessionSteps.ts"

const tagOf = Effect.fnUntraced(function*<A, E extends { readonly reason: { readonly _tag: string } }, R>(
  effect: Effect.Effect<A, E, R>
) {
  return (yield* Effect.flip(effect)).reason._tag
})

/** State of one peer by its number. */
const statesOf = (progress: ReadonlyArray<PeerConnectionProgress>) =>
  Object.fromEntries(progress.map(({ identityKey, state }) => [identityKey[0], state]))

describe("a static group", () => {
  it.effect("I03, I04: build waits for every requested peer, and gives each of them and a reconnector", () =>
    Effect.gen(function*() {
      const network = new FakeGroup()
      const [one, two, three] = yield* Effect.forEach([1, 2, 3], (number) => member(network, number))
      yield* one!.include(2, 3)
      yield* two!.include(1, 3)
      const building = yield* forkNow(one!.builder.build)
      yield* forkNow(two!.builder.build)
      yield* rest
      assert.strictEqual(network.links.length, 1)
      assert.isUndefined(building.pollUnsafe())
      yield* three!.include(1, 2)
      const { connections, reconnector } = yield* Fiber.join(building)
      assert.deepStrictEqual(Array.from(connections.keys()), [toHex(keyOf(2)), toHex(keyOf(3))])
      assert.deepStrictEqual(Array.from(connections.values(), (peer) => peer.link()._tag), ["Up", "Up"])
      assert.strictEqual(yield* reconnector.reconnect(keyOf(2)), connections.get(toHex(keyOf(2))))
    }))

  it.effect("I03: a requested peer is called at once, before build, and build of nobody waits for nobody", () =>
    Effect.gen(function*() {
      const network = new FakeGroup()
      const two = yield* member(network, 2)
      yield* two.include(1)
      yield* rest
      assert.deepStrictEqual(network.dials, [2])
      const one = yield* member(network, 1)
      assert.strictEqual((yield* one.builder.build).connections.size, 0)
    }))

  it.effect("I04: progress tells of each peer: who waits, who dials with the last error, who is connected", () =>
    Effect.gen(function*() {
      const network = new FakeGroup()
      network.away.add(1)
      const two = yield* member(network, 2, { parallelism: 3 })
      const seen: Array<ReturnType<typeof statesOf>> = []
      yield* forkNow(
        Stream.runForEach(two.builder.progress, (progress) => Effect.sync(() => seen.push(statesOf(progress))))
      )
      yield* two.include(1, 3)
      yield* TestClock.adjust("2 seconds")
      const dialling = seen.at(-1)
      assert.deepStrictEqual(dialling?.[3], { _tag: "Waiting", lastError: undefined })
      if (dialling?.[1]?._tag !== "Dialling") return assert.fail(`it is ${dialling?.[1]?._tag}`)
      assert.isAbove(dialling[1].attempts, 2)
      assert.strictEqual(dialling[1].lastError?.reason._tag, "NotReached")
      network.away.delete(1)
      const one = yield* member(network, 1, { parallelism: 3 })
      yield* one.include(2)
      yield* TestClock.adjust("5 seconds")
      yield* rest
      assert.deepStrictEqual(seen.at(-1)?.[1], { _tag: "Connected", streams: 3 })
      network.away.add(1)
      for (const stream of network.open) stream.kill()
      yield* rest
      const again = seen.at(-1)?.[1]
      assert.deepStrictEqual(again?._tag === "Dialling" ? again.attempts : again, 1)
    }))

  it.effect("I04: a build that times out leaves nothing behind, and the builder can be used again", () =>
    Effect.gen(function*() {
      const network = new FakeGroup()
      const [one, two] = yield* Effect.forEach([1, 2], (number) => member(network, number))
      yield* one!.include(2, 3)
      yield* two!.include(1)
      const scope = yield* Scope.make()
      const building = yield* forkNow(Effect.timeoutOption(Scope.provide(one!.builder.build, scope), "1 second"))
      yield* rest
      assert.isAbove(network.open.length, 0)
      yield* TestClock.adjust("1 second")
      yield* rest
      assert.strictEqual((yield* Fiber.join(building))._tag, "None")
      assert.deepStrictEqual([network.open.length, network.waiting], [0, 0])
      yield* one!.include(2)
      const again = yield* forkNow(one!.builder.build)
      yield* TestClock.adjust("6 seconds")
      yield* rest
      assert.strictEqual((yield* Fiber.join(again)).connections.size, 1)
      yield* Scope.close(scope, Exit.void)
      yield* rest
      assert.isAbove(network.open.length, 0)
    }))

  it.effect("I02: while calls are awaited and dials are under way the worker takes commands; its cancellation ends all three", () =>
    Effect.gen(function*() {
      const network = new FakeGroup()
      network.away.add(1)
      const two = yield* member(network, 2)
      yield* two.include(1, 3)
      const building = yield* forkNow(Effect.exit(Effect.scoped(two.builder.build)))
      yield* rest
      // It dials one, waits for three, and answers commands all the same.
      assert.isAbove(network.dials.length, 0)
      assert.strictEqual(network.waiting, 1)
      assert.strictEqual(yield* tagOf(two.builder.includePeer(keyOf(4), endpoints)), "GroupComplete")
      const three = yield* member(network, 3)
      yield* three.include(2)
      yield* rest
      assert.strictEqual(network.links.length, 1)
      assert.strictEqual(yield* tagOf(two.builder.includePeer(keyOf(4), endpoints)), "GroupComplete")
      yield* three.close
      yield* Fiber.interrupt(building)
      yield* rest
      const dials = network.dials.length
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual([network.open.length, network.waiting, network.dials.length], [0, 0, dials])
    }))

  it.effect("I05: only a connection that existed can be made again", () =>
    Effect.gen(function*() {
      const network = new FakeGroup()
      const [one] = yield* mesh(network, [1, 2])
      assert.strictEqual(yield* tagOf(one!.group.reconnector.reconnect(keyOf(3))), "NotConnectedBefore")
      assert.strictEqual(yield* tagOf(one!.group.reconnector.reconnect(keyOf(1))), "NotConnectedBefore")
      const peer = peerOf(one!.group, 2)
      assert.strictEqual(yield* one!.group.reconnector.reconnect(keyOf(2)), peer)
    }))

  it.effect("I05: who asks for a connection again need not wait for the pause before the next dial", () =>
    Effect.gen(function*() {
      const network = new FakeGroup()
      const [, two] = yield* mesh(network, [1, 2])
      network.away.add(1)
      for (const stream of network.open) stream.kill()
      yield* TestClock.adjust("20 seconds")
      network.away.delete(1)
      const dials = network.dials.length
      const peer = yield* two!.group.reconnector.reconnect(keyOf(1))
      assert.strictEqual(network.dials.length, dials + 1)
      assert.strictEqual(peer, peerOf(two!.group, 1))
      assert.strictEqual(peer.link()._tag, "Up")
    }))

  it.effect("I06, I17: nobody is expected but requested peers, and none of those who do not dial", () =>
    Effect.gen(function*() {
      const network = new FakeGroup()
      yield* mesh(network, [1, 2, 4])
      const expected = [1, 2, 3, 4].flatMap((acceptor) =>
        [1, 2, 3, 4].filter((dialler) => network.isExpected(acceptor, dialler)).map((dialler) => [acceptor, dialler])
      )
      assert.deepStrictEqual(expected, [[1, 2], [1, 4], [2, 4]])
      const three = yield* member(network, 3)
      yield* three.include(1, 2, 4)
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual(network.links.length, 3)
    }))

  it.effect("I07: oneself, a peer twice, a peer without an address, and a peer after build are errors that change nothing", () =>
    Effect.gen(function*() {
      const network = new FakeGroup()
      const two = yield* member(network, 2)
      const { includePeer } = two.builder
      assert.strictEqual(yield* tagOf(includePeer(keyOf(2), endpoints)), "IncludesSelf")
      yield* includePeer(keyOf(1), endpoints)
      assert.strictEqual(yield* tagOf(includePeer(keyOf(1), endpoints)), "AlreadyIncluded")
      assert.strictEqual(yield* tagOf(includePeer(keyOf(0), [])), "NoEndpoints")
      yield* includePeer(keyOf(3), [])
      const error = yield* Effect.flip(includePeer(keyOf(3), []))
      assert.strictEqual(error.peer, toHex(keyOf(3)))
      assert.include(error.message, `peer ${toHex(keyOf(3)).slice(0, 16)} is in the group already`)
      yield* forkNow(two.builder.build)
      assert.strictEqual(yield* tagOf(includePeer(keyOf(4), endpoints)), "GroupComplete")
      assert.strictEqual(yield* tagOf(two.builder.build), "AlreadyBuilt")
      yield* (yield* member(network, 1)).include(2)
      yield* (yield* member(network, 3)).include(2)
      yield* rest
      assert.strictEqual(network.links.length, 2)
    }))

  it.effect.each([
    { parallelism: 4, sessions: undefined, others: 4, streams: 4 },
    { parallelism: 4, sessions: 2, others: 4, streams: 2 },
    { parallelism: 4, sessions: 64, others: 4, streams: 4 },
    { parallelism: 4, sessions: 0, others: 4, streams: 1 },
    { parallelism: 4, sessions: undefined, others: 3, streams: 3 },
    { parallelism: 4, sessions: 2, others: 4, streams: 2, dials: true }
  ])(
    "I08: $parallelism streams for $sessions sessions, and $others at the peer: a link has $streams",
    ({ dials = false, others, parallelism, sessions, streams }) =>
      Effect.gen(function*() {
        const network = new FakeGroup()
        const [ours, theirs] = dials ? [2, 1] : [1, 2]
        const one = yield* member(network, ours!, { parallelism, ...(sessions === undefined ? {} : { sessions }) })
        const two = yield* member(network, theirs!, { parallelism: others })
        yield* one.include(theirs!)
        yield* two.include(ours!)
        const { connections } = yield* one.builder.build
        assert.strictEqual(network.links[0]?.streams.length, streams)
        const [progress] = yield* Stream.runCollect(Stream.take(one.builder.progress, 1))
        assert.deepStrictEqual(statesOf(progress!)[theirs!], { _tag: "Connected", streams })
        assert.strictEqual(connections.size, 1)
      })
  )

  it.effect("I10: nothing but a hello, an empty Resume and signs of life goes over a stream before there are sessions", () =>
    Effect.gen(function*() {
      const network = new FakeGroup()
      yield* mesh(network, [1, 2], { parallelism: 2 })
      yield* TestClock.adjust("20 seconds")
      for (const stream of network.links[0]!.streams) {
        for (const end of [stream, stream.other]) {
          const bytes = Buffer.concat(end.written).subarray(4 + instanceIdSize)
          const sizes: Array<string> = []
          for (let at = 0; at < bytes.length; at += 9 + bytes.readUInt32LE(at + 5)) {
            assert.strictEqual(bytes.readUInt32LE(at), 0xffffffff)
            sizes.push(`${bytes[at + 4]!.toString(16)} of ${bytes.readUInt32LE(at + 5)}`)
          }
          assert.strictEqual(sizes[0], `45 of ${instanceIdSize + 8}`)
          for (const other of sizes.slice(1)) assert.oneOf(other, ["46 of 8", "47 of 8"])
        }
      }
    }))

  it.effect("I10, I11: both ends make their sessions without asking; what one sends waits until the other has made its end", () =>
    Effect.gen(function*() {
      const network = new FakeGroup()
      const [one, two] = yield* mesh(network, [1, 2], { parallelism: 2 })
      const near = yield* peerOf(one!.group, 2).makeSessions(3)
      for (const [index, session] of near.entries()) yield* session.send(numbered(index))
      yield* rest
      const before = network.links[0]!.streams.map((stream) => Buffer.concat(stream.other.written).length)
      const far = yield* peerOf(two!.group, 1).makeSessions(3)
      for (const [index, session] of far.entries()) assert.deepStrictEqual(yield* receive(session, 1), [index])
      yield* far[1]!.send(numbered(7))
      assert.deepStrictEqual(yield* receive(near[1]!, 1), [7])
      const after = network.links[0]!.streams.map((stream) => Buffer.concat(stream.other.written).length)
      assert.isTrue(after.every((bytes, index) => bytes > before[index]!))
    }))

  it.effect("I17: the member with the greater key dials each of the others, the lesser never does", () =>
    Effect.gen(function*() {
      const network = new FakeGroup()
      yield* mesh(network, [1, 2, 3])
      const made = network.links.map(({ from, to }) => [from.slice(0, 2), to.slice(0, 2)].join(">")).sort()
      assert.deepStrictEqual(made, ["02>01", "03>01", "03>02"])
      for (const stream of network.open) stream.kill()
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(new Set(network.dials), new Set([2, 3]))
      assert.strictEqual(network.links.length, 6)
    }))

  it.effect("I17: both have to include each other", () =>
    Effect.gen(function*() {
      const network = new FakeGroup()
      const [one, two] = yield* Effect.forEach([1, 2], (number) => member(network, number))
      yield* two!.include(1)
      yield* one!.include(3)
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual(network.links.length, 0)
    }))

  it.effect("I21: a session lives on the stream that its number gives", () =>
    Effect.gen(function*() {
      const network = new FakeGroup()
      const [one, two] = yield* mesh(network, [1, 2], { parallelism: 4 })
      const near = yield* peerOf(two!.group, 1).makeSessions(8)
      const far = yield* peerOf(one!.group, 2).makeSessions(8)
      yield* rest
      for (const [index, session] of near.entries()) {
        const before = network.links[0]!.streams.map(({ written }) => written.length)
        yield* session.send(numbered(1_000 + index))
        const grown = network.links[0]!.streams.flatMap(({ written }, at) => written.length > before[at]! ? [at] : [])
        assert.deepStrictEqual(grown, [index % 4])
        assert.deepStrictEqual(yield* receive(far[index]!, 1), [1_000 + index])
        yield* rest
      }
    }))

  it.effect("I22: a session says when nothing came in its time, and goes on", () =>
    Effect.gen(function*() {
      const network = new FakeGroup()
      const [one, two] = yield* mesh(network, [1, 2])
      const [far] = yield* peerOf(one!.group, 2).makeSessions(1, { receiveTimeout: 500 })
      const [near] = yield* peerOf(two!.group, 1).makeSessions(1)
      const waiting = yield* forkNow(tagOf(Effect.catchTag(far!.receive, "Done", () => Effect.die("the end"))))
      yield* TestClock.adjust(499)
      assert.isUndefined(waiting.pollUnsafe())
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* Fiber.join(waiting), "ReceiveTimedOut")
      yield* near!.send(numbered(5))
      assert.deepStrictEqual(yield* receive(far!, 1), [5])
    }))
})
