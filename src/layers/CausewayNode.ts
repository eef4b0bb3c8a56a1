/**
 * A whole node on Node.js: everything from TCP up to sessions. Programs that want another transport, cipher or entropy compose the same
 * layers themselves.
 */
import * as Layer from "effect/Layer"
import type { Entropy } from "../services/Entropy.ts"
import type { Identity } from "../services/Identity.ts"
import type { ToxCrypto } from "../services/ToxCrypto.ts"
import * as CausewayLive from "./CausewayLive.ts"
import * as ConnectionRegistryLive from "./ConnectionRegistryLive.ts"
import * as DirectLinksLive from "./DirectLinksLive.ts"
import * as DirectTransportNode from "./DirectTransportNode.ts"
import * as EntropyLive from "./EntropyLive.ts"
import * as NetCryptoBridgeLive from "./NetCryptoBridgeLive.ts"
import * as NetCryptoLive from "./NetCryptoLive.ts"
import * as NodePhaseLive from "./NodePhaseLive.ts"
import * as RelayClientLive from "./RelayClientLive.ts"
import * as RelayTransportNode from "./RelayTransportNode.ts"
import * as ToxCryptoAuto from "./ToxCryptoAuto.ts"

const platform = Layer.mergeAll(
  EntropyLive.layer,
  ToxCryptoAuto.layer,
  RelayTransportNode.layer,
  DirectTransportNode.layer
)

const relayed = NetCryptoLive.layer.pipe(
  Layer.provideMerge(NetCryptoBridgeLive.layer),
  Layer.provideMerge(ConnectionRegistryLive.layer),
  Layer.provideMerge(RelayClientLive.layer)
)

/** Whether, and where, peers can call directly. */
export interface CausewayNodeOptions {
  /** Where peers may dial this node directly; port 0 takes a free port. Without it, and as a client, the node only dials. */
  readonly direct?: { readonly host: string; readonly port: number } | undefined
}

/**
 * The node with this identity: `IdentityFresh.layer` for one that lasts as long as the process, `IdentityFile.layer(path)` for one that
 * is kept. Its scope, or `NodePhase.terminate`, closes all connections. Fails with `TransportError` when it cannot listen where it was told to.
 *
 * @example
 * ```ts
 * import { IdentityFresh } from "effect-causeway"
 * import { CausewayNode } from "effect-causeway/node"
 *
 * const node = CausewayNode.layer(IdentityFresh.layer)
 * ```
 */
export const layer = <E>(
  identity: Layer.Layer<Identity, E, Entropy | ToxCrypto>,
  options: CausewayNodeOptions = {}
) => {
  const direct = DirectLinksLive.layer(options.direct === undefined ? {} : { listen: options.direct })
  const node = CausewayLive.layer.pipe(Layer.provideMerge(direct), Layer.provideMerge(relayed))
  return NodePhaseLive.layer(node).pipe(Layer.provideMerge(identity), Layer.provideMerge(platform))
}

/** The same up to `NetCrypto`: for programs that exchange raw packets, also with Tox peers of another kind. */
export const netCrypto = <E>(identity: Layer.Layer<Identity, E, Entropy | ToxCrypto>) =>
  NodePhaseLive.layer(relayed).pipe(Layer.provideMerge(identity), Layer.provideMerge(platform))
