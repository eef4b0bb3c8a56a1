import * as Context from "effect/Context"
import type { PeerPath, PeerPathEvents, ReplyRoute } from "../protocol/registry/PeerPath.ts"
import type { PublicKey } from "../schema/Bytes.ts"

/** What reaches net_crypto from outside any path. Registered once, when net_crypto's layer is built. */
export interface BridgeEvents {
  /** An out-of-band packet from a DHT key without a path, or over a relay that is not tied to it. */
  readonly onUnboundPacket: (sender: PublicKey, bytes: Uint8Array, route: ReplyRoute) => void
  /** All packets of one read have been handed over: time for acknowledgements. */
  readonly onBatchEnd: () => void
}

/**
 * Adapts the connection registry's many relays to what net_crypto wants: for each peer something that looks like one connection.
 * net_crypto knows nothing of relays beyond this (row T04).
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import { NetCryptoBridge } from "effect-causeway"
 *
 * const countUnbound = Effect.map(NetCryptoBridge, (bridge) => {
 *   const counted = { packets: 0 }
 *   bridge.attach({ onUnboundPacket: () => void counted.packets++, onBatchEnd: () => {} })
 *   return counted
 * })
 * ```
 */
export class NetCryptoBridge extends Context.Service<NetCryptoBridge, {
  /** Registers the receiver of everything that belongs to no path. */
  readonly attach: (events: BridgeEvents) => void
  /**
   * Opens the path to a peer. One at a time per key: a second call is a bug and throws. `before` is the peer's key until now, whose relays
   * serve the new path as well.
   */
  readonly open: (peer: PublicKey, events: PeerPathEvents, before?: PublicKey) => PeerPath
}>()("causeway/services/NetCryptoBridge") {}
