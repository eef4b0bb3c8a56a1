/** Session values. An input is a descriptor, a little-endian u32 and the payload, with the u32 even where the descriptor has none. */
import { encodeValue } from "../../src/schema/SessionValue.ts"
import type { Dice } from "../../src/testing/simulation/Dice.ts"
import { damaged, joined, judge, randomBytes, randomValue } from "../../test/utils/sessionValues.ts"
import type { Target } from "./targets.ts"

const packedBits = 0x0f

const input = (descriptor: number, length: number, payload: Uint8Array): Uint8Array => {
  const header = new Uint8Array(5)
  header[0] = descriptor
  new DataView(header.buffer).setUint32(1, length, true)
  return joined(header, payload)
}

const random = (dice: Dice): Uint8Array => {
  const payload = randomBytes(dice, dice.between(0, 48))
  const length = dice.chance(0.5) ? 8 * payload.length - dice.between(0, 7) : dice.between(0, 0xffff_ffff)
  return input(dice.between(0, 0x14), Math.max(0, length), payload)
}

export const target: Target = {
  generate: (dice) => {
    if (dice.chance(0.2)) return random(dice)
    const { descriptor, length, payload } = encodeValue(randomValue(dice))
    const content = dice.chance(0.15) ? payload : damaged(dice, payload)
    const changed = dice.chance(0.1) ? dice.between(0, 0x14) : descriptor
    return input(changed, dice.chance(0.8) ? length ?? 0 : dice.between(0, 0xffff_ffff), content)
  },
  judge: (bytes) => {
    if (bytes.length < 5) return { refused: true, wrong: undefined }
    const descriptor = bytes[0] ?? 0
    const payload = bytes.subarray(5)
    // Where the length counts bytes, a frame reader has seen to it that there are so many.
    const length = descriptor === packedBits
      ? new DataView(bytes.buffer, bytes.byteOffset).getUint32(1, true)
      : payload.length
    const { refused, wrong } = judge(descriptor, length, payload)
    return { refused: refused !== undefined, wrong }
  }
}
