import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Schema from "effect/Schema"
import { checked, settingsConfig, valid } from "./settingsConfig.ts"
import { count, duration, durationOrNone, settingsProblem } from "./settingsProblem.ts"

/** Numbers of net_crypto. Durations are milliseconds, sizes bytes. */
export interface NetCryptoNumbers {
  /** Between repetitions of an unanswered cookie request or handshake, and how many are sent before giving up. */
  readonly handshakeInterval: number
  readonly handshakeTries: number
  /** How long a cookie of ours is accepted. */
  readonly cookieLifetime: number
  /** A connection without any decrypted packet for this long is over. */
  readonly connectionTimeout: number
  /** Between request packets while nothing else is sent (net_crypto protocol, section 9). */
  readonly requestInterval: number
  /** How long nothing may come back, with data outstanding, before the traffic moves to another relay (never less than three round trips). */
  readonly stallTimeout: number
  /** Payload bytes accepted for sending that have not left yet; more is back-pressure. */
  readonly sendBuffer: number
  /** Out-of-order bytes kept for one connection, and for all of them. */
  readonly receiveBuffer: number
  readonly receiveBufferTotal: number
  /** Payload bytes in flight at most, whatever the congestion control says. */
  readonly maxInFlight: number
  /** An acknowledgement is sent after this many received bytes, or after `ackDelay`. */
  readonly ackBytes: number
  readonly ackDelay: number
  /** For this long after a connection has been parked what the peer had on its way is answered; after that it wakes the connection. */
  readonly parkGrace: number
  /** A peer that is being woken and has not answered for this long, although it could be asked, is called anew. */
  readonly wakeTimeout: number
  /** Cookie requests and handshakes answered per second: per relay, and per source. */
  readonly handshakesPerRelay: number
  readonly handshakesPerSource: number
}

const defaults: NetCryptoNumbers = {
  handshakeInterval: 1_000,
  handshakeTries: 8,
  cookieLifetime: 15_000,
  connectionTimeout: 32_000,
  requestInterval: 1_000,
  stallTimeout: 400,
  sendBuffer: 512 * 1024,
  receiveBuffer: 4 * 1024 * 1024,
  receiveBufferTotal: 256 * 1024 * 1024,
  maxInFlight: 4 * 1024 * 1024,
  ackBytes: 32 * 1024,
  ackDelay: 2,
  parkGrace: 1_000,
  wakeTimeout: 2_000,
  handshakesPerRelay: 200,
  handshakesPerSource: 10
}

/** Settings of net_crypto; where Tox has a number, it is the default. */
export const NetCryptoSettings = Context.Reference<NetCryptoNumbers>("causeway/services/NetCryptoSettings", {
  defaultValue: () => defaults
})

/** A setting of net_crypto is out of its range, or two contradict each other. The message says which, and what to use instead. */
export class NetCryptoSettingsInvalid
  extends Schema.TaggedError<NetCryptoSettingsInvalid>()("NetCryptoSettingsInvalid", { message: Schema.String })
{}

/** What a packet takes at most: less room than that would never let one through. Bytes. */
const packet = 1_400

/** What is wrong with these settings and what to do about it; undefined when they are in order. */
export const problemOf = (settings: NetCryptoNumbers): string | undefined => {
  const room = { ...count, from: packet }
  const problem = settingsProblem(settings, {
    handshakeInterval: duration,
    handshakeTries: count,
    cookieLifetime: duration,
    connectionTimeout: duration,
    requestInterval: duration,
    stallTimeout: duration,
    sendBuffer: room,
    receiveBuffer: room,
    receiveBufferTotal: room,
    maxInFlight: room,
    ackBytes: count,
    ackDelay: durationOrNone,
    parkGrace: durationOrNone,
    wakeTimeout: duration,
    handshakesPerRelay: count,
    handshakesPerSource: count
  })
  if (problem !== undefined) return problem
  const { connectionTimeout, requestInterval, stallTimeout } = settings
  const silence = Math.max(requestInterval, stallTimeout)
  if (connectionTimeout <= silence) {
    return `connectionTimeout is ${connectionTimeout}: use more than requestInterval and stallTimeout (${silence}), or ` +
      "connections end while nothing is wrong"
  }
  return undefined
}

/** The settings of net_crypto, unless they cannot work. */
export const validNetCryptoSettings = valid(NetCryptoSettings, problemOf, NetCryptoSettingsInvalid)

/**
 * The same out of `CAUSEWAY_NET_CRYPTO_SEND_BUFFER` (bytes), `CAUSEWAY_NET_CRYPTO_STALL_TIMEOUT` (milliseconds) and so on, for those that are set.
 * What the layer would refuse is a `ConfigError`.
 */
export const netCryptoSettingsConfig: Config.Config<NetCryptoNumbers> = settingsConfig("NET_CRYPTO", defaults).pipe(
  checked(problemOf)
)
