/**
 * The packets of a simulation. Each says which stream it belongs to and where in it, and all its other bytes follow from that, so that a
 * receiver can judge it alone.
 */

export const losslessId = 160
export const lossyId = 200
/** Packet id, stream, sequence number. */
export const headerSize = 9
export const maxSize = 1373

/** A packet of `size` bytes; the stream and the number are unsigned 32-bit. */
export const make = (id: number, stream: number, sequence: number, size: number): Uint8Array => {
  const payload = new Uint8Array(Math.max(headerSize, size))
  const view = new DataView(payload.buffer)
  payload[0] = id
  view.setUint32(1, stream)
  view.setUint32(5, sequence)
  const first = filler(stream, sequence)
  for (let i = headerSize; i < payload.length; i++) payload[i] = first + i
  return payload
}

export interface Read {
  readonly stream: number
  readonly sequence: number
  /** Whether every other byte is as it was made. */
  readonly isIntact: boolean
}

export const read = (payload: Uint8Array): Read | undefined => {
  if (payload.length < headerSize) return undefined
  const view = new DataView(payload.buffer, payload.byteOffset)
  const stream = view.getUint32(1)
  const sequence = view.getUint32(5)
  const first = filler(stream, sequence)
  let isIntact = true
  for (let i = headerSize; i < payload.length; i++) if (payload[i] !== ((first + i) & 0xff)) isIntact = false
  return { stream, sequence, isIntact }
}

const filler = (stream: number, sequence: number): number => (stream * 31 + sequence * 7) & 0xff
