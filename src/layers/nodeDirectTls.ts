/**
 * How direct streams are secured over Node: TLS 1.3 with a pre-shared key and an ephemeral key exchange, and nothing else that TLS can do.
 * No certificate is ever shown or accepted, and no connection resumes an earlier one.
 */
import * as Effect from "effect/Effect"
import * as Constants from "node:constants"
import type * as Net from "node:net"
import * as Tls from "node:tls"
import type { DirectSecret } from "../services/DirectTransport.ts"
import { TransportError } from "../services/RelayTransport.ts"
import { highWaterMark } from "./nodeDirectStream.ts"
import { keyExchangeOf } from "./nodeKeyExchange.ts"
import * as nodeTransportError from "./nodeTransportError.ts"

/** Probes after 30 s of silence, every 30 s; the fourth that stays without an answer ends the connection. */
const keepAliveTime = 30_000
const keepAliveProbes = 4

/**
 * TLS' own numbers. The hash of a pre-shared key from outside is SHA-256, which leaves this suite. Without `SSL_OP_NO_TICKET` a saved
 * session would be resumed without `pskCallback` being asked. `SSL_OP_ALLOW_NO_DHE_KEX` stays off: a key exchange is mandatory. No
 * certificate authority is trusted.
 */
export const secureContext = Tls.createSecureContext({
  minVersion: "TLSv1.3",
  maxVersion: "TLSv1.3",
  ciphers: "TLS_AES_128_GCM_SHA256",
  secureOptions: Constants.SSL_OP_NO_TICKET,
  ca: []
})

const denied = (detail: string) => new TransportError({ kind: "Denied", detail })

/** Settings of the socket below. Node before 24.19 takes the system's number of probes, and their interval. */
export const prepare = (raw: Net.Socket): void => {
  raw.setKeepAlive(true, keepAliveTime, keepAliveTime, keepAliveProbes)
}

const codeOf = (cause: Error): string => "code" in cause && typeof cause.code === "string" ? cause.code : "UNKNOWN"

/** Why securing failed. OpenSSL's words differ between its versions; the two that matter have one each here. */
const errorOf = (cause: Error): TransportError => {
  const code = codeOf(cause)
  if (/ILLEGAL_PARAMETER|DECRYPT_ERROR|BINDER_DOES_NOT_VERIFY/.test(code)) return denied("DECRYPT_ERROR")
  if (code.endsWith("HANDSHAKE_FAILURE")) return denied("HANDSHAKE_FAILURE")
  if (code.startsWith("ERR_SSL_")) return denied(code)
  // What is left are the system's errors, and those of certificates that were shown instead of the key.
  return /^E[A-Z]+$/.test(code) ? nodeTransportError.whileOpening(cause) : denied("NO_PSK")
}

/** Waits for the handshake; afterwards errors of the socket are the caller's business. Returns the key exchange. */
const secured = (socket: Tls.TLSSocket, isServer: boolean): Effect.Effect<string, TransportError> =>
  Effect.callback<string, TransportError>((resume) => {
    const onSecure = () => {
      const keyExchange = keyExchangeOf(socket, isServer)
      // Of a pre-shared key TLS 1.3 says that the session was reused; certificates would be the other way.
      if (!socket.isSessionReused()) resume(Effect.fail(denied("NO_PSK")))
      else if (keyExchange === undefined) resume(Effect.fail(denied("NO_FORWARD_SECRECY")))
      else resume(Effect.succeed(keyExchange))
    }
    const onError = (cause: Error) => resume(Effect.fail(errorOf(cause)))
    const onClose = () => resume(Effect.fail(new TransportError({ kind: "Ended", detail: "FIN" })))
    const event = isServer ? "secure" : "secureConnect"
    socket.once(event, onSecure)
    socket.once("error", onError)
    socket.once("close", onClose)
    return Effect.sync(() => {
      socket.off(event, onSecure)
      socket.off("error", onError)
      socket.off("close", onClose)
    })
  })

/** Every TLS socket takes it, and hands it to its stream; the types do not know it. */
interface StreamOptions {
  readonly highWaterMark: number
}

/** Begins the dialling side on a connected socket. */
export const asClient = (raw: Net.Socket, secret: DirectSecret) => {
  const options: Tls.ConnectionOptions & StreamOptions = {
    socket: raw,
    secureContext,
    highWaterMark,
    rejectUnauthorized: true,
    pskCallback: () => ({ identity: secret.pskIdentity, psk: secret.psk })
  }
  const socket = Tls.connect(options)
  socket.on("error", () => {})
  return { socket, secured: secured(socket, false) }
}

/** Begins the listening side. `pskOf` is asked at most once, before anything is proven. */
export const asServer = (raw: Net.Socket, pskOf: (pskIdentity: string) => Uint8Array | undefined) => {
  let refused = false
  // The types know `pskCallback` of servers only, which hand it to their sockets in the same way.
  const options: Tls.TLSSocketOptions & Pick<Tls.TlsOptions, "pskCallback"> & StreamOptions = {
    isServer: true,
    secureContext,
    highWaterMark,
    requestCert: false,
    rejectUnauthorized: false,
    pskCallback: (_, pskIdentity) => {
      const psk = pskOf(pskIdentity)
      refused ||= psk === undefined
      return psk ?? null
    }
  }
  const socket = new Tls.TLSSocket(raw, options)
  socket.on("error", () => {})
  // Without a `Tls.Server` above it, a socket says in this event alone that a record after the handshake was not the peer's.
  const onRecordError = (cause: Error) => socket.destroy(cause)
  socket.once("secure", () => (socket as Net.Socket).on("_tlsError", onRecordError))
  return {
    socket,
    secured: Effect.mapError(secured(socket, true), (error) => refused ? denied("UNKNOWN_IDENTITY") : error)
  }
}
