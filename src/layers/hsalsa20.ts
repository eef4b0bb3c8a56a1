/**
 * HSalsa20 with an all-zero input block: the second half of `box`, after X25519. It exists because sodium-native offers neither
 * this nor `crypto_box_beforenm`, and the WebAssembly build needs twice the time for the whole derivation. No branch and no
 * index depends on the key; libsodium's `crypto_box_beforenm` is the test oracle.
 */

/** "expand 32-byte k" as little-endian words: positions 0, 5, 10 and 15 of the state. */
const sigma = [0x61707865, 0x3320646e, 0x79622d32, 0x6b206574] as const

/** The words of the state that make up the output, in order. */
const outputWords = [0, 5, 10, 15, 6, 7, 8, 9] as const

/** Kept outside so that the secret words live in one place, which is wiped after every call. */
const x = new Int32Array(16)

const quarter = (a: number, b: number, c: number, d: number): void => {
  let sum = (x[a]! + x[d]!) | 0
  x[b]! ^= (sum << 7) | (sum >>> 25)
  sum = (x[b]! + x[a]!) | 0
  x[c]! ^= (sum << 9) | (sum >>> 23)
  sum = (x[c]! + x[b]!) | 0
  x[d]! ^= (sum << 13) | (sum >>> 19)
  sum = (x[d]! + x[c]!) | 0
  x[a]! ^= (sum << 18) | (sum >>> 14)
}

const readWord = (bytes: Uint8Array, at: number): number =>
  bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)

/** Writes HSalsa20(`key`, 16 zero bytes) to `target`. Both are 32 bytes and may be the same array. */
export const hsalsa20 = (target: Uint8Array, key: Uint8Array): void => {
  for (let i = 0; i < 4; i++) {
    x[i * 5] = sigma[i]!
    x[1 + i] = readWord(key, i * 4)
    x[6 + i] = 0
    x[11 + i] = readWord(key, 16 + i * 4)
  }
  for (let round = 0; round < 20; round += 2) {
    quarter(0, 4, 8, 12)
    quarter(5, 9, 13, 1)
    quarter(10, 14, 2, 6)
    quarter(15, 3, 7, 11)
    quarter(0, 1, 2, 3)
    quarter(5, 6, 7, 4)
    quarter(10, 11, 8, 9)
    quarter(15, 12, 13, 14)
  }
  for (let i = 0; i < 8; i++) {
    const word = x[outputWords[i]!]!
    target[i * 4] = word
    target[i * 4 + 1] = word >>> 8
    target[i * 4 + 2] = word >>> 16
    target[i * 4 + 3] = word >>> 24
  }
  x.fill(0)
}
