/** The frame reader of sessions. An input is the byte stream of a link, which is read in one piece and in pieces of several sizes. */
import { isDeepStrictEqual } from "node:util"
import { joined as wholePayload } from "../../src/schema/Payload.ts"
import { SessionFrameReader } from "../../src/schema/SessionFrameReader.ts"
import type { Dice } from "../../src/testing/simulation/Dice.ts"
import { damaged, joined, randomBytes, randomValue, valueBytes } from "../../test/utils/sessionValues.ts"
import { type PacketVector, readVectors, unhex } from "../../test/vectors/vectors.ts"
import type { Target } from "./targets.ts"

/** Small, so that whole frames beyond it come up, not only lengths. */
const maxFrameSize = 128

const golden = readVectors<ReadonlyArray<PacketVector>>("packets")
  .filter(({ codec }) => codec === "SessionFrame")
  .map(({ hex }) => unhex(hex))

const sessionIds = [0, 1, 0x8000_0000, 0x8000_0001, 0xc000_0000, 0xc000_0001, 0xffff_ffff]

const frame = (dice: Dice): Uint8Array => {
  const sessionId = new Uint8Array(4)
  new DataView(sessionId.buffer).setUint32(0, dice.pick(sessionIds) ?? 0, true)
  if (dice.chance(0.4)) return joined(sessionId, valueBytes(randomValue(dice)))
  const one = dice.pick(golden) ?? new Uint8Array(0)
  return dice.chance(0.7) ? one : joined(sessionId, one.subarray(4))
}

/** Some frames, one after the other, mostly damaged somewhere; or bytes of any kind. */
export const stream = (dice: Dice): Uint8Array => {
  if (dice.chance(0.1)) return randomBytes(dice, dice.between(0, 64))
  const frames = joined(...Array.from({ length: dice.between(1, 6) }, () => frame(dice)))
  return dice.chance(0.3) ? frames : damaged(dice, frames)
}

const read = (bytes: Uint8Array, size: number) => {
  const frames: Array<unknown> = []
  const reader = new SessionFrameReader({
    onValue: (id, descriptor, length, payload) => frames.push([id, descriptor, length, wholePayload(payload)]) > 0,
    onControl: (frame) => frames.push(frame) > 0
  }, maxFrameSize)
  let problem: string | undefined
  let mostPending = 0
  for (let at = 0; at < bytes.length; at += size) {
    // A chunk belongs to the reader.
    problem ??= reader.push(bytes.slice(at, at + size))?.message
    mostPending = Math.max(mostPending, reader.pendingBytes)
  }
  return { frames, problem, pending: problem === undefined ? reader.pendingBytes : 0, mostPending }
}

export const target: Target = {
  generate: stream,
  judge: (bytes) => {
    const whole = read(bytes, Math.max(1, bytes.length))
    const refused = whole.problem !== undefined
    for (const size of [1, 5, 17]) {
      const { mostPending, ...split } = read(bytes, size)
      if (mostPending > maxFrameSize) return { refused, wrong: `keeps ${mostPending} bytes` }
      if (!isDeepStrictEqual(split, { frames: whole.frames, problem: whole.problem, pending: whole.pending })) {
        return { refused, wrong: `in pieces of ${size} it reads something else than in one` }
      }
    }
    return { refused, wrong: undefined }
  }
}
