/** Static groups over `DirectLinksLive` and the network in memory: keys, handshakes and streams as they are, only without sockets. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as PeerConnectionBuilderLive from "../../src/layers/PeerConnectionBuilderLive.ts"
import { isGreater, toHex } from "../../src/schema/Bytes.ts"
import { DirectLinks } from "../../src/services/DirectLinks.ts"
import { DirectSettings } from "../../src/services/DirectSettings.ts"
import { Entropy } from "../../src/services/Entropy.ts"
import { generate, Identity } from "../../src/services/Identity.ts"
import { PeerConnectionBuilder, type PeerConnections } from "../../src/services/PeerConnectionBuilder.ts"
import { SessionSettings } from "../../src/services/SessionSettings.ts"
import * as EntropySeeded from "../../src/testing/EntropySeeded.ts"
import { MemoryNetwork } from "../../src/testing/MemoryNetwork.ts"
import { Dice } from "../../src/testing/simulation/Dice.ts"
import { type DirectNode, inNetwork, makeNode, tagsOf } from "../utils/directNodes.ts"
import { numbered, receive } from "../utils/groupWorld.ts"
import { forkNow, rest } from "../utils/sessionSteps.ts"

const parallelism = 4

/** So many nodes at 10.0.0.1 and on, by ascending keys. */
const nodesOf = Effect.fnUntraced(function*(count: number) {
  const seeds = Array.from({ length: count }, (_, index) => index + 1)
  const keys = yield* Effect.forEach(
    seeds,
    (seed) => Effect.provideService(generate, Entropy, EntropySeeded.make(seed))
  )
  keys.sort((a, b) => isGreater(a.identity.publicKey, b.identity.publicKey) ? 1 : -1)
  return yield* Effect.forEach(
    keys,
    (keys, index) => makeNode({ machine: `10.0.0.${index + 1}`, seed: 50 + index, keys, numbers: { parallelism } })
  )
})

const builderOf = Effect.fnUntraced(function*(node: DirectNode) {
  const layer = Layer.fresh(PeerConnectionBuilderLive.layer({ sessions: 64 })).pipe(
    Layer.provide(Layer.succeed(DirectLinks, node.links)),
    Layer.provide(Layer.succeed(Identity, node.keys)),
    Layer.provide(EntropySeeded.layer(node.key[0] ?? 0)),
    Layer.provide(
      Layer.succeed(SessionSettings, { ...SessionSettings.defaultValue(), redialPause: 20, maxRedialPause: 80 })
    ),
    Layer.provide(Layer.succeed(DirectSettings, { ...DirectSettings.defaultValue(), parallelism }))
  )
  return Context.get(yield* Layer.build(layer), PeerConnectionBuilder)
})

const include = (builder: PeerConnectionBuilder["Service"], others: ReadonlyArray<DirectNode>) =>
  Effect.forEach(others, ({ endpoint, key }) => builder.includePeer(key, [endpoint]), { discard: true })

const mesh = Effect.fnUntraced(function*(nodes: ReadonlyArray<DirectNode>) {
  const members = yield* Effect.forEach(
    nodes,
    (node) => Effect.map(builderOf(node), (builder) => ({ ...node, builder }))
  )
  for (const { builder, key } of members) yield* include(builder, nodes.filter((other) => other.key !== key))
  const building = yield* forkNow(Effect.all(members.map(({ builder }) => builder.build), { concurrency: "unbounded" }))
  yield* TestClock.adjust("1 second")
  yield* rest
  const exit = building.pollUnsafe()
  if (exit?._tag !== "Success") return yield* Effect.die(new Error("the group was not built within a second"))
  return members.map((member, index) => ({ ...member, group: exit.value[index]! }))
})

const peerOf = (group: PeerConnections, other: DirectNode) => group.connections.get(toHex(other.key))!

describe("a static group in memory", () => {
  it.effect("I04, I08, I17: three members are connected by four streams each, which the greater has dialled", () =>
    inNetwork(Effect.gen(function*() {
      const network = yield* MemoryNetwork
      const members = yield* mesh(yield* nodesOf(3))
      const made = network.connections().map(({ client, server }) => `${client} to ${server.host}`)
      const ways = ["10.0.0.2 to 10.0.0.1", "10.0.0.3 to 10.0.0.1", "10.0.0.3 to 10.0.0.2"]
      assert.deepStrictEqual(made.sort(), ways.flatMap((way) => Array.from({ length: parallelism }, () => way)))
      for (const near of members) {
        const [progress] = yield* Stream.runCollect(Stream.take(near.builder.progress, 1))
        for (const { state } of progress!) assert.deepStrictEqual(state, { _tag: "Connected", streams: parallelism })
      }
    })))

  it.effect("I06: a stranger is turned away as Unexpected, its dial fails, and nobody else is affected", () =>
    inNetwork(Effect.gen(function*() {
      const network = yield* MemoryNetwork
      const nodes = yield* nodesOf(4)
      const stranger = nodes[3]!
      const members = yield* mesh(nodes.slice(0, 3))
      const before = network.connections().map(({ id }) => id)
      const builder = yield* builderOf(stranger)
      yield* include(builder, members)
      yield* forkNow(builder.build)
      yield* TestClock.adjust("2 seconds")
      yield* rest
      const [progress] = yield* Stream.runCollect(Stream.take(builder.progress, 1))
      for (const { state } of progress!) {
        if (state._tag !== "Dialling") assert.fail(`it is ${state._tag}`)
        assert.strictEqual(state.lastError?.reason._tag, "NotReached")
      }
      for (const member of members) assert.deepStrictEqual(new Set(tagsOf(member)), new Set(["Unexpected"]))
      const open = network.connections().map(({ id }) => id)
      assert.deepStrictEqual(open.filter((id) => before.includes(id)), before)
      for (const near of members) {
        for (const peer of near.group.connections.values()) assert.strictEqual(peer.link()._tag, "Up")
      }
    })))

  it.effect.each([1, 2, 3, 4])(
    "I12, I13, I21: 64 sessions a peer while streams are reset and frozen at random (seed %i) lose, double and reorder nothing",
    (seed) =>
      inNetwork(Effect.gen(function*() {
        const network = yield* MemoryNetwork
        const dice = new Dice(seed)
        const members = yield* mesh(yield* nodesOf(3))
        const pairs = members.flatMap((near) =>
          members.filter((far) => far !== near).map((far) => ({ near, far, peer: peerOf(near.group, far) }))
        )
        const ends = yield* Effect.forEach(pairs, (pair) =>
          Effect.map(pair.peer.makeSessions(64), (sessions) => ({ ...pair, sessions })))
        const each = 12
        const writing = yield* forkNow(Effect.forEach(ends, ({ sessions }) =>
          Effect.forEach(sessions, (session) =>
            Effect.forEach(
              Array.from({ length: each }, (_, index) =>
                index),
              (index) =>
                Effect.andThen(session.send(numbered(index)), Effect.sleep(dice.between(1, 200)))
            ), {
            concurrency: "unbounded"
          }), { concurrency: "unbounded" }))
        let resets = 0
        for (let step = 0; step < 40; step++) {
          yield* TestClock.adjust(dice.between(5, 100))
          const broken = dice.pick(network.connections())
          if (dice.chance(0.4) && broken !== undefined) {
            broken.reset()
            resets++
          }
          if (dice.chance(0.1)) {
            dice.pick(network.connections())?.freeze()
          }
        }
        assert.isAbove(resets, 5)
        for (let second = 0; second < 10; second++) {
          yield* TestClock.adjust("1 second")
        }
        assert.strictEqual(writing.pollUnsafe()?._tag, "Success")
        for (const { sessions } of ends) {
          for (const session of sessions) {
            assert.deepStrictEqual(
              yield* receive(session, each),
              Array.from({ length: each }, (_, index) =>
                index)
            )
          }
        }
        yield* rest
        // And nothing came after it.
        for (const { sessions } of ends) {
          for (const session of sessions) assert.strictEqual(session.stats().bytesIn, 4 * each)
        }
      })),
    60_000
  )

  it.effect("a group whose scope closes leaves no connection and no waiting call behind", () =>
    inNetwork(Effect.gen(function*() {
      const network = yield* MemoryNetwork
      yield* Effect.scoped(mesh(yield* nodesOf(3)))
      yield* TestClock.adjust("3 seconds")
      yield* rest
      assert.strictEqual(network.connections().length, 0)
    })))
})
