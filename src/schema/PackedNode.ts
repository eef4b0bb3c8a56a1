/**
 * Nodes as Tox packs them, family, address, port and key, and the packet by which peers tell each other their relays (net_crypto,
 * section 14). Whether an address may be dialled is for the reader of the list to judge.
 */
import * as Schema from "effect/Schema"
import { PublicKey } from "./Bytes.ts"
import { endpointSize, IpEndpoint, readEndpoint, tcpFamilies, udpFamilies, writeEndpoint } from "./IpEndpoint.ts"
import { shareRelaysId } from "./NetCryptoPacket.ts"
import type { RelayAddress } from "./RelayAddress.ts"
import type { WireCursor } from "./WireCursor.ts"
import * as Field from "./WireField.ts"
import * as Wire from "./WirePacket.ts"

/** A node with its IP address, how it is reached, and its public key. */
export const PackedNode = Schema.Struct({
  transport: Schema.Literals(["Udp", "Tcp"]),
  ...IpEndpoint.fields,
  publicKey: PublicKey
})
export type PackedNode = typeof PackedNode.Type

/** Nodes in one share packet. */
export const maxSharedRelays = 3

/** The node a packed list continues with; `undefined` when its family is unknown, which ends a list. */
export const readPackedNode = (cursor: WireCursor): PackedNode | undefined => {
  const family = Field.u8.read(cursor)
  const isTcp = family === tcpFamilies.ipv4 || family === tcpFamilies.ipv6
  if (!isTcp && family !== udpFamilies.ipv4 && family !== udpFamilies.ipv6) return undefined
  const endpoint = readEndpoint(cursor, family === tcpFamilies.ipv4 || family === udpFamilies.ipv4)
  return { transport: isTcp ? "Tcp" : "Udp", ...endpoint, publicKey: Field.publicKey.read(cursor) }
}

export const packedNodeSize = (node: PackedNode): number => endpointSize(node) + Field.publicKey.minSize

export const writePackedNode = (cursor: WireCursor, node: PackedNode): void => {
  writeEndpoint(cursor, node, node.transport === "Tcp" ? tcpFamilies : udpFamilies)
  Field.publicKey.write(cursor, node.publicKey)
}

/**
 * A list of at most `maximum` nodes. As in Tox, what follows the last of them is not read, an unknown family ends the list unless
 * it comes first, and a truncated node spoils the whole list.
 */
export const packedNodes = (maximum: number): Field.WireField<ReadonlyArray<PackedNode>> => ({
  hidden: false,
  schema: Schema.Array(PackedNode).check(Schema.isMaxLength(maximum)),
  minSize: 0,
  maxSize: Number.POSITIVE_INFINITY,
  size: (nodes) => nodes.reduce((sum, node) => sum + packedNodeSize(node), 0),
  read: (cursor) => {
    const nodes: Array<PackedNode> = []
    while (nodes.length < maximum && cursor.remaining > 0 && cursor.problem === undefined) {
      const node = readPackedNode(cursor)
      if (node === undefined) {
        if (nodes.length === 0) cursor.fail("the first node is of an unknown family")
        break
      }
      nodes.push(node)
    }
    cursor.offset = cursor.bytes.length
    return nodes
  },
  write: (cursor, nodes) => {
    if (nodes.length > maximum) throw new RangeError(`${nodes.length} nodes are more than ${maximum}`)
    for (const node of nodes) writePackedNode(cursor, node)
  }
})

/** Lossless packet 17: relays the sender is connected to, for the receiver to meet it at. */
export const ShareRelays = Wire.packet("ShareRelays", shareRelaysId, { nodes: packedNodes(maxSharedRelays) })
export type ShareRelays = Wire.ValueOf<typeof ShareRelays>

/** The relay a packed node describes, with a key of its own; `undefined` for a node reached by UDP or with port 0. */
export const relayFromNode = (node: PackedNode): RelayAddress | undefined =>
  node.transport === "Tcp" && node.port > 0
    ? { host: node.host, port: node.port, publicKey: PublicKey.make(node.publicKey.slice()) }
    : undefined
