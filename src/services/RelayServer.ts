import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { RelayAddress } from "../schema/RelayAddress.ts"

/** Counters since the relay started. */
export interface RelayServerStats {
  /** Connections accepted, and those refused before any work by a per-address or global limit. */
  readonly accepted: number
  readonly refused: number
  /** Clients confirmed now. */
  readonly clients: number
  /** Connections that have not sent a valid encrypted frame yet. */
  readonly pending: number
  /** Data packets and payload bytes passed on, and data packets dropped because the receiver was full or offline. */
  readonly forwardedPackets: number
  readonly forwardedBytes: number
  readonly droppedPackets: number
  /** Connections closed because of bad bytes, by cause. */
  readonly violations: Readonly<Record<string, number>>
  /** Connections that ended for any other reason, by cause: their socket's, a time limit, a newer login of the same key. */
  readonly closed: Readonly<Record<string, number>>
  /** Packets that were valid but led to nothing, by cause. */
  readonly ignored: Readonly<Record<string, number>>
}

/**
 * A Tox TCP relay inside this process. Its layer listens when it is built and closes every connection when its scope closes.
 * Relays need no coordination: run as many as you like.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import { formatRelayAddress, RelayServer } from "effect-causeway"
 *
 * const report = Effect.gen(function*() {
 *   const server = yield* RelayServer
 *   const { clients, forwardedBytes } = yield* server.stats
 *   return `${formatRelayAddress(server.address)}: ${clients} clients, ${forwardedBytes} bytes`
 * })
 * ```
 */
export class RelayServer extends Context.Service<RelayServer, {
  /** What clients need to know: the bound host and port and the relay's public key. */
  readonly address: RelayAddress
  readonly stats: Effect.Effect<RelayServerStats>
}>()("causeway/services/RelayServer") {}
