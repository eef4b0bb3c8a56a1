/**
 * `RelayTransport` over TCP with `node:net` itself: platform-node's sockets are released with `destroySoon`, which keeps those of
 * peers that never read, and their writes are Effects. Dialling and listening only; `nodeConnection` is the open stream.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import * as Net from "node:net"
import { RelayTransport, TransportError } from "../services/RelayTransport.ts"
import * as connectionAcceptor from "./connectionAcceptor.ts"
import * as nodeConnection from "./nodeConnection.ts"
import * as nodeTransportError from "./nodeTransportError.ts"

/** For each address of a host name but the last. Node's 250 ms gives up on relays behind slow links. */
const addressAttemptTimeout = 2_000

/** Accept errors come in floods while descriptors are exhausted: one line of log in this time. */
const acceptErrorLogInterval = 10_000_000_000n

type Address = { readonly host: string; readonly port: number }

const orFail = <A>(open: () => A): Effect.Effect<A, TransportError> =>
  Effect.try({ try: open, catch: nodeTransportError.whileOpening })

/** Waits for the event that says "open", or for the error instead of it. */
const opened = (emitter: Net.Socket | Net.Server, event: "connect" | "listening") =>
  Effect.callback<void, TransportError>((resume) => {
    const onOpen = () => resume(Effect.void)
    const onError = (cause: Error) => resume(Effect.fail(nodeTransportError.whileOpening(cause)))
    emitter.once(event, onOpen)
    emitter.once("error", onError)
    return Effect.sync(() => {
      emitter.off(event, onOpen)
      emitter.off("error", onError)
    })
  })

const dial = (address: Address) =>
  // `node:net` takes an empty host for its own machine.
  address.host === ""
    ? Effect.fail(new TransportError({ kind: "NotFound", detail: "ENOTFOUND" }))
    : orFail(() => {
      const socket = Net.connect({
        host: address.host,
        port: address.port,
        noDelay: true,
        autoSelectFamilyAttemptTimeout: addressAttemptTimeout
      })
      // Errors are never uncaught, also between the steps below.
      return socket.on("error", () => {})
    })

const connect = Effect.fn("RelayTransport.connect")((address: Address) =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const socket = yield* dial(address)
      yield* restore(opened(socket, "connect")).pipe(Effect.onError(() => Effect.sync(() => socket.destroy())))
      const { connection, close } = nodeConnection.make(socket, nodeConnection.remoteAddress(socket) ?? address.host)
      yield* Effect.addFinalizer(() => close)
      return connection
    })
  )
)

const listen = Effect.fn("RelayTransport.listen")((address: Address) =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const acceptor = yield* connectionAcceptor.make
      const server = Net.createServer({ noDelay: true }, (socket) => {
        const remoteAddress = nodeConnection.remoteAddress(socket)
        if (remoteAddress === undefined) return nodeConnection.destroy(socket)
        socket.on("error", () => {})
        acceptor.offer({
          remoteAddress,
          open: () => nodeConnection.make(socket, remoteAddress),
          reject: () => nodeConnection.destroy(socket)
        })
      })
      // Without waiting for its callback, which comes after the last connection; the port is free at once.
      const stop = Effect.sync(() => {
        if (server.listening) server.close()
        else server.once("listening", () => server.close())
      })
      yield* orFail(() => server.listen({ host: address.host, port: address.port, exclusive: true }))
      yield* restore(opened(server, "listening")).pipe(Effect.onError(() => stop))
      yield* Effect.addFinalizer(() => stop)
      yield* reportAcceptErrors(server)
      const bound = server.address() as Net.AddressInfo
      return { host: bound.address, port: bound.port, serve: acceptor.serve }
    })
  )
)

/** An accept error (EMFILE) costs one connection, never the listener (reliability F4). */
const reportAcceptErrors = Effect.fnUntraced(function*(server: Net.Server) {
  const clock = yield* Clock.Clock
  const log = yield* FiberSet.makeRuntime()
  let unreported = 0
  let reportedAt: bigint | undefined
  server.on("error", (cause) => {
    unreported++
    const now = clock.monotonicTimeNanosUnsafe()
    if (reportedAt !== undefined && now - reportedAt < acceptErrorLogInterval) return
    reportedAt = now
    log(Effect.logWarning("Could not accept connections", {
      errors: unreported,
      reason: nodeTransportError.whileOpening(cause).message
    }))
    unreported = 0
  })
})

/** Needs no set-up: `Layer.provide(RelayTransportNode.layer)`. */
export const layer: Layer.Layer<RelayTransport> = Layer.succeed(RelayTransport)({ connect, listen })
