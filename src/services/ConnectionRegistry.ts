import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type { PeerPath, PeerPathEvents, ReplyRoute } from "../protocol/registry/PeerPath.ts"
import type { PublicKey } from "../schema/Bytes.ts"
import type { RelayAddress } from "../schema/RelayAddress.ts"
import type { RelayState } from "./RelayClient.ts"

/** One relay as the registry sees it. */
export interface RelayStatus {
  readonly relay: RelayAddress
  readonly state: RelayState
  /** Whether onion packets may go through it. */
  readonly isOnion: boolean
  /** How many peers are tied to it, and how many are online on it. */
  readonly tied: number
  readonly online: number
  /** Bytes of data packets sent to peers through it, since the registry started. */
  readonly sentBytes: number
}

/** Something that happened in the registry, with the relay it came by (row C13). */
export type RegistryEvent =
  | { readonly _tag: "RelayConnected"; readonly relay: RelayAddress }
  | { readonly _tag: "RelayLost"; readonly relay: RelayAddress }
  | { readonly _tag: "PeerOnline"; readonly peer: PublicKey; readonly relay: RelayAddress }
  | { readonly _tag: "PeerOffline"; readonly peer: PublicKey; readonly relay: RelayAddress }
  /** The relay that carries a peer's data changed; undefined: none. */
  | { readonly _tag: "CarrierChanged"; readonly peer: PublicKey; readonly relay: RelayAddress | undefined }
  /** An onion response (type 9) or a forwarded packet (type 11): the bytes after the type. */
  | { readonly _tag: "OnionResponse"; readonly relay: RelayAddress; readonly bytes: Uint8Array }
  | { readonly _tag: "Forwarded"; readonly relay: RelayAddress; readonly bytes: Uint8Array }

/** What the registry has not taken, since it started. */
export interface RegistryCounts {
  /** Relays that peers told us of: not to be dialled, or more than there is room for, or their peer is unknown. */
  readonly refusedRelays: number
  /** Events that readers who fell behind have missed, all readers together. */
  readonly missedEvents: number
}

/** Receives out-of-band packets that belong to no peer tied to the relay they came by (row C06). */
export type OobHandler = (sender: PublicKey, bytes: Uint8Array, route: ReplyRoute) => void

/**
 * All relays and all peers, and who is reached through whom: Tox's TCP_connections. Many relays are held at once; each peer is tied
 * to up to six of them; one carries its data, the next takes over when it cannot.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import { ConnectionRegistry, type RelayAddress } from "effect-causeway"
 *
 * const hold = (relay: RelayAddress) => Effect.flatMap(ConnectionRegistry, (registry) => registry.addRelay(relay))
 * ```
 */
export class ConnectionRegistry extends Context.Service<ConnectionRegistry, {
  /**
   * Adds a relay to the global list and connects to it. A relay whose key is known keeps its address as long as that leads to it; when a
   * dial there fails, the other address is tried, and so on in turns.
   */
  readonly addRelay: (relay: RelayAddress) => Effect.Effect<void>
  /**
   * Relays that a peer, by its DHT key, says it uses (row T08); for lists that came from outside. Private addresses are refused
   * unless `allowPrivate` is set, first dials are limited, and nothing that works gives way to them. Relays out of a ticket, or typed by
   * somebody, are tied by `PeerPath.tie` instead.
   */
  readonly addPeerRelays: (peer: PublicKey, relays: ReadonlyArray<RelayAddress>) => Effect.Effect<void>
  /** Whether onion packets go through relays: on for an application without UDP (rows T15 to T17). Off at first. */
  readonly setOnion: (wanted: boolean) => Effect.Effect<void>
  /**
   * Opens the connection to a peer. One at a time per DHT key: a second call is a bug and throws. `before` is the DHT key under which the same
   * peer was known until now: relays tied to it are tied to the new one as well. Closing the old path is the caller's part.
   */
  readonly openPeer: (peer: PublicKey, events: PeerPathEvents, before?: PublicKey) => PeerPath
  /** Registers the one handler of unassociated out-of-band packets, and the callback after each batch of packets. */
  readonly attach: (onOob: OobHandler, onBatchEnd: () => void) => void
  readonly counts: Effect.Effect<RegistryCounts>
  /** A snapshot of all relays. */
  readonly relays: Effect.Effect<ReadonlyArray<RelayStatus>>
  /** Tells that the state of a relay has changed, once for changes that come together. Ends when the registry's scope closes. */
  readonly relayChanges: Stream.Stream<void>
  /**
   * What happens, as it happens; ends when the registry's scope closes. A reader that falls behind by more than 256 events misses
   * the oldest, and by more than 64 onion responses and forwarded packets the oldest of those: they cannot push out anything else.
   */
  readonly events: Stream.Stream<RegistryEvent>
  /** Succeeds once a relay is confirmed. Fails never: put a deadline around it. */
  readonly awaitRelay: Effect.Effect<void>
}>()("causeway/services/ConnectionRegistry") {}
