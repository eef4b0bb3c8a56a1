/** A member of a static group on Node.js: everything from TCP up to `PeerConnectionBuilder`, without relays. */
import * as Layer from "effect/Layer"
import type { Entropy } from "../services/Entropy.ts"
import type { Identity } from "../services/Identity.ts"
import type { ToxCrypto } from "../services/ToxCrypto.ts"
import * as DirectLinksLive from "./DirectLinksLive.ts"
import * as DirectTransportNode from "./DirectTransportNode.ts"
import * as EntropyLive from "./EntropyLive.ts"
import * as PeerConnectionBuilderLive from "./PeerConnectionBuilderLive.ts"
import * as ToxCryptoAuto from "./ToxCryptoAuto.ts"

/** What is known of the group, and where this member listens. */
export interface GroupNodeOptions extends PeerConnectionBuilderLive.GroupOptions, DirectLinksLive.DirectLinksOptions {}

/**
 * The member with this identity, which listens at `options.listen`: needed unless its key is the greatest of the group. Its scope ends the
 * group. Fails with `TransportError` when the address cannot be bound.
 *
 * @example
 * ```ts
 * import { IdentityFile, PeerConnectionBuilderNode } from "effect-causeway/node"
 *
 * const member = PeerConnectionBuilderNode.layer(IdentityFile.layer("member.json"), {
 *   listen: { host: "0.0.0.0", port: 7000 },
 *   sessions: 64
 * })
 * ```
 */
export const layer = <E>(
  identity: Layer.Layer<Identity, E, Entropy | ToxCrypto>,
  options: GroupNodeOptions = {}
) =>
  PeerConnectionBuilderLive.layer(options).pipe(
    Layer.provideMerge(DirectLinksLive.layer(options)),
    Layer.provideMerge(identity),
    Layer.provideMerge(Layer.mergeAll(EntropyLive.layer, ToxCryptoAuto.layer, DirectTransportNode.layer))
  )
