/**
 * What a simulated node runs in a world of packets: it calls its peers again and again, accepts everybody, answers some of what it gets from
 * inside its receiver, and tells `Streams` what it sees.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { toHex } from "../../schema/Bytes.ts"
import { NetCrypto, type NetCryptoConnection } from "../../services/NetCrypto.ts"
import type { SimulatedNode } from "./SimulatedNode.ts"
import type { End, Streams } from "./Streams.ts"
import type { Trace } from "./Trace.ts"
import type { Machine, RunningProgram } from "./Traffic.ts"

/** How long an application waits for a connection, and between two calls, milliseconds. */
const callTimeout = 10_000
const callPause = 250
/** Every so many packets the application answers from inside its receiver. */
const answerEvery = 61

export interface PacketProgramOptions {
  readonly streams: Streams
  readonly trace: Trace
  /** The name of a node, by its identity key in hexadecimal. */
  readonly nameOf: (identity: string) => string
}

export const start = Effect.fnUntraced(function*(
  options: PacketProgramOptions,
  { callees, context, incarnation, name }: Machine
): Effect.fn.Return<RunningProgram, never, Scope.Scope> {
  const { streams, trace } = options
  const netCrypto = Context.get(context, NetCrypto)
  const scope = yield* Effect.scope
  const calls = yield* Scope.fork(scope)
  const known = new Map<NetCryptoConnection, End>()

  /** Makes an end of a connection, unless it is one already. */
  const adopt = (connection: NetCryptoConnection): void => {
    if (known.has(connection)) return
    const peer = options.nameOf(toHex(connection.identityKey))
    const end = streams.open(name, peer, incarnation, connection)
    known.set(connection, end)
    connection.handle({
      onLossless: (payload) => {
        streams.onLossless(end, payload)
        if (end.received % answerEvery === 0) streams.send(end, [payload.length])
      },
      onLossy: (payload) => streams.onLossy(end, payload),
      onWritable: () => {
        trace.count("writable again", name)
        streams.writable(end)
      },
      onClosed: ({ reason }) => {
        known.delete(connection)
        trace.tally("resent", connection.stats().resentPackets)
        streams.onClosed(end, reason._tag)
      }
    })
  }

  const call = (callee: SimulatedNode) =>
    Effect.suspend(() => netCrypto.connect(callee.address())).pipe(
      Effect.timeoutOption(callTimeout),
      Effect.flatMap((connection) => {
        if (connection._tag === "None") {
          trace.count("call gave up", `${name} ${callee.name}`)
          return Effect.void
        }
        adopt(connection.value)
        return connection.value.closed
      }),
      Effect.catch((error) =>
        Effect.sync(() => trace.count(`call failed ${error.reason._tag}`, `${name} ${callee.name}`))
      ),
      Effect.andThen(Effect.sleep(callPause)),
      Effect.forever
    )

  yield* netCrypto.setAcceptPolicy(() => true)
  yield* Effect.forkIn(Effect.forever(Effect.map(netCrypto.accept, adopt)), calls)
  for (const callee of callees) yield* Effect.forkIn(call(callee), calls)
  return {
    sayGoodbye: Effect.gen(function*() {
      yield* Effect.forkIn(Scope.close(calls, Exit.void), scope)
      for (const end of known.values()) {
        end.isClosing = true
        yield* end.connection.close
      }
    })
  }
})
