/**
 * The request packet of net_crypto (protocol, section 9): a list of the lossless packets that are missing, as distances.
 * A byte is the distance to the next missing number; 0 skips 255 numbers that are present.
 */

/** The id byte of a request packet. */
export const requestId = 1

/**
 * Writes the request for the numbers in [start, end) that `has` does not know, id byte included, into `target` and returns its length.
 * Stops when `target` is full, which only shortens the list. Nothing missing gives the single byte 01.
 */
export const encodeRequest = (
  target: Uint8Array,
  start: number,
  end: number,
  has: (number: number) => boolean
): number => {
  target[0] = requestId
  let length = 1
  let distance = 1
  for (let i = start; i !== end && length < target.length; i = (i + 1) >>> 0) {
    if (!has(i)) {
      target[length++] = distance
      distance = 0
    } else if (distance === 255) {
      target[length++] = 0
      distance = 0
    }
    distance++
  }
  return length
}

/**
 * Reads a request over our own packets [start, end): calls `missing` or `received` for each number the list speaks about, in order,
 * and nothing for those after its last byte. Every byte sequence is a list: a distance of 1..254 is always met before 255 is reached,
 * so only 0 or 255 can stand there; bytes beyond `end` are ignored.
 */
export const decodeRequest = (
  payload: Uint8Array,
  start: number,
  end: number,
  missing: (number: number) => void,
  received: (number: number) => void
): void => {
  let at = 1
  let distance = 1
  for (let i = start; i !== end && at < payload.length; i = (i + 1) >>> 0) {
    if (payload[at] === distance) {
      missing(i)
      at++
      distance = 0
    } else {
      received(i)
      if (distance === 255) {
        at++
        distance = 0
      }
    }
    distance++
  }
}
