/**
 * TCP sockets of applications, each direction of which ends on its own; relays are reached through `RelayTransport` instead. It
 * listens and dials; `tcpBridge.ts` moves the bytes.
 */
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import type * as Scope from "effect/Scope"
import * as Net from "node:net"
import { opened, orFail } from "../layers/nodeTcp.ts"
import type { TransportError } from "../services/RelayTransport.ts"
import { detailOf } from "./nodeStreams.ts"
import { SocketBroken } from "./SocketBroken.ts"

/** A place to dial or to listen at; port 0 listens on a free one. */
export interface Address {
  readonly host: string
  readonly port: number
}

/** Both directions of which end on their own; nothing waits for more bytes; a far side that is gone is noticed in some minutes. */
const options = { allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 }

/** Whether both directions of a socket have ended in order. */
const hasEnded = (socket: Net.Socket): boolean => socket.readableEnded && socket.writableFinished

/**
 * Ends what is left of a socket. One that has ended in both directions is closed; anything else is reset, so that the far side
 * never takes a broken stream for a complete one.
 */
const dispose = (socket: Net.Socket): void => {
  if (socket.destroyed) return
  // Node would reset a socket that is still connecting only after it has connected.
  if (socket.connecting || hasEnded(socket)) socket.destroy()
  else socket.resetAndDestroy()
}

/** Gives the socket to the scope. From here on an error of the socket is never uncaught. */
const own = (socket: Net.Socket): Effect.Effect<Net.Socket, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => socket.on("error", () => undefined)),
    (owned) => Effect.sync(() => dispose(owned))
  )

/** A connection to a service. The scope resets it unless both directions have ended. */
export const dial = Effect.fn("tcp.dial")(function*(
  address: Address
): Effect.fn.Return<Net.Socket, TransportError, Scope.Scope> {
  const socket = yield* Effect.uninterruptible(
    Effect.flatMap(orFail(() => Net.connect({ ...address, ...options })), own)
  )
  yield* opened(socket, "connect")
  return socket
})

/** Waits for a connection to break. One that ends in order never does. */
export const broken = (socket: Net.Socket): Effect.Effect<never, SocketBroken> =>
  Effect.callback<never, SocketBroken>((resume) => {
    const onError = (cause: unknown) => resume(Effect.fail(new SocketBroken({ detail: detailOf(cause) })))
    const onClose = () => {
      if (!hasEnded(socket)) onError(new Error("closed"))
    }
    if (socket.destroyed) return onClose()
    socket.on("error", onError).on("close", onClose)
    return Effect.sync(() => socket.off("error", onError).off("close", onClose))
  })

/** What becomes of the connections to a listening port. */
export interface Service<R> {
  /** Connections that may be open at a time. */
  readonly maxConnections: number
  /** Serves one connection in a scope of its own, which resets the connection unless both directions have ended. */
  readonly handle: (socket: Net.Socket) => Effect.Effect<void, never, R>
  /** A connection was reset at once, because there are too many. */
  readonly onRefused: (from: string) => Effect.Effect<void>
}

/** `127.0.0.1:50412`, for people. */
export const farSide = (socket: Net.Socket): string => {
  const { remoteAddress = "?", remotePort = 0 } = socket
  return remoteAddress.includes(":") ? `[${remoteAddress}]:${remotePort}` : `${remoteAddress}:${remotePort}`
}

/** Listens and serves until the scope closes, which ends every connection. Answers with the bound address and the real port. */
export const listen = Effect.fn("tcp.listen")(function*<R>(
  address: Address,
  service: Service<R>
): Effect.fn.Return<Address, TransportError, Scope.Scope | R> {
  const handlers = yield* FiberSet.make<void>()
  const run = yield* FiberSet.runtime(handlers)<R>()
  let open = 0
  const onConnection = (socket: Net.Socket): void => {
    if (open >= service.maxConnections) {
      const from = farSide(socket)
      socket.on("error", () => undefined).resetAndDestroy()
      run(service.onRefused(from))
      return
    }
    open++
    run(
      Effect.andThen(own(socket), service.handle(socket)).pipe(
        Effect.scoped,
        Effect.tapDefect((defect) => Effect.logError("The handler of a connection died", defect)),
        Effect.ensuring(Effect.sync(() => void open--))
      )
    )
  }
  const server = Net.createServer(options, onConnection)
  yield* Effect.acquireRelease(
    orFail(() => server.listen({ ...address, exclusive: true })),
    // Without waiting for its callback, which comes after the last connection; the port is free at once.
    () => Effect.sync(() => void server.close())
  )
  yield* opened(server, "listening")
  // Accepting may fail for a while (EMFILE). It costs one connection, never the listener.
  server.on("error", () => undefined)
  const bound = server.address() as Net.AddressInfo
  return { host: bound.address, port: bound.port }
})
