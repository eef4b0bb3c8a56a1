/**
 * The frames of sessions, over any ordered link (design, "Sessions"; row I14): a u32 session id, a descriptor byte, and for
 * descriptors without a fixed size a u32 length. Everything here is little-endian. Whether a session exists, and what a frame means
 * to it, is for the sessions to judge; cutting a byte stream into frames is `SessionFrameReader`'s.
 */
import { instanceIdSize } from "./LinkControl.ts"
import { valuePayloadSize } from "./SessionValue.ts"
import * as Field from "./WireField.ts"
import * as Wire from "./WirePacket.ts"
import { restText, text8 } from "./WireText.ts"

/** Session id and descriptor. */
export const frameHeaderSize = 5
/** The same with the length that follows them in most frames. */
export const prefixedHeaderSize = 9
/** Where the descriptor stands in a frame. */
export const descriptorOffset = 4
/** The session id of frames that belong to the link as a whole. */
export const linkSessionId = 0xffff_ffff
/** The largest frame, header included, unless the settings say otherwise: 1 MiB. */
export const defaultMaxFrameSize = 1024 * 1024
/** The longest message of Reset and GoAway, bytes. */
export const maxMessageSize = 1024

/** What a link may carry in one frame is the reader's limit; the length field itself allows this much. */
const maxPayload = 0xffff_ffff
const maxResumedSessions = 65_536

/** A frame of one session. */
const sessionFrame = <const Tag extends string, T extends Wire.Table>(tag: Tag, descriptor: number, table: T) =>
  Wire.struct(tag, {
    sessionId: Field.u32le,
    descriptor: Field.constant(descriptor),
    length: Field.lengthOfRest32le,
    ...table
  })

/** A frame of the link. */
const linkFrame = <const Tag extends string, T extends Wire.Table>(tag: Tag, descriptor: number, table: T) =>
  Wire.struct(tag, {
    sessionId: Field.constant32le(linkSessionId),
    descriptor: Field.constant(descriptor),
    length: Field.lengthOfRest32le,
    ...table
  })

/** A value of raw bytes. */
export const Bytes = sessionFrame("Bytes", 0x0c, { bytes: Field.rest(0, maxPayload) })
export type Bytes = Wire.ValueOf<typeof Bytes>

/** Begins a session. `credit`: bytes the acceptor may send. */
export const Open = sessionFrame("Open", 0x40, { name: text8, credit: Field.u32le })
export type Open = Wire.ValueOf<typeof Open>

/** Answers Open. `credit`: bytes the opener may send. */
export const Accept = sessionFrame("Accept", 0x41, { credit: Field.u32le })
export type Accept = Wire.ValueOf<typeof Accept>

/** Ends both directions at once. */
export const Reset = sessionFrame("Reset", 0x42, { code: Field.u16le, message: restText(maxMessageSize) })
export type Reset = Wire.ValueOf<typeof Reset>

/** Ends the sender's direction. */
export const Close = sessionFrame("Close", 0x43, {})
export type Close = Wire.ValueOf<typeof Close>

/** `received`: numbered frames received in order; `credit`: bytes that may be sent beyond the last of them. */
export const Credit = sessionFrame("Credit", 0x44, { received: Field.count64le, credit: Field.u32le })
export type Credit = Wire.ValueOf<typeof Credit>

/** One session in a Resume: how many numbered frames of it the sender has received. */
export const ResumedSession = Wire.struct("ResumedSession", {
  sessionId: Field.u32le,
  received: Field.count64le
})
export type ResumedSession = Wire.ValueOf<typeof ResumedSession>

/** The first frame on each stream of a new link. */
export const Resume = linkFrame("Resume", 0x45, {
  instanceId: Field.bytes(instanceIdSize),
  epoch: Field.count64le,
  sessions: Field.list(ResumedSession, maxResumedSessions)
})
export type Resume = Wire.ValueOf<typeof Resume>

export const Ping = linkFrame("Ping", 0x46, { value: Field.u64le })
export type Ping = Wire.ValueOf<typeof Ping>

/** Answers a ping with the same value. */
export const Pong = linkFrame("Pong", 0x47, { value: Field.u64le })
export type Pong = Wire.ValueOf<typeof Pong>

/** The sender ends the link on purpose. */
export const GoAway = linkFrame("GoAway", 0x48, { code: Field.u16le, message: restText(maxMessageSize) })
export type GoAway = Wire.ValueOf<typeof GoAway>

/** Lossy: dropped when the link is busy, never resent. */
export const Datagram = sessionFrame("Datagram", 0x49, { bytes: Field.rest(0, maxPayload) })
export type Datagram = Wire.ValueOf<typeof Datagram>

/** Whole frames, header included; of the values only bytes, the others are `SessionValue`'s. */
export const SessionFrame = Wire.union(
  [Bytes, Open, Accept, Reset, Close, Credit, Resume, Ping, Pong, GoAway, Datagram],
  descriptorOffset
)
export type SessionFrame = Wire.ValueOf<typeof SessionFrame>

/** Frames that are not values: control frames and datagrams. */
export const ControlFrame = Wire.union(
  [Open, Accept, Reset, Close, Credit, Resume, Ping, Pong, GoAway, Datagram],
  descriptorOffset
)
export type ControlFrame = Wire.ValueOf<typeof ControlFrame>

/**
 * How many bytes follow the header: a number where the descriptor says so itself, else the function that turns the u32 length into
 * bytes. `undefined`: no such descriptor.
 */
export const payloadSize = (descriptor: number): number | ((length: number) => number) | undefined =>
  valuePayloadSize(descriptor) ?? (ControlFrame.allows(descriptor) ? lengthInBytes : undefined)

const lengthInBytes = (length: number): number => length

/** Bytes of a value frame before its payload. */
export const valueHeaderSize = (descriptor: number): number =>
  typeof valuePayloadSize(descriptor) === "number" ? frameHeaderSize : prefixedHeaderSize
