/**
 * Where a relay is and who it is. The public key is the identity; host and port may change.
 */
import * as Effect from "effect/Effect"
import * as Host from "effect/net/Host"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaTransformation from "effect/SchemaTransformation"
import { fromHex, PublicKey, toHex } from "./Bytes.ts"

/** A TCP port that can be dialled, 1..65535. */
export const Port = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 65_535 }))

/** A relay: host name or IP literal (IPv6 without brackets), TCP port, and the relay's public key. */
export const RelayAddress = Schema.Struct({ host: Schema.NonEmptyString, port: Port, publicKey: PublicKey })
export type RelayAddress = typeof RelayAddress.Type

/** `HOST:PORT`, with brackets around IPv6. For messages and as the front part of a relay address. */
export const formatHostPort = ({ host, port }: { readonly host: string; readonly port: number }): string =>
  host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`

/** `HOST:PORT:PUBLICKEYHEX`, the way relays are written everywhere. */
export const formatRelayAddress = (relay: RelayAddress): string => `${formatHostPort(relay)}:${toHex(relay.publicKey)}`

const form = "HOST:PORT:PUBLICKEYHEX, with brackets around an IPv6 host"

/**
 * Reads `HOST:PORT`, IPv6 in brackets. Names come out in lower case and addresses in canonical form. `lowestPort` is 0 where that
 * asks for a free one. A failure is a message for whoever typed the text.
 */
export const parseHostPort = (text: string, lowestPort = 1): Result.Result<{ host: string; port: number }, string> => {
  const [, bracketed, plain = "", portText = ""] = /^(?:\[([^\]]*)\]|([^:]*)):([^:]*)$/.exec(text) ?? []
  const name = bracketed ?? plain
  if (name === "") return Result.fail(`"${text}" is not HOST:PORT, with brackets around an IPv6 host`)
  const host = Host.hostFromString(name)
  if (Result.isFailure(host) || (bracketed !== undefined) !== name.includes(":")) {
    return Result.fail(`"${name}" is not a host name or an IP address`)
  }
  const port = /^[0-9]{1,5}$/.test(portText) ? Number(portText) : -1
  if (port < lowestPort || port > 65_535) {
    return Result.fail(`the port "${portText}" is not a number from ${lowestPort} to 65535`)
  }
  return Result.succeed({ host: Host.formatHost(host.success), port })
}

/** Reads `HOST:PORT:PUBLICKEYHEX`. A failure is a message for whoever typed the text. */
export const parseRelayAddress = (text: string): Result.Result<RelayAddress, string> => {
  const trimmed = text.trim()
  const keyAt = trimmed.lastIndexOf(":")
  if (keyAt <= 0) return Result.fail(`a relay is written ${form}`)
  const key = trimmed.slice(keyAt + 1)
  const endpoint = parseHostPort(trimmed.slice(0, keyAt))
  if (Result.isFailure(endpoint)) return Result.fail(`${endpoint.failure}; a relay is written ${form}`)
  const bytes = fromHex(key)
  if (bytes?.length !== 32) {
    return Result.fail(`the relay's public key must be 64 hexadecimal digits, here are ${key.length} characters`)
  }
  return Result.succeed({ ...endpoint.success, publicKey: PublicKey.make(bytes) })
}

/** A relay address as text, `HOST:PORT:PUBLICKEYHEX`; for configuration, state and the command line. */
export const RelayAddressFromString = Schema.String.pipe(
  Schema.decodeTo(
    Schema.toType(RelayAddress),
    SchemaTransformation.transformEffect<RelayAddress, string>({
      decode: (text, options) =>
        Result.match(parseRelayAddress(text), {
          onSuccess: (relay) => Effect.succeed(relay),
          onFailure: (message) => Effect.fail(new SchemaIssue.InvalidValue({ message }, text, options))
        }),
      encode: (relay) => Effect.succeed(formatRelayAddress(relay))
    })
  )
)
