import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { isDeepStrictEqual } from "node:util"
import * as Field from "../../src/schema/WireField.ts"
import * as Wire from "../../src/schema/WirePacket.ts"
import { hex, packetValue, type PacketVector, readVectors, unhex } from "../vectors/vectors.ts"
import { allCodecs } from "./allCodecs.ts"

/** xorshift32: the mutations of a run can be repeated. */
const seeded = (seed: number) => {
  let state = seed
  return (below: number): number => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % below
  }
}

/** One change of the kinds that damaged or hostile packets show. */
const mutate = (bytes: Uint8Array, below: (n: number) => number): Uint8Array => {
  const at = below(Math.max(1, bytes.length))
  const changed = bytes.slice()
  switch (below(6)) {
    case 0:
      changed[at] = below(256)
      return changed
    case 1:
      return changed.subarray(0, at)
    case 2:
      return Uint8Array.from([...changed, below(256)])
    case 3:
      changed[0] = below(256)
      return changed
    case 4:
      changed[Math.min(at, 12)] = below(256)
      return changed
    default:
      return Uint8Array.from({ length: below(48) }, () => below(256))
  }
}

describe("packets", () => {
  const vectors = readVectors<ReadonlyArray<PacketVector>>("packets")

  it("C09: every packet of relay, peer and session has golden bytes", () => {
    const tags = new Set(vectors.map(({ codec, tag }) => `${codec}.${tag}`))
    assert.strictEqual(tags.size, 13 + 1 + 3 + 11)
  })

  it("C09: golden bytes, plain and as a schema, in both directions", () => {
    for (const vector of vectors) {
      const codec = allCodecs[vector.codec as keyof typeof allCodecs]
      const value = packetValue(vector)
      assert.strictEqual(hex(codec.encode(value)), vector.hex, vector.tag)
      assert.deepStrictEqual(Result.getOrThrow(codec.decode(unhex(vector.hex))), value, vector.tag)
      assert.deepStrictEqual(Schema.decodeSync(codec.fromBytes)(unhex(vector.hex)), value, vector.tag)
      assert.strictEqual(hex(Schema.encodeSync(codec.fromBytes)(value)), vector.hex, vector.tag)
    }
  })

  it.effect(
    "A1: plain decode and schema decode agree on 100,000 valid and mutated packets",
    () =>
      Effect.gen(function*() {
        const below = seeded(0x5eed)
        const names = Object.keys(allCodecs) as Array<keyof typeof allCodecs>
        const wanted = 100_000
        let checked = 0
        let refused = 0
        const check = (name: keyof typeof allCodecs, bytes: Uint8Array): unknown => {
          const codec = allCodecs[name]
          const plain = codec.decode(bytes)
          const schema = Schema.decodeResult(codec.fromBytes)(bytes)
          if (Result.isFailure(plain)) refused += 1
          if (
            Result.isSuccess(plain) !== Result.isSuccess(schema) ||
            Result.isSuccess(plain) && Result.isSuccess(schema) && !isDeepStrictEqual(plain.success, schema.success)
          ) assert.fail(`${name} ${hex(bytes)}: plain ${plain._tag}, schema ${schema._tag}`)
          checked += 1
          return Result.getOrUndefined(plain)
        }
        const perCodec = Math.ceil(wanted / names.length)
        for (const name of names) {
          const codec = allCodecs[name]
          const samples = yield* Arbitrary.sampleEffect(Arbitrary.schema(codec.schema), {
            count: 150,
            size: 24,
            seed: name
          })
          const packets = samples.map((value) => {
            const bytes = codec.encode(value)
            assert.deepStrictEqual(check(name, bytes), value, name)
            return bytes
          })
          for (let i = packets.length; i < perCodec; i++) {
            check(name, mutate(packets[below(packets.length)] ?? new Uint8Array(0), below))
          }
        }
        assert.isAtLeast(checked, wanted)
        // Both sides of the border are covered, not only rubbish or only valid packets.
        assert.isAbove(refused, wanted / 5)
        assert.isBelow(refused, wanted * 4 / 5)
      }),
    30_000
  )

  it.effect.prop(
    "round-trips every relay packet through the schema",
    [Arbitrary.schema(allCodecs.RelayPacket.schema)],
    ([packet]) =>
      Effect.gen(function*() {
        const bytes = yield* Schema.encodeEffect(allCodecs.RelayPacket.fromBytes)(packet)
        assert.deepStrictEqual(yield* Schema.decodeEffect(allCodecs.RelayPacket.fromBytes)(bytes), packet)
      })
  )

  it("decodes views into larger buffers", () => {
    const whole = Uint8Array.of(99, 99, 4, 1, 2, 3, 4, 5, 6, 7, 8, 99)
    const packet = Result.getOrThrow(allCodecs.RelayPacket.decode(whole.subarray(2, 11)))
    assert.deepStrictEqual(packet, { _tag: "Ping", pingId: whole.subarray(3, 11) } as { _tag: string })
  })

  it("a value that does not fit its field is a defect when encoding", () => {
    const numbers = Wire.struct("Numbers", {
      a: Field.u8,
      b: Field.u16,
      c: Field.u32,
      d: Field.u64,
      e: Field.count64le,
      f: Field.bytes(2)
    })
    const good = numbers.make({ a: 1, b: 2, c: 3, d: 4n, e: 5, f: Uint8Array.of(1, 2) })
    assert.strictEqual(hex(numbers.encode(good)), "0100020000000300000000000000040500000000000000" + "0102")
    const bad = [
      { a: 256 },
      { b: -1 },
      { c: 2 ** 32 },
      { d: 2n ** 64n },
      { d: -1n },
      { e: 2 ** 53 },
      { a: Number.NaN },
      { f: new Uint8Array(1) },
      { f: new Uint8Array(3) }
    ]
    for (const part of bad) assert.throws(() => numbers.encode({ ...good, ...part }), RangeError)
  })

  it("integers keep their order of bytes", () => {
    const both = Wire.struct("Both", {
      a: Field.u16,
      b: Field.u16le,
      c: Field.u32,
      d: Field.u32le,
      e: Field.u64,
      f: Field.u64le
    })
    const bytes = unhex("0102" + "0102" + "01020304" + "01020304" + "0102030405060708" + "0102030405060708")
    const value = Result.getOrThrow(both.decode(bytes))
    assert.deepStrictEqual(
      value,
      both.make({
        a: 0x0102,
        b: 0x0201,
        c: 0x01020304,
        d: 0x04030201,
        e: 0x0102030405060708n,
        f: 0x0807060504030201n
      })
    )
    assert.deepStrictEqual(both.encode(value), bytes)
  })

  it("a count above 2^53 - 1 is refused, not rounded", () => {
    const count = Wire.struct("Count", { n: Field.count64le })
    assert.deepStrictEqual(Result.getOrThrow(count.decode(unhex("ffffffffffff1f00"))).n, Number.MAX_SAFE_INTEGER)
    assert.isTrue(Result.isFailure(count.decode(unhex("0000000000002000"))))
  })

  it("two packets with one id are refused when they are put together", () => {
    assert.throws(() => Wire.union([Wire.packet("A", 1, {}), Wire.packet("B", 1, {})]), TypeError)
  })
})
