/**
 * `RelayTransport` inside the process, for tests of applications and for simulations: no sockets, no timers, the same order of
 * events every time. `MemoryNetwork` disturbs it.
 *
 * A trap under `TestClock`: closing a connection with more bytes queued than the socket buffer takes, to a peer that does not pull,
 * waits for 2 s of that clock, as it should. A test that ends so must move the clock.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as connectionAcceptor from "../layers/connectionAcceptor.ts"
import { RelayTransport, type TransportConnection, TransportError } from "../services/RelayTransport.ts"
import * as EntropySeeded from "./EntropySeeded.ts"
import * as memoryConditions from "./memoryConditions.ts"
import * as memoryLink from "./memoryLink.ts"
import { type MemoryAddress, type MemoryConnection, type MemoryDirection, MemoryNetwork } from "./MemoryNetwork.ts"
import * as memoryTimeline from "./memoryTimeline.ts"

/** How the sockets and the jitter of a network in memory are. */
export interface MemoryNetworkOptions {
  /**
   * Bytes of one direction that may be under way or unread before `write` returns false; default 64 KiB. It bounds the rate at
   * `socketBuffer` per latency.
   */
  readonly socketBuffer?: number
  /** What the jitter follows from, as in `EntropySeeded`; default 0. */
  readonly seed?: number
}

/** The machine that `layer` stands on. */
const loopback = "127.0.0.1"
const firstEphemeralPort = 49_152
const lastPort = 65_535

const make = (options: MemoryNetworkOptions): Effect.Effect<MemoryNetwork["Service"], never, Scope.Scope> =>
  Effect.gen(function*() {
    const timeline = yield* memoryTimeline.make
    const socketBuffer = options.socketBuffer ?? 64 * 1024
    const listeners = new Map<
      string,
      { readonly at: MemoryAddress; readonly acceptor: connectionAcceptor.ConnectionAcceptor<TransportConnection> }
    >()
    const open = new Map<MemoryConnection, () => void>()
    const conditions = memoryConditions.make(EntropySeeded.make(options.seed ?? 0).fraction, () => {
      for (const resume of open.values()) resume()
    })
    let dials = 0
    let nextPort = firstEphemeralPort

    const cutAll = () => {
      for (const connection of open.keys()) connection.reset()
    }
    yield* Effect.addFinalizer(() => Effect.sync(cutAll))

    /** A packet of the dial itself, in one direction. */
    const travel = (route: memoryConditions.MemoryRoute, direction: MemoryDirection): Effect.Effect<void> =>
      route.passable(direction).pipe(
        Effect.andThen(Effect.suspend(() => {
          const nanos = route.delayNanos()
          return nanos === 0n
            ? Effect.callback<void>((resume) => timeline.soon(() => resume(Effect.void)))
            : Effect.sleep(Duration.nanos(nanos))
        })),
        Effect.andThen(route.passable(direction))
      )

    const openLink = (client: string, server: MemoryAddress, route: memoryConditions.MemoryRoute) => {
      const frozen = { toServer: false, toClient: false }
      const wayOf = (direction: MemoryDirection) => ({
        latencyNanos: route.delayNanos,
        isFrozen: () => frozen[direction] || route.isFrozen(direction)
      })
      const link = memoryLink.make({
        timeline,
        toServer: wayOf("toServer"),
        toClient: wayOf("toClient"),
        socketBuffer,
        clientAddress: client,
        serverAddress: server.host,
        onGone: () => open.delete(connection)
      })
      const connection: MemoryConnection = {
        id: ++dials,
        client,
        server,
        bytesUnderway: link.bytesUnderway,
        reset: link.reset,
        freeze: (direction) => {
          if (direction !== "toClient") frozen.toServer = true
          if (direction !== "toServer") frozen.toClient = true
        },
        thaw: () => {
          frozen.toServer = frozen.toClient = false
          link.resume()
        }
      }
      open.set(connection, link.resume)
      return link
    }

    const dial = (machine: string, address: MemoryAddress) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.gen(function*() {
          // The one top-level domain that is guaranteed never to exist (RFC 6761).
          if (address.host === "" || address.host.endsWith(".invalid")) {
            return yield* new TransportError({ kind: "NotFound", detail: "ENOTFOUND" })
          }
          const route = conditions.routeOf(machine, address)
          yield* restore(travel(route, "toServer"))
          const listener = listeners.get(memoryConditions.keyOf(address))
          if (listener === undefined) {
            yield* restore(travel(route, "toClient"))
            return yield* new TransportError({ kind: "Refused", detail: "ECONNREFUSED" })
          }
          const link = openLink(machine, { host: address.host, port: address.port }, route)
          timeline.soon(() =>
            listener.acceptor.offer({ remoteAddress: machine, open: () => link.server, reject: link.reset })
          )
          yield* restore(travel(route, "toClient")).pipe(Effect.onError(() => Effect.sync(link.reset)))
          yield* Effect.addFinalizer(() => link.client.close)
          return link.client.connection
        })
      )

    const freePort = (host: string): number => {
      for (let tried = firstEphemeralPort; tried <= lastPort; tried++) {
        const port = nextPort
        nextPort = nextPort === lastPort ? firstEphemeralPort : nextPort + 1
        if (!listeners.has(memoryConditions.keyOf({ host, port }))) return port
      }
      return 0
    }

    const bind = (address: MemoryAddress) =>
      Effect.gen(function*() {
        const { host } = address
        const port = address.port === 0 ? freePort(host) : address.port
        const key = memoryConditions.keyOf({ host, port })
        const acceptor = yield* connectionAcceptor.make<TransportConnection>()
        if (port === 0 || listeners.has(key)) return yield* new TransportError({ kind: "InUse", detail: "EADDRINUSE" })
        listeners.set(key, { at: { host, port }, acceptor })
        yield* Effect.addFinalizer(() => Effect.sync(() => listeners.delete(key)))
        return { host, port, serve: acceptor.serve }
      })

    return MemoryNetwork.of({
      transport: (machine) =>
        RelayTransport.of({
          connect: Effect.fn("RelayTransport.connect")((address) => dial(machine, address)),
          listen: Effect.fn("RelayTransport.listen")((address) => bind(address))
        }),
      conditions: conditions.change,
      partition: conditions.partition,
      connections: () => Array.from(open.keys()),
      listeners: () => Array.from(listeners.values(), ({ at }) => at),
      cutAll
    })
  })

/** The network alone, for simulations with many machines. */
export const network = (options: MemoryNetworkOptions = {}): Layer.Layer<MemoryNetwork> =>
  Layer.effect(MemoryNetwork, make(options))

/** The transport of one machine in a network. */
export const transportOf = (machine: string): Layer.Layer<RelayTransport, never, MemoryNetwork> =>
  Layer.effect(RelayTransport, Effect.map(MemoryNetwork, (network) => network.transport(machine)))

/** A network and, in it, one machine at 127.0.0.1 that is client and server at once. */
export const layerWith = (options: MemoryNetworkOptions): Layer.Layer<RelayTransport | MemoryNetwork> =>
  Layer.provideMerge(transportOf(loopback), network(options))

/** `layerWith` the defaults. */
export const layer: Layer.Layer<RelayTransport | MemoryNetwork> = layerWith({})
