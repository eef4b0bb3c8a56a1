/**
 * What the tests of every `DirectTransport` share: what a layer under test has to bring, listeners, pairs of streams, and waiting on the
 * clock of the tests.
 */
import { assert, type it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import { DirectSettings } from "../../src/services/DirectSettings.ts"
import {
  type DirectSecret,
  type DirectStream,
  DirectTransport,
  type RefusedCaller
} from "../../src/services/DirectTransport.ts"
import * as Waits from "../utils/waits.ts"
import { Receiver } from "./directUse.ts"
import { type Address, anyPort, pattern } from "./transportUse.ts"

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

export const psk = Uint8Array.from({ length: 32 }, (_, i) => i * 7 + 1)
export const secret: DirectSecret = { pskIdentity: "bDq3-known_identity", psk }
export const wrongKey: DirectSecret = { ...secret, psk: psk.map((byte) => byte ^ 1) }
export const unknown: DirectSecret = { pskIdentity: "bDq3-unknown_identity", psk }

export const handshakeTimeout = 3_000
export const maxPendingPerAddress = 4
export const maxPendingHandshakes = 6

export const kitOf = <R>(subject: DirectTransportUnderTest<R>) => {
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

  const { eventually, soon } = Waits.make(elapse)

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

  return { answers, echoServer, elapse, eventually, fill, listener, pair, run, soon, test }
}
