import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { copyElements } from "../../src/schema/littleEndian.ts"
import * as Value from "../../src/schema/SessionValue.ts"
import { Dice } from "../../src/testing/simulation/Dice.ts"
import { damaged, judge, randomBytes, randomValue, valueBytes } from "../utils/sessionValues.ts"
import { hex, unhex } from "../vectors/vectors.ts"

type SessionValue = Value.SessionValue

const vector = (...values: ReadonlyArray<SessionValue>): SessionValue => ({ _tag: "ValueVector", values })

/** Name, value, and its bytes worked out by hand: descriptor, length where there is one, payload. */
const golden: ReadonlyArray<readonly [name: string, value: SessionValue, bytes: string]> = [
  [
    "0x01 PrfKey",
    Value.PrfKey.make({ bytes: unhex("000102030405060708090a0b0c0d0e0f") }),
    "01" + "000102030405060708090a0b0c0d0e0f"
  ],
  ["0x02 Bit 0", Value.Bit.make({ bit: 0 }), "02"],
  ["0x12 Bit 1", Value.Bit.make({ bit: 1 }), "12"],
  ["0x03 Ring16", Value.Ring16.make({ value: 0xfe01 }), "03" + "01fe"],
  ["0x04 Ring32", Value.Ring32.make({ value: 0xfedc_ba01 }), "04" + "01badcfe"],
  ["0x05 Ring64", Value.Ring64.make({ value: 0xfedc_ba98_7654_3210n }), "05" + "1032547698badcfe"],
  [
    "0x06 Ring16Vector",
    Value.Ring16Vector.make({ values: Uint16Array.of(1, 0xff00, 0x1234) }),
    "06" + "06000000" + "0100" + "00ff" + "3412"
  ],
  ["0x06 Ring16Vector, empty", Value.Ring16Vector.make({ values: new Uint16Array(0) }), "06" + "00000000"],
  [
    "0x07 Ring32Vector",
    Value.Ring32Vector.make({ values: Uint32Array.of(1, 0xffff_fffe) }),
    "07" + "08000000" + "01000000" + "feffffff"
  ],
  [
    "0x08 Ring64Vector",
    Value.Ring64Vector.make({ values: BigUint64Array.of(1n, 0x8000_0000_0000_0002n) }),
    "08" + "10000000" + "0100000000000000" + "0200000000000080"
  ],
  [
    "0x09 Checksum",
    Value.Checksum.make({ low: 0x0102n, high: 0xff00_0000_0000_0000n }),
    "09" + "0201000000000000" + "00000000000000ff"
  ],
  [
    "0x0A ValueVector",
    vector(
      Value.Bit.make({ bit: 1 }),
      Value.Ring16.make({ value: 0x0102 }),
      Value.Ring16Vector.make({ values: Uint16Array.of(5) }),
      Value.Bytes.make({ bytes: Uint8Array.of(0x0a, 0xff) }),
      Value.PackedBits.make({ bitCount: 3, bits: Uint8Array.of(5) })
    ),
    "0a" + "18000000" + "12" + "03" + "0201" + "06" + "02000000" + "0500" + "0c" + "02000000" + "0aff" + "0f" +
    "03000000" + "05"
  ],
  ["0x0A ValueVector, empty", vector(), "0a" + "00000000"],
  [
    "0x0B U128",
    Value.U128.make({ value: 0xff00_0000_0000_0000_0000_0000_0000_0102n }),
    "0b" + "020100000000000000000000000000ff"
  ],
  ["0x0C Bytes", Value.Bytes.make({ bytes: Uint8Array.of(0xaa, 0xbb, 0xcc) }), "0c" + "03000000" + "aabbcc"],
  ["0x0C Bytes, empty", Value.Bytes.make({ bytes: new Uint8Array(0) }), "0c" + "00000000"],
  ["0x0D Ring48", Value.Ring48.make({ value: 0xfedc_ba98_7654 }), "0d" + "547698badcfe"],
  [
    "0x0E Ring48Vector",
    Value.Ring48Vector.make({ values: [1, 0x8000_0000_0002] }),
    "0e" + "0c000000" + "010000000000" + "020000000080"
  ],
  [
    "0x0F PackedBits: the length counts bits, the least significant comes first",
    Value.PackedBits.make({ bitCount: 11, bits: Uint8Array.of(0b0000_0001, 0b0000_0100) }),
    "0f" + "0b000000" + "01" + "04"
  ],
  ["0x0F PackedBits, empty", Value.PackedBits.make({ bitCount: 0, bits: new Uint8Array(0) }), "0f" + "00000000"]
]

/** What these bytes, a descriptor and everything behind it, are refused for. The length has to fit, as a frame reader sees to. */
const refusal = (bytes: Uint8Array): string | undefined => {
  const { descriptor, length, payload } = parse(bytes)
  return Value.checkValue(descriptor, payload, length)
}

const parse = (bytes: Uint8Array) => {
  const descriptor = bytes[0]!
  const size = Value.valuePayloadSize(descriptor)
  if (typeof size === "number") return { descriptor, length: 0, payload: bytes.subarray(1) }
  return {
    descriptor,
    length: new DataView(bytes.buffer, bytes.byteOffset).getUint32(1, true),
    payload: bytes.subarray(5)
  }
}

const u32 = (value: number): string => {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value, true)
  return hex(bytes)
}

/** A vector of values with these bytes inside. */
const inside = (content: string): Uint8Array => unhex("0a" + u32(content.length / 2) + content)

describe("SessionValue", () => {
  for (const [name, value, bytes] of golden) {
    it(`I14 I16: golden bytes of ${name}`, () => {
      assert.strictEqual(hex(valueBytes(value)), bytes)
      const { descriptor, length, payload } = parse(unhex(bytes))
      assert.isUndefined(Value.checkValue(descriptor, payload, length))
      assert.deepStrictEqual(Value.decodeValue(descriptor, length, payload), value)
    })
  }

  it("I16: there are descriptors of the seed and no others, each with golden bytes", () => {
    const known = [0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x12]
    const all = Array.from({ length: 256 }, (_, descriptor) => descriptor)
    assert.deepStrictEqual(all.filter(Value.isValueDescriptor), known)
    assert.deepStrictEqual([...new Set(golden.map(([, , bytes]) => unhex(bytes)[0]!))].sort((a, b) => a - b), known)
    for (const descriptor of all.filter((descriptor) => !known.includes(descriptor))) {
      assert.isUndefined(Value.valuePayloadSize(descriptor))
      assert.match(Value.checkValue(descriptor, new Uint8Array(0), 0) ?? "", /unknown descriptor/)
      assert.throws(() => Value.decodeValue(descriptor, 0, new Uint8Array(0)), TypeError)
    }
    assert.isFalse(Value.isValueDescriptor(0x101))
  })

  it("I14: a descriptor has a size of its own or a u32 length, in bytes except for packed bits", () => {
    const fixed = { 1: 16, 2: 0, 0x12: 0, 3: 2, 4: 4, 5: 8, 9: 16, 0x0b: 16, 0x0d: 6 }
    for (const [descriptor, size] of Object.entries(fixed)) {
      assert.strictEqual(Value.valuePayloadSize(Number(descriptor)), size)
    }
    const sizes = (descriptor: number, ...lengths: ReadonlyArray<number>) => {
      const size = Value.valuePayloadSize(descriptor)
      return typeof size === "function" ? lengths.map(size) : []
    }
    for (const descriptor of [6, 7, 8, 0x0a, 0x0c, 0x0e]) {
      assert.deepStrictEqual(sizes(descriptor, 0, 7, 0x8000_0000, 0xffff_ffff), [0, 7, 0x8000_0000, 0xffff_ffff])
    }
    assert.deepStrictEqual(sizes(0x0f, 0, 1, 8, 9, 0x8000_0000, 0xffff_ffff), [0, 1, 1, 2, 0x1000_0000, 0x2000_0000])
  })

  it("I15: a value is the same bytes whatever the session: it has no session id", () => {
    for (const [, value, bytes] of golden) {
      assert.notProperty(value, "sessionId")
      assert.deepStrictEqual(Object.keys(Value.encodeValue(value)).sort(), ["descriptor", "length", "payload"])
      assert.strictEqual(hex(valueBytes(value)), bytes)
    }
  })

  it("I16: 10,000 random values come back as they were", () => {
    const dice = new Dice(16)
    for (let i = 0; i < 10_000; i++) {
      const value = randomValue(dice)
      const { descriptor, length, payload } = Value.encodeValue(value)
      assert.isUndefined(Value.checkValue(descriptor, payload, length))
      // Behind an odd number of other bytes, as in a stream: nothing is aligned there.
      const stream = new Uint8Array(payload.length + 3)
      stream.set(payload, 3)
      assert.deepStrictEqual(Value.decodeValue(descriptor, length ?? 0, stream.subarray(3)), value)
    }
  })

  it("I16: damaged bytes are refused, or are the only encoding of the value they decode to", () => {
    const dice = new Dice(1616)
    let refused = 0
    for (let i = 0; i < 30_000; i++) {
      const { descriptor, length, payload } = Value.encodeValue(randomValue(dice))
      const bytes = damaged(dice, payload)
      const bitCount = dice.chance(0.5) ? length ?? 0 : dice.between(0, 8 * bytes.length)
      const kind = dice.chance(0.1) ? dice.between(0, 20) : descriptor
      const verdict = judge(kind, kind === 0x0f ? bitCount : bytes.length, bytes)
      assert.isUndefined(verdict.wrong, `${kind} ${hex(bytes)}`)
      if (verdict.refused !== undefined) refused++
    }
    // Neither all nor nothing, or the test would prove nothing.
    assert.isAbove(refused, 10_000)
    assert.isBelow(refused, 28_000)
  })

  it("I16: a truncated payload is refused, or is a shorter value with a length to match", () => {
    for (const [name, value] of golden) {
      const { descriptor, length, payload } = Value.encodeValue(value)
      for (let size = 0; size < payload.length; size++) {
        const cut = payload.subarray(0, size)
        if (length === undefined || descriptor === 0x0f) {
          assert.isString(Value.checkValue(descriptor, cut, length), `${name} ${size}`)
        }
        assert.isUndefined(judge(descriptor, size, cut).wrong, `${name} ${size}`)
      }
    }
  })

  it("I16: bytes are passed on without a copy, in both directions; everything else is one", () => {
    const bytes = Uint8Array.of(1, 2, 3)
    const encoded = Value.encodeValue(Value.Bytes.make({ bytes }))
    assert.strictEqual(encoded.payload, bytes)
    const views = [parse(unhex("0c03000000aabbcc")), parse(inside("0c03000000aabbcc"))].map((parsed) => {
      const decoded = Value.decodeValue(parsed.descriptor, parsed.length, parsed.payload)
      const value = decoded._tag === "ValueVector" ? decoded.values[0] : decoded
      parsed.payload.fill(0xee)
      return value
    })
    for (const view of views) assert.deepStrictEqual(view, Value.Bytes.make({ bytes: unhex("eeeeee") }))
    for (const [name, value, text] of golden) {
      if (value._tag === "Bytes" || value._tag === "ValueVector") continue
      const { descriptor, length, payload } = parse(unhex(text))
      const decoded = Value.decodeValue(descriptor, length, payload)
      payload.fill(0xee)
      assert.deepStrictEqual(decoded, value, name)
      const sent = Value.encodeValue(value)
      const before = hex(sent.payload)
      if (value._tag === "PrfKey") value.bytes.fill(0xee)
      if (value._tag === "PackedBits") value.bits.fill(0)
      assert.strictEqual(hex(sent.payload), before, name)
    }
  })

  it("I16: elements that are a view of a larger buffer are encoded alone", () => {
    const buffer = Uint16Array.of(1, 2, 3, 4).buffer
    const values = new Uint16Array(buffer, 2, 2)
    assert.strictEqual(hex(valueBytes({ _tag: "Ring16Vector", values })), "06" + "04000000" + "0200" + "0300")
  })

  it("I16: vectors of every length, also of those that are copied at once", () => {
    const dice = new Dice(64)
    for (let count = 0; count < 80; count++) {
      const bytes = randomBytes(dice, 8 * count)
      const values = [
        [6, 2, new Uint16Array(bytes.buffer, 0, count)],
        [7, 4, new Uint32Array(bytes.buffer, 0, count)],
        [8, 8, new BigUint64Array(bytes.buffer, 0, count)]
      ] as const
      for (const [descriptor, size, expected] of values) {
        const payload = bytes.slice(0, size * count)
        const value = Value.decodeValue(descriptor, payload.length, payload)
        assert.deepStrictEqual("values" in value ? value.values : undefined, expected, `${descriptor} ${count}`)
        assert.strictEqual(hex(Value.encodeValue(value).payload), hex(payload))
      }
    }
  })

  it("I14: elements are little-endian on a big-endian machine as well", () => {
    const to = new Uint8Array(8)
    copyElements(unhex("0102030405060708"), to, 4, false)
    assert.strictEqual(hex(to), "0403020108070605")
    const same = new Uint8Array(8)
    copyElements(to, same, 4, true)
    assert.strictEqual(hex(same), hex(to))
  })

  it("I16: values that do not fit their kind throw a RangeError that does not repeat them", () => {
    const bad: ReadonlyArray<readonly [SessionValue, RegExp]> = [
      ...[-1, 65_536, 1.5, Number.NaN, Infinity].map((value) =>
        [{ _tag: "Ring16", value }, /^Ring16: .* 2\^16 - 1$/] as const
      ),
      ...[-1, 2 ** 32, 0.1].map((value) => [{ _tag: "Ring32", value }, /^Ring32: .* 2\^32 - 1$/] as const),
      ...[-1, 2 ** 48, 0.1].map((value) => [{ _tag: "Ring48", value }, /^Ring48: .* 2\^48 - 1$/] as const),
      ...[-1n, 1n << 64n].map((value) => [{ _tag: "Ring64", value }, /^Ring64: .* 2\^64 - 1$/] as const),
      ...[-1n, 1n << 128n].map((value) => [{ _tag: "U128", value }, /^U128: .* 2\^128 - 1$/] as const),
      [{ _tag: "Ring64", value: 7 as unknown as bigint }, /^Ring64: not a bigint/],
      [{ _tag: "Ring48Vector", values: [1, 2 ** 48] }, /^Ring48Vector: /],
      [{ _tag: "Checksum", low: -1n, high: 0n }, /^Checksum, low: /],
      [{ _tag: "Checksum", low: 0n, high: 1n << 64n }, /^Checksum, high: /],
      [{ _tag: "Bit", bit: 2 as 1 }, /^Bit: /],
      [{ _tag: "PrfKey", bytes: new Uint8Array(15) }, /^PrfKey: 15 bytes/],
      [{ _tag: "PrfKey", bytes: new Uint8Array(17) }, /^PrfKey: 17 bytes/],
      [{ _tag: "PackedBits", bitCount: 8, bits: new Uint8Array(2) }, /^PackedBits: 8 bits are not 2 bytes/],
      [{ _tag: "PackedBits", bitCount: 9, bits: new Uint8Array(1) }, /^PackedBits: 9 bits are not 1 bytes/],
      [{ _tag: "PackedBits", bitCount: 3, bits: Uint8Array.of(8) }, /^PackedBits: an unused bit/],
      [{ _tag: "PackedBits", bitCount: 2 ** 32, bits: new Uint8Array(0) }, /^PackedBits: the bit count/],
      [{ _tag: "PackedBits", bitCount: 7.5, bits: new Uint8Array(1) }, /^PackedBits: the bit count/],
      [vector(vector()), /^ValueVector: a vector inside a vector/],
      [vector(Value.Bit.make({ bit: 1 }), { _tag: "Ring16", value: 65_536 }), /^Ring16: /]
    ]
    for (const [value, pattern] of bad) {
      try {
        Value.encodeValue(value)
        assert.fail(`${value._tag} was encoded`)
      } catch (error) {
        assert.instanceOf(error, RangeError)
        assert.match((error as RangeError).message, pattern)
        assert.notMatch((error as RangeError).message, /65536|281474976710656|18446744073709551616|NaN/)
      }
    }
  })

  it("I14: what is longer than a u32 can say throws a RangeError", () => {
    // Only the length is looked at; nobody has to own 4 GiB for this.
    const bytes = Object.create(Uint8Array.prototype, { length: { value: 2 ** 32 } }) as Uint8Array
    assert.throws(() => Value.encodeValue({ _tag: "Bytes", bytes }), RangeError, /Bytes: 4294967296 bytes/)
    const values = Object.create(BigUint64Array.prototype, { length: { value: 2 ** 29 } }) as BigUint64Array
    assert.throws(() => Value.encodeValue({ _tag: "Ring64Vector", values }), RangeError, /Ring64Vector: 4294967296/)
    assert.throws(() => Value.encodeValue(vector({ _tag: "Bytes", bytes })), RangeError, /Bytes: 4294967296 bytes/)
    const half = Object.create(Uint8Array.prototype, { length: { value: 2 ** 31 } }) as Uint8Array
    const two = vector({ _tag: "Bytes", bytes: half }, { _tag: "Bytes", bytes: half })
    assert.throws(() => Value.encodeValue(two), RangeError, /ValueVector: 4294967306 bytes/)
  })

  it("I16: the schema takes what can be encoded and nothing else", () => {
    const is = Schema.is(Value.SessionValue)
    const dice = new Dice(7)
    for (let i = 0; i < 200; i++) assert.isTrue(is(randomValue(dice)))
    for (const [, value] of golden) assert.isTrue(is(value), value._tag)
    const bad: ReadonlyArray<unknown> = [
      { _tag: "Ring16", value: 65_536 },
      { _tag: "Ring48Vector", values: [2 ** 48] },
      { _tag: "U128", value: 1n << 128n },
      { _tag: "PackedBits", bitCount: 3, bits: Uint8Array.of(8) },
      { _tag: "PrfKey", bytes: new Uint8Array(15) },
      { _tag: "Ring16Vector", values: new Uint32Array(1) },
      vector(vector()),
      { _tag: "Nothing" }
    ]
    for (const value of bad) assert.isFalse(is(value))
    const json = Schema.toCodecJson(Value.SessionValue)
    const values = golden.map(([, value]) => value)
    assert.deepStrictEqual(values.map((value) => Schema.decodeSync(json)(Schema.encodeSync(json)(value))), values)
  })
})

describe("SessionValue, bad input", () => {
  it("I16: a length that is not a multiple of the element", () => {
    for (const [descriptor, size] of [[6, 2], [7, 4], [8, 8], [0x0e, 6]] as const) {
      for (let length = 0; length < 4 * size; length++) {
        const problem = Value.checkValue(descriptor, new Uint8Array(length), length)
        if (length % size === 0) assert.isUndefined(problem)
        else assert.match(problem ?? "", /no whole elements/)
        const inner = inside(hex(Uint8Array.of(descriptor)) + u32(length) + "00".repeat(length))
        assert.strictEqual(refusal(inner) === undefined, length % size === 0, `${descriptor} ${length}`)
      }
    }
  })

  it("I16: trailing or missing bytes behind a value of fixed size", () => {
    for (const descriptor of [1, 2, 0x12, 3, 4, 5, 9, 0x0b, 0x0d]) {
      const size = Value.valuePayloadSize(descriptor) as number
      for (let length = 0; length < size + 3; length++) {
        const problem = Value.checkValue(descriptor, new Uint8Array(length))
        if (length === size) assert.isUndefined(problem)
        else assert.match(problem ?? "", new RegExp(`^${length} bytes, expected ${size}$`))
      }
    }
  })

  it("I16: trailing bytes in a vector of values", () => {
    assert.isUndefined(refusal(inside("030100")))
    assert.match(refusal(inside("03010000")) ?? "", /value 1 has the unknown descriptor 0/)
    assert.match(refusal(inside("03010003")) ?? "", /value 1 needs 2 bytes, 0 follow/)
  })

  it("I16: a vector inside a vector", () => {
    assert.match(refusal(inside("0a00000000")) ?? "", /value 0 is a vector inside a vector/)
    assert.match(refusal(inside("02120a00000000")) ?? "", /value 2 is a vector inside a vector/)
    // As deep as a frame can be, it is refused at the first.
    assert.match(refusal(inside("0affffffff".repeat(200_000))) ?? "", /value 0 is a vector inside a vector/)
  })

  it("I16: an inner length past the end, or cut off itself", () => {
    for (const descriptor of ["06", "07", "08", "0c", "0e", "0f"]) {
      for (let kept = 0; kept < 4; kept++) {
        const cut = inside(descriptor + "00".repeat(kept))
        assert.match(refusal(cut) ?? "", /value 0 ends within its length/, `${descriptor} ${kept}`)
      }
      const length = descriptor === "0f" ? 25 * 8 : 25
      assert.match(refusal(inside(descriptor + u32(length) + "00".repeat(24))) ?? "", /needs 25 bytes, 24 follow/)
    }
    for (const descriptor of [1, 3, 4, 5, 9, 0x0b, 0x0d]) {
      const size = Value.valuePayloadSize(descriptor) as number
      const short = hex(Uint8Array.of(descriptor)) + "00".repeat(size - 1)
      assert.match(refusal(inside("02" + short)) ?? "", /^value 1 needs/)
    }
  })

  it("I16: a bit count of 2^32 - 1, and one that does not fit its bytes", () => {
    assert.match(Value.checkValue(0x0f, new Uint8Array(4), 0xffff_ffff) ?? "", /4294967295 bits are not 4 bytes/)
    assert.match(Value.checkValue(0x0f, new Uint8Array(0), 0xffff_ffff) ?? "", /bits are not 0 bytes/)
    assert.match(Value.checkValue(0x0f, new Uint8Array(2), 8) ?? "", /8 bits are not 2 bytes/)
    assert.match(Value.checkValue(0x0f, new Uint8Array(1), 9) ?? "", /9 bits are not 1 bytes/)
    assert.match(refusal(inside("0f" + u32(0xffff_ffff) + "00000000")) ?? "", /needs 536870912 bytes, 4 follow/)
  })

  it("I16: an unused bit of packed bits that is set", () => {
    for (let bitCount = 1; bitCount <= 16; bitCount++) {
      for (let bit = 0; bit < 8; bit++) {
        const bytes = new Uint8Array(Math.ceil(bitCount / 8))
        bytes[bytes.length - 1] = 1 << bit
        const isUsed = 8 * (bytes.length - 1) + bit < bitCount
        assert.strictEqual(Value.checkValue(0x0f, bytes, bitCount) === undefined, isUsed, `${bitCount} ${bit}`)
        const inner = inside("0f" + u32(bitCount) + hex(bytes))
        assert.strictEqual(refusal(inner) === undefined, isUsed, `${bitCount} ${bit}`)
      }
    }
  })

  it("I16: lengths of 0xFFFFFFFF and 0x80000000 inside a vector", () => {
    for (const descriptor of ["06", "07", "08", "0c", "0e"]) {
      for (const length of [0xffff_ffff, 0x8000_0000, 0x7fff_ffff, 0xffff_fff8]) {
        const problem = refusal(inside("02" + descriptor + u32(length) + "0000"))
        assert.strictEqual(problem, `value 1 needs ${length} bytes, 2 follow`)
      }
    }
  })

  it("I16: any bytes are good for 0x0C", () => {
    const dice = new Dice(12)
    for (let size = 0; size < 100; size++) assert.isUndefined(Value.checkValue(0x0c, randomBytes(dice, size), size))
  })

  it("I25: checking allocates nothing, whatever the lengths say and however many values there are", () => {
    const lengths = [0xffff_ffff, 0x8000_0000, 0x7fff_fff8].flatMap((length) =>
      ["06", "07", "08", "0c", "0e", "0f"].map((descriptor) => inside(descriptor + u32(length)).subarray(5))
    )
    const buffers = process.memoryUsage().arrayBuffers
    for (let i = 0; i < 1_000; i++) for (const payload of lengths) assert.isString(Value.checkValue(0x0a, payload))
    assert.isAtMost(process.memoryUsage().arrayBuffers - buffers, 64 * 1024)
    // A million values in a frame: as objects they would be many megabytes. The least of several, since others allocate too.
    const bits = new Uint8Array(1024 * 1024 - 9).fill(0x12)
    const used = Array.from({ length: 5 }, () => {
      const before = process.memoryUsage().heapUsed
      assert.isUndefined(Value.checkValue(0x0a, bits))
      return Math.abs(process.memoryUsage().heapUsed - before)
    })
    assert.isBelow(Math.min(...used), 256 * 1024)
  })

  it("I25: a frame full of small vectors gets no buffer for each of them", () => {
    const payload = unhex("060200000001000704000000010000000808000000" + "01".repeat(8))
    const many = new Uint8Array(payload.length * 20_000)
    for (let i = 0; i < 20_000; i++) many.set(payload, i * payload.length)
    const before = process.memoryUsage().arrayBuffers
    const value = Value.decodeValue(0x0a, many.length, many)
    assert.isBelow(process.memoryUsage().arrayBuffers - before, 64 * 1024)
    assert.lengthOf(value._tag === "ValueVector" ? value.values : [], 60_000)
  })

  it("I25: a frame full of bits costs the memory of an array, not of a million objects", () => {
    const decoded = Value.decodeValue(0x0a, 4, unhex("02120212"))
    const values = decoded._tag === "ValueVector" ? decoded.values : []
    assert.deepStrictEqual(values.map((value) => value._tag === "Bit" && value.bit), [0, 1, 0, 1])
    assert.strictEqual(values[0], values[2])
    assert.strictEqual(values[1], values[3])
    assert.isFrozen(values[1])
  })
})
