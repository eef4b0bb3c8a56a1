/** The net_crypto bridge over the connection registry: the only place where the two meet (rows T04, T40). */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { ConnectionRegistry } from "../services/ConnectionRegistry.ts"
import { NetCryptoBridge } from "../services/NetCryptoBridge.ts"

/** One bridge for one registry: net_crypto attaches once. */
export const layer = Layer.effect(
  NetCryptoBridge,
  Effect.gen(function*() {
    const registry = yield* ConnectionRegistry
    return NetCryptoBridge.of({
      attach: (events) => registry.attach(events.onUnboundPacket, events.onBatchEnd),
      open: registry.openPeer
    })
  })
)
