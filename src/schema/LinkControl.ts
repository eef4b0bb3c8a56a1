/**
 * Link control: how two Causeway nodes recognise each other on a net_crypto connection and park it (design, "Causeway or stock"). It
 * is lossless packet 177, then a byte that says which.
 */
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

/** Told apart by the second byte, the kind. */
export const LinkControl = Wire.union([LinkHello, Park, ParkAck], 1)
export type LinkControl = Wire.ValueOf<typeof LinkControl>
