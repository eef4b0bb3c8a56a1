/**
 * Many nodes of ours in one process, each with a registry that holds the same relays and nothing else to do: those whom an outage of
 * all relays makes dial.
 *
 *     node crowdProcess.ts native|wasm
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Result from "effect/Result"
import * as ConnectionRegistryLive from "../../src/layers/ConnectionRegistryLive.ts"
import * as EntropyLive from "../../src/layers/EntropyLive.ts"
import * as IdentityFresh from "../../src/layers/IdentityFresh.ts"
import * as RelayClientLive from "../../src/layers/RelayClientLive.ts"
import * as RelayTransportNode from "../../src/layers/RelayTransportNode.ts"
import { parseRelayAddress } from "../../src/schema/RelayAddress.ts"
import { ConnectionRegistry } from "../../src/services/ConnectionRegistry.ts"
import { serve } from "./childSide.ts"
import { cryptoLayer } from "./cryptoLayer.ts"

const platform = Layer.mergeAll(EntropyLive.layer, cryptoLayer(process.argv[2]), RelayTransportNode.layer)
const node = ConnectionRegistryLive.layer.pipe(
  Layer.provide(RelayClientLive.layer),
  Layer.provide(IdentityFresh.layer),
  Layer.provide(platform)
)
const registries: Array<ConnectionRegistry["Service"]> = []

serve({
  start: async ({ count, relays }: { readonly count: number; readonly relays: ReadonlyArray<string> }) => {
    const addresses = relays.map((text) => Result.getOrThrow(parseRelayAddress(text)))
    for (let i = 0; i < count; i++) {
      const registry = await ManagedRuntime.make(Layer.fresh(node)).runPromise(
        Effect.map(ConnectionRegistry, (it) => it)
      )
      for (const address of addresses) await Effect.runPromise(registry.addRelay(address))
      registries.push(registry)
    }
  },
  /** How many relay connections all nodes together have. */
  confirmed: async () => {
    const all = await Promise.all(registries.map(({ relays }) => Effect.runPromise(relays)))
    return all.flat().filter(({ state }) => state._tag === "Confirmed").length
  }
})
