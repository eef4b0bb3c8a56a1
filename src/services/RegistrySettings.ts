import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Schema from "effect/Schema"
import { checked, settingsConfig, valid } from "./settingsConfig.ts"
import { count, countOrNone, duration, durationOrNone, settingsProblem } from "./settingsProblem.ts"

/** Numbers of the connection registry. Durations are milliseconds. */
export interface RegistryNumbers {
  /** Relays wanted for each peer (row T11). */
  readonly desiredRelays: number
  /** Relays tied to one peer, at most (row T12). At least twice `desiredRelays` (row T14). */
  readonly maxRelays: number
  /**
   * Relays known in all, at most, as far as peers told us of them. What the application names counts, but is never refused; something
   * useless, suspected or sleeping gives way to it.
   */
  readonly maxKnownRelays: number
  /**
   * First dials to relays for which there is only a peer's word: at a time, and begun in any minute. They keep a hostile list from making us a
   * port scanner; relays that the application names never wait.
   */
  readonly trialsAtOnce: number
  readonly trialsPerMinute: number
  /**
   * Whether relays that peers tell us of may have private or loopback addresses, or names. Off: a peer must not make us dial into our own
   * network.
   */
  readonly allowPrivate: boolean
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

const defaults: RegistryNumbers = {
  desiredRelays: 3,
  maxRelays: 6,
  maxKnownRelays: 64,
  trialsAtOnce: 4,
  trialsPerMinute: 20,
  allowPrivate: false,
  blockedTimeout: 200,
  minimumRelays: 3,
  minimumOnlyFor: Infinity,
  onionRelays: 3,
  announceTimeout: 10_000
}

/** Settings of the connection registry; the defaults are Tox's. */
export const RegistrySettings = Context.Reference<RegistryNumbers>("causeway/services/RegistrySettings", {
  defaultValue: () => defaults
})

/** A setting is out of its range, or two contradict each other (row T14). The message says which, and what to use instead. */
export class RegistrySettingsInvalid extends Schema.TaggedError<RegistrySettingsInvalid>()("RegistrySettingsInvalid", {
  message: Schema.String
}) {}

/** What is wrong with these settings and what to do about it; undefined when they are in order. */
export const problemOf = (settings: RegistryNumbers): string | undefined => {
  const { desiredRelays, maxRelays } = settings
  if (
    !Number.isInteger(desiredRelays) || !Number.isInteger(maxRelays) || desiredRelays < 1 ||
    maxRelays < 2 * desiredRelays
  ) {
    return `maxRelays is ${maxRelays} and desiredRelays ${desiredRelays}: use at least 1 desired relay, and a ` +
      `maximum of at least twice as many (${Math.max(2, 2 * desiredRelays)})`
  }
  return settingsProblem(settings, {
    desiredRelays: count,
    maxRelays: count,
    maxKnownRelays: { ...count, from: maxRelays },
    trialsAtOnce: count,
    trialsPerMinute: count,
    allowPrivate: "boolean",
    blockedTimeout: durationOrNone,
    minimumRelays: countOrNone,
    minimumOnlyFor: { from: 0, to: Infinity },
    onionRelays: countOrNone,
    announceTimeout: duration
  })
}

/** The registry's settings, unless they cannot work. */
export const validRegistrySettings = valid(RegistrySettings, problemOf, RegistrySettingsInvalid)

/**
 * The same out of `CAUSEWAY_REGISTRY_MAX_RELAYS`, `CAUSEWAY_REGISTRY_BLOCKED_TIMEOUT` (milliseconds) and so on, for those that are set.
 * What the layer would refuse is a `ConfigError`.
 */
export const registrySettingsConfig: Config.Config<RegistryNumbers> = settingsConfig("REGISTRY", defaults).pipe(
  checked(problemOf)
)
