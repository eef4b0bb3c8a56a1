/**
 * `RelayTransport` inside the process, for tests of applications and for simulations: no sockets, no timers, the same order of
 * events every time. `MemoryNetwork` disturbs it.
 *
 * A trap under `TestClock`: closing a connection with more bytes queued than the socket buffer takes, to a peer that does not pull,
 * waits for 2 s of that clock, as it should. A test that ends so must move the clock.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as connectionAcceptor from "../layers/connectionAcceptor.ts"
import { RelayTransport, TransportError } from "../services/RelayTransport.ts"
import * as memoryLink from "./memoryLink.ts"
import { type MemoryAddress, type MemoryConnection, MemoryNetwork } from "./MemoryNetwork.ts"
import * as memoryTimeline from "./memoryTimeline.ts"

export interface MemoryNetworkOptions {
  /**
   * Bytes of one direction that may be under way or unread before `write` returns false; default 64 KiB. It bounds the rate at
   * `socketBuffer` per latency.
   */
  readonly socketBuffer?: number
}

/** The machine that `layer` stands on. */
const loopback = "127.0.0.1"
const firstEphemeralPort = 49_152
const lastPort = 65_535

const keyOf = (address: MemoryAddress): string => `${address.host}:${address.port}`

/** What `conditions` has set for one address. The latch is closed while it is frozen. */
interface Way {
  latency: Duration.Duration
  frozen: boolean
  readonly passable: Latch.Latch
}

const make = (options: MemoryNetworkOptions): Effect.Effect<MemoryNetwork["Service"], never, Scope.Scope> =>
  Effect.gen(function*() {
    const timeline = yield* memoryTimeline.make
    const socketBuffer = options.socketBuffer ?? 64 * 1024
    const ways = new Map<string, Way>()
    const listeners = new Map<string, connectionAcceptor.ConnectionAcceptor>()
    const open = new Map<MemoryConnection, () => void>()
    let dials = 0
    let nextPort = firstEphemeralPort

    const wayTo = (address: MemoryAddress): Way => {
      const key = keyOf(address)
      let way = ways.get(key)
      if (way === undefined) {
        way = { latency: Duration.zero, frozen: false, passable: Latch.makeUnsafe(true) }
        ways.set(key, way)
      }
      return way
    }
    const cutAll = () => {
      for (const connection of open.keys()) connection.reset()
    }
    yield* Effect.addFinalizer(() => Effect.sync(cutAll))

    /** One way of a packet of the dial itself. */
    const travel = (way: Way): Effect.Effect<void> =>
      way.passable.await.pipe(
        Effect.andThen(Effect.suspend(() =>
          Duration.isZero(way.latency)
            ? Effect.callback<void>((resume) => timeline.soon(() => resume(Effect.void)))
            : Effect.sleep(way.latency)
        )),
        Effect.andThen(way.passable.await)
      )

    const openLink = (client: string, server: MemoryAddress): memoryLink.MemoryLink => {
      const way = wayTo(server)
      let frozen = false
      const link = memoryLink.make({
        timeline,
        way: { latencyNanos: () => Duration.toNanosUnsafe(way.latency), isFrozen: () => frozen || way.frozen },
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
        freeze: () => {
          frozen = true
        },
        thaw: () => {
          frozen = false
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
          const way = wayTo(address)
          yield* restore(travel(way))
          const listener = listeners.get(keyOf(address))
          if (listener === undefined) {
            yield* restore(travel(way))
            return yield* new TransportError({ kind: "Refused", detail: "ECONNREFUSED" })
          }
          const link = openLink(machine, { host: address.host, port: address.port })
          timeline.soon(() => listener.offer({ remoteAddress: machine, open: () => link.server, reject: link.reset }))
          yield* restore(travel(way)).pipe(Effect.onError(() => Effect.sync(link.reset)))
          yield* Effect.addFinalizer(() => link.client.close)
          return link.client.connection
        })
      )

    const freePort = (host: string): number => {
      for (let tried = firstEphemeralPort; tried <= lastPort; tried++) {
        const port = nextPort
        nextPort = nextPort === lastPort ? firstEphemeralPort : nextPort + 1
        if (!listeners.has(keyOf({ host, port }))) return port
      }
      return 0
    }

    const bind = (address: MemoryAddress) =>
      Effect.gen(function*() {
        const { host } = address
        const port = address.port === 0 ? freePort(host) : address.port
        const key = keyOf({ host, port })
        const acceptor = yield* connectionAcceptor.make
        if (port === 0 || listeners.has(key)) return yield* new TransportError({ kind: "InUse", detail: "EADDRINUSE" })
        listeners.set(key, acceptor)
        yield* Effect.addFinalizer(() => Effect.sync(() => listeners.delete(key)))
        return { host, port, serve: acceptor.serve }
      })

    return MemoryNetwork.of({
      transport: (machine) =>
        RelayTransport.of({
          connect: Effect.fn("RelayTransport.connect")((address) => dial(machine, address)),
          listen: Effect.fn("RelayTransport.listen")((address) => bind(address))
        }),
      conditions: (address, change) => {
        const way = wayTo(address)
        if (change.latency !== undefined) way.latency = Duration.fromInputUnsafe(change.latency)
        if (change.frozen === undefined) return
        way.frozen = change.frozen
        if (way.frozen) {
          way.passable.closeUnsafe()
          return
        }
        way.passable.openUnsafe()
        for (const [connection, resume] of open) if (wayTo(connection.server) === way) resume()
      },
      connections: () => Array.from(open.keys()),
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
