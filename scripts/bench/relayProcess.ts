/** A relay of ours in a process of its own, on a free port of the loopback interface. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { setFlagsFromString } from "node:v8"
import * as EntropyLive from "../../src/layers/EntropyLive.ts"
import * as RelayServerLive from "../../src/layers/RelayServerLive.ts"
import * as RelayTransportNode from "../../src/layers/RelayTransportNode.ts"
import { formatRelayAddress } from "../../src/schema/RelayAddress.ts"
import { generateKeyPair } from "../../src/services/Identity.ts"
import { RelayServer } from "../../src/services/RelayServer.ts"
import { serve, usage } from "./childSide.ts"
import { cryptoLayer } from "./cryptoLayer.ts"

// As the command does, so that the memory shown is the command's.
setFlagsFromString("--semi-space-growth-factor=1")

const server = Layer.unwrap(
  Effect.map(generateKeyPair, (keyPair) => RelayServerLive.layer({ host: "127.0.0.1", port: 0, keyPair }))
)
const runtime = ManagedRuntime.make(
  server.pipe(Layer.provide(Layer.mergeAll(EntropyLive.layer, RelayTransportNode.layer, cryptoLayer(process.argv[2]))))
)
const stats = () => runtime.runPromise(Effect.flatMap(RelayServer, (relay) => relay.stats))

serve({
  start: () => runtime.runPromise(Effect.map(RelayServer, ({ address }) => formatRelayAddress(address))),
  mark: async () => {
    const { droppedPackets, forwardedBytes, forwardedPackets } = await stats()
    return { ...usage(), forwardedBytes, forwardedPackets, droppedPackets }
  }
})
