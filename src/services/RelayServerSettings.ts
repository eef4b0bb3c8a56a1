import * as Context from "effect/Context"

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

/** Settings of the relay; the defaults are reliability's. */
export const RelayServerSettings = Context.Reference<RelayServerNumbers>("causeway/services/RelayServerSettings", {
  defaultValue: () => ({
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
  })
})
