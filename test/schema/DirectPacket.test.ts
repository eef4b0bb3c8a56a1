import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { PublicKey } from "../../src/schema/Bytes.ts"
import { DirectHello, DirectHelloAck, directRoles } from "../../src/schema/DirectPacket.ts"
import { hex, unhex } from "../vectors/vectors.ts"

const key = "101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f"
const attempt = "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"

const sizesTaken = (decode: (bytes: Uint8Array) => Result.Result<unknown, unknown>, sample: Uint8Array) =>
  Array.from({ length: 200 }, (_, size) => size).filter((size) => {
    const bytes = new Uint8Array(size)
    bytes.set(sample.subarray(0, size))
    return Result.isSuccess(decode(bytes))
  })

describe("DirectPacket", () => {
  it("I18: a hello says who dials, which stream it is, for which attempt and in which role; golden bytes", () => {
    const hello = DirectHello.make({
      identityKey: PublicKey.make(unhex(key)),
      streamId: 3,
      streams: 4,
      attempt: unhex(attempt),
      role: directRoles.listener
    })
    const bytes = `01${key}0304${attempt}02`
    assert.strictEqual(hex(DirectHello.encode(hello)), bytes)
    assert.deepStrictEqual(Result.getOrThrow(DirectHello.decode(unhex(bytes))), hello)
  })

  it("the acknowledgement, golden bytes", () => {
    const ack = DirectHelloAck.make({ streamId: 63, streams: 64 })
    assert.strictEqual(hex(DirectHelloAck.encode(ack)), "023f40")
    assert.deepStrictEqual(Result.getOrThrow(DirectHelloAck.decode(unhex("023f40"))), ack)
  })

  it("every other size, id, stream, count and role is refused", () => {
    const hello = unhex(`01${key}0304${attempt}02`)
    assert.deepStrictEqual(sizesTaken(DirectHello.decode, hello), [52])
    assert.deepStrictEqual(sizesTaken(DirectHelloAck.decode, unhex("020001")), [3])
    const changed = (at: number, to: number) => {
      const bytes = hello.slice()
      bytes[at] = to
      return Result.isSuccess(DirectHello.decode(bytes))
    }
    const taken = (at: number) => Array.from({ length: 256 }, (_, to) => to).filter((to) => changed(at, to))
    assert.deepStrictEqual(taken(0), [1])
    assert.deepStrictEqual([taken(33)[0], taken(33).at(-1), taken(33).length], [0, 63, 64])
    assert.deepStrictEqual([taken(34)[0], taken(34).at(-1), taken(34).length], [1, 64, 64])
    assert.deepStrictEqual(taken(51), [0, 1, 2])
    for (const bad of ["010001", "024001", "020000", "020041"]) {
      assert.isTrue(Result.isFailure(DirectHelloAck.decode(unhex(bad))), bad)
    }
  })
})
