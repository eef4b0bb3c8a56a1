/**
 * A TCP proxy in front of a relay (or anything else) that spoils what passes through it: delay, rate, freezing, black holes, resets,
 * half-closes, splits and damaged bytes, per direction, for one connection or for all. It knows nothing of the protocol inside.
 *
 *     const proxy = yield* FaultProxy.make({ target: relay.address })
 *     proxy.set("toClient", { frozen: true })
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import { once } from "node:events"
import * as Net from "node:net"
import { monotonicMillis } from "../../src/layers/monotonicMillis.ts"
import * as EntropySeeded from "../../src/testing/EntropySeeded.ts"
import * as FaultyLine from "./faultyLine.ts"

export type { LineFaults } from "./faultyLine.ts"

export type Direction = "toTarget" | "toClient"

/** What can be done to one connection, or to all of them. */
export interface Faults {
  /** Changes the named faults of a direction; the others stay. On the proxy it also holds for connections to come. */
  readonly set: (direction: Direction | "both", change: Partial<FaultyLine.LineFaults>) => void
  /** RST to both sides at once; bytes under way are lost. */
  readonly reset: () => void
  /** A FIN behind what is under way, as if the sender of that direction had half-closed. */
  readonly fin: (direction: Direction | "both") => void
  /** Flips one bit of the next bytes delivered. */
  readonly corrupt: (direction: Direction) => void
}

/** An open connection. */
export interface ProxiedConnection extends Faults {
  /** Counts up from 1. */
  readonly id: number
  /** Bytes delivered so far. */
  readonly delivered: (direction: Direction) => number
}

/** `hang`: the connection opens and nothing ever happens on it. */
export type Admission = "forward" | "refuse" | "hang"

export interface FaultProxy extends Faults {
  readonly host: string
  readonly port: number
  /** Those that are not closed on both sides, oldest first. */
  readonly connections: () => ReadonlyArray<ProxiedConnection>
  /** When clients connected so far, by `now`, also if nobody answered at the target. */
  readonly dials: () => ReadonlyArray<number>
  /** What happens to new connections from now on; open ones are not affected. */
  readonly admit: (admission: Admission) => Effect.Effect<void>
}

export interface FaultProxyOptions {
  readonly target: { readonly host: string; readonly port: number }
  /** Of jitter, split sizes and damaged positions; default 1. */
  readonly seed?: number
  /** Milliseconds, by which delays and rates are measured; default: the monotonic clock. */
  readonly now?: () => number
}

const host = "127.0.0.1"
const directionsOf = (direction: Direction | "both"): ReadonlyArray<Direction> =>
  direction === "both" ? ["toTarget", "toClient"] : [direction]

/** Listens on a free port of the loopback interface until the scope closes, which resets what is still open. */
export const make = Effect.fnUntraced(function*(options: FaultProxyOptions) {
  const now = options.now ?? monotonicMillis(yield* Clock.Clock)
  const { fraction } = EntropySeeded.make(options.seed ?? 1)
  const faults = { toTarget: FaultyLine.noFaults, toClient: FaultyLine.noFaults }
  const sockets = new Set<Net.Socket>()
  const open = new Set<ProxiedConnection>()
  const dials: Array<number> = []
  let admission: Admission = "forward"
  let connections = 0

  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      for (const socket of sockets) socket.destroy()
    })
  )
  const run = yield* FiberSet.makeRuntime<never, void, never>()

  const own = (socket: Net.Socket): Net.Socket => {
    sockets.add(socket)
    // What an error means is decided by the lines; it is never uncaught.
    return socket.on("error", () => undefined).on("close", () => sockets.delete(socket))
  }
  const forward = (client: Net.Socket): void => {
    const target = own(Net.connect({ ...options.target, noDelay: true, allowHalfOpen: true }))
    const line = (direction: Direction, source: Net.Socket, destination: Net.Socket) =>
      FaultyLine.make({ source, destination, faults: faults[direction], fraction, now })
    const lines = { toTarget: line("toTarget", client, target), toClient: line("toClient", target, client) }
    const connection: ProxiedConnection = {
      id: ++connections,
      set: (direction, change) => directionsOf(direction).forEach((one) => lines[one].set(change)),
      reset: () => {
        client.resetAndDestroy()
        target.resetAndDestroy()
      },
      fin: (direction) => directionsOf(direction).forEach((one) => lines[one].fin()),
      corrupt: (direction) => lines[direction].corrupt(),
      delivered: (direction) => lines[direction].delivered()
    }
    open.add(connection)
    const fibers = [run(lines.toTarget.run), run(lines.toClient.run)]
    const closed = () => {
      if (!client.destroyed || !target.destroyed) return
      open.delete(connection)
      for (const fiber of fibers) fiber.interruptUnsafe()
    }
    client.on("close", closed)
    target.on("close", closed)
  }
  const listen = (port: number) =>
    Effect.promise(async () => {
      const server = Net.createServer({ noDelay: true, allowHalfOpen: true, pauseOnConnect: true }, (client) => {
        own(client)
        dials.push(now())
        if (admission === "forward") forward(client)
      })
      server.listen({ host, port, exclusive: true })
      await once(server, "listening")
      return server
    })
  let server = yield* listen(0)
  yield* Effect.addFinalizer(() => Effect.sync(() => server.close()))
  const { port } = server.address() as Net.AddressInfo

  const proxy: FaultProxy = {
    host,
    port,
    connections: () => [...open],
    dials: () => dials,
    set: (direction, change) => {
      for (const one of directionsOf(direction)) faults[one] = { ...faults[one], ...change }
      for (const connection of open) connection.set(direction, change)
    },
    reset: () => {
      for (const connection of open) connection.reset()
      // Those that hang have no connection.
      for (const socket of sockets) socket.resetAndDestroy()
    },
    fin: (direction) => open.forEach((connection) => connection.fin(direction)),
    corrupt: (direction) => open.forEach((connection) => connection.corrupt(direction)),
    admit: Effect.fnUntraced(function*(next: Admission) {
      const isListening = admission !== "refuse"
      admission = next
      if (next === "refuse" && isListening) server.close()
      else if (next !== "refuse" && !isListening) server = yield* listen(port)
    })
  }
  return proxy
})
