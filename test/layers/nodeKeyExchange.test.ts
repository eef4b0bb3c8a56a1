import { describe, expect, it } from "@effect/vitest"
import * as fc from "fast-check"
import { groupOfSession } from "../../src/layers/nodeKeyExchange.ts"

const session = (...last: ReadonlyArray<string>): Uint8Array => {
  // Version, TLS 1.3, suite, no id, a key of 48 bytes, as OpenSSL writes them.
  const body = `0201010202030404021301` + "0400" + `0430${"11".repeat(48)}` + last.join("")
  return Uint8Array.from(Buffer.from(`30${(body.length / 2).toString(16)}${body}`, "hex"))
}

describe("nodeKeyExchange", () => {
  it("I23: finds the group of the key exchange in the session of a server", () => {
    expect(groupOfSession(session("a4020400", "b304020211ec"))).toBe("X25519MLKEM768")
    expect(groupOfSession(session("b30302011d"))).toBe("X25519")
    expect(groupOfSession(session("b303020117", "b4020400"))).toBe("prime256v1")
    expect(groupOfSession(session("b30402020104"))).toBe("group 260")
  })

  it("I23: a session without it has none", () => {
    expect(groupOfSession(session("a4020400"))).toBeUndefined()
    expect(groupOfSession(session("b303020100"))).toBeUndefined()
  })

  it("bytes that are no session have none", () => {
    const good = session("a4020400", "b304020211ec")
    for (let size = 0; size < good.length; size++) expect(groupOfSession(good.subarray(0, size))).toBeUndefined()
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      groupOfSession(bytes)
      groupOfSession(Uint8Array.of(0x30, bytes.length & 0x7f, ...bytes.subarray(0, bytes.length & 0x7f)))
    }))
    expect(groupOfSession(Uint8Array.of(0x30, 0x84, 0xff, 0xff, 0xff, 0xff))).toBeUndefined()
  })
})
