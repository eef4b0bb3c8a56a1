import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { createHash } from "node:crypto"
import { PublicKey } from "../../src/schema/Bytes.ts"
import { decodeTicket, encodeTicket, Ticket, ticketPrefix } from "../../src/schema/Ticket.ts"
import { readVectors, revive } from "../vectors/vectors.ts"

const sha512 = (bytes: Uint8Array) => new Uint8Array(createHash("sha512").update(bytes).digest())
const decode = (text: string) => decodeTicket(text, sha512)
const problem = (text: string) => {
  const result = decode(text)
  return Result.isSuccess(result) ? "none" : result.failure.problem
}
const key = PublicKey.make(new Uint8Array(32).fill(0x11))
const keys = new Uint8Array(64).fill(0x22)

/** A ticket with any content and a correct checksum. */
const crafted = (content: ReadonlyArray<number>, first: ReadonlyArray<number> = [1, ...keys]): string => {
  const body = Uint8Array.from([...first, ...content])
  return ticketPrefix + Buffer.concat([body, sha512(body).subarray(0, 4)]).toString("base64url")
}

const ip = [130, 192, 0, 2, 1, 1, 187, ...key]
const endpoint = [2, 192, 0, 2, 1, 1, 187]
const named = (name: string) => [240, name.length, ...Buffer.from(name, "latin1"), 1, 187, ...key]
const times = (count: number, part: ReadonlyArray<number>) => Array.from({ length: count }, () => part).flat()

describe("Ticket", () => {
  const vectors = readVectors<ReadonlyArray<{ readonly value: unknown; readonly text: string }>>("tickets")
  const full = vectors[1]!

  it("golden tickets, with relays by IPv4, IPv6 and name", () => {
    for (const { value, text } of vectors) {
      assert.deepStrictEqual(Result.getOrThrow(decode(text)), revive(value) as Ticket)
      assert.strictEqual(Result.getOrThrow(encodeTicket(revive(value) as Ticket, sha512)), text)
    }
  })

  it.prop("every ticket with addresses survives its text", [Ticket.fields.endpoints, Ticket.fields.relays], (
    [endpoints, relays]
  ) => {
    const hosts = endpoints.map(({ host }) => host)
    const ticket: Ticket = {
      identityKey: key,
      dhtKey: key,
      endpoints,
      relays: relays.map((relay, i) => ({ ...relay, host: hosts[i] ?? `relay-${i}.example.org` }))
    }
    const text = Result.getOrThrow(encodeTicket(ticket, sha512))
    assert.deepStrictEqual(Result.getOrThrow(decode(text)), ticket)
  })

  it("takes white space around a ticket and host names in any case", () => {
    assert.isTrue(Result.isSuccess(decode(`\n  ${full.text} \r\n`)))
    const ticket = Result.getOrThrow(decode(full.text))
    const shouted = { ...ticket, relays: ticket.relays.map((relay) => ({ ...relay, host: relay.host.toUpperCase() })) }
    assert.strictEqual(Result.getOrThrow(encodeTicket(shouted, sha512)), full.text)
  })

  it("text that is no ticket", () => {
    for (const text of ["", "causeway", "hello", full.text.slice(1), `x${full.text}`, `${ticketPrefix}a b`]) {
      assert.strictEqual(problem(text), "NotATicket", text)
    }
    assert.strictEqual(problem(`${full.text}=`), "NotATicket")
    assert.strictEqual(problem(full.text.toUpperCase()), "NotATicket")
  })

  it("a ticket cut off anywhere is refused", () => {
    for (let size = 0; size < full.text.length; size++) {
      const expected = size < ticketPrefix.length ? ["NotATicket"] : ["Truncated", "Checksum"]
      assert.include(expected, problem(full.text.slice(0, size)), `${size}`)
    }
  })

  it("a ticket with one wrong letter anywhere is refused", () => {
    for (let at = ticketPrefix.length; at < full.text.length - 1; at++) {
      const letter = full.text[at] === "A" ? "B" : "A"
      assert.strictEqual(problem(full.text.slice(0, at) + letter + full.text.slice(at + 1)), "Checksum", `${at}`)
    }
  })

  it("counts above the limits are refused before anything is read", () => {
    assert.strictEqual(problem(crafted([6, ...times(6, ip), 8, ...times(8, endpoint)])), "none")
    assert.strictEqual(problem(crafted([7, ...times(7, ip), 0])), "TooManyRelays")
    assert.strictEqual(problem(crafted([255, 0])), "TooManyRelays")
    assert.strictEqual(problem(crafted([0, 9, ...times(9, endpoint)])), "TooManyEndpoints")
  })

  it("content that ends early with a right checksum is truncated", () => {
    const whole = [2, ...ip, ...named("a.example.org"), 1, ...endpoint]
    assert.strictEqual(problem(crafted(whole)), "none")
    for (let size = 2; size < whole.length; size++) {
      assert.strictEqual(problem(crafted(whole.slice(0, size))), "Truncated", `${size}`)
    }
    assert.strictEqual(problem(crafted([0])), "Truncated")
  })

  it("another version, trailing bytes and endless text are refused", () => {
    assert.strictEqual(problem(crafted([0, 0], [2, ...keys])), "Version")
    assert.strictEqual(problem(crafted([0, 0], [0, ...keys])), "Version")
    assert.strictEqual(problem(crafted([0, 0, 0])), "TrailingBytes")
    assert.strictEqual(problem(crafted([1, ...ip, 1, ...endpoint, 2])), "TrailingBytes")
    assert.strictEqual(problem(`${ticketPrefix}${"A".repeat(1_000_000)}`), "TrailingBytes")
  })

  it("addresses that nobody can dial are refused", () => {
    const bad = [
      [1, 2, ...ip.slice(1), 0],
      [1, 0, ...ip.slice(1), 0],
      [1, ...ip.slice(0, 5), 0, 0, ...key, 0],
      [1, ...named(""), 0],
      [1, ...named("a b"), 0],
      [1, ...named("192.0.2.1"), 0],
      [1, ...named("UPPER.example.org"), 0],
      [1, ...named("b\xfccher.example.org"), 0],
      [0, 1, 130, ...endpoint.slice(1)],
      [0, 1, 2, 192, 0, 2, 1, 0, 0]
    ]
    for (const content of bad) assert.strictEqual(problem(crafted(content)), "BadAddress", content.join())
  })

  it("what cannot be written is refused with a message that names it", () => {
    const ticket = Result.getOrThrow(decode(vectors[0]!.text))
    const relay = { host: "192.0.2.1", port: 443, publicKey: key }
    const failure = (part: Partial<Ticket>) =>
      Result.getOrThrow(Result.flip(encodeTicket({ ...ticket, ...part }, sha512)))
    assert.strictEqual(failure({ relays: Array.from({ length: 7 }, () => relay) }).problem, "TooManyRelays")
    const endpoints = Array.from({ length: 9 }, () => ({ host: "192.0.2.1", port: 1 }))
    assert.strictEqual(failure({ endpoints }).problem, "TooManyEndpoints")
    for (const host of ["fe80::1%eth0", "a b", "-", "a".repeat(64), `${"a.".repeat(140)}org`]) {
      const { problem, message } = failure({ relays: [{ ...relay, host }] })
      assert.strictEqual(problem, "BadAddress")
      assert.include(message, host)
    }
    assert.strictEqual(failure({ relays: [{ ...relay, port: 0 }] }).problem, "BadAddress")
    assert.strictEqual(failure({ endpoints: [{ host: "example.org", port: 1 }] }).problem, "BadAddress")
    assert.strictEqual(failure({ endpoints: [{ host: "192.0.2.1", port: 0 }] }).problem, "BadAddress")
  })

  it("every message says what to do", () => {
    const texts = [
      "",
      full.text.slice(0, 20),
      full.text.slice(0, -1),
      crafted([0, 0], [2, ...keys]),
      crafted([0, 0, 0])
    ]
    for (const text of [...texts, crafted([7]), crafted([0, 9]), crafted([1, ...named("a b"), 0])]) {
      const result = decode(text)
      assert.isTrue(Result.isFailure(result) && /copy|update|leave some out|ask for/.test(result.failure.message), text)
    }
  })
})
