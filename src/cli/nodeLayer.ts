/**
 * A node as the command runs it: everything from the transport up to sessions.
 * Nothing else in the command chooses implementations.
 */
import * as Layer from "effect/Layer"
import * as ConnectionRegistryLive from "../layers/ConnectionRegistryLive.ts"
import * as EntropyLive from "../layers/EntropyLive.ts"
import * as IdentityFile from "../layers/IdentityFile.ts"
import * as IdentityFresh from "../layers/IdentityFresh.ts"
import * as NetCryptoBridgeLive from "../layers/NetCryptoBridgeLive.ts"
import * as NetCryptoLive from "../layers/NetCryptoLive.ts"
import * as RelayClientLive from "../layers/RelayClientLive.ts"
import * as RelayTransportNode from "../layers/RelayTransportNode.ts"
import * as SessionsLive from "../layers/SessionsLive.ts"
import * as ToxCryptoAuto from "../layers/ToxCryptoAuto.ts"

const platform = Layer.mergeAll(EntropyLive.layer, ToxCryptoAuto.layer, RelayTransportNode.layer)

/** The node with the identity in that file; `undefined` is a fresh identity. */
export const layer = (identityFile: string | undefined) =>
  SessionsLive.layer.pipe(
    Layer.provideMerge(NetCryptoLive.layer),
    Layer.provideMerge(NetCryptoBridgeLive.layer),
    Layer.provideMerge(ConnectionRegistryLive.layer),
    Layer.provideMerge(RelayClientLive.layer),
    Layer.provideMerge(identityFile === undefined ? IdentityFresh.layer : IdentityFile.layer(identityFile)),
    Layer.provideMerge(platform)
  )

/** What such a node offers. */
export type Node = Layer.Success<ReturnType<typeof layer>>
