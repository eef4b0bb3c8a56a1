/**
 * What every `RelayTransport` must do, run against each of them: the one over TCP and the one inside the process, under the real
 * clock and under `TestClock`.
 */
import { assert, describe, type it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { RelayTransport, type TransportConnection } from "../../src/services/RelayTransport.ts"
import * as Waits from "../utils/waits.ts"
import { type Address, anyPort, echo, join, pattern, readExactly, readToEnd, writeAll } from "./transportUse.ts"

export interface TransportUnderTest<R> {
  readonly name: string
  readonly test: typeof it.effect
  readonly layer: Layer.Layer<RelayTransport | R>
  /** Lets so much time pass on the clock of the tests. */
  readonly elapse: (millis: number) => Effect.Effect<void>
  /** An address where a dial gets no answer at all. */
  readonly silent: Effect.Effect<Address, never, R | Scope.Scope>
  /** Dials, sends the bytes, and breaks the connection with a reset when they have arrived. */
  readonly sendAndReset: (address: Address, bytes: Uint8Array) => Effect.Effect<void, never, R>
}

const closeTimeout = 2_000

export const conformance = <R>(subject: TransportUnderTest<R>): void => {
  const { elapse, test } = subject
  const run = <A, E>(body: Effect.Effect<A, E, RelayTransport | R | Scope.Scope>) =>
    Effect.provide(Effect.scoped(body), subject.layer)

  const { eventually, soon } = Waits.make(elapse)

  /** A listener whose connections land in a queue and stay open until the test ends. */
  const listener = Effect.fnUntraced(function*(address: Address = anyPort) {
    const transport = yield* RelayTransport
    const { host, port, serve } = yield* transport.listen(address)
    const accepted = yield* Queue.unbounded<TransportConnection>()
    yield* Effect.forkScoped(
      serve((connection) => Effect.andThen(Queue.offer(accepted, connection), Effect.never), () => true)
    )
    return { address: { host, port }, accepted: Queue.take(accepted) }
  })

  /** Both ends of one connection, the dialling end in a scope of its own. */
  const pair = Effect.gen(function*() {
    const transport = yield* RelayTransport
    const { accepted, address } = yield* listener()
    const scope = yield* Scope.fork(yield* Scope.Scope)
    const client = yield* Scope.provide(transport.connect(address), scope)
    const server = yield* accepted
    return { client, server, closeClient: Scope.close(scope, Exit.void) }
  })

  /** Writes until the transport says stop, and returns how much it took. */
  const fill = (connection: TransportConnection, limit: number) => {
    let written = 0
    while (connection.write(pattern(1 << 16)) && written < limit) written += 1 << 16
    return written
  }

  describe(subject.name, () => {
    test.prop("carries bytes both ways in any sizes of writes", [
      Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 9_000 }))).check(Schema.isMaxLength(12))
    ], ([sizes]) =>
      run(Effect.gen(function*() {
        const { client, server } = yield* pair
        const writes = sizes.map((size, index) => pattern(size, index + 1))
        const all = join(writes)
        for (const bytes of writes) client.write(bytes.slice())
        assert.deepStrictEqual(yield* readExactly(server, all.length), all)
        for (const bytes of writes) server.write(bytes.slice())
        assert.deepStrictEqual(yield* readExactly(client, all.length), all)
      })), { arbitrary: { runs: 40 } })

    test("moves 10 MB in both directions at once, with backpressure", () =>
      run(Effect.gen(function*() {
        const { client, server } = yield* pair
        const up = pattern(10_000_000, 3)
        const down = pattern(10_000_000, 4)
        const [atServer, atClient] = yield* Effect.all([
          readExactly(server, up.length),
          readExactly(client, down.length),
          writeAll(client, up, 40_000),
          writeAll(server, down, 1_400)
        ], { concurrency: "unbounded" })
        assert.isTrue(Buffer.compare(atServer, up) === 0)
        assert.isTrue(Buffer.compare(atClient, down) === 0)
      })))

    test("I24: stops the writer of a reader that does not pull, and starts it again with one call of onDrain", () =>
      run(Effect.gen(function*() {
        const { client, server } = yield* pair
        let drained = 0
        client.onDrain(() => drained++)
        const limit = 64_000_000
        let taken = 0
        // Full is what takes nothing more, however often the loop turns.
        for (let full = 0; full < 5 && taken < limit;) {
          const more = fill(client, limit)
          taken += more
          full = more > 0 ? 0 : full + 1
          yield* elapse(10)
        }
        assert.isBelow(taken, limit)
        assert.isAbove(client.pendingBytes(), 0)
        const drainedBefore = drained
        const first = yield* server.pull
        assert.isAtMost(join(first).length, 256 * 1024, "bytes that were read while nobody pulled")
        const reading = yield* Effect.forkScoped(readToEnd(server))
        yield* eventually(() => client.pendingBytes() === 0 && drained > drainedBefore)
        yield* elapse(50)
        assert.strictEqual(drained, drainedBefore + 1)
        assert.isTrue(client.write(Uint8Array.of(1)))
        yield* Fiber.interrupt(reading)
      })))

    test("never runs a reader or onDrain inside write", () =>
      run(Effect.gen(function*() {
        const { client, server } = yield* pair
        let writing = false
        let inside = 0
        const observe = () => {
          if (writing) inside++
        }
        client.onDrain(observe)
        yield* Effect.forkScoped(Effect.forever(Effect.tap(server.pull, () => Effect.sync(observe))))
        for (let round = 0; round < 50; round++) {
          writing = true
          while (client.write(pattern(30_000)) && client.pendingBytes() < 100_000 && Math.imul(round, 7) % 5 !== 0);
          writing = false
          yield* elapse(1)
        }
        assert.strictEqual(inside, 0)
      })))

    test("delivers what was sent before a FIN, then fails with Ended, again and again", () =>
      run(Effect.gen(function*() {
        const { client, closeClient, server } = yield* pair
        client.write(pattern(5_000))
        yield* closeClient
        const { bytes, error } = yield* readToEnd(server)
        assert.deepStrictEqual(bytes, pattern(5_000))
        assert.strictEqual(error.kind, "Ended")
        assert.strictEqual((yield* Effect.flip(server.pull)).kind, "Ended")
      })))

    test("delivers everything a closing side still had queued", () =>
      run(Effect.gen(function*() {
        const { client, closeClient, server } = yield* pair
        const bytes = pattern(12_000_000, 9)
        client.write(bytes.slice())
        assert.isAbove(client.pendingBytes(), 0)
        const closing = yield* Effect.forkScoped(closeClient)
        yield* elapse(100)
        const read = yield* readToEnd(server)
        yield* Fiber.join(closing)
        assert.isTrue(Buffer.compare(read.bytes, bytes) === 0)
        assert.strictEqual(read.error.kind, "Ended")
      })))

    test("a closing side takes what the far side still writes, so that the far side comes to read", () =>
      run(Effect.gen(function*() {
        const { client, closeClient, server } = yield* pair
        const bytes = pattern(12_000_000, 9)
        client.write(bytes.slice())
        const serving = yield* Effect.forkScoped(
          Effect.andThen(writeAll(server, pattern(12_000_000), 1 << 16), readToEnd(server))
        )
        yield* elapse(50)
        const closing = yield* Effect.forkScoped(closeClient)
        const read = yield* Fiber.join(serving)
        assert.isTrue(Buffer.compare(read.bytes, bytes) === 0)
        assert.strictEqual(read.error.kind, "Ended")
        yield* soon(closing)
      })))

    test("delivers a last word to a side that is still sending", () =>
      run(Effect.gen(function*() {
        const { client, closeClient, server } = yield* pair
        fill(server, 300_000)
        yield* elapse(10)
        client.write(Uint8Array.of(7, 7, 7))
        yield* closeClient
        const { bytes } = yield* readToEnd(server)
        assert.deepStrictEqual([...bytes], [7, 7, 7])
      })))

    test("delivers what was sent before a reset, then fails with Reset", () =>
      run(Effect.gen(function*() {
        const { accepted, address } = yield* listener()
        const sending = yield* Effect.forkScoped(subject.sendAndReset(address, pattern(3_000)))
        const server = yield* accepted
        let drained = 0
        server.onDrain(() => drained++)
        yield* Fiber.join(sending)
        const { bytes, error } = yield* readToEnd(server)
        assert.deepStrictEqual(bytes, pattern(3_000))
        assert.strictEqual(error.kind, "Reset")
        assert.isTrue(server.write(Uint8Array.of(1)))
        assert.strictEqual(server.pendingBytes(), 0)
        yield* elapse(20)
        assert.strictEqual(drained, 0, "nobody waited")
      })))

    test("wakes a blocked writer when the stream breaks, after its reader", () =>
      run(Effect.gen(function*() {
        const { accepted, address } = yield* listener()
        const sending = yield* Effect.forkScoped(subject.sendAndReset(address, pattern(10)))
        const server = yield* accepted
        const order: Array<string> = []
        server.onDrain(() => order.push("drained"))
        fill(server, 64_000_000)
        yield* Effect.forkScoped(Effect.tap(readToEnd(server), () => Effect.sync(() => order.push("ended"))))
        yield* Fiber.join(sending)
        yield* eventually(() => order.length === 2)
        assert.deepStrictEqual(order, ["ended", "drained"])
      })))

    test("drops what is written after the end", () =>
      run(Effect.gen(function*() {
        const { client, closeClient, server } = yield* pair
        yield* closeClient
        assert.isTrue(client.write(pattern(100)))
        assert.strictEqual((yield* Effect.flip(client.pull)).kind, "Reset")
        assert.strictEqual((yield* Effect.flip(server.pull)).kind, "Ended")
        yield* elapse(5)
        assert.isTrue(server.write(pattern(1_000_000)))
        assert.strictEqual(server.pendingBytes(), 0)
      })))

    test("an interrupted pull loses nothing", () =>
      run(Effect.gen(function*() {
        const { client, server } = yield* pair
        const bytes = pattern(40_000)
        const got: Array<Uint8Array> = []
        let read = 0
        for (let at = 0; at < bytes.length; at += 400) {
          const pulling = yield* Effect.forkChild(server.pull)
          client.write(bytes.slice(at, at + 400))
          if (at % 1_200 === 0) yield* elapse(1)
          else yield* Effect.yieldNow
          const exit = yield* Effect.andThen(Fiber.interrupt(pulling), Fiber.await(pulling))
          if (Exit.isSuccess(exit)) got.push(...exit.value)
        }
        read = join(got).length
        if (read < bytes.length) got.push(yield* readExactly(server, bytes.length - read))
        assert.deepStrictEqual(join(got), bytes)
      })))

    test("names the far side's address on both sides", () =>
      run(Effect.gen(function*() {
        const { client, server } = yield* pair
        assert.strictEqual(client.remoteAddress, "127.0.0.1")
        assert.strictEqual(server.remoteAddress, "127.0.0.1")
      })))

    test("fails a dial with Refused, NotFound; a listen with InUse", () =>
      run(Effect.gen(function*() {
        const transport = yield* RelayTransport
        const { host, port } = yield* Effect.scoped(transport.listen(anyPort))
        const dialError = (address: Address) =>
          Effect.map(Effect.flip(transport.connect(address)), (error) => error.kind)
        assert.strictEqual(yield* dialError({ host, port }), "Refused")
        assert.strictEqual(yield* dialError({ host: "relay.invalid", port: 443 }), "NotFound")
        assert.strictEqual(yield* dialError({ host: "", port: 443 }), "NotFound")
        const taken = yield* transport.listen(anyPort)
        const error = yield* Effect.flip(transport.listen(taken))
        assert.strictEqual(error.kind, "InUse")
        assert.strictEqual(error.detail, "EADDRINUSE")
      })))

    test("gives up a hanging dial when it is interrupted, at once", () =>
      run(Effect.gen(function*() {
        const transport = yield* RelayTransport
        const address = yield* subject.silent
        const dialling = yield* Effect.forkScoped(Effect.exit(transport.connect(address)))
        yield* elapse(300)
        assert.isUndefined(dialling.pollUnsafe())
        yield* soon(yield* Effect.forkScoped(Fiber.interrupt(dialling)))
      })))

    test("closes an idle connection without waiting for anybody", () =>
      run(Effect.gen(function*() {
        const { client, closeClient } = yield* pair
        client.write(pattern(1_000))
        yield* elapse(20)
        yield* soon(yield* Effect.forkScoped(closeClient))
      })))

    test("F6: a peer that never reads is destroyed 2 s after the scope closed, no sooner, and learns of it", () =>
      run(Effect.gen(function*() {
        const { client, closeClient, server } = yield* pair
        fill(client, 64_000_000)
        yield* elapse(10)
        const closing = yield* Effect.forkScoped(Effect.timed(closeClient))
        yield* eventually(() => closing.pollUnsafe() !== undefined, 500)
        const [took] = yield* Fiber.join(closing)
        assert.isAtLeast(Duration.toMillis(took), closeTimeout - 5)
        assert.strictEqual((yield* readToEnd(server)).error.kind, "Reset")
      })))

    test("serves each connection in a scope of its own, which ends the connection", () =>
      run(Effect.gen(function*() {
        const transport = yield* RelayTransport
        const { serve, ...address } = yield* transport.listen(anyPort)
        let released = 0
        yield* Effect.forkScoped(serve((connection) =>
          Effect.gen(function*() {
            yield* Effect.addFinalizer(() => Effect.sync(() => released++))
            const [first] = yield* connection.pull
            connection.write(first!.slice())
          }).pipe(Effect.ignore), () => true))
        const long = yield* transport.connect(address)
        const short = yield* transport.connect(address)
        short.write(Uint8Array.of(5))
        const { bytes, error } = yield* readToEnd(short)
        assert.deepStrictEqual([...bytes], [5])
        assert.strictEqual(error.kind, "Ended")
        assert.strictEqual(released, 1)
        long.write(Uint8Array.of(6))
        assert.deepStrictEqual([...yield* readExactly(long, 1)], [6])
      })))

    test("keeps connections that arrive before serve", () =>
      run(Effect.gen(function*() {
        const transport = yield* RelayTransport
        const { serve, ...address } = yield* transport.listen(anyPort)
        const early = yield* transport.connect(address)
        early.write(pattern(1_000))
        yield* elapse(20)
        yield* Effect.forkScoped(serve(echo, () => true))
        assert.deepStrictEqual(yield* readExactly(early, 1_000), pattern(1_000))
      })))

    test("a connection that breaks before serve harms nobody", () =>
      run(Effect.gen(function*() {
        const transport = yield* RelayTransport
        const { serve, ...address } = yield* transport.listen(anyPort)
        yield* subject.sendAndReset(address, pattern(10))
        yield* elapse(20)
        yield* Effect.forkScoped(serve(echo, () => true))
        const fine = yield* transport.connect(address)
        fine.write(Uint8Array.of(1))
        assert.deepStrictEqual([...yield* readExactly(fine, 1)], [1])
      })))

    test("destroys a connection that is not admitted, before it has a handler", () =>
      run(Effect.gen(function*() {
        const transport = yield* RelayTransport
        const { serve, ...address } = yield* transport.listen(anyPort)
        const asked: Array<string> = []
        let handled = 0
        yield* Effect.forkScoped(serve((connection) => {
          handled++
          return echo(connection)
        }, (remoteAddress) => asked.push(remoteAddress) !== 2))
        const first = yield* transport.connect(address)
        yield* eventually(() => handled === 1)
        const refused = yield* Effect.flip(Effect.flatMap(transport.connect(address), readToEnd)).pipe(
          Effect.catch(Effect.succeed)
        )
        assert.strictEqual("error" in refused ? refused.error.kind : refused.kind, "Reset")
        assert.strictEqual(handled, 1)
        const third = yield* transport.connect(address)
        for (const connection of [first, third]) {
          connection.write(Uint8Array.of(1))
          assert.deepStrictEqual([...yield* readExactly(connection, 1)], [1])
        }
        assert.deepStrictEqual(asked, ["127.0.0.1", "127.0.0.1", "127.0.0.1"])
      })))

    test("I5: a handler that dies takes nobody with it", () =>
      run(
        Effect.gen(function*() {
          const transport = yield* RelayTransport
          const { serve, ...address } = yield* transport.listen(anyPort)
          let count = 0
          yield* Effect.forkScoped(serve((connection) => {
            if (++count === 1) throw new Error("a bug in a handler")
            return echo(connection)
          }, () => true))
          const broken = yield* transport.connect(address)
          assert.strictEqual((yield* readToEnd(broken)).error.kind, "Ended")
          const fine = yield* transport.connect(address)
          fine.write(Uint8Array.of(1))
          assert.deepStrictEqual([...yield* readExactly(fine, 1)], [1])
        }).pipe(Effect.provide(Logger.layer([])))
      ))

    test("closing a listener interrupts handlers, ends connections and frees the port at once", () =>
      run(Effect.gen(function*() {
        const transport = yield* RelayTransport
        const scope = yield* Scope.make()
        const { serve, ...address } = yield* Scope.provide(transport.listen(anyPort), scope)
        const interrupted = yield* Deferred.make<void>()
        const started = yield* Deferred.make<void>()
        const handler = Effect.andThen(Deferred.succeed(started, undefined), Effect.never)
        yield* Effect.forkScoped(
          serve(() => Effect.onInterrupt(handler, () => Deferred.succeed(interrupted, undefined)), () => true)
        )
        const client = yield* transport.connect(address)
        client.write(Uint8Array.of(1))
        yield* Deferred.await(started)
        yield* Scope.close(scope, Exit.void)
        assert.isTrue(yield* Deferred.isDone(interrupted))
        const again = yield* transport.listen(address)
        assert.strictEqual(again.port, address.port)
        assert.include(["Ended", "Reset"], (yield* readToEnd(client)).error.kind)
      })))

    test("interrupting serve ends its connections; another serve goes on with the same listener", () =>
      run(Effect.gen(function*() {
        const transport = yield* RelayTransport
        const { serve, ...address } = yield* transport.listen(anyPort)
        const serving = yield* Effect.forkScoped(serve(echo, () => true))
        const first = yield* transport.connect(address)
        first.write(Uint8Array.of(1))
        yield* readExactly(first, 1)
        yield* Fiber.interrupt(serving)
        assert.strictEqual((yield* readToEnd(first)).error.kind, "Ended")
        yield* Effect.forkScoped(serve(echo, () => true))
        const second = yield* transport.connect(address)
        second.write(Uint8Array.of(2))
        assert.deepStrictEqual([...yield* readExactly(second, 1)], [2])
      })))

    test("E2: 1,000 connections that close at once leave nothing behind", () =>
      run(Effect.gen(function*() {
        const transport = yield* RelayTransport
        const { serve, ...address } = yield* transport.listen(anyPort)
        let started = 0
        let running = 0
        yield* Effect.forkScoped(serve((connection) => {
          started++
          running++
          return Effect.ensuring(echo(connection), Effect.sync(() => running--))
        }, () => true))
        yield* Effect.forEach(
          Array.from({ length: 1_000 }),
          (_, index) =>
            Effect.scoped(Effect.map(transport.connect(address), (connection) => {
              if (index % 2 === 0) connection.write(pattern(10))
            })),
          { concurrency: 50, discard: true }
        )
        yield* eventually(() => started === 1_000 && running === 0)
        const honest = yield* transport.connect(address)
        honest.write(Uint8Array.of(1))
        assert.deepStrictEqual([...yield* readExactly(honest, 1)], [1])
      })))
  })
}
