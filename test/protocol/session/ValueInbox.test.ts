import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "fast-check"
import { type InFrame, ValueInbox } from "../../../src/protocol/session/ValueInbox.ts"
import { joined, type Payload } from "../../../src/schema/Payload.ts"

const cost = (descriptor: number, size: number): number => (descriptor === 0x04 ? 5 : 9) + size

/** A value of a descriptor with a length, or of one without. */
const value = FastCheck.oneof(
  FastCheck.uint8Array({ minLength: 4, maxLength: 4 }).map((payload) => ({ descriptor: 0x04, length: 0, payload })),
  FastCheck.oneof(
    FastCheck.uint8Array({ maxLength: 40 }),
    FastCheck.integer({ min: 1_000, max: 1_050 }).map((size) => new Uint8Array(size).fill(size)),
    FastCheck.integer({ min: 0, max: 20_000 }).map((size) => new Uint8Array(size).fill(size))
  ).map((payload) => ({ descriptor: 0x0c, length: payload.length, payload })),
  FastCheck.nat(0xffff_ffff).map((length) => ({ descriptor: 0x0f, length, payload: Uint8Array.of(1) }))
)

const isSame = (one: Payload | undefined, other: Payload | undefined): boolean =>
  one === undefined || other === undefined ? one === other : Buffer.compare(joined(one), joined(other)) === 0

/** The same bytes in two pieces, as a payload that spans packets comes. */
const split = (
  payload: Uint8Array
): Payload => [payload.slice(0, payload.length / 3), payload.slice(payload.length / 3)]

describe("ValueInbox", () => {
  it("is a queue of values that keep their descriptor, length, payload and cost", () => {
    const act = FastCheck.oneof(
      { weight: 6, arbitrary: value },
      { weight: 5, arbitrary: FastCheck.constant("take" as const) },
      { weight: 1, arbitrary: FastCheck.constantFrom("drain" as const, "clear" as const) }
    )
    FastCheck.assert(
      FastCheck.property(FastCheck.array(act, { maxLength: 300, size: "max" }), (acts) => {
        const inbox = new ValueInbox()
        let model: Array<InFrame> = []
        const given: Array<readonly [Payload, Uint8Array]> = []
        const take = (): void => {
          const expected = model.shift()
          const taken = inbox.take()
          const { payload, ...others } = taken ?? { payload: undefined }
          const { payload: bytes, ...othersExpected } = expected ?? { payload: undefined }
          assert.deepStrictEqual(others, othersExpected)
          assert.isTrue(isSame(payload, bytes))
          if (taken !== undefined) given.push([taken.payload, joined(taken.payload).slice()])
        }
        for (const act of acts) {
          if (act === "take") take()
          else if (act === "drain") { while (model.length > 0) take() }
          else if (act === "clear") {
            inbox.clear()
            model = []
          } else {
            // The payload belongs to the inbox.
            const { descriptor, length, payload } = act
            const isSplit = descriptor === 0x0c && length % 2 === 1
            inbox.push(descriptor, length, isSplit ? split(payload) : payload.slice(), payload.length)
            model.push({ ...act, size: payload.length, cost: cost(descriptor, payload.length) })
          }
          assert.strictEqual(inbox.length, model.length)
        }
        // What was given is the caller's, whatever came later.
        for (const [payload, bytes] of given) assert.isTrue(isSame(payload, bytes))
      }),
      { numRuns: 80 }
    )
  })

  it("I25: the smallest values cost little more memory than their bytes, and keep no packet alive", () => {
    const inbox = new ValueInbox()
    const packet = new Uint8Array(1_373)
    for (let i = 0; i < 20_000; i++) inbox.push(0x0c, 1, packet.subarray(i % 1_000, i % 1_000 + 1), 1)
    const buffers = new Set(Array.from({ length: 20_000 }, () => joined(inbox.take()?.payload ?? []).buffer))
    assert.isFalse(buffers.has(packet.buffer))
    const kept = Array.from(buffers, (buffer) => buffer?.byteLength ?? 0).reduce((sum, size) => sum + size, 0)
    assert.isAtMost(kept, 20_000 * 8 + 16 * 1024 + 16 * 1024)
    assert.isUndefined(inbox.take())
  })

  it("large values are not copied", () => {
    const inbox = new ValueInbox()
    const payload = new Uint8Array(1_024)
    inbox.push(0x0c, 1_024, payload, 1_024)
    assert.strictEqual(inbox.take()?.payload, payload)
  })

  it("drained, it keeps next to nothing for the next value", () => {
    const inbox = new ValueInbox()
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 5_000; i++) inbox.push(0x0c, 0, new Uint8Array(0), 0)
      while (inbox.take() !== undefined);
      const { page } = inbox as unknown as { readonly page: { readonly bytes: Uint8Array } | undefined }
      assert.isAtMost(page?.bytes.length ?? 0, 2 * 1024)
    }
  })
})
