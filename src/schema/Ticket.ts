/**
 * Tickets: what one needs to reach a node, as a line of text that can be pasted (design, "Ticket"). The text is `causeway:` and
 * base64url of `version 1 | identity key | DHT key | relays | endpoints | checksum`, big-endian. The checksum finds slips of copying;
 * it is no signature. SHA-512 is passed in, because this module knows no library.
 */
import * as Base64Url from "effect/encoding/Base64Url"
import * as Host from "effect/net/Host"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { equalBytes, keySize, PublicKey } from "./Bytes.ts"
import { endpointSize, IpEndpoint, ipToBytes, readEndpoint, udpFamilies, writeEndpoint } from "./IpEndpoint.ts"
import { packedNodeSize, readPackedNode, writePackedNode } from "./PackedNode.ts"
import { formatHostPort, Port, RelayAddress } from "./RelayAddress.ts"
import { WireCursor } from "./WireCursor.ts"
import * as Field from "./WireField.ts"

/** With what every ticket begins. */
export const ticketPrefix = "causeway:"
/** Relays in one ticket, at most. */
export const maxTicketRelays = 6
/** Addresses where the node listens itself in one ticket, at most. */
export const maxTicketEndpoints = 8

const version = 1
const checksumSize = 4
/** Marks a relay that is given by host name. */
const nameFamily = 240
/** Version, two keys, two counts, checksum. */
const minSize = 1 + 2 * keySize + 2 + checksumSize
/** All counts at their limit and every relay with the longest name. Longer text is not even decoded. */
const maxSize = minSize + maxTicketRelays * (2 + 255 + 2 + keySize) + maxTicketEndpoints * 19

/** How to reach a node: the keys that identify it, relays where it can be met, and addresses where it listens itself. */
export const Ticket = Schema.Struct({
  identityKey: PublicKey,
  dhtKey: PublicKey,
  relays: Schema.Array(RelayAddress).check(Schema.isMaxLength(maxTicketRelays)),
  endpoints: Schema.Array(Schema.Struct({ ...IpEndpoint.fields, port: Port })).check(
    Schema.isMaxLength(maxTicketEndpoints)
  )
})
export type Ticket = typeof Ticket.Type

/** Why a text is no ticket, or a ticket cannot be written. The message says what to do about it. */
export class TicketInvalid extends Schema.TaggedError<TicketInvalid>()("TicketInvalid", {
  problem: Schema.Literals([
    "NotATicket",
    "Truncated",
    "Checksum",
    "Version",
    "TooManyRelays",
    "TooManyEndpoints",
    "BadAddress",
    "TrailingBytes"
  ]),
  message: Schema.String
}) {}

const advice = {
  NotATicket: `this is not a ticket: a ticket begins with "${ticketPrefix}" and is a single word; copy the whole line`,
  Truncated: "the ticket is cut off; copy the whole line",
  Checksum: "the ticket was damaged or cut off when it was copied; copy the whole line again",
  Version: "the ticket was made by a newer version of causeway; update causeway, or ask for a ticket of version 1",
  TooManyRelays: `a ticket holds at most ${maxTicketRelays} relays; leave some out`,
  TooManyEndpoints: `a ticket holds at most ${maxTicketEndpoints} direct endpoints; leave some out`,
  BadAddress: "an address in the ticket is neither a host name nor an IP address with a port; ask for a new ticket",
  TrailingBytes: "the ticket holds more than a ticket does; ask for a new ticket"
} as const

const invalid = (problem: keyof typeof advice, message: string = advice[problem]) =>
  Result.fail(new TicketInvalid({ problem, message }))

type Sha512 = (bytes: Uint8Array) => Uint8Array

/** A relay ready to be written: by its address when the host is an IP literal, else by name. */
const relayLayout = (relay: RelayAddress) => {
  if (relay.port < 1 || relay.port > 65_535) return undefined
  if (ipToBytes(relay.host) !== undefined) {
    const node = { transport: "Tcp", ...relay } as const
    return { size: packedNodeSize(node), write: (cursor: WireCursor) => writePackedNode(cursor, node) }
  }
  const name = Result.getOrUndefined(Host.domainNameFromString(relay.host))
  if (name === undefined) return undefined
  const characters = new TextEncoder().encode(name)
  return {
    size: 2 + characters.length + 2 + keySize,
    write: (cursor: WireCursor) => {
      Field.u8.write(cursor, nameFamily)
      Field.u8.write(cursor, characters.length)
      cursor.bytes.set(characters, cursor.advance(characters.length))
      Field.u16.write(cursor, relay.port)
      Field.publicKey.write(cursor, relay.publicKey)
    }
  }
}

/** Writes a ticket. Host names come out in lower case. Fails when it holds too much or an address that cannot be written. */
export const encodeTicket = (ticket: Ticket, sha512: Sha512): Result.Result<string, TicketInvalid> => {
  if (ticket.relays.length > maxTicketRelays) return invalid("TooManyRelays")
  if (ticket.endpoints.length > maxTicketEndpoints) return invalid("TooManyEndpoints")
  const relays: Array<{ readonly size: number; readonly write: (cursor: WireCursor) => void }> = []
  for (const relay of ticket.relays) {
    const layout = relayLayout(relay)
    if (layout === undefined) {
      return invalid(
        "BadAddress",
        `${formatHostPort(relay)} cannot be written into a ticket: use a host name or an IP address`
      )
    }
    relays.push(layout)
  }
  for (const endpoint of ticket.endpoints) {
    if (ipToBytes(endpoint.host) === undefined || endpoint.port < 1 || endpoint.port > 65_535) {
      return invalid("BadAddress", `${formatHostPort(endpoint)} cannot be written into a ticket: use an IP address`)
    }
  }
  const cursor = new WireCursor(
    new Uint8Array(
      relays.reduce((sum, relay) => sum + relay.size, minSize) +
        ticket.endpoints.reduce((sum, endpoint) => sum + endpointSize(endpoint), 0)
    )
  )
  Field.u8.write(cursor, version)
  Field.publicKey.write(cursor, ticket.identityKey)
  Field.publicKey.write(cursor, ticket.dhtKey)
  Field.u8.write(cursor, relays.length)
  for (const relay of relays) relay.write(cursor)
  Field.u8.write(cursor, ticket.endpoints.length)
  for (const endpoint of ticket.endpoints) writeEndpoint(cursor, endpoint, udpFamilies)
  cursor.bytes.set(sha512(cursor.bytes.subarray(0, cursor.offset)).subarray(0, checksumSize), cursor.offset)
  return Result.succeed(ticketPrefix + Base64Url.encode(cursor.bytes))
}

const readRelay = (cursor: WireCursor): RelayAddress | undefined => {
  if (cursor.bytes[cursor.offset] !== nameFamily) {
    const node = readPackedNode(cursor)
    return node?.transport === "Tcp" ? { host: node.host, port: node.port, publicKey: node.publicKey } : undefined
  }
  cursor.advance(1)
  const name = Array.from(cursor.take(Field.u8.read(cursor)), (code) => String.fromCharCode(code)).join("")
  const port = Field.u16.read(cursor)
  const publicKey = Field.publicKey.read(cursor)
  return Host.isDomainName(name) || cursor.problem !== undefined ? { host: name, port, publicKey } : undefined
}

const readDirect = (cursor: WireCursor): IpEndpoint | undefined => {
  const family = Field.u8.read(cursor)
  if (family !== udpFamilies.ipv4 && family !== udpFamilies.ipv6) return undefined
  return readEndpoint(cursor, family === udpFamilies.ipv4)
}

/** Reads `count` addresses; `BadAddress` or `Truncated` instead when one is not in order. */
const readMany = <A extends { readonly port: number }>(
  cursor: WireCursor,
  count: number,
  read: (cursor: WireCursor) => A | undefined
): ReadonlyArray<A> | "BadAddress" | "Truncated" => {
  const items: Array<A> = []
  while (items.length < count) {
    const item = cursor.remaining > 0 ? read(cursor) : cursor.fail("no more bytes")
    if (cursor.problem !== undefined) return "Truncated"
    if (item === undefined || item.port === 0) return "BadAddress"
    items.push(item)
  }
  return items
}

/** Reads a ticket; white space around it is ignored. The keys belong to the ticket. */
export const decodeTicket = (text: string, sha512: Sha512): Result.Result<Ticket, TicketInvalid> => {
  const word = text.trim()
  const encoded = word.slice(ticketPrefix.length)
  if (!word.startsWith(ticketPrefix) || !/^[-_A-Za-z0-9]*$/.test(encoded)) return invalid("NotATicket")
  if (encoded.length > Math.ceil(maxSize * 4 / 3)) return invalid("TrailingBytes")
  const decoded = Base64Url.decode(encoded)
  // A single character too many or too few makes a length that base64 does not have.
  if (Result.isFailure(decoded)) return invalid("Checksum")
  const all = decoded.success
  if (all.length < minSize) return invalid("Truncated")
  const bytes = all.subarray(0, all.length - checksumSize)
  if (!equalBytes(sha512(bytes).subarray(0, checksumSize), all.subarray(bytes.length))) return invalid("Checksum")
  if (bytes[0] !== version) return invalid("Version")

  const cursor = new WireCursor(bytes)
  cursor.advance(1)
  const identityKey = PublicKey.make(cursor.take(keySize))
  const dhtKey = PublicKey.make(cursor.take(keySize))
  const relayCount = Field.u8.read(cursor)
  if (relayCount > maxTicketRelays) return invalid("TooManyRelays")
  const relays = readMany(cursor, relayCount, readRelay)
  if (typeof relays === "string") return invalid(relays)
  const endpointCount = cursor.remaining > 0 ? Field.u8.read(cursor) : undefined
  if (endpointCount === undefined) return invalid("Truncated")
  if (endpointCount > maxTicketEndpoints) return invalid("TooManyEndpoints")
  const endpoints = readMany(cursor, endpointCount, readDirect)
  if (typeof endpoints === "string") return invalid(endpoints)
  if (cursor.remaining > 0) return invalid("TrailingBytes")
  return Result.succeed({ identityKey, dhtKey, relays, endpoints })
}
