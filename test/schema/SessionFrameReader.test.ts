import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { joined as whole } from "../../src/schema/Payload.ts"
import * as Frame from "../../src/schema/SessionFrame.ts"
import { type SessionFrameInvalid, SessionFrameReader } from "../../src/schema/SessionFrameReader.ts"
import { decodeValue, type SessionValue } from "../../src/schema/SessionValue.ts"
import { Dice } from "../../src/testing/simulation/Dice.ts"
import { joined, randomValue, valueBytes } from "../utils/sessionValues.ts"
import { hex, packetValue, type PacketVector, readVectors, unhex } from "../vectors/vectors.ts"

const vectors = readVectors<ReadonlyArray<PacketVector>>("packets").filter(({ codec }) => codec === "SessionFrame")
const expected = vectors.map((vector) => packetValue(vector) as Frame.SessionFrame)
const stream = unhex(vectors.map((vector) => vector.hex).join(""))

/** A value as the sink gets it; bytes count as the frame they are. */
type Read = Frame.SessionFrame | { readonly sessionId: number; readonly value: SessionValue }

/** A reader, and what it has read. The sink says when it has had enough. */
const reading = (maxFrameSize?: number, most = Number.POSITIVE_INFINITY) => {
  const frames: Array<Read> = []
  const reader = new SessionFrameReader({
    onValue: (sessionId, descriptor, length, payload) => {
      const value = decodeValue(descriptor, length, whole(payload))
      return frames.push(
        value._tag === "Bytes" ? Frame.Bytes.make({ sessionId, bytes: value.bytes }) : { sessionId, value }
      ) < most
    },
    onControl: (frame) => frames.push(frame) < most
  }, maxFrameSize)
  return { reader, frames }
}

/** Everything a reader makes of these chunks. Each chunk is a copy, as from a socket. */
const read = (chunks: Iterable<Uint8Array>, maxFrameSize?: number) => {
  const { frames, reader } = reading(maxFrameSize)
  let problem: SessionFrameInvalid | undefined
  for (const chunk of chunks) problem ??= reader.push(chunk.slice())
  const all: ReadonlyArray<Read> = frames
  return { frames: all, problem, pending: reader.pendingBytes }
}

const cut = (bytes: Uint8Array, size: number) =>
  Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size))

const header = (sessionId: number, descriptor: number, length: number): Uint8Array => {
  const bytes = new Uint8Array(9)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, sessionId, true)
  view.setUint8(4, descriptor)
  view.setUint32(5, length, true)
  return bytes
}

const problemOf = (bytes: Uint8Array, maxFrameSize?: number) => reading(maxFrameSize).reader.push(bytes)?.problem

describe("SessionFrameReader", () => {
  it("I14: a frame is a little-endian session id, a descriptor and a little-endian length", () => {
    const bytes = Uint8Array.of(0x04, 0x03, 0x02, 0x01, 0x0c, 2, 0, 0, 0, 0xaa, 0xbb)
    const frame = Frame.Bytes.make({ sessionId: 0x01020304, bytes: Uint8Array.of(0xaa, 0xbb) })
    assert.deepStrictEqual(read([bytes]).frames, [frame])
    assert.strictEqual(hex(Frame.SessionFrame.encode(frame)), hex(bytes))
  })

  it("I14: a descriptor with a size of its own has no length", () => {
    const bytes = Uint8Array.of(0x04, 0x03, 0x02, 0x01, 0x04, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x12)
    assert.deepStrictEqual(read([bytes]).frames, [
      { sessionId: 0x01020304, value: { _tag: "Ring32", value: 1 } },
      { sessionId: 0xffffffff, value: { _tag: "Bit", bit: 1 } }
    ])
  })

  it("reads the same frames at every split into two, and at every size of chunk", () => {
    for (let at = 0; at <= stream.length; at++) {
      const result = read([stream.subarray(0, at), stream.subarray(at)])
      assert.deepStrictEqual(result, { frames: expected, problem: undefined, pending: 0 }, `${at}`)
    }
    for (let size = 1; size <= stream.length; size++) {
      const result = read(cut(stream, size))
      assert.deepStrictEqual(result, { frames: expected, problem: undefined, pending: 0 }, `${size}`)
    }
  })

  it("frames keep their bytes when the reader goes on", () => {
    const first = Frame.Bytes.make({ sessionId: 1, bytes: new Uint8Array(3000).fill(1) })
    const second = Frame.Bytes.make({ sessionId: 2, bytes: new Uint8Array(3000).fill(2) })
    const both = Uint8Array.from([...Frame.Bytes.encode(first), ...Frame.Bytes.encode(second)])
    const { frames } = read(cut(both, 1372))
    assert.deepStrictEqual(frames, [first, second])
  })

  it.effect("A1: valid and damaged streams give the same frames and the same problem at every chunking", () =>
    Effect.gen(function*() {
      const arbitrary = Arbitrary.schema(Schema.Array(Frame.SessionFrame.schema))
      const samples = yield* Arbitrary.sampleEffect(arbitrary, { count: 300, size: 12, seed: "frames" })
      for (const [i, sample] of samples.entries()) {
        const bytes = Uint8Array.from(sample.flatMap((frame) => [...Frame.SessionFrame.encode(frame)]))
        assert.deepStrictEqual(read([bytes]).frames, sample)
        // Two of three streams are damaged somewhere.
        if (i % 3 > 0 && bytes.length > 0) bytes[i * 7919 % bytes.length]! ^= 1 << i % 8
        const whole = read([bytes], 4096)
        for (const size of [1, 2, 3, 7, 64]) {
          const split = read(cut(bytes, size), 4096)
          assert.deepStrictEqual(split.frames, whole.frames)
          assert.strictEqual(split.problem?.message, whole.problem?.message)
          if (whole.problem === undefined) assert.strictEqual(split.pending, whole.pending)
        }
      }
    }))

  it("I16: values of every kind, among control frames, are read the same at every chunking", () => {
    const dice = new Dice(17)
    for (let i = 0; i < 150; i++) {
      const expected: Array<Read> = []
      const parts: Array<Uint8Array> = []
      for (let left = dice.between(1, 8); left > 0; left--) {
        const sessionId = dice.between(0, 0xffff_ffff)
        const value = randomValue(dice)
        const id = new Uint8Array(4)
        new DataView(id.buffer).setUint32(0, sessionId, true)
        parts.push(id, valueBytes(value))
        expected.push(
          value._tag === "Bytes" ? Frame.Bytes.make({ sessionId, bytes: value.bytes }) : { sessionId, value }
        )
        if (!dice.chance(0.3)) continue
        const frame = Frame.Close.make({ sessionId })
        parts.push(Frame.Close.encode(frame))
        expected.push(frame)
      }
      const bytes = joined(...parts)
      for (const size of [1, 2, 5, 9, 64, bytes.length]) {
        assert.deepStrictEqual(read(cut(bytes, size)), { frames: expected, problem: undefined, pending: 0 }, `${size}`)
      }
    }
  })

  it("unknown descriptors are a typed problem as soon as they are seen", () => {
    const values = [1, 2, 3, 4, 5, 6, 7, 8, 9, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x12]
    const known = new Set([...values, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49])
    for (let descriptor = 0; descriptor < 256; descriptor++) {
      const problem = reading().reader.push(header(0xffff_ffff, descriptor, 5).subarray(0, 5))
      assert.strictEqual(problem?.problem, known.has(descriptor) ? undefined : "UnknownDescriptor", `${descriptor}`)
      if (problem !== undefined) assert.strictEqual(problem.descriptor, descriptor)
    }
  })

  it("I25: a length beyond the limit is refused with the header alone and nothing is kept for it", () => {
    for (const length of [0xffff_ffff, 0x8000_0000, 1024 * 1024 - 8]) {
      const { reader } = reading()
      for (const byte of header(1, 0x0c, length).subarray(0, 8)) assert.isUndefined(reader.push(Uint8Array.of(byte)))
      const last = header(1, 0x0c, length).subarray(8)
      assert.strictEqual(reader.push(last)?.problem, "TooLong", `${length}`)
      assert.isAtMost(reader.pendingBytes, 9)
    }
    assert.isUndefined(problemOf(header(1, 0x0c, 1024 * 1024 - 9)))
    assert.strictEqual(problemOf(header(1, 0x0c, 92), 100), "TooLong")
    assert.isUndefined(problemOf(header(1, 0x0c, 91), 100))
  })

  it("I25: a length alone makes the reader allocate no more than a usual frame takes", () => {
    const before = process.memoryUsage().arrayBuffers
    const readers = Array.from({ length: 100 }, () => reading().reader)
    for (const reader of readers) reader.push(header(1, 0x0c, 1024 * 1024 - 9))
    assert.isBelow(process.memoryUsage().arrayBuffers - before, 10 * 1024 * 1024)
    assert.strictEqual(readers.length, 100)
  })

  it("content that does not fit its descriptor is malformed", () => {
    const frame = (sessionId: number, descriptor: number, payload: string) =>
      Uint8Array.from([...header(sessionId, descriptor, payload.length / 2), ...unhex(payload)])
    const link = 0xffff_ffff
    const bad = [
      frame(1, 0x40, "0261"),
      frame(1, 0x40, "016100000000" + "00"),
      frame(1, 0x40, "01ff00000000"),
      frame(1, 0x41, "000000"),
      frame(1, 0x42, "00"),
      frame(1, 0x42, "0100c3"),
      frame(1, 0x42, "0100" + "61".repeat(1025)),
      frame(1, 0x43, "00"),
      frame(1, 0x44, "0000000000002000" + "00000000"),
      frame(1, 0x45, "00".repeat(24)),
      frame(link, 0x45, "00".repeat(23)),
      frame(link, 0x45, "00".repeat(24 + 11)),
      frame(1, 0x46, "00".repeat(8)),
      frame(link, 0x46, "00".repeat(7)),
      frame(0, 0x47, "00".repeat(8)),
      frame(1, 0x48, "0000")
    ]
    for (const bytes of bad) {
      assert.strictEqual(problemOf(bytes), "Malformed", hex(bytes).slice(0, 60))
      assert.strictEqual(read(cut(bytes, 1)).problem?.problem, "Malformed")
    }
    assert.isUndefined(problemOf(frame(1, 0x42, "0100" + "61".repeat(1024))))
  })

  it("a whole frame whose length does not match what follows is refused", () => {
    const frame = unhex("01000000" + "0c" + "02000000" + "aabb")
    for (let length = 0; length < 8; length++) {
      frame[5] = length
      assert.strictEqual(Result.isSuccess(Frame.SessionFrame.decode(frame)), length === 2, `${length}`)
    }
  })

  it("a value that does not fit its descriptor is malformed", () => {
    const bad = [
      Uint8Array.of(1, 0, 0, 0, 0x06, 3, 0, 0, 0, 1, 2, 3),
      Uint8Array.of(1, 0, 0, 0, 0x0f, 3, 0, 0, 0, 0xff),
      Uint8Array.of(1, 0, 0, 0, 0x0a, 1, 0, 0, 0, 0x0a)
    ]
    for (const bytes of bad) assert.strictEqual(problemOf(bytes), "Malformed", hex(bytes))
  })

  it("gives the frames before a bad one, and reads nothing after it", () => {
    const { frames, reader } = reading()
    const problem = reader.push(joined(stream, header(1, 0xff, 0), stream))
    assert.deepStrictEqual(frames, expected)
    assert.strictEqual(problem?.problem, "UnknownDescriptor")
    assert.strictEqual(problem?.message, "bad session frame 0xff: unknown descriptor")
    reader.push(stream)
    assert.deepStrictEqual([frames.length, reader.pendingBytes], [expected.length, 0])
  })

  it("reads nothing more when the sink has had enough", () => {
    for (let most = 1; most <= expected.length; most++) {
      for (const size of [1, 7, stream.length]) {
        const { frames, reader } = reading(undefined, most)
        for (const chunk of cut(stream, size)) assert.isUndefined(reader.push(chunk.slice()))
        assert.deepStrictEqual(frames, expected.slice(0, most))
      }
    }
  })

  it("one frame of 1 MiB in 1-byte chunks, and a million small frames in one chunk, take linear time", () => {
    const bytes = Frame.Bytes.encode(Frame.Bytes.make({ sessionId: 1, bytes: new Uint8Array(1024 * 1024 - 9).fill(5) }))
    const { frames, reader } = reading()
    for (let i = 0; i < bytes.length; i++) reader.push(bytes.subarray(i, i + 1))
    assert.deepStrictEqual([frames.length, reader.pendingBytes], [1, 0])
    const small = Frame.Close.encode(Frame.Close.make({ sessionId: 1 }))
    const many = new Uint8Array(small.length * 1_000_000)
    for (let i = 0; i < 1_000_000; i++) many.set(small, i * small.length)
    const all = reading()
    all.reader.push(many)
    assert.strictEqual(all.frames.length, 1_000_000)
  }, 10_000)
})
