/** Relays, and nodes with relays of their own that call each other: real registries, clients and servers on the network inside the process. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as RelayServerLive from "../../src/layers/RelayServerLive.ts"
import { ConnectionRegistry } from "../../src/services/ConnectionRegistry.ts"
import { NetCrypto } from "../../src/services/NetCrypto.ts"
import { RelayServer } from "../../src/services/RelayServer.ts"
import { MemoryNetwork } from "../../src/testing/MemoryNetwork.ts"
import { collect, forkNow, within } from "./cryptoNode.ts"
import { buildNode, hostOf, platform, port } from "./memoryNodes.ts"
import { keyPairFrom } from "./plainCrypto.ts"

export const startRelay = Effect.fnUntraced(function*(n: number) {
  const network = yield* MemoryNetwork
  const server = RelayServerLive.layer({ host: hostOf(n), port, keyPair: keyPairFrom(0x10 * n) })
  const context = yield* Layer.build(Layer.fresh(Layer.provide(server, yield* platform(hostOf(n), n))))
  const { address, stats } = Context.get(context, RelayServer)
  network.conditions(address, { latency: 20 })
  return { address, stats }
})

/** A node with relays of its own, by which it can always be reached. */
export const startNode = Effect.fnUntraced(function*(n: number, home: ReadonlyArray<Relay>) {
  const { context, keys } = yield* buildNode(n, 100 + n)
  const registry = Context.get(context, ConnectionRegistry)
  const netCrypto = Context.get(context, NetCrypto)
  for (const { address } of home) yield* registry.addRelay(address)
  yield* netCrypto.setAcceptPolicy(() => true)
  const connectedTo = Effect.map(
    registry.relays,
    (statuses) => statuses.filter(({ state }) => state._tag === "Confirmed").map(({ relay }) => relay.host).toSorted()
  )
  return { keys, netCrypto, connectedTo }
})

export type Relay = Effect.Success<ReturnType<typeof startRelay>>
export type Node = Effect.Success<ReturnType<typeof startNode>>

/** One node calls the other, with a ticket that names these relays. */
export const connect = Effect.fnUntraced(function*(from: Node, to: Node, relays: ReadonlyArray<Relay>) {
  const accepting = yield* forkNow(to.netCrypto.accept)
  const calling = yield* forkNow(from.netCrypto.connect({
    identityKey: to.keys.identity.publicKey,
    dhtKey: to.keys.dht.publicKey,
    relays: relays.map(({ address }) => address)
  }))
  const near = collect(yield* within(calling, 9_000))
  const far = collect(yield* within(accepting, 9_000))
  return { near, far }
})
