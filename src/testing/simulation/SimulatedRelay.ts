/** A relay of a simulated world: starts, stops, crashes and lies when it is told to. The real relay does the work. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import type { KeyPair } from "../../protocol/crypto/Crypto.ts"
import type { RelayAddress } from "../../schema/RelayAddress.ts"
import { RelayServer } from "../../services/RelayServer.ts"
import { RelayTransport } from "../../services/RelayTransport.ts"
import { ToxCrypto } from "../../services/ToxCrypto.ts"
import * as EntropySeeded from "../EntropySeeded.ts"
import type { MemoryNetwork } from "../MemoryNetwork.ts"
import { type RelayFault, type RelayFaultCounts, RelayFaults } from "../RelayFaults.ts"
import * as RelayServerFaulty from "../RelayServerFaulty.ts"

export interface SimulatedRelay {
  readonly name: string
  readonly address: RelayAddress
  readonly isUp: () => boolean
  /** What it does with the packets of everybody, until it is honest again. Does nothing while it is down. */
  readonly lie: (fault: Partial<RelayFault>) => void
  readonly beHonest: () => void
  /** Listens at its address. Does nothing when it is up. */
  readonly start: Effect.Effect<void>
  /** Ends as a process does that is told to: its clients see the end of their streams. Returns at once. */
  readonly stop: Effect.Effect<void>
  /** Ends as a process does that is killed: its connections are reset. Returns at once. */
  readonly crash: Effect.Effect<void>
  /** Clients confirmed now. */
  readonly clients: Effect.Effect<number>
  /** How often its lies have struck, over all its lives. */
  readonly struck: () => RelayFaultCounts
}

interface Running {
  readonly scope: Scope.Closeable
  readonly server: RelayServer["Service"]
  readonly faults: RelayFaults["Service"]
}

/** The relay, down. It lives at most as long as the scope in which this runs. */
export const make = Effect.fnUntraced(function*(
  network: MemoryNetwork["Service"],
  name: string,
  keyPair: KeyPair,
  seed: number
): Effect.fn.Return<SimulatedRelay, never, ToxCrypto | Scope.Scope> {
  const crypto = yield* ToxCrypto
  const world = yield* Effect.scope
  const address = { host: `${name}.test`, port: 443, publicKey: keyPair.publicKey }
  let running: Running | undefined
  const past = { dropped: 0, duplicated: 0, reordered: 0, delayed: 0, lies: 0 }
  let starts = 0

  const server = Layer.suspend(() =>
    Layer.fresh(RelayServerFaulty.layer({ host: address.host, port: address.port, keyPair })).pipe(
      Layer.provide(Layer.succeed(RelayTransport, network.transport(name))),
      Layer.provide(EntropySeeded.layer(seed + starts++)),
      Layer.provide(Layer.succeed(ToxCrypto, crypto))
    )
  )
  const connections = () => network.connections().filter((connection) => connection.server.host === address.host)
  const stop = Effect.suspend(() => {
    if (running === undefined) return Effect.void
    const { faults, scope } = running
    running = undefined
    for (const [name, count] of Object.entries(faults.counts())) past[name as keyof RelayFaultCounts] += count
    return Effect.forkIn(Scope.close(scope, Exit.void), world)
  })
  return {
    name,
    address,
    isUp: () => running !== undefined,
    lie: (fault) => running?.faults.set({}, fault),
    beHonest: () => running?.faults.clear(),
    start: Effect.suspend(() => {
      if (running !== undefined) return Effect.void
      return Effect.gen(function*() {
        const scope = yield* Scope.fork(world)
        const context = yield* Layer.buildWithScope(server, scope)
        running = { scope, server: Context.get(context, RelayServer), faults: Context.get(context, RelayFaults) }
      }).pipe(Effect.orDie)
    }),
    stop: Effect.asVoid(stop),
    crash: Effect.suspend(() => {
      for (const connection of connections()) connection.reset()
      return Effect.asVoid(stop)
    }),
    clients: Effect.suspend(() =>
      running === undefined ? Effect.succeed(0) : Effect.map(running.server.stats, ({ clients }) => clients)
    ),
    struck: () => {
      const now = { ...past }
      for (const [name, count] of Object.entries(running?.faults.counts() ?? {})) {
        now[name as keyof RelayFaultCounts] += count
      }
      return now
    }
  }
})
