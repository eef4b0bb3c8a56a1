import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "fast-check"
import { DirectOutput } from "../../../src/protocol/session/DirectOutput.ts"
import { muxPair } from "../../utils/muxPair.ts"

/** A stream that takes so many batches, and then says that it is full. */
const streamOf = (room: number) => {
  const batches: Array<ReadonlyArray<Uint8Array>> = []
  let left = room
  const output = new DirectOutput({
    write: (pieces) => {
      batches.push(pieces)
      return --left > 0
    },
    hold: () => undefined
  })
  const more = (): void => {
    left = room
    output.writable()
  }
  return { batches, output, more }
}

const bytesOf = (batch: ReadonlyArray<Uint8Array> | undefined) => new Uint8Array(Buffer.concat(batch ?? []))

describe("DirectOutput", () => {
  it("I20: a batch is one write: small frames copied together, large pieces as they are, in order", () => {
    const { batches, output } = streamOf(10)
    const large = new Uint8Array(5_000).fill(3)
    const small = Uint8Array.of(1, 2)
    output.push(small)
    output.push(Uint8Array.of(9))
    output.push(large)
    output.push(small)
    small.fill(0)
    output.flush()
    assert.isTrue(output.send())
    assert.isTrue(output.send())
    assert.strictEqual(batches.length, 1)
    assert.deepStrictEqual(batches[0]?.map((piece) => piece.length), [3, 5_000, 2])
    assert.strictEqual(batches[0]?.[1], large)
    assert.deepStrictEqual([...batches[0]?.[0] ?? [], ...batches[0]?.[2] ?? []], [1, 2, 9, 1, 2])
  })

  it("gives any frames on in order, and never changes what it has given away", () => {
    const frame = FastCheck.oneof(
      FastCheck.nat(40),
      FastCheck.nat(3_000),
      FastCheck.integer({ min: 4_000, max: 20_000 })
    )
    const batches = FastCheck.array(FastCheck.array(frame, { maxLength: 20 }), { maxLength: 8 })
    FastCheck.assert(FastCheck.property(batches, (sizes) => {
      const { batches, output } = streamOf(1_000)
      const copies: Array<Uint8Array> = []
      const expected: Array<Uint8Array> = []
      for (const [round, batch] of sizes.entries()) {
        const frames = batch.map((size, i) => new Uint8Array(size).fill(round * 31 + i))
        for (const frame of frames) output.push(frame)
        output.send()
        if (frames.every((frame) => frame.length === 0)) continue
        expected.push(bytesOf(frames))
        copies.push(bytesOf(batches.at(-1)))
      }
      assert.deepStrictEqual(copies, expected)
      assert.deepStrictEqual(batches.map(bytesOf), expected)
    }))
  })

  it("I24: takes no more until there is room, and keeps what it has got until then", () => {
    const { batches, more, output } = streamOf(2)
    for (const value of [1, 2]) {
      output.push(Uint8Array.of(value))
      assert.strictEqual(output.send(), value === 1)
    }
    output.push(Uint8Array.of(3))
    assert.isFalse(output.send())
    assert.strictEqual(batches.length, 2)
    more()
    assert.isTrue(output.send())
    assert.deepStrictEqual(batches.map((batch) => [...bytesOf(batch)]), [[1], [2], [3]])
  })

  it("room that is reported before the write returns is room", () => {
    let calls = 0
    const output: DirectOutput = new DirectOutput({
      write: () => {
        calls++
        output.writable()
        return false
      },
      hold: () => undefined
    })
    output.push(Uint8Array.of(1))
    assert.isTrue(output.send())
    assert.strictEqual(calls, 1)
  })

  it("I20: a multiplexer writes up to 32 KiB, or one frame, at a time, and a payload is not copied", () => {
    const { a, b, settle } = muxPair({ streams: 0, initialWindow: 1024 * 1024 })
    const { batches, more, output } = streamOf(1)
    // The greater begins at once; the answer of the other comes by hand.
    const there = streamOf(100)
    const [atA, atB] = [a.mux.attach([there.output], () => undefined), b.mux.attach([output], () => undefined)]
    const payload = new Uint8Array(256 * 1024).fill(5)
    const [made] = b.mux.make(1)
    a.mux.make(1)
    if (made === undefined) throw new Error("nothing was made")
    const exchange = () => {
      for (const batch of batches.splice(0)) for (const piece of batch) atA.receive(0, piece.slice())
      for (const batch of there.batches.splice(0)) for (const piece of batch) atB.receive(0, piece.slice())
      more()
      atB.writable(0)
    }
    for (let i = 0; i < 4; i++) exchange()
    settle()
    exchange()
    assert.isTrue(atB.isUp)
    made.write([payload])
    b.mux.touch(made)
    assert.strictEqual(batches.length, 1)
    const [head, body] = batches[0] ?? []
    assert.deepStrictEqual([head?.length, body?.length, body?.buffer], [9, 64 * 1024, payload.buffer])
  })
})
