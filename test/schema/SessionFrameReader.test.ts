import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Frame from "../../src/schema/SessionFrame.ts"
import { type SessionFrameInvalid, SessionFrameReader } from "../../src/schema/SessionFrameReader.ts"
import { hex, packetValue, type PacketVector, readVectors, unhex } from "../vectors/vectors.ts"

const vectors = readVectors<ReadonlyArray<PacketVector>>("packets").filter(({ codec }) => codec === "SessionFrame")
const expected = vectors.map((vector) => packetValue(vector) as Frame.SessionFrame)
const stream = unhex(vectors.map((vector) => vector.hex).join(""))

/** Everything a reader makes of these chunks. Each chunk is a copy, as from a socket. */
const read = (reader: SessionFrameReader, chunks: Iterable<Uint8Array>) => {
  const frames: Array<Frame.SessionFrame> = []
  let problem: SessionFrameInvalid | undefined
  for (const chunk of chunks) {
    const result = reader.push(chunk.slice())
    frames.push(...result.frames)
    problem = result.problem
  }
  return { frames, problem, pending: reader.pendingBytes }
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

const problemOf = (bytes: Uint8Array, maxFrameSize?: number) =>
  new SessionFrameReader(maxFrameSize).push(bytes).problem?.problem

describe("SessionFrameReader", () => {
  it("I14: a frame is a little-endian session id, a descriptor and a little-endian length", () => {
    const bytes = Uint8Array.of(0x04, 0x03, 0x02, 0x01, 0x0c, 2, 0, 0, 0, 0xaa, 0xbb)
    const { frames } = new SessionFrameReader().push(bytes)
    assert.deepStrictEqual(frames, [Frame.Bytes.make({ sessionId: 0x01020304, bytes: Uint8Array.of(0xaa, 0xbb) })])
    assert.strictEqual(hex(Frame.SessionFrame.encode(frames[0]!)), hex(bytes))
  })

  it("reads the same frames at every split into two, and at every size of chunk", () => {
    for (let at = 0; at <= stream.length; at++) {
      const result = read(new SessionFrameReader(), [stream.subarray(0, at), stream.subarray(at)])
      assert.deepStrictEqual(result, { frames: expected, problem: undefined, pending: 0 }, `${at}`)
    }
    for (let size = 1; size <= stream.length; size++) {
      const result = read(new SessionFrameReader(), cut(stream, size))
      assert.deepStrictEqual(result, { frames: expected, problem: undefined, pending: 0 }, `${size}`)
    }
  })

  it("frames keep their bytes when the reader goes on", () => {
    const reader = new SessionFrameReader()
    const first = Frame.Bytes.make({ sessionId: 1, bytes: new Uint8Array(3000).fill(1) })
    const second = Frame.Bytes.make({ sessionId: 2, bytes: new Uint8Array(3000).fill(2) })
    const both = Uint8Array.from([...Frame.Bytes.encode(first), ...Frame.Bytes.encode(second)])
    const { frames } = read(reader, cut(both, 1372))
    assert.deepStrictEqual(frames, [first, second])
  })

  it.effect("A1: valid and damaged streams give the same frames and the same problem at every chunking", () =>
    Effect.gen(function*() {
      const arbitrary = Arbitrary.schema(Schema.Array(Frame.SessionFrame.schema))
      const samples = yield* Arbitrary.sampleEffect(arbitrary, { count: 300, size: 12, seed: "frames" })
      for (const [i, sample] of samples.entries()) {
        const bytes = Uint8Array.from(sample.flatMap((frame) => [...Frame.SessionFrame.encode(frame)]))
        assert.deepStrictEqual(read(new SessionFrameReader(), [bytes]).frames, sample)
        // Two of three streams are damaged somewhere.
        if (i % 3 > 0 && bytes.length > 0) bytes[i * 7919 % bytes.length]! ^= 1 << i % 8
        const whole = read(new SessionFrameReader(4096), [bytes])
        for (const size of [1, 2, 3, 7, 64]) {
          const split = read(new SessionFrameReader(4096), cut(bytes, size))
          assert.deepStrictEqual(split.frames, whole.frames)
          assert.strictEqual(split.problem?.message, whole.problem?.message)
          if (whole.problem === undefined) assert.strictEqual(split.pending, whole.pending)
        }
      }
    }))

  it("unknown descriptors are a typed problem as soon as they are seen", () => {
    const known = new Set([0x0c, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49])
    for (let descriptor = 0; descriptor < 256; descriptor++) {
      const result = new SessionFrameReader().push(header(0xffff_ffff, descriptor, 5).subarray(0, 5))
      assert.strictEqual(result.problem?.problem, known.has(descriptor) ? undefined : "UnknownDescriptor")
      if (result.problem !== undefined) assert.strictEqual(result.problem.descriptor, descriptor)
    }
  })

  it("I25: a length beyond the limit is refused with the header alone and nothing is kept for it", () => {
    for (const length of [0xffff_ffff, 0x8000_0000, 1024 * 1024 - 8]) {
      const reader = new SessionFrameReader()
      for (const byte of header(1, 0x0c, length).subarray(0, 8)) {
        assert.isUndefined(reader.push(Uint8Array.of(byte)).problem)
      }
      const last = header(1, 0x0c, length).subarray(8)
      assert.strictEqual(reader.push(last).problem?.problem, "TooLong", `${length}`)
      assert.isAtMost(reader.pendingBytes, 9)
    }
    assert.isUndefined(problemOf(header(1, 0x0c, 1024 * 1024 - 9)))
    assert.strictEqual(problemOf(header(1, 0x0c, 92), 100), "TooLong")
    assert.isUndefined(problemOf(header(1, 0x0c, 91), 100))
  })

  it("I25: a length alone does not make the reader allocate", () => {
    const before = process.memoryUsage().arrayBuffers
    const readers = Array.from({ length: 200 }, () => new SessionFrameReader())
    for (const reader of readers) reader.push(header(1, 0x0c, 1024 * 1024 - 9))
    assert.isBelow(process.memoryUsage().arrayBuffers - before, 10 * 1024 * 1024)
    assert.strictEqual(readers.length, 200)
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
      assert.strictEqual(read(new SessionFrameReader(), cut(bytes, 1)).problem?.problem, "Malformed")
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

  it("gives the frames before a bad one, and reads nothing after it", () => {
    const reader = new SessionFrameReader()
    const result = reader.push(Uint8Array.from([...stream, ...header(1, 0xff, 0), ...stream]))
    assert.deepStrictEqual(result.frames, expected)
    assert.strictEqual(result.problem?.problem, "UnknownDescriptor")
    assert.strictEqual(result.problem?.message, "bad session frame 0xff: unknown descriptor")
    const after = reader.push(stream)
    assert.deepStrictEqual([after.frames, after.problem], [[], result.problem])
  })

  it("one frame of 1 MiB in 1-byte chunks, and a million small frames in one chunk, take linear time", () => {
    const bytes = Frame.Bytes.encode(Frame.Bytes.make({ sessionId: 1, bytes: new Uint8Array(1024 * 1024 - 9).fill(5) }))
    const reader = new SessionFrameReader()
    let frames = 0
    for (let i = 0; i < bytes.length; i++) frames += reader.push(bytes.subarray(i, i + 1)).frames.length
    assert.deepStrictEqual([frames, reader.pendingBytes], [1, 0])
    const small = Frame.Close.encode(Frame.Close.make({ sessionId: 1 }))
    const many = new Uint8Array(small.length * 1_000_000)
    for (let i = 0; i < 1_000_000; i++) many.set(small, i * small.length)
    assert.strictEqual(new SessionFrameReader().push(many).frames.length, 1_000_000)
  }, 10_000)
})
