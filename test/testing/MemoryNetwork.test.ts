import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { RelayTransport, type TransportConnection } from "../../src/services/RelayTransport.ts"
import { MemoryNetwork } from "../../src/testing/MemoryNetwork.ts"
import * as RelayTransportMemory from "../../src/testing/RelayTransportMemory.ts"
import { echo, join, pattern, readExactly, readToEnd } from "../layers/transportUse.ts"

const relay = { host: "relay.test", port: 443 }
const socketBuffer = 64 * 1024

/** A listener at `relay` that keeps its connections, and one connection to it. */
const pair = Effect.gen(function*() {
  const network = yield* MemoryNetwork
  const transport = yield* RelayTransport
  const { serve } = yield* transport.listen(relay)
  const accepted: Array<TransportConnection> = []
  yield* Effect.forkScoped(serve((connection) => {
    accepted.push(connection)
    return Effect.never
  }, () => true))
  const client = yield* transport.connect(relay)
  return { network, client, server: accepted[0]!, connection: network.connections()[0]! }
})

const run = <A, E>(body: Effect.Effect<A, E, RelayTransport | MemoryNetwork | Scope.Scope>) =>
  Effect.provide(Effect.scoped(body), RelayTransportMemory.layer)

/** What arrives, each batch with the millisecond of its arrival. */
const arrivals = Effect.fnUntraced(function*(connection: TransportConnection) {
  const clock = yield* Clock.Clock
  const log: Array<readonly [at: number, bytes: string]> = []
  yield* Effect.forkScoped(Effect.ignore(Effect.forever(Effect.map(connection.pull, (batch) => {
    log.push([clock.currentTimeMillisUnsafe(), join(batch).join(",")])
  }))))
  return log
})

describe("MemoryNetwork", () => {
  it.effect("delivers without the clock moving when there is no latency, but never inside write", () =>
    run(Effect.gen(function*() {
      const { client, server } = yield* pair
      const log = yield* arrivals(server)
      yield* Effect.yieldNow
      client.write(Uint8Array.of(1))
      client.write(Uint8Array.of(2))
      assert.deepStrictEqual(log, [])
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(log, [[0, "1,2"]])
    })))

  it.effect("delivers after exactly one latency, in order also when it shrinks", () =>
    run(Effect.gen(function*() {
      const { client, network, server } = yield* pair
      const log = yield* arrivals(server)
      network.conditions(relay, { latency: "100 millis" })
      client.write(Uint8Array.of(1))
      yield* TestClock.adjust(30)
      network.conditions(relay, { latency: "10 millis" })
      client.write(Uint8Array.of(2))
      yield* TestClock.adjust(69)
      assert.deepStrictEqual(log, [])
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(log, [[100, "1,2"]])
      client.write(Uint8Array.of(3))
      yield* TestClock.adjust(10)
      assert.deepStrictEqual(log, [[100, "1,2"], [110, "3"]])
    })))

  it.effect("dials and refuses in one round trip; the listener hears of it after half", () =>
    run(Effect.gen(function*() {
      const network = yield* MemoryNetwork
      const transport = yield* RelayTransport
      network.conditions(relay, { latency: "50 millis" })
      const refused = yield* Effect.forkScoped(Effect.exit(transport.connect(relay)))
      yield* TestClock.adjust(99)
      assert.isUndefined(refused.pollUnsafe())
      yield* TestClock.adjust(1)
      assert.isDefined(refused.pollUnsafe())

      const { serve } = yield* transport.listen(relay)
      let heard = 0
      yield* Effect.forkScoped(serve(() => {
        heard++
        return Effect.never
      }, () => true))
      const dialling = yield* Effect.forkScoped(transport.connect(relay))
      yield* TestClock.adjust(50)
      assert.strictEqual(heard, 1)
      yield* TestClock.adjust(49)
      assert.isUndefined(dialling.pollUnsafe())
      yield* TestClock.adjust(1)
      assert.isDefined(dialling.pollUnsafe())
    })))

  it.effect("a dial interrupted half-way is a reset for the listener", () =>
    run(Effect.gen(function*() {
      const network = yield* MemoryNetwork
      const transport = yield* RelayTransport
      network.conditions(relay, { latency: "50 millis" })
      const { serve } = yield* transport.listen(relay)
      const ends: Array<string> = []
      yield* Effect.forkScoped(
        serve((connection) => Effect.map(readToEnd(connection), (end) => void ends.push(end.error.kind)), () => true)
      )
      const dialling = yield* Effect.forkScoped(transport.connect(relay))
      yield* TestClock.adjust(60)
      assert.strictEqual(network.connections().length, 1)
      yield* Fiber.interrupt(dialling)
      yield* TestClock.adjust(50)
      assert.deepStrictEqual(ends, ["Reset"])
      assert.deepStrictEqual(network.connections(), [])
    })))

  it.effect("I24: takes exactly the socket buffer, holds the rest, and drains as the reader pulls", () =>
    run(Effect.gen(function*() {
      const { client, connection, server } = yield* pair
      let drained = 0
      client.onDrain(() => drained++)
      assert.isTrue(client.write(pattern(socketBuffer)))
      assert.isFalse(client.write(pattern(socketBuffer)))
      assert.isFalse(client.write(pattern(1)))
      assert.strictEqual(client.pendingBytes(), socketBuffer + 1)
      assert.strictEqual(connection.bytesUnderway().toServer, 2 * socketBuffer + 1)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(client.pendingBytes(), socketBuffer + 1)
      assert.strictEqual(join(yield* server.pull).length, socketBuffer)
      yield* TestClock.adjust(0)
      assert.strictEqual(client.pendingBytes(), 1)
      assert.strictEqual(drained, 0)
      assert.strictEqual(join(yield* server.pull).length, socketBuffer)
      yield* TestClock.adjust(0)
      assert.strictEqual(drained, 1)
      assert.strictEqual(client.pendingBytes(), 0)
      assert.strictEqual(connection.bytesUnderway().toServer, 1)
    })))

  it.effect("calls onDrain once for a writer that went on writing while it was blocked", () =>
    run(Effect.gen(function*() {
      const { client, server } = yield* pair
      let drained = 0
      client.onDrain(() => drained++)
      assert.isFalse(client.write(pattern(socketBuffer + 1)))
      yield* TestClock.adjust(0)
      yield* server.pull
      assert.isFalse(client.write(pattern(1)))
      assert.strictEqual(drained, 0)
      yield* TestClock.adjust(0)
      assert.strictEqual(drained, 1)
    })))

  it.effect("holds everything back while a connection is frozen, and then delivers it", () =>
    run(Effect.gen(function*() {
      const { client, connection, server } = yield* pair
      const atServer = yield* arrivals(server)
      const atClient = yield* arrivals(client)
      client.write(Uint8Array.of(1))
      connection.freeze()
      server.write(Uint8Array.of(2))
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual([atServer, atClient], [[], []])
      connection.thaw()
      yield* TestClock.adjust(0)
      assert.deepStrictEqual([atServer, atClient], [[[60_000, "1"]], [[60_000, "2"]]])
    })))

  it.effect("freezes an address: its connections and its dials, and no others", () =>
    run(Effect.gen(function*() {
      const { client, network, server } = yield* pair
      const transport = yield* RelayTransport
      const other = yield* transport.listen({ host: "other.test", port: 443 })
      yield* Effect.forkScoped(other.serve(echo, () => true))
      const atServer = yield* arrivals(server)
      network.conditions(relay, { frozen: true })
      client.write(Uint8Array.of(1))
      const dialling = yield* Effect.forkScoped(transport.connect(relay))
      const elsewhere = yield* transport.connect(other)
      elsewhere.write(Uint8Array.of(3))
      assert.deepStrictEqual([...yield* readExactly(elsewhere, 1)], [3])
      yield* TestClock.adjust("1 hour")
      assert.isUndefined(dialling.pollUnsafe())
      assert.deepStrictEqual(atServer, [])
      network.conditions(relay, { frozen: false })
      yield* Fiber.join(dialling)
      assert.deepStrictEqual(atServer, [[3_600_000, "1"]])
    })))

  it.effect("cuts every connection, with what had not arrived", () =>
    run(Effect.gen(function*() {
      const { client, network, server } = yield* pair
      client.write(Uint8Array.of(1))
      yield* TestClock.adjust(0)
      network.conditions(relay, { latency: "10 millis" })
      client.write(Uint8Array.of(2))
      network.cutAll()
      yield* TestClock.adjust("1 second")
      const { bytes, error } = yield* readToEnd(server)
      assert.deepStrictEqual([...bytes], [1])
      assert.strictEqual(error.kind, "Reset")
      assert.strictEqual((yield* readToEnd(client)).error.kind, "Reset")
      assert.deepStrictEqual(network.connections(), [])
    })))

  it.effect("lists a connection from its dial until both ends have closed", () =>
    run(Effect.gen(function*() {
      const network = yield* MemoryNetwork
      const transport = yield* RelayTransport
      const { serve } = yield* transport.listen(relay)
      yield* Effect.forkScoped(serve(echo, () => true))
      const scope = yield* Scope.make()
      yield* Scope.provide(transport.connect(relay), scope)
      yield* Scope.provide(transport.connect(relay), scope)
      assert.deepStrictEqual(network.connections().map((one) => [one.id, one.client, one.server]), [
        [1, "127.0.0.1", relay],
        [2, "127.0.0.1", relay]
      ])
      yield* Scope.close(scope, Exit.void)
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(network.connections(), [])
    })))

  it.effect("answers a FIN with one of its own: nobody keeps half of a connection", () =>
    run(Effect.gen(function*() {
      const { server } = yield* pair
      const transport = yield* RelayTransport
      const scope = yield* Scope.make()
      yield* Scope.provide(transport.connect(relay), scope)
      yield* Scope.close(scope, Exit.void)
      yield* TestClock.adjust(0)
      assert.isTrue(server.write(Uint8Array.of(1)))
    })))

  it.effect("gives each machine its own address, and applications one network", () =>
    Effect.gen(function*() {
      const network = yield* MemoryNetwork
      const server = network.transport("10.0.0.1")
      const { serve } = yield* server.listen({ host: "10.0.0.1", port: 443 })
      const seen: Array<string> = []
      yield* Effect.forkScoped(serve(echo, (address) => seen.push(address) > 0))
      for (const machine of ["10.0.0.2", "10.0.0.3"]) {
        const connection = yield* network.transport(machine).connect({ host: "10.0.0.1", port: 443 })
        assert.strictEqual(connection.remoteAddress, "10.0.0.1")
      }
      const byLayer = yield* Effect.provide(RelayTransport, RelayTransportMemory.transportOf("10.0.0.4"))
      yield* byLayer.connect({ host: "10.0.0.1", port: 443 })
      assert.deepStrictEqual(seen, ["10.0.0.2", "10.0.0.3", "10.0.0.4"])
    }).pipe(Effect.scoped, Effect.provide(RelayTransportMemory.network())))

  it.effect("gives free ports, each only once", () =>
    run(Effect.gen(function*() {
      const transport = yield* RelayTransport
      const ports = new Set<number>()
      for (let i = 0; i < 100; i++) ports.add((yield* transport.listen({ host: "relay.test", port: 0 })).port)
      assert.strictEqual(ports.size, 100)
    })))

  it.effect.prop("B2: the same script twice gives the same trace, to the millisecond", [
    Schema.Array(Schema.Struct({
      wait: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 50 })),
      latency: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 40 })),
      size: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 100_000 })),
      freeze: Schema.Boolean
    })).check(Schema.isMaxLength(12))
  ], ([script]) => {
    const once = Effect.gen(function*() {
      yield* TestClock.setTime(0)
      return yield* run(Effect.gen(function*() {
        const { client, connection, network, server } = yield* pair
        const clock = yield* Clock.Clock
        const trace: Array<string> = []
        let total = 0
        yield* Effect.forkScoped(Effect.ignore(Effect.forever(Effect.map(server.pull, (batch) => {
          trace.push(`${clock.currentTimeMillisUnsafe()} ${batch.map((chunk) => chunk.length).join("+")}`)
          for (const chunk of batch) total += chunk.length
        }))))
        client.onDrain(() => trace.push(`${clock.currentTimeMillisUnsafe()} drained`))
        for (const step of script) {
          network.conditions(relay, { latency: step.latency })
          if (step.freeze) connection.freeze()
          trace.push(`write ${client.write(pattern(step.size))}`)
          yield* TestClock.adjust(step.wait)
          connection.thaw()
        }
        // In steps: one adjustment would pass what is only scheduled when the bytes before it have arrived.
        for (let step = 0; step < 40; step++) yield* TestClock.adjust("50 millis")
        assert.strictEqual(total, script.reduce((sum, step) => sum + step.size, 0))
        return trace
      }))
    })
    return Effect.gen(function*() {
      assert.deepStrictEqual(yield* once, yield* once)
    })
  })

  it.effect("lets the rest of the program run during an endless conversation without latency", () =>
    run(Effect.gen(function*() {
      const { client, server } = yield* pair
      yield* Effect.forkScoped(echo(client))
      yield* Effect.forkScoped(echo(server))
      client.write(Uint8Array.of(1))
      for (let turn = 0; turn < 100; turn++) yield* Effect.yieldNow
    })))

  it.effect("can have another socket buffer", () =>
    Effect.gen(function*() {
      const { client, server } = yield* pair
      assert.isTrue(client.write(pattern(1_000)))
      assert.isFalse(client.write(pattern(1)))
      yield* readExactly(server, 1_001)
    }).pipe(
      Effect.scoped,
      Effect.provide(Layer.fresh(RelayTransportMemory.layerWith({ socketBuffer: 1_000 })))
    ))
})
