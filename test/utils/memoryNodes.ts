/** Machines of the network inside the process: what a relay or a node stands on, and nodes up to net_crypto. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ConnectionRegistryLive from "../../src/layers/ConnectionRegistryLive.ts"
import * as NetCryptoBridgeLive from "../../src/layers/NetCryptoBridgeLive.ts"
import * as NetCryptoLive from "../../src/layers/NetCryptoLive.ts"
import * as RelayClientLive from "../../src/layers/RelayClientLive.ts"
import { Identity } from "../../src/services/Identity.ts"
import { RelayTransport } from "../../src/services/RelayTransport.ts"
import { ToxCrypto } from "../../src/services/ToxCrypto.ts"
import * as EntropySeeded from "../../src/testing/EntropySeeded.ts"
import { MemoryNetwork } from "../../src/testing/MemoryNetwork.ts"
import { keyPairFrom, plainCrypto } from "./plainCrypto.ts"

export const port = 33_445
export const hostOf = (n: number): string => `relay-${n}.test`

export const platform = (machine: string, seed: number) =>
  Effect.map(MemoryNetwork, (network) =>
    Layer.mergeAll(
      Layer.succeed(RelayTransport, network.transport(machine)),
      Layer.succeed(ToxCrypto, plainCrypto),
      EntropySeeded.layer(seed)
    ))

/** A node with these keys: its registry and net_crypto, for as long as the scope. */
export const buildNodeOf = Effect.fnUntraced(function*(keys: Identity["Service"], machine: string, seed: number) {
  return yield* Layer.build(Layer.fresh(
    NetCryptoLive.layer.pipe(
      Layer.provide(NetCryptoBridgeLive.layer),
      Layer.provideMerge(ConnectionRegistryLive.layer),
      Layer.provide(RelayClientLive.layer),
      Layer.provide(Layer.succeed(Identity, keys)),
      Layer.provide(yield* platform(machine, seed))
    )
  ))
})

/** The same for node `n`, and its keys. */
export const buildNode = Effect.fnUntraced(function*(n: number, seed: number) {
  const keys = { identity: keyPairFrom(0x81 + 0x10 * n), dht: keyPairFrom(0x88 + 0x10 * n) }
  return { keys, context: yield* buildNodeOf(keys, `node-${n}`, seed) }
})
