/**
 * Little-endian numbers of the sizes that session values have, and arrays of them. A number that does not fit throws a `RangeError`
 * which says what it was for, never the number: it may be a share of a secret.
 */
import type { WireCursor } from "./WireCursor.ts"

const two32 = 2 ** 32

/** An unsigned integer of `size` bytes. */
export const readWhole = (cursor: WireCursor, size: 2 | 4 | 6): number => {
  const at = cursor.advance(size)
  const { view } = cursor
  if (size === 2) return view.getUint16(at, true)
  const low = view.getUint32(at, true)
  return size === 4 ? low : view.getUint16(at + 4, true) * two32 + low
}

export const writeWhole = (cursor: WireCursor, size: 2 | 4 | 6, value: number, what: string): void => {
  if (!(Number.isInteger(value) && value >= 0 && value < 2 ** (8 * size))) {
    throw new RangeError(`${what}: not a whole number from 0 to 2^${8 * size} - 1`)
  }
  const at = cursor.advance(size)
  const { view } = cursor
  if (size === 2) return view.setUint16(at, value, true)
  view.setUint32(at, value % two32, true)
  if (size === 6) view.setUint16(at + 4, Math.floor(value / two32), true)
}

/** An unsigned integer of `size` bytes of which every bit counts. */
export const readBig = (cursor: WireCursor, size: 8 | 16): bigint => {
  const low = cursor.view.getBigUint64(cursor.advance(8), true)
  return size === 8 ? low : cursor.view.getBigUint64(cursor.advance(8), true) << 64n | low
}

export const writeBig = (cursor: WireCursor, size: 8 | 16, value: bigint, what: string): void => {
  // A negative one is never shifted to zero.
  if (typeof value !== "bigint" || value >> BigInt(8 * size) !== 0n) {
    throw new RangeError(`${what}: not a bigint from 0 to 2^${8 * size} - 1`)
  }
  cursor.view.setBigUint64(cursor.advance(8), BigInt.asUintN(64, value), true)
  if (size === 16) cursor.view.setBigUint64(cursor.advance(8), value >> 64n, true)
}

/** Whether typed arrays of this machine are little-endian. */
const hostIsLittleEndian = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1

/** Copies elements between the wire and the memory of a typed array, in either direction: as they are, or each with its bytes reversed. */
export const copyElements = (
  from: Uint8Array,
  to: Uint8Array,
  elementSize: number,
  sameOrder: boolean = hostIsLittleEndian
): void => {
  if (sameOrder) return to.set(from)
  for (let start = 0; start < from.length; start += elementSize) {
    for (let i = 0; i < elementSize; i++) to[start + i] = from[start + elementSize - 1 - i] ?? 0
  }
}
