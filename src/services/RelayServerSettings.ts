import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Schema from "effect/Schema"
import { checked, settingsConfig, valid } from "./settingsConfig.ts"
import { count, duration, settingsProblem } from "./settingsProblem.ts"

/** Limits of a relay. Durations are milliseconds, sizes bytes, rates per second. */
export interface RelayServerNumbers {
  /** From accept to the first valid encrypted frame. */
  readonly confirmTimeout: number
  readonly pingInterval: number
  readonly pingTimeout: number
  /** How long one frame may take to arrive once its first byte has. */
  readonly frameTimeout: number
  /** Plaintext queued for one client that does not read; beyond it the oldest data is dropped. */
  readonly clientQueueBytes: number
  /** Control frames queued for one client; one more closes it. */
  readonly clientControlFrames: number
  /** How long a client's socket may stay blocked before it is closed. */
  readonly blockedTimeout: number
  /** Unconfirmed connections: per address (an IPv4 address or an IPv6 /64) and in all. */
  readonly pendingPerAddress: number
  readonly pendingTotal: number
  /** Accepted connections per address and second, handshakes in all per second. */
  readonly acceptsPerAddress: number
  readonly handshakesPerSecond: number
  /** Per client: routing requests and notifications, and out-of-band packets, per second. More is back-pressure, not loss. */
  readonly routingPerSecond: number
  readonly oobPerSecond: number
  /** Bytes per second a client may send; undefined: no limit. */
  readonly bytesPerSecond: number | undefined
  /** Logins of one key per minute after which a new login waits for a second before it is answered. */
  readonly loginsPerMinute: number
  /** Whether the limits on pending connections, accepts and handshakes also hold for loopback addresses. */
  readonly limitLoopback: boolean
}

const defaults: RelayServerNumbers = {
  confirmTimeout: 10_000,
  pingInterval: 30_000,
  pingTimeout: 10_000,
  frameTimeout: 30_000,
  clientQueueBytes: 64 * 1024,
  clientControlFrames: 256,
  blockedTimeout: 5_000,
  pendingPerAddress: 16,
  pendingTotal: 1_024,
  acceptsPerAddress: 10,
  handshakesPerSecond: 1_000,
  routingPerSecond: 200,
  oobPerSecond: 100,
  bytesPerSecond: undefined,
  loginsPerMinute: 5,
  limitLoopback: false
}

/** Settings of the relay; the defaults are reliability's. */
export const RelayServerSettings = Context.Reference<RelayServerNumbers>("causeway/services/RelayServerSettings", {
  defaultValue: () => defaults
})

/** A setting of a relay is out of its range, or two contradict each other. The message says which, and what to use instead. */
export class RelayServerSettingsInvalid
  extends Schema.TaggedError<RelayServerSettingsInvalid>()("RelayServerSettingsInvalid", {
    message: Schema.String
  })
{}

/** What is wrong with these settings and what to do about it; undefined when they are in order. */
export const problemOf = (settings: RelayServerNumbers): string | undefined =>
  // Without a limit there is nothing to check.
  settingsProblem({ ...settings, bytesPerSecond: settings.bytesPerSecond ?? 1 }, {
    confirmTimeout: duration,
    pingInterval: duration,
    pingTimeout: duration,
    frameTimeout: duration,
    clientQueueBytes: count,
    clientControlFrames: count,
    blockedTimeout: duration,
    pendingPerAddress: count,
    pendingTotal: count,
    acceptsPerAddress: count,
    handshakesPerSecond: count,
    routingPerSecond: count,
    oobPerSecond: count,
    bytesPerSecond: count,
    loginsPerMinute: count,
    limitLoopback: "boolean"
  })

/** The settings of a relay, unless they cannot work. */
export const validRelayServerSettings = valid(RelayServerSettings, problemOf, RelayServerSettingsInvalid)

/**
 * The same out of `CAUSEWAY_RELAY_SERVER_PENDING_TOTAL`, `CAUSEWAY_RELAY_SERVER_PING_INTERVAL` (milliseconds) and so on, for those that are set.
 * What the layer would refuse is a `ConfigError`.
 */
export const relayServerSettingsConfig: Config.Config<RelayServerNumbers> = settingsConfig("RELAY_SERVER", defaults)
  .pipe(
    checked(problemOf)
  )
