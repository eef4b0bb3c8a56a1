import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Schema from "effect/Schema"
import { checked, settingsConfig, valid } from "./settingsConfig.ts"
import { count, duration, durationOrNone, settingsProblem } from "./settingsProblem.ts"

/** Numbers of the relay client. Durations are milliseconds, sizes bytes. */
export interface RelayNumbers {
  /** From the start of a dial to an open TCP connection. */
  readonly dialTimeout: number
  /** From the open TCP connection to the relay's hello. */
  readonly handshakeTimeout: number
  /** From our first frame to the pong that answers it. */
  readonly confirmTimeout: number
  /** Between liveness pings (relay protocol, section 11). */
  readonly pingInterval: number
  /** How long a liveness pong may take. */
  readonly pingTimeout: number
  /**
   * How long a relay that is not ours may take nothing of a full window, at least eight round trips: a stock relay can wedge for good
   * (reliability F1), and a new connection is quicker than its ping timeout.
   */
  readonly stuckTimeout: number
  /** How long the socket may take nothing while bytes are waiting before the relay counts as lost. */
  readonly writeTimeout: number
  /** First pause before a new dial; doubles with each failure. */
  readonly reconnectMin: number
  /** The longest pause: short enough that all relays returning after an outage are found within 5 s. */
  readonly reconnectMax: number
  /** The longest pause for a relay that broke the protocol. */
  readonly quarantine: number
  /** A connection that lived this long resets the pause (a relay that confirms and closes must not spin). */
  readonly stableAfter: number
  /** Bytes not yet covered by a pong, towards a relay that is not ours (reliability F1: 200 KiB wedges it). */
  readonly markWindow: number
  /** A ping is sent as a mark after this many bytes, at most; eight or more marks fit the window. */
  readonly markInterval: number
  /** The window towards a Causeway relay. */
  readonly causewayMarkWindow: number
}

const defaults: RelayNumbers = {
  dialTimeout: 10_000,
  handshakeTimeout: 10_000,
  confirmTimeout: 10_000,
  pingInterval: 30_000,
  pingTimeout: 10_000,
  stuckTimeout: 1_000,
  writeTimeout: 10_000,
  reconnectMin: 250,
  reconnectMax: 3_000,
  quarantine: 300_000,
  stableAfter: 10_000,
  markWindow: 128 * 1024,
  markInterval: 8 * 1024,
  causewayMarkWindow: 4 * 1024 * 1024
}

/** Settings of the relay client; the defaults are the protocol's and the design's numbers. */
export const RelaySettings = Context.Reference<RelayNumbers>("causeway/services/RelaySettings", {
  defaultValue: () => defaults
})

/** A setting of the relay client is out of its range, or two contradict each other. The message says which, and what to use instead. */
export class RelaySettingsInvalid extends Schema.TaggedError<RelaySettingsInvalid>()("RelaySettingsInvalid", {
  message: Schema.String
}) {}

/** A window takes the largest frame, and its mark. */
const window = { ...count, from: 4 * 1024 }

/** What is wrong with these settings and what to do about it; undefined when they are in order. */
export const problemOf = (settings: RelayNumbers): string | undefined =>
  settingsProblem(settings, {
    dialTimeout: duration,
    handshakeTimeout: duration,
    confirmTimeout: duration,
    pingInterval: duration,
    pingTimeout: duration,
    stuckTimeout: duration,
    writeTimeout: duration,
    reconnectMin: duration,
    reconnectMax: { ...duration, from: settings.reconnectMin },
    quarantine: duration,
    stableAfter: durationOrNone,
    markWindow: window,
    markInterval: count,
    causewayMarkWindow: window
  })

/** The settings of the relay client, unless they cannot work. */
export const validRelaySettings = valid(RelaySettings, problemOf, RelaySettingsInvalid)

/**
 * The same out of `CAUSEWAY_RELAY_MARK_WINDOW` (bytes), `CAUSEWAY_RELAY_PING_INTERVAL` (milliseconds) and so on, for those that are set.
 * What the layer would refuse is a `ConfigError`.
 */
export const relaySettingsConfig: Config.Config<RelayNumbers> = settingsConfig("RELAY", defaults).pipe(
  checked(problemOf)
)
