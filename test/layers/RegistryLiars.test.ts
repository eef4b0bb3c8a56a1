/**
 * Relays that connect, answer every ping and still do not do their work (row T33): two whole nodes over real relays with a fault hook,
 * on the network inside the process.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { ConnectionRegistry, type RegistryEvent } from "../../src/services/ConnectionRegistry.ts"
import { NetCrypto, type NetCryptoConnection } from "../../src/services/NetCrypto.ts"
import { RelayServer } from "../../src/services/RelayServer.ts"
import { MemoryNetwork } from "../../src/testing/MemoryNetwork.ts"
import { RelayFaults } from "../../src/testing/RelayFaults.ts"
import * as RelayServerFaulty from "../../src/testing/RelayServerFaulty.ts"
import * as RelayTransportMemory from "../../src/testing/RelayTransportMemory.ts"
import { collect, forkNow, numbered, numberOf, within } from "../utils/cryptoNode.ts"
import { buildNode, hostOf, platform, port } from "../utils/memoryNodes.ts"
import { keyPairFrom } from "../utils/plainCrypto.ts"

const startRelay = Effect.fnUntraced(function*(n: number, latency: number, seed: number) {
  const network = yield* MemoryNetwork
  const server = RelayServerFaulty.layer({ host: hostOf(n), port, keyPair: keyPairFrom(0x10 * n) })
  const context = yield* Layer.build(Layer.fresh(Layer.provide(server, yield* platform(hostOf(n), seed * 1_000 + n))))
  const { address } = Context.get(context, RelayServer)
  network.conditions(address, { latency })
  return { address, faults: Context.get(context, RelayFaults) }
})

const startNode = Effect.fnUntraced(function*(n: number, seed: number) {
  const { context, keys } = yield* buildNode(n, seed * 1_000 + 100 + n)
  const registry = Context.get(context, ConnectionRegistry)
  const events: Array<RegistryEvent> = []
  yield* Effect.forkScoped(Stream.runForEach(registry.events, (event) => Effect.sync(() => events.push(event))))
  yield* Effect.yieldNow
  yield* Effect.yieldNow
  return { keys, registry, events, netCrypto: Context.get(context, NetCrypto) }
})
type Node = Effect.Success<ReturnType<typeof startNode>>

const carrierOf = ({ events }: Node): string | undefined => {
  const last = events.findLast((event) => event._tag === "CarrierChanged")
  return last?.relay?.host
}
const carrierChanges = ({ events }: Node): number => events.filter(({ _tag }) => _tag === "CarrierChanged").length

/** Relays and two nodes on them, not connected to each other yet. */
const stage = Effect.fnUntraced(function*(count: number, latency: number, seed = 0) {
  const relays = yield* Effect.forEach(
    Array.from({ length: count }, (_, i) => i + 1),
    (n) => startRelay(n, latency, seed)
  )
  const a = yield* startNode(1, seed)
  const b = yield* startNode(2, seed)
  yield* b.netCrypto.setAcceptPolicy(() => true)
  const address = (relayNumbers: ReadonlyArray<number>) => ({
    identityKey: b.keys.identity.publicKey,
    dhtKey: b.keys.dht.publicKey,
    relays: relayNumbers.map((n) => relays[n - 1]!.address)
  })
  return { relays, a, b, address }
})

const connected = Effect.fnUntraced(function*(count: number, latency: number, seed = 0) {
  const { a, address, b, relays } = yield* stage(count, latency, seed)
  for (const relay of relays) for (const node of [a, b]) yield* node.registry.addRelay(relay.address)
  yield* TestClock.adjust(1_000)
  const accepting = yield* forkNow(b.netCrypto.accept)
  const calling = yield* forkNow(a.netCrypto.connect(address(relays.map((_, i) => i + 1))))
  const from = collect(yield* within(calling, 9_000))
  const to = collect(yield* within(accepting, 9_000))
  yield* TestClock.adjust(20_000)
  return { relays, a, b, from, to }
})

/** Sends so many packets a second for so long, or until a condition holds, which is what `run` returns. */
const paced = (connection: NetCryptoConnection, rate: number) => {
  let sent = 0
  let credit = 0
  const run = Effect.fnUntraced(function*(duration: number, until = () => false) {
    for (let passed = 0; passed < duration; passed += 10) {
      for (credit += rate / 100; credit >= 1; credit--) if (connection.trySend(numbered(sent, 100))) sent++
      yield* TestClock.adjust(10)
      if (until()) return true
    }
    return false
  })
  return { run, sent: () => sent }
}

const provide = Effect.provide(RelayTransportMemory.layer)

describe("a relay that answers pings and", () => {
  for (
    const [what, fault, rest] of [
      ["drops everything", { drop: 1 }, 2_000],
      ["drops 30 %", { drop: 0.3 }, 2_000],
      ["drops 60 %", { drop: 0.6 }, 2_000],
      ["delays everything by three seconds", { delay: 3_000 }, 2_000]
    ] as const
  ) {
    it.effect(
      `T33: ${what} is left within ${rest} ms, not used again soon, and never fewer than three are connected`,
      () =>
        Effect.gen(function*() {
          const { a, b, from, relays, to } = yield* connected(5, 15)
          let sent = 0
          let fewest = Infinity
          /** Traffic of 200 packets a second; how long nothing arrived at most. */
          const flow = Effect.fnUntraced(function*(duration: number) {
            let [gap, longest, before] = [0, 0, to.lossless.length]
            for (let passed = 0; passed < duration; passed += 10) {
              for (let i = 0; i < 2; i++) if (from.connection.trySend(numbered(sent, 100))) sent++
              yield* TestClock.adjust(10)
              gap = to.lossless.length > before ? 0 : gap + 10
              longest = Math.max(longest, gap)
              before = to.lossless.length
              for (const node of [a, b]) {
                const statuses = yield* node.registry.relays
                fewest = Math.min(fewest, statuses.filter(({ state }) => state._tag === "Confirmed").length)
              }
            }
            return longest
          })
          yield* flow(2_000)
          const bad = carrierOf(a)!
          const { faults } = relays.find(({ address }) => address.host === bad)!
          faults.set({}, fault)
          assert.isBelow(yield* flow(rest), rest)
          assert.notStrictEqual(carrierOf(a), bad)
          assert.isAbove(to.lossless.length, sent - 200)
          // It is not tried again in the following half minute, although it says that the peer is online there.
          const changes = carrierChanges(a)
          yield* flow(20_000)
          assert.notStrictEqual(carrierOf(a), bad)
          assert.isAtMost(carrierChanges(a) - changes, 2)
          assert.isAtLeast(fewest, 3)
          yield* TestClock.adjust(5_000)
          assert.deepStrictEqual(to.lossless.map(numberOf), Array.from({ length: sent }, (_, i) => i))
        }).pipe(Effect.scoped, provide),
      20_000
    )
  }

  for (const [rate, limit] of [[10, 10], [20, 11], [50, 12], [500, 12]] as const) {
    it.effect(
      `T33: drops 30 % is left within 2 s by a flow of ${rate} packets a second, in at least ${limit} of 12 worlds`,
      () =>
        Effect.gen(function*() {
          let inTime = 0
          for (let seed = 1; seed <= 12; seed++) {
            inTime += yield* Effect.gen(function*() {
              const { a, from, relays, to } = yield* connected(3, 10, seed)
              const flow = paced(from.connection, rate)
              yield* flow.run(1_000)
              const bad = carrierOf(a)!
              const { faults } = relays.find(({ address }) => address.host === bad)!
              faults.set({}, { drop: 0.3 })
              const left = yield* flow.run(2_000, () => carrierOf(a) !== bad)
              // Sooner or later all do, and nothing is lost by it.
              if (!left) assert.isTrue(yield* flow.run(10_000, () => carrierOf(a) !== bad))
              yield* TestClock.adjust(3_000)
              assert.deepStrictEqual(to.lossless.map(numberOf), Array.from({ length: flow.sent() }, (_, i) => i))
              return left ? 1 : 0
            }).pipe(Effect.scoped, Effect.provide(Layer.fresh(RelayTransportMemory.layer)))
          }
          assert.isAtLeast(inTime, limit)
        }),
      60_000
    )
  }

  it.effect("T33: says that a peer is online when it is not: the call finds its way over the others", () =>
    Effect.gen(function*() {
      const { a, address, b, relays } = yield* stage(3, 15)
      // The liar knows only the caller, and claims the callee at once.
      relays[0]!.faults.set({}, { claimOnline: true })
      for (const n of [2, 3]) yield* b.registry.addRelay(relays[n - 1]!.address)
      yield* TestClock.adjust(1_000)
      const accepting = yield* forkNow(b.netCrypto.accept)
      const calling = yield* forkNow(a.netCrypto.connect(address([1, 2, 3])))
      const from = collect(yield* within(calling, 2_500))
      const to = collect(yield* within(accepting, 2_000))
      for (let i = 0; i < 50; i++) from.connection.trySend(numbered(i))
      yield* TestClock.adjust(2_000)
      assert.strictEqual(to.lossless.length, 50)
      assert.notStrictEqual(carrierOf(a), hostOf(1))
    }).pipe(Effect.scoped, provide))
})

describe("a healthy relay", () => {
  it.effect(
    "T33: is never left in an hour with 300 ms latency and 1 % loss",
    () =>
      Effect.gen(function*() {
        const { a, b, from, relays, to } = yield* connected(3, 75)
        for (const { faults } of relays) faults.set({}, { drop: 0.01, delay: 150 })
        yield* TestClock.adjust(5_000)
        const before = [carrierChanges(a), carrierChanges(b)]
        let sent = 0
        for (let passed = 0; passed < 3_600_000; passed += 1_000) {
          // A trickle, and a burst now and then.
          const burst = passed % 60_000 === 0 ? 100 : 1
          for (let i = 0; i < burst; i++) if (from.connection.trySend(numbered(sent, 200))) sent++
          yield* TestClock.adjust(1_000)
        }
        yield* TestClock.adjust(10_000)
        assert.deepStrictEqual(to.lossless.map(numberOf), Array.from({ length: sent }, (_, i) => i))
        assert.deepStrictEqual([carrierChanges(a), carrierChanges(b)], before)
      }).pipe(Effect.scoped, provide),
    60_000
  )

  it.effect(
    "T33: of relays that all lose 10 %, none is left for another because of its losses, at 10 and 50 packets a second",
    () =>
      Effect.gen(function*() {
        for (const rate of [10, 50]) {
          yield* Effect.gen(function*() {
            const { a, from, relays } = yield* connected(3, 10, rate)
            for (const { faults } of relays) faults.set({}, { drop: 0.1 })
            const before = carrierChanges(a)
            yield* paced(from.connection, rate).run(300_000)
            // Once in a while nothing comes back for so long that it looks like a standstill.
            assert.isAtMost(carrierChanges(a) - before, 1)
          }).pipe(Effect.scoped, Effect.provide(Layer.fresh(RelayTransportMemory.layer)))
        }
      }),
    60_000
  )
})
