/**
 * Arithmetic on nonces. A nonce is one 192-bit big-endian number (relay protocol, section 2) that wraps to zero. Relay clients
 * and net_crypto count one up for every packet, so these work in place and allocate nothing. Not constant time: nonces are public.
 */

/** Adds one, in place. */
export const increment = (nonce: Uint8Array): void => {
  for (let i = nonce.length - 1; i >= 0; i--) {
    const next = (nonce[i]! + 1) & 0xff
    nonce[i] = next
    if (next !== 0) return
  }
}

/** Adds `n`, an integer in 0 .. 2^32 - 1, in place. Anything else is a bug and throws a `RangeError`. */
export const addTo = (nonce: Uint8Array, n: number): void => {
  if (n !== n >>> 0) throw new RangeError("a nonce advances by an integer in 0 .. 2^32 - 1")
  let carry = n
  for (let i = nonce.length - 1; i >= 0 && carry > 0; i--) {
    const sum = nonce[i]! + (carry & 0xff)
    nonce[i] = sum & 0xff
    // Unsigned: a carry above 2^31 must not turn negative.
    carry = (carry >>> 8) + (sum >>> 8)
  }
}

/** The last two bytes as a number, 0 .. 65535: what a net_crypto data packet carries of its nonce. */
export const low16 = (nonce: Uint8Array): number => (nonce[nonce.length - 2]! << 8) | nonce[nonce.length - 1]!

/** Whether two nonces are the same number. */
export const equal = (a: Uint8Array, b: Uint8Array): boolean => {
  if (a.length !== b.length) return false
  // From the end, where nonces of one connection differ.
  for (let i = a.length - 1; i >= 0; i--) if (a[i] !== b[i]) return false
  return true
}
