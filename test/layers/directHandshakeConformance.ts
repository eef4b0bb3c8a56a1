/** How every `DirectTransport` must dial, listen, secure and refuse. */
import { assert, describe } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { type DirectSecret, type DirectStream, DirectTransport } from "../../src/services/DirectTransport.ts"
import {
  type DirectTransportUnderTest,
  handshakeTimeout,
  kitOf,
  maxPendingHandshakes,
  maxPendingPerAddress,
  psk,
  type RawCall,
  secret,
  unknown,
  wrongKey
} from "./directConformanceKit.ts"
import { assertBytes, Receiver } from "./directUse.ts"
import { anyPort, pattern } from "./transportUse.ts"

export const handshakeConformance = <R>(subject: DirectTransportUnderTest<R>): void => {
  const { answers, echoServer, elapse, eventually, listener, run, soon, test } = kitOf(subject)

  describe(`${subject.name}, its handshakes`, () => {
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
