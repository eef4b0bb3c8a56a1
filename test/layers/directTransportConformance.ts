/**
 * What every `DirectTransport` must do, run against each of them: the one over TLS and the one inside the process, under the real clock
 * and under `TestClock`.
 */
import { assert, describe, type it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { DirectSettings } from "../../src/services/DirectSettings.ts"
import {
  type DirectSecret,
  type DirectStream,
  DirectTransport,
  type RefusedCaller
} from "../../src/services/DirectTransport.ts"
import { assertBytes, Receiver } from "./directUse.ts"
import { type Address, anyPort, join, pattern } from "./transportUse.ts"

/** A connection below the handshake. */
export interface RawCall {
  readonly isClosed: () => boolean
}

export interface DirectTransportUnderTest<R> {
  readonly name: string
  readonly test: typeof it.effect
  /** Builds it with the settings in its context. */
  readonly layer: Layer.Layer<DirectTransport | R>
  /** Lets so much time pass on the clock of the tests. */
  readonly elapse: (millis: number) => Effect.Effect<void>
  /** Connects, sends the bytes and nothing more. From `from`, another address of this machine. */
  readonly call: (
    address: Address,
    bytes: Uint8Array,
    from?: string
  ) => Effect.Effect<RawCall, never, R | Scope.Scope>
  /** The first bytes of a handshake. */
  readonly half: Uint8Array
  /** An address where connections are accepted and nobody ever answers. */
  readonly silent: Effect.Effect<Address, never, R | Scope.Scope>
  /** Dials as the transport does, from another address. */
  readonly connectFrom: (
    from: string,
    address: Address,
    secret: DirectSecret
  ) => Effect.Effect<"secured" | "refused", never, R | Scope.Scope>
}

const psk = Uint8Array.from({ length: 32 }, (_, i) => i * 7 + 1)
const secret: DirectSecret = { pskIdentity: "bDq3-known_identity", psk }
const wrongKey: DirectSecret = { ...secret, psk: psk.map((byte) => byte ^ 1) }
const unknown: DirectSecret = { pskIdentity: "bDq3-unknown_identity", psk }

const handshakeTimeout = 3_000
const maxPendingPerAddress = 4
const maxPendingHandshakes = 6

export const directConformance = <R>(subject: DirectTransportUnderTest<R>): void => {
  const { elapse, test } = subject
  const settings = Effect.map(DirectSettings, (numbers) => ({
    ...numbers,
    handshakeTimeout,
    maxPendingPerAddress,
    maxPendingHandshakes
  }))
  const layer = subject.layer.pipe(Layer.provide(Layer.effect(DirectSettings, settings)))
  const run = <A, E>(body: Effect.Effect<A, E, DirectTransport | R | Scope.Scope>) =>
    Effect.provide(Effect.scoped(body), layer)

  const eventually = (condition: () => boolean, tries = 1_000) =>
    Effect.gen(function*() {
      for (let tried = 0; tried < tries; tried++) {
        if (condition()) return
        yield* elapse(5)
      }
      assert.fail(`the condition did not become true in ${tries} tries`)
    })
  /** Waits for the end of something that waits for nobody: far sooner than any deadline. */
  const soon = (fiber: Fiber.Fiber<unknown, unknown>) => eventually(() => fiber.pollUnsafe() !== undefined, 200)

  /** A listener whose streams land in a queue and stay open until the test ends. */
  const listener = Effect.fnUntraced(function*(
    pskOf: (pskIdentity: string) => Uint8Array | undefined = (named) => named === secret.pskIdentity ? psk : undefined
  ) {
    const transport = yield* DirectTransport
    const { host, port, serve } = yield* transport.listen(anyPort, pskOf)
    const accepted = yield* Queue.unbounded<DirectStream>()
    const refused: Array<RefusedCaller> = []
    yield* Effect.forkScoped(serve(
      (stream) => Effect.andThen(Queue.offer(accepted, stream), Effect.never),
      (caller) => refused.push(caller)
    ))
    return { address: { host, port }, accepted: Queue.take(accepted), refused }
  })

  const echoServer = Effect.fnUntraced(function*() {
    const transport = yield* DirectTransport
    const { serve, ...address } = yield* transport.listen(anyPort, () => psk)
    const refused: Array<RefusedCaller> = []
    yield* Effect.forkScoped(serve(
      (stream) => Effect.andThen(Effect.sync(() => Receiver.echo(stream)), Effect.never),
      (caller) => refused.push(caller)
    ))
    return { address: address as Address, refused }
  })

  /** One byte there and back. */
  const answers = (address: Address) =>
    Effect.gen(function*() {
      const transport = yield* DirectTransport
      const receiver = new Receiver(yield* transport.connect(address, secret))
      receiver.stream.write([Uint8Array.of(9)])
      assert.deepStrictEqual([...yield* receiver.read(1)], [9])
    })

  /** Both ends of one stream, the dialling end in a scope of its own. Nobody receives yet. */
  const pair = Effect.gen(function*() {
    const transport = yield* DirectTransport
    const { accepted, address } = yield* listener()
    const scope = yield* Scope.fork(yield* Scope.Scope)
    const client = yield* Scope.provide(transport.connect(address, secret), scope)
    const server = yield* accepted
    return { client, server, closeClient: Scope.close(scope, Effect.runSync(Effect.exit(Effect.void))) }
  })

  /** Writes until the stream takes nothing more, however often the loop turns; how much it took. */
  const fill = Effect.fnUntraced(function*(receiver: Receiver, limit = 64_000_000) {
    let taken = 0
    for (let full = 0; full < 5 && taken < limit;) {
      const before = receiver.writables
      let refused = false
      while (!refused && taken < limit) {
        refused = !receiver.stream.write([pattern(1 << 15), pattern(1 << 15)])
        taken += 1 << 16
      }
      yield* elapse(20)
      full = receiver.writables > before ? 0 : 5
    }
    assert.isBelow(taken, limit, "back-pressure")
    return taken
  })

  describe(subject.name, () => {
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

    test("I23: a wrong key and an unknown identity are refused, typed on both sides, and harm nobody", () =>
      run(Effect.gen(function*() {
        const transport = yield* DirectTransport
        const { accepted, address, refused } = yield* listener()
        const fail = (with_: DirectSecret) => Effect.flip(Effect.scoped(transport.connect(address, with_)))
        const wrong = yield* fail(wrongKey)
        assert.deepStrictEqual([wrong.kind, wrong.detail], ["Denied", "DECRYPT_ERROR"])
        const stranger = yield* fail(unknown)
        assert.deepStrictEqual([stranger.kind, stranger.detail], ["Denied", "HANDSHAKE_FAILURE"])
        yield* eventually(() => refused.length === 2)
        assert.deepStrictEqual(refused.map(({ error, pskIdentity }) => [error.kind, error.detail, pskIdentity]), [
          ["Denied", "DECRYPT_ERROR", secret.pskIdentity],
          ["Denied", "UNKNOWN_IDENTITY", unknown.pskIdentity]
        ])
        assert.strictEqual(refused[0]!.remote.host, "127.0.0.1")
        const client = yield* transport.connect(address, secret)
        assert.strictEqual((yield* accepted).pskIdentity, client.pskIdentity)
      })))

    test("I18: both ends know each other's address, the identity of the key and the key exchange", () =>
      run(Effect.gen(function*() {
        const transport = yield* DirectTransport
        const asked: Array<readonly [string, string, number]> = []
        const { serve, ...address } = yield* transport.listen(anyPort, (named, remote) => {
          asked.push([named, remote.host, remote.port])
          return psk
        })
        const accepted = yield* Deferred.make<DirectStream>()
        yield* Effect.forkScoped(serve((stream) => Effect.andThen(Deferred.succeed(accepted, stream), Effect.never)))
        const client = yield* transport.connect({ host: address.host, port: address.port }, secret)
        const server = yield* Deferred.await(accepted)
        assert.deepStrictEqual(client.remote, { host: address.host, port: address.port })
        assert.deepStrictEqual(asked, [[secret.pskIdentity, "127.0.0.1", server.remote.port]])
        assert.isAbove(server.remote.port, 0)
        assert.strictEqual(server.pskIdentity, secret.pskIdentity)
        assert.strictEqual(client.pskIdentity, secret.pskIdentity)
        assert.strictEqual(server.keyExchange, client.keyExchange)
      })))

    test("M15: the key is asked for anew by every caller: withdrawn, it opens nothing", () =>
      run(Effect.gen(function*() {
        const transport = yield* DirectTransport
        let expected = true
        const { accepted, address } = yield* listener(() => expected ? psk : undefined)
        const first = new Receiver(yield* transport.connect(address, secret))
        const server = Receiver.echo(yield* accepted)
        first.stream.write([pattern(100)])
        yield* first.read(100)
        expected = false
        assert.strictEqual((yield* Effect.flip(transport.connect(address, secret))).kind, "Denied")
        first.stream.write([pattern(100)])
        yield* first.read(200)
        assert.strictEqual(server.error, undefined, "an open stream outlives its expectation")
      })))

    test("G1: both sides may wipe the key as soon as they have connected", () =>
      run(Effect.gen(function*() {
        const transport = yield* DirectTransport
        const own = psk.slice()
        const theirs = psk.slice()
        const { accepted, address } = yield* listener(() => theirs)
        const client = new Receiver(yield* transport.connect(address, { ...secret, psk: own }))
        own.fill(0)
        Receiver.echo(yield* accepted)
        theirs.fill(0)
        client.stream.write([pattern(1_000)])
        assertBytes(yield* client.read(1_000), pattern(1_000))
      })))

    for (const [what, bytes] of [["silent", new Uint8Array(0)], ["half-finished", subject.half]] as const) {
      test(`I23: a ${what} handshake is closed at its deadline, no sooner`, () =>
        run(Effect.gen(function*() {
          const { address, refused } = yield* listener()
          const raw = yield* subject.call(address, bytes)
          yield* elapse(handshakeTimeout - 500)
          assert.isFalse(raw.isClosed())
          yield* elapse(600)
          yield* eventually(raw.isClosed, 100)
          assert.deepStrictEqual(refused.map(({ error }) => `${error.kind} ${error.detail}`), ["Denied ETIMEDOUT"])
        })))
    }

    test("I23: handshakes run beside each other while others are silent", () =>
      run(Effect.gen(function*() {
        const { address } = yield* echoServer()
        for (let i = 0; i < maxPendingPerAddress - 1; i++) {
          yield* subject.call(address, i % 2 === 0 ? subject.half : new Uint8Array(0))
        }
        const calls = Effect.forEach([1, 2, 3], () => answers(address), { concurrency: 1 })
        yield* soon(yield* Effect.forkScoped(calls))
      })))

    test("caps unfinished handshakes of one address and in all; the next is closed at once, none is pushed out", () =>
      run(Effect.gen(function*() {
        const { address } = yield* echoServer()
        const calls: Array<RawCall> = []
        for (let i = 0; i < maxPendingPerAddress; i++) calls.push(yield* subject.call(address, new Uint8Array(0)))
        yield* elapse(50)
        const beyond = yield* subject.call(address, new Uint8Array(0))
        yield* eventually(beyond.isClosed, 100)
        assert.strictEqual(yield* subject.connectFrom("127.0.0.2", address, secret), "secured")
        for (let i = maxPendingPerAddress; i < maxPendingHandshakes; i++) {
          calls.push(yield* subject.call(address, new Uint8Array(0), "127.0.0.3"))
        }
        yield* elapse(50)
        assert.strictEqual(yield* subject.connectFrom("127.0.0.2", address, secret), "refused", "in all")
        assert.isTrue(calls.every((call) => !call.isClosed()))
        yield* elapse(handshakeTimeout)
        yield* eventually(() => calls.every((call) => call.isClosed()), 200)
        yield* answers(address)
      })))

    test("finished handshakes do not count against the caps", () =>
      run(Effect.gen(function*() {
        const { address } = yield* echoServer()
        const transport = yield* DirectTransport
        const streams = yield* Effect.forEach(
          Array.from({ length: 3 * maxPendingHandshakes }),
          () => transport.connect(address, secret)
        )
        yield* Effect.forEach(Array.from({ length: 3 * maxPendingHandshakes }), () =>
          Effect.flip(Effect.scoped(transport.connect(address, { pskIdentity: "", psk: wrongKey.psk }))))
        const receivers = streams.map((stream) =>
          new Receiver(stream)
        )
        for (const { stream } of receivers) stream.write([Uint8Array.of(1)])
        for (const receiver of receivers) assert.deepStrictEqual([...yield* receiver.read(1)], [1])
      })))

    test("bytes that are no handshake are refused, and harm nobody", () =>
      run(Effect.gen(function*() {
        const { address, refused } = yield* echoServer()
        const garbage = [
          new TextEncoder().encode("GET / HTTP/1.0\r\n\r\n".repeat(20)),
          new Uint8Array(400),
          new Uint8Array(400).fill(0xff),
          pattern(70_000)
        ]
        const calls = yield* Effect.forEach(garbage, (bytes) => subject.call(address, bytes))
        yield* elapse(handshakeTimeout + 100)
        yield* eventually(() => calls.every((call) => call.isClosed()), 100)
        assert.strictEqual(refused.length, garbage.length)
        yield* answers(address)
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
        new Receiver(client)
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

    test("callers that come before serve are kept", () =>
      run(Effect.gen(function*() {
        const transport = yield* DirectTransport
        const { serve, ...address } = yield* transport.listen(anyPort, () => psk)
        const early = yield* Effect.forkScoped(answers(address))
        yield* elapse(50)
        assert.isUndefined(early.pollUnsafe())
        yield* Effect.forkScoped(
          serve((stream) => Effect.andThen(Effect.sync(() => Receiver.echo(stream)), Effect.never))
        )
        yield* Fiber.join(early)
      })))

    test("I4: closing a listener ends its streams and its handshakes, and frees the port at once", () =>
      run(Effect.gen(function*() {
        const transport = yield* DirectTransport
        const scope = yield* Scope.make()
        const { serve, ...address } = yield* Scope.provide(transport.listen(anyPort, () => psk), scope)
        const interrupted = yield* Deferred.make<void>()
        const started = yield* Deferred.make<void>()
        const serving = yield* Effect.forkScoped(
          serve(() =>
            Effect.onInterrupt(
              Effect.andThen(Deferred.succeed(started, undefined), Effect.never),
              () => Deferred.succeed(interrupted, undefined)
            )
          )
        )
        const client = new Receiver(yield* transport.connect(address, secret))
        const raw = yield* subject.call(address, subject.half)
        yield* Deferred.await(started)
        yield* elapse(20)
        yield* soon(yield* Effect.forkScoped(Scope.close(scope, Effect.runSync(Effect.exit(Effect.void)))))
        yield* Deferred.await(interrupted)
        assert.strictEqual((yield* client.closed).kind, "Ended")
        yield* eventually(raw.isClosed, 100)
        yield* Fiber.interrupt(serving)
        yield* transport.listen(address, () => psk)
      })))

    test("fails a dial with Refused, a listen with InUse", () =>
      run(Effect.gen(function*() {
        const transport = yield* DirectTransport
        const { host, port } = yield* Effect.scoped(transport.listen(anyPort, () => psk))
        assert.strictEqual((yield* Effect.flip(transport.connect({ host, port }, secret))).kind, "Refused")
        const taken = yield* transport.listen(anyPort, () => psk)
        const error = yield* Effect.flip(transport.listen(taken, () => psk))
        assert.deepStrictEqual([error.kind, error.detail], ["InUse", "EADDRINUSE"])
      })))

    test("gives up a dial whose handshake hangs when it is interrupted, at once", () =>
      run(Effect.gen(function*() {
        const transport = yield* DirectTransport
        const address = yield* subject.silent
        const dialling = yield* Effect.forkScoped(Effect.exit(transport.connect(address, secret)))
        yield* elapse(300)
        assert.isUndefined(dialling.pollUnsafe())
        yield* soon(yield* Effect.forkScoped(Fiber.interrupt(dialling)))
      })))

    test("a dial fails when the listener hangs up in the middle of the handshake", () =>
      run(Effect.gen(function*() {
        const transport = yield* DirectTransport
        const scope = yield* Scope.make()
        const { serve, ...address } = yield* Scope.provide(
          transport.listen(anyPort, () => psk),
          scope
        )
        const dialling = yield* Effect.forkScoped(Effect.flip(transport.connect(address, secret)))
        yield* elapse(50)
        yield* Scope.close(scope, Effect.runSync(Effect.exit(Effect.void)))
        const error = yield* Fiber.join(dialling)
        assert.include(["Reset", "Ended"], error.kind)
        assert.isFunction(serve)
      })))

    test("knows this machine's addresses", () =>
      run(Effect.gen(function*() {
        const transport = yield* DirectTransport
        const addresses = yield* transport.addresses
        assert.include(addresses, "127.0.0.1")
        assert.isTrue(addresses.every((address) => !address.includes("%")))
      })))
  })
}
