/** Random values of sessions, damage to their bytes, and what must hold for any bytes at all. Everything follows from the dice. */
import { equalBytes } from "../../src/schema/Bytes.ts"
import * as Value from "../../src/schema/SessionValue.ts"
import type { Dice } from "../../src/testing/simulation/Dice.ts"

export const randomBytes = (dice: Dice, size: number): Uint8Array =>
  Uint8Array.from({ length: size }, () => dice.between(0, 255))

/** Below 2^(8 * size); one of the two ends now and then. */
const whole = (dice: Dice, size: number): number => {
  const end = 2 ** (8 * size) - 1
  return dice.chance(0.2) ? (dice.chance(0.5) ? 0 : end) : dice.between(0, end)
}

const big = (dice: Dice, size: number): bigint => {
  const end = (1n << BigInt(8 * size)) - 1n
  if (dice.chance(0.2)) return dice.chance(0.5) ? 0n : end
  return randomBytes(dice, size).reduce((sum, byte) => sum << 8n | BigInt(byte), 0n)
}

const many = <A>(dice: Dice, make: () => A): Array<A> => Array.from({ length: dice.between(0, 12) }, make)

const plain: ReadonlyArray<(dice: Dice) => Value.PlainValue> = [
  (dice) => ({ _tag: "PrfKey", bytes: randomBytes(dice, 16) }),
  (dice) => ({ _tag: "Bit", bit: dice.chance(0.5) ? 1 : 0 }),
  (dice) => ({ _tag: "Ring16", value: whole(dice, 2) }),
  (dice) => ({ _tag: "Ring32", value: whole(dice, 4) }),
  (dice) => ({ _tag: "Ring48", value: whole(dice, 6) }),
  (dice) => ({ _tag: "Ring64", value: big(dice, 8) }),
  (dice) => ({ _tag: "Ring16Vector", values: Uint16Array.from(many(dice, () => whole(dice, 2))) }),
  (dice) => ({ _tag: "Ring32Vector", values: Uint32Array.from(many(dice, () => whole(dice, 4))) }),
  (dice) => ({ _tag: "Ring48Vector", values: many(dice, () => whole(dice, 6)) }),
  (dice) => ({ _tag: "Ring64Vector", values: BigUint64Array.from(many(dice, () => big(dice, 8))) }),
  (dice) => ({ _tag: "Checksum", low: big(dice, 8), high: big(dice, 8) }),
  (dice) => ({ _tag: "U128", value: big(dice, 16) }),
  (dice) => ({ _tag: "Bytes", bytes: randomBytes(dice, dice.between(0, 24)) }),
  (dice) => {
    const bitCount = dice.between(0, 70)
    const bits = randomBytes(dice, Math.ceil(bitCount / 8))
    if (bitCount % 8 > 0) bits[bits.length - 1]! &= 0xff >> (8 - bitCount % 8)
    return { _tag: "PackedBits", bitCount, bits }
  }
]

const randomPlain = (dice: Dice): Value.PlainValue => dice.pick(plain)!(dice)

/** Every kind is as likely, and a quarter are vectors of them. */
export const randomValue = (dice: Dice): Value.SessionValue =>
  dice.chance(0.25) ? { _tag: "ValueVector", values: many(dice, () => randomPlain(dice)) } : randomPlain(dice)

const edges = [0, 1, 2, 0x0a, 0x0f, 0x10, 0x7f, 0x80, 0xff]
const edges32 = [0, 1, 5, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff]

/** One to three changes of the kinds that damaged or hostile bytes show. */
export const damaged = (dice: Dice, bytes: Uint8Array): Uint8Array => {
  let changed: Uint8Array = bytes.slice()
  for (let left = dice.between(1, 3); left > 0; left--) {
    const at = dice.between(0, Math.max(0, changed.length - 1))
    switch (dice.between(0, 6)) {
      case 0:
        if (changed.length > 0) changed[at]! ^= 1 << dice.between(0, 7)
        break
      case 1:
        if (changed.length > 0) changed[at] = dice.pick(edges)!
        break
      case 2:
        if (changed.length >= at + 4) new DataView(changed.buffer).setUint32(at, dice.pick(edges32)!, true)
        break
      case 3:
        changed = changed.slice(0, at)
        break
      case 4:
        changed = joined(changed, randomBytes(dice, dice.between(1, 6)))
        break
      case 5:
        changed = joined(changed.subarray(0, at), changed.subarray(at + dice.between(1, 4)))
        break
      default:
        changed = joined(changed.subarray(0, at), randomBytes(dice, dice.between(1, 4)), changed.subarray(at))
    }
  }
  return changed
}

export const joined = (...parts: ReadonlyArray<Uint8Array>): Uint8Array => {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

/** A value as it is in a frame, behind the session id. */
export const valueBytes = (value: Value.SessionValue): Uint8Array => {
  const { descriptor, length, payload } = Value.encodeValue(value)
  const header = new Uint8Array(length === undefined ? 1 : 5)
  header[0] = descriptor
  if (length !== undefined) new DataView(header.buffer).setUint32(1, length, true)
  return joined(header, payload)
}

export interface Verdict {
  /** What `checkValue` said. */
  readonly refused: string | undefined
  /** What is wrong with our code. */
  readonly wrong: string | undefined
}

/** Whatever the payload, it is refused, or is decoded without an exception into a value that has exactly this encoding. */
export const judge = (descriptor: number, length: number, payload: Uint8Array): Verdict => {
  const refused = Value.checkValue(descriptor, payload, length)
  const size = Value.valuePayloadSize(descriptor)
  if (Value.isValueDescriptor(descriptor) !== (size !== undefined)) return { refused, wrong: "a value without a size" }
  if (refused !== undefined) return { refused, wrong: undefined }
  if (size === undefined) return { refused, wrong: "an unknown descriptor is taken" }
  const encoded = Value.encodeValue(Value.decodeValue(descriptor, length, payload))
  const expected = typeof size === "number" ? undefined : length
  const same = encoded.descriptor === descriptor && encoded.length === expected && equalBytes(encoded.payload, payload)
  return { refused, wrong: same ? undefined : "a value that has another encoding" }
}
