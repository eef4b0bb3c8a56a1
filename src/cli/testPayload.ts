/**
 * The test payload of `causeway packets`, which the reference peer in `test/interop/reference` writes and checks as well, so that
 * each side verifies the other's. Plain bytes: it sends nothing and reads no clock.
 *
 * | Bytes | Content |
 * |---|---|
 * | 0 | packet id: 160 lossless, 200 lossy |
 * | 1..4 | u32 big-endian sequence number, from 0 |
 * | 5..12 | u64 big-endian CLOCK_MONOTONIC of the sender, microseconds; only in packets of 13 bytes or more |
 * | rest | byte i is `sequence + i`, modulo 256 |
 *
 * A flood ends with `161, u32 big-endian number of packets`.
 */

export const losslessId = 160
export const finalId = 161
export const lossyId = 200

/** Sizes of a whole packet, id byte included: the sequence number must fit, and net_crypto takes 1373 bytes. */
export const minSize = 5
export const maxSize = 1373
/** From this size on a packet carries the sender's time. */
export const stampedSize = 13

/** Every pattern is a piece of this ramp: byte i of packet `sequence` is `ramp[(sequence mod 256) + i]`. */
const ramp = Uint8Array.from({ length: 256 + maxSize }, (_, at) => at & 0xff)

const patternStart = (size: number): number => size >= stampedSize ? stampedSize : minSize

/** A fresh packet of `size` bytes; `micros` is only used when it fits. */
export const encode = (id: number, sequence: number, size: number, micros: bigint): Uint8Array => {
  const packet = new Uint8Array(size)
  const start = patternStart(size)
  const view = new DataView(packet.buffer)
  packet[0] = id
  view.setUint32(1, sequence)
  if (size >= stampedSize) view.setBigUint64(5, micros)
  packet.set(ramp.subarray((sequence & 0xff) + start, (sequence & 0xff) + size), start)
  return packet
}

/** The packet that ends a flood of `count` packets. */
export const encodeFinal = (count: number): Uint8Array => {
  const packet = new Uint8Array(minSize)
  packet[0] = finalId
  new DataView(packet.buffer).setUint32(1, count)
  return packet
}

/** The sequence number, or in a final packet the count; undefined when the packet is too short to have one. */
export const sequenceOf = (packet: Uint8Array): number | undefined =>
  packet.length < minSize ? undefined : new DataView(packet.buffer, packet.byteOffset).getUint32(1)

/** Whether everything behind the header is what the sequence number demands. */
export const isIntact = (packet: Uint8Array): boolean => {
  const sequence = sequenceOf(packet)
  if (sequence === undefined || packet.length > maxSize) return false
  const shift = sequence & 0xff
  for (let at = patternStart(packet.length); at < packet.length; at++) {
    if (packet[at] !== ramp[shift + at]) return false
  }
  return true
}
