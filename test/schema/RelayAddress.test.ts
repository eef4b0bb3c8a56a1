import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { PublicKey, PublicKeyFromHex } from "../../src/schema/Bytes.ts"
import { IpEndpoint } from "../../src/schema/IpEndpoint.ts"
import { formatRelayAddress, parseRelayAddress, Port, RelayAddressFromString } from "../../src/schema/RelayAddress.ts"

const publicKey = PublicKey.make(Uint8Array.from({ length: 32 }, (_, i) => 0xe0 + i & 0xff))
const hexKey = "E0E1E2E3E4E5E6E7E8E9EAEBECEDEEEFF0F1F2F3F4F5F6F7F8F9FAFBFCFDFEFF"
const problem = (text: string) => Result.getOrThrow(Result.flip(parseRelayAddress(text)))

describe("RelayAddressFromString", () => {
  const relays = [
    ["127.0.0.1:33445", "127.0.0.1", 33445],
    ["relay.example.org:443", "relay.example.org", 443],
    ["[::1]:65535", "::1", 65535],
    ["[2001:db8::7]:1", "2001:db8::7", 1]
  ] as const

  it("reads and writes names, IPv4 and IPv6", () => {
    for (const [endpoint, host, port] of relays) {
      const text = `${endpoint}:${hexKey}`
      assert.deepStrictEqual(Schema.decodeSync(RelayAddressFromString)(text), { host, port, publicKey })
      assert.strictEqual(Schema.encodeSync(RelayAddressFromString)({ host, port, publicKey }), text)
      assert.strictEqual(formatRelayAddress({ host, port, publicKey }), text)
    }
  })

  it("takes either case, white space around it and long forms of an address", () => {
    const text = ` Relay.Example.ORG:443:${hexKey.toLowerCase()}\n`
    assert.deepStrictEqual(Result.getOrThrow(parseRelayAddress(text)), {
      host: "relay.example.org",
      port: 443,
      publicKey
    })
    const long = Result.getOrThrow(parseRelayAddress(`[2001:DB8:0:0:0:0:0:7]:1:${hexKey}`))
    assert.strictEqual(long.host, "2001:db8::7")
  })

  it("says what is wrong and what a relay looks like", () => {
    assert.strictEqual(
      problem("example.org"),
      "a relay is written HOST:PORT:PUBLICKEYHEX, with brackets around an IPv6 host"
    )
    assert.match(problem("example.org:443"), /"example.org" is not HOST:PORT.*HOST:PORT:PUBLICKEYHEX/)
    assert.match(problem(`example.org:0:${hexKey}`), /port "0" is not a number from 1 to 65535/)
    assert.match(problem(`example.org:65536:${hexKey}`), /port "65536"/)
    assert.match(problem(`example.org:4e2:${hexKey}`), /port "4e2"/)
    assert.match(problem(`exa mple.org:443:${hexKey}`), /"exa mple.org" is not a host name/)
    assert.match(problem(`::1:443:${hexKey}`), /brackets around an IPv6 host/)
    assert.match(problem(`[127.0.0.1]:443:${hexKey}`), /"127.0.0.1" is not a host name/)
    assert.match(problem(`256.0.0.1:443:${hexKey}`), /"256.0.0.1" is not a host name/)
    assert.match(problem(`:443:${hexKey}`), /is not HOST:PORT/)
    assert.match(problem(`example.org:443:${hexKey.slice(1)}`), /64 hexadecimal digits, here are 63 characters/)
    assert.match(problem(`example.org:443:${hexKey.slice(2)}zz`), /64 hexadecimal digits/)
    assert.match(problem(`example.org:443:`), /64 hexadecimal digits, here are 0 characters/)
    assert.match(problem(""), /a relay is written/)
    const schema = Schema.decodeResult(RelayAddressFromString)("example.org")
    assert.isTrue(Result.isFailure(schema) && schema.failure.message.includes("HOST:PORT:PUBLICKEYHEX"))
  })

  it.prop("every relay with an address survives its text", [IpEndpoint, Port, PublicKey], ([{ host }, port, key]) => {
    const relay = { host, port, publicKey: key }
    assert.deepStrictEqual(Result.getOrThrow(parseRelayAddress(formatRelayAddress(relay))), relay)
  })
})

describe("PublicKeyFromHex", () => {
  it("reads either case and writes upper case", () => {
    assert.deepStrictEqual(Schema.decodeSync(PublicKeyFromHex)(hexKey), publicKey)
    assert.deepStrictEqual(Schema.decodeSync(PublicKeyFromHex)(hexKey.toLowerCase()), publicKey)
    assert.strictEqual(Schema.encodeSync(PublicKeyFromHex)(publicKey), hexKey)
  })

  it("refuses anything but 64 hexadecimal digits", () => {
    for (const text of ["", hexKey.slice(1), `${hexKey}00`, `${hexKey.slice(1)}g`, ` ${hexKey}`, `${hexKey}\n`]) {
      const result = Schema.decodeResult(PublicKeyFromHex)(text)
      assert.isTrue(Result.isFailure(result) && result.failure.message.includes("64 hexadecimal digits"), text)
    }
  })
})
