import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { RelayLinkEvents } from "../protocol/relay/RelayLink.ts"
import type { RelayAddress } from "../schema/RelayAddress.ts"
import type { RelayError } from "./RelayError.ts"

/** Where the connection to one relay stands. */
export type RelayState =
  | { readonly _tag: "Connecting" }
  | { readonly _tag: "Handshaking" }
  | { readonly _tag: "Confirmed" }
  /** Waiting `retryIn` milliseconds before the next dial. */
  | { readonly _tag: "Failed"; readonly error: RelayError; readonly retryIn: number }
  | { readonly _tag: "Sleeping" }

/**
 * Connections to relays, with our DHT key. One call is one relay's life in one fiber; interrupting that fiber closes the connection.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import { type RelayAddress, RelayClient, type RelayLinkEvents } from "effect-causeway"
 *
 * const keep = (relay: RelayAddress, events: RelayLinkEvents) =>
 *   Effect.flatMap(RelayClient, (client) =>
 *     client.maintain(relay, events, (state) => console.log(relay.host, state._tag)))
 * ```
 */
export class RelayClient extends Context.Service<RelayClient, {
  /**
   * One connection from dial to loss. Never succeeds. `onState` is told each stage. Fails with the reason when the relay cannot be
   * reached, times out, violates the protocol or closes.
   */
  readonly run: (
    relay: RelayAddress,
    events: RelayLinkEvents,
    onState: (state: RelayState) => void
  ) => Effect.Effect<never, RelayError>
  /**
   * `run` again and again, with a jittered, capped back-off that never gives up. The back-off starts afresh only after a connection
   * that stayed confirmed for `stableAfter`; a relay that broke the protocol waits up to `quarantine`.
   */
  readonly maintain: (
    relay: RelayAddress,
    events: RelayLinkEvents,
    onState: (state: RelayState) => void
  ) => Effect.Effect<never>
}>()("causeway/services/RelayClient") {}
