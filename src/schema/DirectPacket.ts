/**
 * What the two ends of a direct stream say first, inside TLS (design, "Direct links"): who dials, for which attempt, and which stream this
 * is. Both packets have one size, so that nothing has to say how long they are. Everything behind them belongs to the sessions.
 */
import * as Field from "./WireField.ts"
import * as Wire from "./WirePacket.ts"

/** An attempt is a random number that one side has drawn: bytes. */
export const attemptSize = 16
/** Addresses that a peer may name. */
export const maxEndpoints = 8
/** Streams of one link. */
export const maxStreams = 64

/** Who announced the attempt, as the dialling side sees it: nobody in a static group, itself, or the side that it calls. */
export const directRoles = { nobody: 0, dialler: 1, listener: 2 } as const

/** The first bytes of the dialling side. `streams`: how many it wants in all. The identity key has been proven when the key of TLS fits it. */
export const DirectHello = Wire.packet("DirectHello", 1, {
  identityKey: Field.publicKey,
  streamId: Field.u8Between(0, maxStreams - 1),
  streams: Field.u8Between(1, maxStreams),
  attempt: Field.bytes(attemptSize),
  role: Field.u8Between(0, 2)
})
export type DirectHello = Wire.ValueOf<typeof DirectHello>

/** The first bytes of the other side: the stream is taken. `streams`: how many it wants in all; the smaller number counts. */
export const DirectHelloAck = Wire.packet("DirectHelloAck", 2, {
  streamId: Field.u8Between(0, maxStreams - 1),
  streams: Field.u8Between(1, maxStreams)
})
export type DirectHelloAck = Wire.ValueOf<typeof DirectHelloAck>
