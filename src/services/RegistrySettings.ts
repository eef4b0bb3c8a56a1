import * as Context from "effect/Context"
import * as Schema from "effect/Schema"

/** Numbers of the connection registry. Durations are milliseconds. */
export interface RegistryNumbers {
  /** Relays wanted for each peer (row T11). */
  readonly desiredRelays: number
  /** Relays tied to one peer, at most (row T12). At least twice `desiredRelays` (row T14). */
  readonly maxRelays: number
  /** How long a full carrier may take nothing before the next relay is used (rows T23, T24; a full mark window alone is back-pressure). */
  readonly blockedTimeout: number
  /** Relays that are kept connected although no peer needs them, so that we can be reached (row T19). */
  readonly minimumRelays: number
  /**
   * For how long after the start they are kept. Infinity: always. A finite number is the experiment of row T20: peers who look
   * for us do so mostly while we start.
   */
  readonly minimumOnlyFor: number
  /** Relays for onion packets while `setOnion` is on. */
  readonly onionRelays: number
  /** How long a relay may take to connect, and peers to appear on it, before it counts as useless for them. */
  readonly announceTimeout: number
}

/** Settings of the connection registry; the defaults are Tox's. */
export const RegistrySettings = Context.Reference<RegistryNumbers>("causeway/services/RegistrySettings", {
  defaultValue: () => ({
    desiredRelays: 3,
    maxRelays: 6,
    blockedTimeout: 200,
    minimumRelays: 3,
    minimumOnlyFor: Infinity,
    onionRelays: 3,
    announceTimeout: 10_000
  })
})

/** The settings contradict each other (row T14). */
export class RegistrySettingsInvalid extends Schema.TaggedError<RegistrySettingsInvalid>()("RegistrySettingsInvalid", {
  desiredRelays: Schema.Number,
  maxRelays: Schema.Number
}) {
  override get message(): string {
    return `maxRelays is ${this.maxRelays} and desiredRelays ${this.desiredRelays}: use at least 1 desired relay, and a ` +
      `maximum of at least twice as many (${Math.max(2, 2 * this.desiredRelays)})`
  }
}

/** Checks what the type cannot say. */
export const isValid = ({ desiredRelays, maxRelays }: RegistryNumbers): boolean =>
  Number.isInteger(desiredRelays) && Number.isInteger(maxRelays) && desiredRelays >= 1 && maxRelays >= 2 * desiredRelays
