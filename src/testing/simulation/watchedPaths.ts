/** The net_crypto bridge of a simulated node, which also tells which paths are open: the simulation lets them sleep and wake. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as NetCryptoBridgeLive from "../../layers/NetCryptoBridgeLive.ts"
import type { PeerPath } from "../../protocol/registry/PeerPath.ts"
import { toHex } from "../../schema/Bytes.ts"
import { NetCryptoBridge } from "../../services/NetCryptoBridge.ts"

/** The bridge over the connection registry. Keeps in `paths` those that are open, by the peer's DHT key in hexadecimal. */
export const layer = (paths: Map<string, PeerPath>) =>
  Layer.effect(
    NetCryptoBridge,
    Effect.map(NetCryptoBridge, (bridge) =>
      NetCryptoBridge.of({
        attach: bridge.attach,
        open: (peer, events) => {
          const path = bridge.open(peer, events)
          const id = toHex(peer)
          const { close } = path
          paths.set(id, path)
          // Replaced in place: net_crypto compares paths by identity.
          return Object.assign(path, {
            close: () => {
              if (paths.get(id) === path) paths.delete(id)
              close.call(path)
            }
          })
        }
      }))
  ).pipe(Layer.provide(NetCryptoBridgeLive.layer))
