import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import type { TransportConnection } from "../../src/services/RelayTransport.ts"
import { MemoryNetwork } from "../../src/testing/MemoryNetwork.ts"
import * as RelayTransportMemory from "../../src/testing/RelayTransportMemory.ts"

const relay = { host: "relay.test", port: 443 }

const run = <A, E>(body: Effect.Effect<A, E, MemoryNetwork | Scope.Scope>, seed = 1) =>
  Effect.provide(Effect.scoped(body), Layer.fresh(RelayTransportMemory.network({ seed })))

/** A listener at `relay`, and one connection from each machine, in their order: what has arrived at both ends, with the time. */
const connect = Effect.fnUntraced(function*(...machines: ReadonlyArray<string>) {
  const network = yield* MemoryNetwork
  const clock = yield* Clock.Clock
  const accepted: Array<TransportConnection> = []
  const { serve } = yield* network.transport("relay").listen(relay)
  yield* Effect.forkScoped(serve((connection) => {
    accepted.push(connection)
    return Effect.never
  }, () => true))
  const watch = Effect.fnUntraced(function*(connection: TransportConnection) {
    const log: Array<readonly [at: number, byte: number]> = []
    yield* Effect.forkScoped(Effect.ignore(Effect.forever(Effect.map(connection.pull, (chunks) => {
      for (const chunk of chunks) for (const byte of chunk) log.push([clock.currentTimeMillisUnsafe(), byte])
    }))))
    return { connection, log }
  })
  const links = []
  for (const machine of machines) {
    const client = yield* Effect.flatMap(network.transport(machine).connect(relay), watch)
    links.push({ client, server: yield* watch(accepted.at(-1)!) })
  }
  yield* TestClock.adjust(0)
  return { network, links }
})

describe("MemoryNetwork disturbed", () => {
  const jittered = Effect.gen(function*() {
    const { links: [a], network } = yield* connect("a")
    network.conditions(relay, { latency: 10, jitter: 40 })
    for (let byte = 0; byte < 50; byte++) a!.client.connection.write(Uint8Array.of(byte))
    yield* TestClock.adjust(50)
    return a!.server.log
  })

  it.effect("jitter comes after the latency, never takes longer than it may, and keeps the order", () =>
    run(Effect.gen(function*() {
      const log = yield* jittered
      assert.deepStrictEqual(log.map(([, byte]) => byte), Array.from({ length: 50 }, (_, i) => i))
      assert.isAtLeast(log[0]![0], 10)
      assert.isAbove(log.at(-1)![0], log[0]![0])
    })))

  it.effect("jitter follows from the seed", () =>
    Effect.gen(function*() {
      const relative = (log: ReadonlyArray<readonly [number, number]>, from: number) => log.map(([at]) => at - from)
      const seeds = [1, 1, 2]
      const [once, again, other] = yield* Effect.forEach(seeds, (seed) =>
        Effect.flatMap(Clock.currentTimeMillis, (from) =>
          run(Effect.map(jittered, (log) => relative(log, from)), seed)))
      assert.deepStrictEqual(again, once)
      assert.notDeepEqual(other, once)
    }))

  it.effect("one direction freezes alone, on a connection and on an address", () =>
    run(Effect.gen(function*() {
      const { links: [a], network } = yield* connect("a")
      const both = () => {
        a!.client.connection.write(Uint8Array.of(1))
        a!.server.connection.write(Uint8Array.of(2))
        return TestClock.adjust(5)
      }
      const arrived = () => [a!.server.log.length, a!.client.log.length]
      const connection = network.connections()[0]!
      connection.freeze("toServer")
      yield* both()
      assert.deepStrictEqual(arrived(), [0, 1])
      connection.thaw()
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(arrived(), [1, 1])
      network.conditions(relay, { frozen: "toClient" })
      yield* both()
      assert.deepStrictEqual(arrived(), [2, 1])
      network.conditions(relay, { frozen: false })
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(arrived(), [2, 2])
    })))

  it.effect("conditions of one machine are its own", () =>
    run(Effect.gen(function*() {
      const { links: [a, b], network } = yield* connect("a", "b")
      network.conditions(relay, { latency: 30 })
      network.conditions(relay, { latency: 5 }, "b")
      const from = yield* Clock.currentTimeMillis
      for (const link of [a!, b!]) link.client.connection.write(Uint8Array.of(1))
      yield* TestClock.adjust(30)
      assert.deepStrictEqual([a!.server.log, b!.server.log], [[[from + 30, 1]], [[from + 5, 1]]])
      network.conditions(relay, { frozen: true }, "a")
      for (const link of [a!, b!]) link.client.connection.write(Uint8Array.of(2))
      yield* TestClock.adjust(100)
      assert.deepStrictEqual([a!.server.log.length, b!.server.log.length], [1, 2])
    })))

  it.effect("a partition holds back bytes and dials of its machines only, until it heals; overlapping ones all must", () =>
    run(Effect.gen(function*() {
      const { links: [a, b], network } = yield* connect("a", "b")
      const first = network.partition(["a"], [relay])
      const second = network.partition(["a", "c"], [relay, { host: "other.test", port: 1 }])
      for (const link of [a!, b!]) link.client.connection.write(Uint8Array.of(1))
      const dialling = yield* Effect.forkScoped(network.transport("c").connect(relay))
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual([a!.server.log.length, b!.server.log.length], [0, 1])
      assert.isUndefined(dialling.pollUnsafe())
      first()
      first()
      yield* TestClock.adjust(0)
      assert.strictEqual(a!.server.log.length, 0)
      second()
      yield* TestClock.adjust(0)
      assert.strictEqual(a!.server.log.length, 1)
      assert.isDefined(dialling.pollUnsafe())
    })))

  it.effect("knows who listens", () =>
    run(Effect.gen(function*() {
      const { network } = yield* connect()
      assert.deepStrictEqual(network.listeners(), [relay])
    })))
})
