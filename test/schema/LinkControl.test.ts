import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as FastCheck from "fast-check"
import { ConnectRequest, ConnectResponse, LinkControl } from "../../src/schema/LinkControl.ts"
import { hex, unhex } from "../vectors/vectors.ts"

const attempt = "000102030405060708090a0b0c0d0e0f"
const token = "c0".repeat(32)
const v4 = "02c633640a1f90" // 198.51.100.10:8080
const v6 = "0a20010db8000000000000000000000001ffff" // [2001:db8::1]:65535
const endpoints = [{ host: "198.51.100.10", port: 8080 }, { host: "2001:db8::1", port: 65_535 }]

const decode = (text: string) => LinkControl.decode(unhex(text))
const refused = (text: string) => Result.isFailure(decode(text))

describe("LinkControl: direct links", () => {
  it("M09: a request names the attempt, where we listen, and a token; golden bytes", () => {
    const bytes = `b104${attempt}02${v4}${v6}${token}`
    const request = ConnectRequest.make({ attempt: unhex(attempt), endpoints, token: unhex(token) })
    assert.strictEqual(hex(LinkControl.encode(request)), bytes)
    assert.deepStrictEqual(Result.getOrThrow(decode(bytes)), request)
  })

  it("M10: a response brings the token back; golden bytes, also without any endpoint", () => {
    const response = ConnectResponse.make({ attempt: unhex(attempt), endpoints, token: unhex(token) })
    const bytes = `b105${attempt}02${v4}${v6}${token}`
    assert.strictEqual(hex(LinkControl.encode(response)), bytes)
    assert.deepStrictEqual(Result.getOrThrow(decode(bytes)), response)
    const none = ConnectResponse.make({ attempt: unhex(attempt), endpoints: [], token: unhex(token) })
    assert.strictEqual(hex(LinkControl.encode(none)), `b105${attempt}00${token}`)
    assert.deepStrictEqual(Result.getOrThrow(decode(`b105${attempt}00${token}`)), none)
  })

  it("hostile endpoint lists: more than 8, a count that is not true, an unknown family, cut and extended at every byte", () => {
    const list = (count: number, packed: string) =>
      `b104${attempt}${count.toString(16).padStart(2, "0")}${packed}${token}`
    assert.isFalse(refused(list(8, v6.repeat(8))))
    assert.isTrue(refused(list(9, v4.repeat(9))))
    assert.isTrue(refused(list(255, v4.repeat(8))))
    assert.isTrue(refused(list(1, v4.repeat(2))))
    assert.isTrue(refused(list(3, v4.repeat(2))))
    // Tox's marks for UDP and for relays: only the plain families belong here.
    for (let family = 0; family < 256; family++) {
      const packed = family.toString(16).padStart(2, "0") + v4.slice(2)
      assert.strictEqual(refused(list(1, packed)), family !== 2, `${family}`)
      assert.isTrue(refused(list(2, v4 + family.toString(16).padStart(2, "0") + "00")))
    }
    const whole = list(2, v4 + v6)
    for (let size = 0; size < whole.length; size += 2) assert.isTrue(refused(whole.slice(0, size)), `${size}`)
    assert.isTrue(refused(`${whole}00`))
  })

  it("an address that no packet can hold is a bug of the caller", () => {
    const make = (given: ReadonlyArray<{ host: string; port: number }>) => () =>
      LinkControl.encode(ConnectRequest.make({ attempt: unhex(attempt), endpoints: given, token: unhex(token) }))
    assert.throws(make(Array.from({ length: 9 }, () => endpoints[0]!)))
    assert.throws(make([{ host: "example.org", port: 1 }]))
  })

  it("any bytes are decoded or refused, never more than 8 endpoints, and what is decoded is encoded to the same bytes", () => {
    const body = FastCheck.oneof(
      FastCheck.uint8Array({ maxLength: 240 }),
      FastCheck.array(FastCheck.constantFrom(v4, v6), { maxLength: 10 }).map((list) =>
        unhex(attempt + list.length.toString(16).padStart(2, "0") + list.join("") + token)
      )
    )
    FastCheck.assert(FastCheck.property(FastCheck.constantFrom(4, 5), body, (kind, bytes) => {
      const packet = Uint8Array.of(177, kind, ...bytes)
      const decoded = LinkControl.decode(packet)
      if (Result.isFailure(decoded)) return
      const value = decoded.success
      if (value._tag !== "ConnectRequest" && value._tag !== "ConnectResponse") return assert.fail(value._tag)
      assert.isAtMost(value.endpoints.length, 8)
      assert.deepStrictEqual(LinkControl.encode(value), packet)
    }))
  })
})
