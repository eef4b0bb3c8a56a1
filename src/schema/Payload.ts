/**
 * The payload of a frame as it arrived: in one piece, or in several because it spans packets. Joining them is a copy, which readers of byte
 * streams never need.
 */
export type Payload = Uint8Array | ReadonlyArray<Uint8Array>

/** Bytes in all. */
export const payloadLength = (payload: Payload): number => {
  if (payload instanceof Uint8Array) return payload.length
  let length = 0
  for (const piece of payload) length += piece.length
  return length
}

/** The payload in one piece: itself if it is one, else a copy. */
export const joined = (payload: Payload): Uint8Array => {
  if (payload instanceof Uint8Array) return payload
  const [only] = payload
  if (only !== undefined && payload.length === 1) return only
  const bytes = new Uint8Array(payloadLength(payload))
  let at = 0
  for (const piece of payload) {
    bytes.set(piece, at)
    at += piece.length
  }
  return bytes
}
