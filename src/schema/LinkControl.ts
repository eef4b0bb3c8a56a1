/**
 * Link control: how two Causeway nodes recognise each other on a net_crypto connection, park it (design, "Causeway or stock") and arrange
 * a direct link ("Direct links"). It is lossless packet 177, then a byte that says which. Whether an address may be dialled is for the
 * reader of the list to judge.
 */
import { attemptSize, maxEndpoints } from "./DirectPacket.ts"
import { endpointList, udpFamilies } from "./IpEndpoint.ts"
import { linkControlId } from "./NetCryptoPacket.ts"
import * as Field from "./WireField.ts"
import * as Wire from "./WirePacket.ts"

export const linkVersion = 1
export const instanceIdSize = 16

const control = <const Tag extends string, T extends Wire.Table>(
  tag: Tag,
  kind: number,
  table: T
) => Wire.packet(tag, linkControlId, { kind: Field.constant(kind), ...table })

/** The first lossless packet of ours. `instanceId` is random per process, so that a restart is noticed. */
export const LinkHello = control("LinkHello", 1, {
  version: Field.u16,
  instanceId: Field.bytes(instanceIdSize)
})
export type LinkHello = Wire.ValueOf<typeof LinkHello>

/** The sender stops sending; `nextPacketNumber` is the number its next lossless packet will have. */
export const Park = control("Park", 2, { nextPacketNumber: Field.u32 })
export type Park = Wire.ValueOf<typeof Park>

export const ParkAck = control("ParkAck", 3, {})
export type ParkAck = Wire.ValueOf<typeof ParkAck>

const endpoints = endpointList(maxEndpoints, udpFamilies)
/** An HMAC-SHA-256. */
const token = Field.bytes(32)

/** Announces an attempt: where the sender listens, and a token by which it will know its own announcement again. */
export const ConnectRequest = control("ConnectRequest", 4, { attempt: Field.bytes(attemptSize), endpoints, token })
export type ConnectRequest = Wire.ValueOf<typeof ConnectRequest>

/** Answers it: where the answering side listens, and the token as it came. */
export const ConnectResponse = control("ConnectResponse", 5, { attempt: Field.bytes(attemptSize), endpoints, token })
export type ConnectResponse = Wire.ValueOf<typeof ConnectResponse>

/** Told apart by the second byte, the kind. */
export const LinkControl = Wire.union([LinkHello, Park, ParkAck, ConnectRequest, ConnectResponse], 1)
export type LinkControl = Wire.ValueOf<typeof LinkControl>
