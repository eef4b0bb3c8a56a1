import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { DirectTransport } from "../../src/services/DirectTransport.ts"
import * as DirectTransportMemory from "../../src/testing/DirectTransportMemory.ts"
import { MemoryNetwork } from "../../src/testing/MemoryNetwork.ts"
import * as RelayTransportMemory from "../../src/testing/RelayTransportMemory.ts"
import { directConformance, type DirectTransportUnderTest } from "../layers/directTransportConformance.ts"
import { assertBytes, Receiver } from "../layers/directUse.ts"
import { anyPort, pattern } from "../layers/transportUse.ts"

const common: Omit<DirectTransportUnderTest<MemoryNetwork>, "name" | "test" | "elapse"> = {
  layer: DirectTransportMemory.layer,
  call: (address, bytes, from = "127.0.0.1") =>
    Effect.gen(function*() {
      const network = yield* MemoryNetwork
      const connection = yield* Effect.orDie(network.transport(from).connect(address))
      connection.write(bytes.slice())
      let closed = false
      yield* Effect.forkScoped(Effect.ensuring(
        Effect.ignore(Effect.forever(connection.pull)),
        Effect.sync(() => {
          closed = true
        })
      ))
      return { isClosed: () => closed }
    }),
  half: Uint8Array.of(19, 0x62, 0x44, 0x71),
  silent: Effect.gen(function*() {
    const network = yield* MemoryNetwork
    const { host, port } = yield* Effect.orDie(network.transport("127.0.0.1").listen(anyPort))
    return { host, port }
  }),
  connectFrom: (from, address, secret) =>
    Effect.gen(function*() {
      const transport = yield* DirectTransport
      return yield* Effect.match(transport.connect(address, secret), {
        onSuccess: () => "secured" as const,
        onFailure: () => "refused" as const
      })
    }).pipe(Effect.provide(DirectTransportMemory.transportOf(from)))
}

directConformance({
  ...common,
  name: "DirectTransportMemory under TestClock",
  test: it.effect,
  elapse: (millis) => TestClock.adjust(millis)
})
directConformance({
  ...common,
  name: "DirectTransportMemory under the live clock",
  test: it.live,
  elapse: (millis) => Effect.sleep(millis)
})

const psk = new Uint8Array(32).fill(5)
const secret = { pskIdentity: "known", psk }

const run = <A, E>(body: Effect.Effect<A, E, MemoryNetwork | Scope.Scope>) =>
  Effect.provide(Effect.scoped(body), RelayTransportMemory.network())

const machine = (address: string) =>
  Effect.map(
    Layer.build(DirectTransportMemory.transportOf(address)),
    (context) => Effect.runSync(Effect.provide(DirectTransport, context))
  )

/** A dialler and an echo on two machines. */
const world = Effect.gen(function*() {
  const network = yield* MemoryNetwork
  const alice = yield* machine("10.0.0.1")
  const bob = yield* machine("10.0.0.2")
  const { host, port, serve } = yield* bob.listen({ host: "0.0.0.0", port: 7_000 }, () => psk)
  yield* Effect.forkScoped(serve((stream) => Effect.andThen(Effect.sync(() => Receiver.echo(stream)), Effect.never)))
  return { network, alice, address: { host, port } }
})

describe("DirectTransportMemory, what only the network in memory has", () => {
  it.effect("a listener on all addresses listens at its machine's", () =>
    run(Effect.map(world, ({ address }) => assert.deepStrictEqual(address, { host: "10.0.0.2", port: 7_000 }))))

  it.effect("latency: a stream is secured after two round trips, one of them TCP's, and a byte comes back after one", () =>
    run(Effect.gen(function*() {
      const { address, alice, network } = yield* world
      network.conditions(address, { latency: "50 millis" })
      const dialling = yield* Effect.forkScoped(Effect.timed(alice.connect(address, secret)))
      yield* TestClock.adjust(199)
      assert.isUndefined(dialling.pollUnsafe())
      yield* TestClock.adjust(1)
      const [, stream] = yield* Fiber.join(dialling)
      const receiver = new Receiver(stream)
      stream.write([Uint8Array.of(1)])
      yield* TestClock.adjust(99)
      assert.strictEqual(receiver.size, 0)
      yield* TestClock.adjust(1)
      assert.strictEqual(receiver.size, 1)
    })))

  it.effect("partitions and freezes hold everything back and lose nothing", () =>
    run(Effect.gen(function*() {
      const { address, alice, network } = yield* world
      const receiver = new Receiver(yield* alice.connect(address, secret))
      receiver.stream.write([Uint8Array.of(0)])
      yield* receiver.read(1)
      const heal = network.partition(["10.0.0.1"], [address])
      receiver.stream.write([pattern(1_000)])
      yield* TestClock.adjust(10_000)
      assert.deepStrictEqual([receiver.size, receiver.error], [1, undefined])
      heal()
      assertBytes((yield* receiver.read(1_001)).subarray(1), pattern(1_000))
      network.conditions(address, { frozen: "toClient" })
      receiver.stream.write([pattern(10)])
      yield* TestClock.adjust(10_000)
      assert.strictEqual(receiver.size, 1_001)
      network.conditions(address, { frozen: false })
      yield* receiver.read(1_011)
    })))

  it.effect("a connection that the network resets ends with Reset on both sides", () =>
    run(Effect.gen(function*() {
      const { address, alice, network } = yield* world
      const receiver = new Receiver(yield* alice.connect(address, secret))
      receiver.stream.write([pattern(100)])
      yield* receiver.read(100)
      network.cutAll()
      assert.strictEqual((yield* receiver.closed).kind, "Reset")
      yield* TestClock.adjust(1)
      assert.strictEqual(network.connections().length, 0)
    })))

  it.effect("I4: streams that were destroyed or closed leave no connection behind", () =>
    run(Effect.gen(function*() {
      const { address, alice, network } = yield* world
      for (let round = 0; round < 20; round++) {
        yield* Effect.scoped(Effect.gen(function*() {
          const stream = yield* alice.connect(address, secret)
          if (round % 2 === 0) stream.destroy()
        }))
      }
      yield* Effect.flip(Effect.scoped(alice.connect(address, { pskIdentity: "known", psk: new Uint8Array(32) })))
      // The echo's handlers run until their streams are closed by the listener's scope; the network counts open ones.
      yield* TestClock.adjust(3_000)
      assert.isAtMost(network.connections().length, 20)
      assert.isTrue(network.connections().every((connection) => connection.bytesUnderway().toServer === 0))
    })))

  it.effect("the same program does the same, to the chunk", () =>
    Effect.gen(function*() {
      const once = run(Effect.gen(function*() {
        const { address, alice, network } = yield* world
        network.conditions(address, { latency: "3 millis", jitter: "9 millis" })
        const dialling = yield* Effect.forkScoped(alice.connect(address, secret))
        yield* TestClock.adjust(200)
        const receiver = new Receiver(yield* Fiber.join(dialling))
        const sizes: Array<number> = []
        for (let i = 0; i < 20; i++) {
          receiver.stream.write([pattern(7_000 * (i % 5 + 1))])
          yield* TestClock.adjust(4)
          sizes.push(receiver.size)
        }
        return [sizes, receiver.chunks.map((chunk) => chunk.length)]
      }))
      assert.deepStrictEqual(yield* once, yield* once)
    }))
})
