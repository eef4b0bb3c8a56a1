/**
 * One connection of the relay as one fiber: hello, answer, then a read loop with one Effect a batch until the connection is over. All
 * packet work is in `protocol/relay-server/RelayServerCore`. There is no timer here but back-pressure: deadlines belong to the core's `tick`,
 * which ends this fiber.
 */
import * as Effect from "effect/Effect"
import type { RelayServerAdmission } from "../protocol/relay-server/RelayServerAdmission.ts"
import type { RelayServerClient, RelayServerConnection } from "../protocol/relay-server/RelayServerClient.ts"
import type { RelayServerCore } from "../protocol/relay-server/RelayServerCore.ts"
import { keySize, toHex } from "../schema/Bytes.ts"
import { clientHelloSize } from "../schema/RelayHello.ts"
import type { TransportConnection, TransportError } from "../services/RelayTransport.ts"

/** How long a key that logs in again and again waits for the answer to its hello, milliseconds. */
const flappingHold = 1_000

/** What the connections of one relay work with. `now` reads the monotonic clock, milliseconds. */
export interface RelayServerRuntime {
  readonly core: RelayServerCore
  readonly admission: RelayServerAdmission
  readonly now: () => number
}

/** Serves one connection until it ends; never fails. What goes wrong in it stays in it. */
export const serveConnection = (runtime: RelayServerRuntime) => {
  const { admission, core, now } = runtime
  return Effect.fnUntraced(function*(socket: TransportConnection): Effect.fn.Return<void> {
    const fiber = yield* Effect.fiber
    core.at(now())
    const connection = core.accept(admission.sourceOf(socket.remoteAddress), {
      write: socket.write,
      pendingBytes: socket.pendingBytes,
      end: () => fiber.interruptUnsafe()
    })
    const leave = (cause: string) =>
      Effect.sync(() => {
        core.at(now())
        core.left(connection, cause)
      })
    yield* session(runtime, connection, socket).pipe(
      Effect.catchTag("TransportError", (error) => leave(error.kind)),
      Effect.catchDefect((defect) =>
        Effect.andThen(leave("defect"), Effect.logError("A connection of the relay failed", defect))
      ),
      Effect.ensuring(leave("shut down"))
    )
  })
}

/** From the first byte to the end. Written without a generator, whose variables would keep the last chunk of every idle client alive. */
const session = (
  runtime: RelayServerRuntime,
  connection: RelayServerConnection,
  socket: TransportConnection
): Effect.Effect<void, TransportError> =>
  Effect.flatMap(readHello(socket), ({ hello, rest }) =>
    Effect.andThen(
      holdHandshake(runtime, connection, hello),
      Effect.suspend(() => {
        const { core, now } = runtime
        core.at(now())
        const reply = core.answer(connection, hello)
        core.endBatch()
        const client = connection.client
        if (reply === undefined || client === undefined) return Effect.void
        socket.onDrain(() => {
          core.at(now())
          core.drained(connection)
        })
        socket.write(reply)
        return Effect.andThen(consume(runtime, client, rest, 0, 0), readLoop(runtime, client, socket))
      })
    ))

/** The first 128 bytes, and what came with them: a client need not wait for our answer before its first frame. */
const readHello = Effect.fnUntraced(function*(
  socket: TransportConnection
): Effect.fn.Return<{ hello: Uint8Array; rest: ReadonlyArray<Uint8Array> }, TransportError> {
  const hello = new Uint8Array(clientHelloSize)
  const rest: Array<Uint8Array> = []
  let filled = 0
  while (filled < clientHelloSize) {
    for (const chunk of yield* socket.pull) {
      const taken = Math.min(chunk.length, clientHelloSize - filled)
      hello.set(chunk.subarray(0, taken), filled)
      filled += taken
      if (taken < chunk.length) rest.push(chunk.subarray(taken))
    }
  }
  return { hello, rest }
})

/** Waits for a turn among all handshakes, and holds a key that logs in too often. Opening a hello is the dear part. */
const holdHandshake = (
  { admission, core, now }: RelayServerRuntime,
  connection: RelayServerConnection,
  hello: Uint8Array
): Effect.Effect<void> =>
  Effect.suspend(() => {
    core.at(now())
    const isFlapping = admission.isFlapping(toHex(hello.subarray(0, keySize)), core.now)
    const delay = admission.handshakeDelay(connection.source, core.now) + (isFlapping ? flappingHold : 0)
    return delay > 0 ? Effect.sleep(Math.ceil(delay)) : Effect.void
  })

const readLoop = (
  runtime: RelayServerRuntime,
  client: RelayServerClient,
  socket: TransportConnection
): Effect.Effect<void, TransportError> => {
  const batch = Effect.flatMap(socket.pull, (chunks) => consume(runtime, client, chunks, 0, 0))
  return Effect.whileLoop({ while: () => !client.connection.closed, body: () => batch, step: () => {} })
}

/**
 * Handles chunks from an offset in one of them on. Completes when all of them have been handled: later when the client has to wait
 * for its tokens or to take what it caused first, and nothing is pulled from its socket meanwhile.
 */
const consume = (
  runtime: RelayServerRuntime,
  client: RelayServerClient,
  chunks: ReadonlyArray<Uint8Array>,
  index: number,
  offset: number
): Effect.Effect<void> => {
  const { core, now } = runtime
  core.at(now())
  let i = index
  let at = offset
  let debt = 0
  while (i < chunks.length && debt === 0 && !client.output.isCrowded && !client.connection.closed) {
    const chunk = chunks[i]!
    at = core.receive(client, chunk, at)
    if (at === chunk.length) {
      i++
      at = 0
    }
    debt = client.debt(core.now)
  }
  core.endBatch()
  if (client.connection.closed) return Effect.void
  const pause = debt > 0 ? Effect.sleep(Math.ceil(debt)) : client.output.isCrowded ? roomOf(client) : undefined
  if (pause === undefined) return Effect.void
  const since = core.now
  return Effect.flatMap(pause, () => {
    core.at(now())
    client.paused(core.now - since)
    return consume(runtime, client, chunks, i, at)
  })
}

const roomOf = (client: RelayServerClient): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    client.onRoom = () => resume(Effect.void)
  })
