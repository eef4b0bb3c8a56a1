import * as Context from "effect/Context"

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
  /** Cookie requests and handshakes answered per second: per relay, and per source. */
  readonly handshakesPerRelay: number
  readonly handshakesPerSource: number
}

/** Settings of net_crypto; where Tox has a number, it is the default. */
export const NetCryptoSettings = Context.Reference<NetCryptoNumbers>("causeway/services/NetCryptoSettings", {
  defaultValue: () => ({
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
    handshakesPerRelay: 200,
    handshakesPerSource: 10
  })
})
