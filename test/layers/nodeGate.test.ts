/** The gate of a node around direct connections: what it counts, whom it lets in, what it closes. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as nodeGate from "../../src/layers/nodeGate.ts"
import * as NodePhaseLive from "../../src/layers/NodePhaseLive.ts"
import { type DirectStream, DirectTransport } from "../../src/services/DirectTransport.ts"
import type { RefusedCaller } from "../../src/services/DirectTransport.ts"
import { NodePhase, type Phase } from "../../src/services/NodePhase.ts"
import { RelayTransport, type TransportError } from "../../src/services/RelayTransport.ts"
import * as DirectTransportMemory from "../../src/testing/DirectTransportMemory.ts"
import { MemoryNetwork } from "../../src/testing/MemoryNetwork.ts"
import * as RelayTransportMemory from "../../src/testing/RelayTransportMemory.ts"

const secret = { pskIdentity: "one", psk: new Uint8Array(32).fill(7) }
const other = { pskIdentity: "other", psk: new Uint8Array(32).fill(8) }
const pskOf = (identity: string) => identity === "one" ? secret.psk : undefined
const endpoint = { host: "us", port: 7_000 }
const network = RelayTransportMemory.network()

/** Both transports of a machine. */
const machine = (name: string) =>
  Layer.build(Layer.fresh(
    DirectTransportMemory.transportOf(name).pipe(Layer.provideMerge(RelayTransportMemory.transportOf(name)))
  ))

describe("nodeGate", () => {
  it.effect("M04: counts direct connections, both ways, as long as they are open", () =>
    Effect.gen(function*() {
      const us = yield* Effect.map(machine("us"), (context) => Context.get(context, DirectTransport))
      const them = yield* Effect.map(machine("them"), (context) => Context.get(context, DirectTransport))
      let changes = 0
      const gate = nodeGate.make(() => changes++)
      const gated = gate.directTransport(us)
      const listener = yield* gated.listen(endpoint, pskOf)
      const refused: Array<RefusedCaller> = []
      const serving = listener.serve(() => Effect.never, (caller) => refused.push(caller))
      yield* Effect.forkScoped(serving, { startImmediately: true })
      const inbound = yield* Scope.make()
      yield* Scope.provide(them.connect(endpoint, secret), inbound)
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(gate.direct(), { open: 1, dialling: 0 })
      yield* Effect.exit(them.connect(endpoint, other))
      yield* TestClock.adjust(0)
      assert.strictEqual(refused.length, 1)
      assert.deepStrictEqual(gate.direct(), { open: 1, dialling: 0 })

      const theirs = yield* them.listen({ host: "them", port: 7_000 }, pskOf)
      yield* Effect.forkScoped(theirs.serve(() => Effect.never), { startImmediately: true })
      const { conditions } = yield* MemoryNetwork
      conditions({ host: "them", port: 7_000 }, { latency: 10 })
      const outbound = yield* Scope.make()
      const dial = Scope.provide(gated.connect({ host: "them", port: 7_000 }, secret), outbound)
      yield* Effect.forkScoped(dial, { startImmediately: true })
      assert.deepStrictEqual(gate.direct(), { open: 1, dialling: 1 })
      yield* TestClock.adjust(100)
      assert.deepStrictEqual(gate.direct(), { open: 2, dialling: 0 })
      const before = changes
      yield* Scope.close(outbound, Exit.void)
      assert.deepStrictEqual(gate.direct(), { open: 1, dialling: 0 })
      assert.isAbove(changes, before)
    }).pipe(Effect.provide(network)))

  it.effect("M05: shut, it lets nobody in and nothing out, and leaves what is open; cut, it closes that too", () =>
    Effect.gen(function*() {
      const ours = yield* machine("us")
      const theirs = yield* machine("them")
      const us = [Context.get(ours, RelayTransport), Context.get(ours, DirectTransport)] as const
      const them = [Context.get(theirs, RelayTransport), Context.get(theirs, DirectTransport)] as const
      const { connections, listeners } = yield* MemoryNetwork
      const gate = nodeGate.make(() => {})
      const [relayed, direct] = [gate.relayTransport(us[0]), gate.directTransport(us[1])]
      const served: Array<string> = []
      const serve = (name: string) => Effect.andThen(Effect.sync(() => served.push(name)), Effect.never)
      const plain = yield* relayed.listen({ host: "us", port: 1 })
      yield* Effect.forkScoped(plain.serve(() => serve("plain"), () => true), { startImmediately: true })
      const secured = yield* direct.listen({ host: "us", port: 2 }, pskOf)
      const streams: Array<DirectStream> = []
      const keep = (stream: DirectStream) => Effect.andThen(Effect.sync(() => streams.push(stream)), serve("secured"))
      yield* Effect.forkScoped(secured.serve(keep), { startImmediately: true })
      const call = Effect.gen(function*() {
        const called = [
          yield* Effect.exit(
            Effect.flatMap(them[0].connect({ host: "us", port: 1 }), ({ pull }) => Effect.timeout(pull, 50))
          ),
          yield* Effect.exit(them[1].connect({ host: "us", port: 2 }, secret))
        ]
        return called.length
      })
      yield* Effect.forkScoped(call, { startImmediately: true })
      yield* TestClock.adjust(1_000)
      assert.deepStrictEqual(served, ["plain", "secured"])

      gate.shut()
      yield* Effect.forkScoped(call, { startImmediately: true })
      yield* TestClock.adjust(1_000)
      assert.deepStrictEqual(served, ["plain", "secured"])
      const denied = yield* Effect.forkScoped(Effect.flip(them[1].connect({ host: "us", port: 2 }, secret)))
      yield* TestClock.adjust(1_000)
      assert.strictEqual((yield* Fiber.join(denied)).kind, "Denied")
      assert.isAbove(connections().filter(({ server }) => server.host === "us").length, 1)
      const late: ReadonlyArray<Effect.Effect<unknown, TransportError, Scope.Scope>> = [
        relayed.connect(endpoint),
        relayed.listen(endpoint),
        direct.connect(endpoint, secret),
        direct.listen(endpoint, pskOf)
      ]
      for (const open of late) {
        assert.include((yield* Effect.flip(Effect.scoped(open))).message, "has been terminated")
      }

      yield* gate.cut
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(listeners(), [])
      const ended: Array<string> = []
      for (const stream of streams) {
        stream.handle({ onBytes: () => {}, onWritable: () => {}, onClosed: ({ kind }) => ended.push(kind) })
      }
      yield* TestClock.adjust(0)
      assert.strictEqual(ended.length, streams.length)
      yield* gate.cut
    }).pipe(Effect.provide(network)))

  it.effect("M05: shut, it serves nobody whose handshake was under way", () =>
    Effect.gen(function*() {
      const us = yield* Effect.map(machine("us"), (context) => Context.get(context, DirectTransport))
      const them = yield* Effect.map(machine("them"), (context) => Context.get(context, DirectTransport))
      const gate = nodeGate.make(() => {})
      const listener = yield* gate.directTransport(us).listen(endpoint, (identity) => {
        // Once the caller has been given its key.
        gate.shut()
        return pskOf(identity)
      })
      let served = 0
      const serving = listener.serve(() => Effect.andThen(Effect.sync(() => served++), Effect.never))
      yield* Effect.forkScoped(serving, { startImmediately: true })
      yield* Effect.forkScoped(Effect.exit(them.connect(endpoint, secret)), { startImmediately: true })
      yield* TestClock.adjust(1_000)
      assert.deepStrictEqual([served, gate.direct().open], [0, 0])
      assert.strictEqual(gate.shut(), false)
    }).pipe(Effect.provide(network)))
})

describe("a node of direct connections only", () => {
  it.effect("M01, M02, M04: bootstraps while it dials, is Connected by a direct connection, and Disconnected without", () =>
    Effect.gen(function*() {
      const theirs = yield* Effect.map(machine("them"), (context) => Context.get(context, DirectTransport))
      const listener = yield* theirs.listen({ host: "them", port: 7_000 }, pskOf)
      yield* Effect.forkScoped(listener.serve(() => Effect.never), { startImmediately: true })
      const { conditions } = yield* MemoryNetwork
      conditions({ host: "them", port: 7_000 }, { latency: 10 })
      const ours = Layer.succeedContext(yield* machine("us"))
      yield* Effect.gen(function*() {
        const { changes, terminate } = yield* NodePhase
        const phases: Array<Phase> = []
        const seen = Stream.runForEach(changes, (phase) => Effect.sync(() => phases.push(phase)))
        yield* Effect.forkScoped(seen, { startImmediately: true })
        const transport = yield* DirectTransport
        for (let round = 0; round < 2; round++) {
          const scope = yield* Scope.make()
          const dial = Scope.provide(transport.connect({ host: "them", port: 7_000 }, secret), scope)
          yield* Effect.forkScoped(dial, { startImmediately: true })
          yield* TestClock.adjust(100)
          yield* Scope.close(scope, Exit.void)
          yield* TestClock.adjust(100)
        }
        yield* terminate
        yield* TestClock.adjust(0)
        const round = ["Disconnected", "Bootstrapping", "Connected"]
        assert.deepStrictEqual(phases, [...round, ...round, "Disconnected", "Terminated"])
      }).pipe(Effect.provide(Layer.provideMerge(NodePhaseLive.layer(Layer.empty), ours)))
    }).pipe(Effect.provide(network)))
})
