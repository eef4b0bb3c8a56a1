import * as Context from "effect/Context"

/** Numbers of the connection registry. Durations are milliseconds. */
export interface RegistryNumbers {
  /** Relays wanted for each peer (row T11). */
  readonly desiredRelays: number
  /** Relays tied to one peer, at most (row T12). At least twice `desiredRelays` (row T14). */
  readonly maxRelays: number
  /** How long a full carrier may take nothing before the next relay is used (rows T23, T24; a full mark window alone is back-pressure). */
  readonly blockedTimeout: number
}

/** Settings of the connection registry; the defaults are Tox's. */
export const RegistrySettings = Context.Reference<RegistryNumbers>("causeway/services/RegistrySettings", {
  defaultValue: () => ({ desiredRelays: 3, maxRelays: 6, blockedTimeout: 200 })
})
