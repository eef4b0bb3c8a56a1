/** What an open stream of every `DirectTransport` must do. */
import { assert, describe } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Schema from "effect/Schema"
import { DirectTransport } from "../../src/services/DirectTransport.ts"
import { type DirectTransportUnderTest, kitOf, psk, secret } from "./directConformanceKit.ts"
import { assertBytes, Receiver } from "./directUse.ts"
import { anyPort, join, pattern } from "./transportUse.ts"

export const streamConformance = <R>(subject: DirectTransportUnderTest<R>): void => {
  const { answers, elapse, eventually, fill, pair, run, soon, test } = kitOf(subject)

  describe(`${subject.name}, its streams`, () => {
    test.prop("carries batches of any pieces both ways, in order and whole", [
      Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 40_000 }))).check(Schema.isMaxLength(12))
    ], ([sizes]) =>
      run(Effect.gen(function*() {
        const { client, server } = yield* pair
        const pieces = sizes.map((size, index) => pattern(size, index + 1))
        const all = join(pieces)
        const atServer = new Receiver(server)
        const atClient = new Receiver(client)
        for (let at = 0; at < pieces.length; at += 3) client.write(pieces.slice(at, at + 3))
        assertBytes(yield* atServer.read(all.length), all)
        for (let at = 0; at < pieces.length; at += 2) server.write(pieces.slice(at, at + 2))
        assertBytes(yield* atClient.read(all.length), all)
      })), { arbitrary: { runs: 15 } })

    test("moves 10 MB in both directions at once, with back-pressure", () =>
      run(Effect.gen(function*() {
        const { client, server } = yield* pair
        const atClient = new Receiver(client)
        const atServer = new Receiver(server)
        const up = pattern(10_000_000, 3)
        const down = pattern(10_000_000, 4)
        const [up2, down2] = yield* Effect.all([
          atServer.read(up.length),
          atClient.read(down.length),
          atClient.writeAll(up, 400_000),
          atServer.writeAll(down, 1_400)
        ], { concurrency: "unbounded" })
        assertBytes(up2, up)
        assertBytes(down2, down)
      })))

    test("what a receiver does with its bytes does not reach the sender's", () =>
      run(Effect.gen(function*() {
        const { client, server } = yield* pair
        const sent = pattern(5_000)
        client.write([sent])
        const atServer = new Receiver(server)
        yield* atServer.read(5_000)
        for (const chunk of atServer.chunks) chunk.fill(0)
        assertBytes(sent, pattern(5_000))
      })))

    test("I24: a peer that is held stops the writer, and frees it with one call of onWritable", () =>
      run(Effect.gen(function*() {
        const { client, server } = yield* pair
        const atServer = new Receiver(server)
        server.hold(true)
        const atClient = new Receiver(client)
        const taken = yield* fill(atClient)
        assert.strictEqual(atServer.size, 0)
        const before = atClient.writables
        server.hold(false)
        assert.strictEqual(atServer.size, 0, "delivered inside the call of hold")
        yield* eventually(() => atServer.size === taken)
        yield* eventually(() => atClient.writables === before + 1)
        yield* elapse(50)
        assert.strictEqual(atClient.writables, before + 1)
        assert.isTrue(client.write([Uint8Array.of(1)]))
        assertBytes(atServer.bytes.subarray(0, 1 << 15), pattern(1 << 15))
      })))

    test("hold keeps the order over many changes, also of changes inside onBytes", () =>
      run(Effect.gen(function*() {
        const { client, server } = yield* pair
        const bytes = pattern(400_000, 6)
        const got: Array<Uint8Array> = []
        let size = 0
        server.handle({
          onBytes: (chunk) => {
            got.push(chunk)
            size += chunk.length
            server.hold(true)
          },
          onWritable: () => {},
          onClosed: () => {}
        })
        const atClient = new Receiver(client)
        yield* Effect.forkScoped(atClient.writeAll(bytes, 9_000))
        while (size < bytes.length) {
          const before = size
          server.hold(false)
          yield* eventually(() => size > before)
          const after = size
          yield* elapse(1)
          assert.strictEqual(size, after, "delivered although it is held")
        }
        assertBytes(join(got), bytes)
      })))

    test("keeps the bytes that come before handle, and delivers them inside it", () =>
      run(Effect.gen(function*() {
        const { client, server } = yield* pair
        client.write([pattern(3_000)])
        yield* elapse(50)
        const atServer = new Receiver(server)
        assertBytes(atServer.bytes, pattern(3_000))
      })))

    test("stops a peer whose bytes nobody receives", () =>
      run(Effect.gen(function*() {
        const { client, server } = yield* pair
        const atClient = new Receiver(client)
        const taken = yield* fill(atClient)
        const atServer = new Receiver(server)
        yield* eventually(() => atServer.size === taken)
      })))

    test("another receiver takes over without a gap, also inside onBytes", () =>
      run(Effect.gen(function*() {
        const { client, server } = yield* pair
        const bytes = pattern(100_000, 8)
        const first: Array<Uint8Array> = []
        let second: Receiver | undefined
        server.handle({
          onBytes: (chunk) => {
            first.push(chunk)
            second ??= new Receiver(server)
          },
          onWritable: () => {},
          onClosed: () => assert.fail("the first receiver was replaced")
        })
        yield* Effect.forkScoped(new Receiver(client).writeAll(bytes, 10_000))
        yield* eventually(() => join(first).length + (second?.size ?? 0) === bytes.length)
        assert.strictEqual(first.length, 1)
        assertBytes(join([...first, second!.bytes]), bytes)
        client.destroy()
        yield* second!.closed
      })))

    test("a clean end: everything that was sent, then Ended, once", () =>
      run(Effect.gen(function*() {
        const { client, closeClient, server } = yield* pair
        const atServer = new Receiver(server)
        const atClient = new Receiver(client)
        client.write([pattern(50_000)])
        yield* closeClient
        const error = yield* atServer.closed
        assert.deepStrictEqual([error.kind, atServer.closings, atServer.calls.at(-1)], ["Ended", 1, "closed"])
        assertBytes(atServer.bytes, pattern(50_000))
        yield* eventually(() => atClient.closings === 1)
        assert.strictEqual(atClient.error?.detail, "closed")
        yield* elapse(20)
        assert.deepStrictEqual([atServer.closings, atClient.closings], [1, 1])
      })))

    test("an end is told to whoever receives after it, and waits behind bytes that are held", () =>
      run(Effect.gen(function*() {
        const { client, closeClient, server } = yield* pair
        const atServer = new Receiver(server)
        server.hold(true)
        client.write([pattern(20_000)])
        yield* closeClient
        yield* elapse(50)
        assert.deepStrictEqual([atServer.size, atServer.closings], [0, 0])
        server.hold(false)
        assert.strictEqual((yield* atServer.closed).kind, "Ended")
        assertBytes(atServer.bytes, pattern(20_000))
        const late = new Receiver(server)
        assert.deepStrictEqual([late.error?.kind, late.closings, late.size], ["Ended", 1, 0])
        assert.strictEqual(atServer.closings, 1)
      })))

    test("destroy ends both sides, told once to each and never inside the call", () =>
      run(Effect.gen(function*() {
        const { client, server } = yield* pair
        const atClient = new Receiver(client)
        const atServer = new Receiver(server)
        client.write([pattern(1_000)])
        yield* atServer.read(1_000)
        client.destroy()
        assert.strictEqual(atClient.closings, 0)
        client.destroy()
        assert.strictEqual((yield* atClient.closed).kind, "Reset")
        assert.include(["Reset", "Ended"], (yield* atServer.closed).kind)
        yield* elapse(20)
        client.destroy()
        server.destroy()
        assert.deepStrictEqual([atClient.closings, atServer.closings], [1, 1])
      })))

    test("destroy in the middle of a transfer frees a writer that waits, and a stream that is held", () =>
      run(Effect.gen(function*() {
        const { client, server } = yield* pair
        const atServer = new Receiver(server)
        server.hold(true)
        const atClient = new Receiver(client)
        yield* fill(atClient)
        server.destroy()
        yield* atServer.closed
        assert.strictEqual(atServer.size, 0)
        assert.include(["Reset", "Ended"], (yield* atClient.closed).kind)
        assert.isTrue(client.write([pattern(1_000)]))
      })))

    test("drops what is written after the end, with true", () =>
      run(Effect.gen(function*() {
        const { client, closeClient, server } = yield* pair
        const atServer = new Receiver(server)
        yield* closeClient
        assert.isTrue(client.write([pattern(1_000_000)]))
        yield* atServer.closed
        yield* elapse(5)
        assert.isTrue(server.write([pattern(1_000_000)]))
        assert.strictEqual(atServer.writables, 0)
      })))

    test("closing delivers everything that was queued", () =>
      run(Effect.gen(function*() {
        const { client, closeClient, server } = yield* pair
        const bytes = pattern(12_000_000, 9)
        assert.isFalse(client.write([bytes]))
        const closing = yield* Effect.forkScoped(closeClient)
        const atServer = new Receiver(server)
        yield* atServer.closed
        yield* Fiber.join(closing)
        assertBytes(atServer.bytes, bytes)
        assert.strictEqual(atServer.error?.kind, "Ended")
      })))

    test("closing an idle stream waits for nobody", () =>
      run(Effect.gen(function*() {
        const { client, closeClient } = yield* pair
        client.write([pattern(1_000)])
        yield* elapse(20)
        yield* soon(yield* Effect.forkScoped(closeClient))
      })))

    test("F6: a peer that never reads is destroyed 2 s after the scope closed, no sooner, and learns of it", () =>
      run(Effect.gen(function*() {
        const { client, closeClient, server } = yield* pair
        yield* fill(new Receiver(client))
        const closing = yield* Effect.forkScoped(Effect.timed(closeClient))
        yield* eventually(() => closing.pollUnsafe() !== undefined, 500)
        const [took] = yield* Fiber.join(closing)
        assert.isAtLeast(Duration.toMillis(took), 1_995)
        assert.isBelow(Duration.toMillis(took), 3_000)
        assert.include(["Reset", "Ended"], (yield* new Receiver(server).closed).kind)
      })))

    test("each handler has a scope of its own, whose end ends the stream", () =>
      run(Effect.gen(function*() {
        const transport = yield* DirectTransport
        const { serve, ...address } = yield* transport.listen(anyPort, () => psk)
        let released = 0
        yield* Effect.forkScoped(serve((stream) =>
          Effect.gen(function*() {
            yield* Effect.addFinalizer(() => Effect.sync(() => released++))
            const receiver = new Receiver(stream)
            stream.write([yield* receiver.read(1)])
          })
        ))
        const long = new Receiver(yield* transport.connect(address, secret))
        const short = new Receiver(yield* transport.connect(address, secret))
        short.stream.write([Uint8Array.of(5)])
        assert.strictEqual((yield* short.closed).kind, "Ended")
        assert.deepStrictEqual([...short.bytes, released], [5, 1])
        long.stream.write([Uint8Array.of(6)])
        assert.deepStrictEqual([...yield* long.read(1)], [6])
      })))

    test("I5: a handler that dies takes nobody with it", () =>
      run(
        Effect.gen(function*() {
          const transport = yield* DirectTransport
          const { serve, ...address } = yield* transport.listen(anyPort, () => psk)
          let count = 0
          yield* Effect.forkScoped(serve((stream) => {
            if (++count === 1) throw new Error("a bug in a handler")
            return Effect.andThen(Effect.sync(() => Receiver.echo(stream)), Effect.never)
          }))
          const broken = new Receiver(yield* transport.connect(address, secret))
          assert.strictEqual((yield* broken.closed).kind, "Ended")
          yield* answers(address)
        }).pipe(Effect.provide(Logger.layer([])))
      ))
  })
}
