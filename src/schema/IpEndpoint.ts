/**
 * IP addresses as text and as bytes, and the packed form of an address with a port: family, address, port. A packed address is 7 or
 * 19 bytes; it is not the fixed 19-byte form of the onion.
 */
import * as NetAddress from "effect/net/NetAddress"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { WireCursor } from "./WireCursor.ts"
import * as Field from "./WireField.ts"

/** The family byte before an IPv4 and before an IPv6 address. */
export interface Families {
  readonly ipv4: number
  readonly ipv6: number
}

export const udpFamilies: Families = { ipv4: 2, ipv6: 10 }
/** Tox's mark for relays: the node is reached by TCP. */
export const tcpFamilies: Families = { ipv4: 130, ipv6: 138 }

/** The 4 or 16 bytes of an IP literal, `undefined` for anything else. Takes compressed IPv6 and an IPv4 tail, no brackets, no zone. */
export const ipToBytes = (text: string): Uint8Array | undefined => {
  const parsed = NetAddress.ipFromString(text)
  if (Result.isFailure(parsed)) return undefined
  const address = parsed.success
  return Uint8Array.from(
    NetAddress.isIpv4Address(address) ? NetAddress.ipv4ToOctets(address) : NetAddress.ipv6ToOctets(address)
  )
}

/** The canonical text (RFC 5952) of 4 or 16 bytes. */
export const ipFromBytes = (bytes: Uint8Array): string =>
  NetAddress.formatIp(
    bytes.length === 4 ? NetAddress.ipv4FromBytesUnsafe(bytes) : NetAddress.ipv6FromBytesUnsafe(bytes)
  )

/** Shapes of canonical addresses, for the generator of test values only. */
const samples = "^(?:[1-9][0-9](?:\\.[1-9]?[0-9]){3}|2[0-9a-f]{3}(?::[1-9a-f][0-9a-f]{3}){7})$"

/** An IPv4 or IPv6 literal, without brackets. */
export const IpText = Schema.String.check(
  Schema.makeFilter((text: string) => ipToBytes(text) !== undefined, {
    expected: "an IPv4 or IPv6 address",
    arbitraryConstraint: { patterns: [{ source: samples, flags: "" }] }
  })
)

/** An IP address and a TCP or UDP port. Port 0 can be packed; whoever dials refuses it. */
export const IpEndpoint = Schema.Struct({
  host: IpText,
  port: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 0xffff }))
})
export type IpEndpoint = typeof IpEndpoint.Type

/** Reads what follows the family byte. */
export const readEndpoint = (cursor: WireCursor, isIpv4: boolean): IpEndpoint => {
  const address = cursor.take(isIpv4 ? 4 : 16)
  const port = Field.u16.read(cursor)
  return { host: cursor.problem === undefined ? ipFromBytes(address) : "", port }
}

/** Bytes of a packed address, family included. */
export const endpointSize = (endpoint: IpEndpoint): number => endpoint.host.includes(":") ? 19 : 7

export const writeEndpoint = (cursor: WireCursor, endpoint: IpEndpoint, families: Families): void => {
  const address = ipToBytes(endpoint.host)
  if (address === undefined) throw new TypeError(`${endpoint.host} is not an IP address`)
  Field.u8.write(cursor, address.length === 4 ? families.ipv4 : families.ipv6)
  cursor.bytes.set(address, cursor.advance(address.length))
  Field.u16.write(cursor, endpoint.port)
}

/**
 * A byte that says how many, and so many packed addresses. A family that is neither of the two spoils the list, because nobody knows where
 * the next address begins.
 */
export const endpointList = (maximum: number, families: Families): Field.WireField<ReadonlyArray<IpEndpoint>> => ({
  hidden: false,
  schema: Schema.Array(IpEndpoint).check(Schema.isMaxLength(maximum)),
  minSize: 1,
  maxSize: 1 + 19 * maximum,
  size: (endpoints) => endpoints.reduce((sum, endpoint) => sum + endpointSize(endpoint), 1),
  read: (cursor) => {
    const endpoints: Array<IpEndpoint> = []
    const count = Field.u8.read(cursor)
    if (count > maximum) cursor.fail(`${count} addresses are more than ${maximum}`)
    while (endpoints.length < count && cursor.problem === undefined) {
      const family = Field.u8.read(cursor)
      if (family !== families.ipv4 && family !== families.ipv6) cursor.fail(`unknown address family ${family}`)
      else endpoints.push(readEndpoint(cursor, family === families.ipv4))
    }
    return endpoints
  },
  write: (cursor, endpoints) => {
    if (endpoints.length > maximum) throw new RangeError(`${endpoints.length} addresses are more than ${maximum}`)
    Field.u8.write(cursor, endpoints.length)
    for (const endpoint of endpoints) writeEndpoint(cursor, endpoint, families)
  }
})
