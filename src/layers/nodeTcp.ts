/**
 * Dialling and listening with `node:net`, for every transport over Node: TCP_NODELAY on every socket, typed errors, accept errors that
 * are never fatal. It hands sockets out; their bytes and their end are the caller's business.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Net from "node:net"
import { TransportError } from "../services/RelayTransport.ts"
import * as nodeConnection from "./nodeConnection.ts"
import * as nodeTransportError from "./nodeTransportError.ts"

/** For each address of a host name but the last. Node's 250 ms gives up on relays behind slow links. */
const addressAttemptTimeout = 2_000

/** Accept errors come in floods while descriptors are exhausted: one line of log in this time. */
const acceptErrorLogInterval = 10_000_000_000n

export type Address = { readonly host: string; readonly port: number }

/** What opens throws instead of telling, such as a port out of range. */
export const orFail = <A>(open: () => A): Effect.Effect<A, TransportError> =>
  Effect.try({ try: open, catch: nodeTransportError.whileOpening })

/** Waits for the event that says "open", or for the error instead of it. */
export const opened = (emitter: Net.Socket | Net.Server, event: "connect" | "listening") =>
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

const begin = (address: Address) =>
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

/**
 * An open socket, which the caller must end. Called where nothing interrupts, with what lets waiting be interrupted: an interrupted or
 * failed dial leaves nothing behind.
 */
export const dial = (
  address: Address,
  restore: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
): Effect.Effect<Net.Socket, TransportError> =>
  Effect.flatMap(begin(address), (socket) =>
    restore(opened(socket, "connect")).pipe(
      Effect.onError(() => Effect.sync(() => socket.destroy())),
      Effect.as(socket)
    ))

/**
 * Binds and listens until the scope closes; connections that are open then stay. Each socket that arrives is handed to `onSocket`, which
 * takes over the duty to end it; its errors are never uncaught.
 */
export const listen = (address: Address, onSocket: (socket: Net.Socket, remoteAddress: string) => void) =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const server = Net.createServer({ noDelay: true }, (socket) => {
        const remoteAddress = nodeConnection.remoteAddress(socket)
        if (remoteAddress === undefined) return nodeConnection.destroy(socket)
        socket.on("error", () => {})
        onSocket(socket, remoteAddress)
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
      return { host: bound.address, port: bound.port }
    })
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
