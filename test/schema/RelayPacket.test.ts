import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Hello from "../../src/schema/RelayHello.ts"
import * as Relay from "../../src/schema/RelayPacket.ts"
import { hex, readVectors, unhex } from "../vectors/vectors.ts"

const accepted = (
  codec: { decode(bytes: Uint8Array): Result.Result<unknown, unknown> },
  id: number,
  size: number
): boolean => {
  const bytes = new Uint8Array(size).fill(1)
  bytes[0] = id
  return Result.isSuccess(codec.decode(bytes))
}

/** The sizes of whole packets that each type allows, both limits included (relay protocol, sections 5, 7.2 and 8.1). */
const sizes = new Map<number, readonly [number, number]>([
  [0, [33, 33]],
  [1, [34, 34]],
  [2, [2, 2]],
  [3, [2, 2]],
  [4, [9, 9]],
  [5, [9, 9]],
  [6, [34, 1057]],
  [7, [34, 2032]],
  [8, [1, 2032]],
  [9, [2, 2032]],
  [10, [8, 1812]],
  [11, [2, 2032]],
  [16, [2, 2032]],
  [255, [2, 2032]]
])

describe("RelayPacket", () => {
  it("C10: every length that the protocol forbids is refused, every other one taken", () => {
    for (const [id, [minimum, maximum]] of sizes) {
      for (let size = 1; size <= 2100; size++) {
        assert.strictEqual(accepted(Relay.RelayPacket, id, size), size >= minimum && size <= maximum, `${id}, ${size}`)
      }
    }
    assert.isTrue(Result.isFailure(Relay.RelayPacket.decode(new Uint8Array(0))))
  })

  it("C09: types 12 to 15 do not exist, ids 16 to 255 are data", () => {
    for (let id = 0; id < 256; id++) {
      assert.strictEqual(Relay.RelayPacket.allows(id), id < 12 || id > 15, `${id}`)
      if (id >= 16) {
        const data = Result.getOrThrow(Relay.RelayPacket.decode(Uint8Array.of(id, 7)))
        assert.deepStrictEqual(data, Relay.Data.make({ connectionId: id, payload: Uint8Array.of(7) }))
      } else if (id > 11) {
        for (let size = 1; size < 64; size++) assert.isFalse(accepted(Relay.RelayPacket, id, size))
      }
    }
  })

  it("C09: each side may receive only what the other may send", () => {
    const ids = (codec: typeof Relay.fromClient | typeof Relay.fromRelay) =>
      Array.from({ length: 16 }, (_, id) => id).filter((id) => codec.allows(id))
    assert.deepStrictEqual(ids(Relay.fromClient), [0, 2, 3, 4, 5, 6, 8, 10])
    assert.deepStrictEqual(ids(Relay.fromRelay), [1, 2, 3, 4, 5, 7, 9, 11])
    for (let id = 16; id < 256; id++) assert.isTrue(Relay.fromClient.allows(id) && Relay.fromRelay.allows(id))
    for (const id of [1, 7, 9, 11, 12, 13, 14, 15]) {
      for (const size of [2, 9, 33, 34, 1000]) assert.isFalse(accepted(Relay.fromClient, id, size), `${id}`)
    }
    for (const id of [0, 6, 8, 10, 12, 13, 14, 15]) {
      for (const size of [2, 9, 33, 34, 1000]) assert.isFalse(accepted(Relay.fromRelay, id, size), `${id}`)
    }
  })

  it("C09: a refused routing request has id 0", () => {
    const response = Result.getOrThrow(Relay.fromRelay.decode(Uint8Array.of(1, 0, ...new Uint8Array(32))))
    assert.strictEqual(response._tag === "RoutingResponse" && response.connectionId, 0)
  })

  it("says what is wrong with a packet", () => {
    const problem = (bytes: Uint8Array) => Result.getOrThrow(Result.flip(Relay.RelayPacket.decode(bytes))).message
    assert.strictEqual(problem(new Uint8Array(10).fill(4)), "Ping of 10 bytes, expected 9")
    assert.strictEqual(problem(Uint8Array.of(12, 1)), "unknown packet id 12")
    assert.strictEqual(problem(Uint8Array.of(6, 1)), "OobSend of 2 bytes, expected 34..1057")
  })
})

describe("RelayHello", () => {
  const vectors = readVectors<
    Record<"clientHello" | "serverHello" | "clientPayload" | "clientNonce" | "relayNonce" | "clientBase", string> & {
      readonly client: { readonly publicKey: string }
      readonly clientEphemeral: { readonly publicKey: string }
    }
  >("relay-handshake")

  it("C10: golden hellos of 128 and 96 bytes", () => {
    const client = Result.getOrThrow(Hello.ClientHello.decode(unhex(vectors.clientHello)))
    assert.strictEqual(hex(client.publicKey), vectors.client.publicKey)
    assert.strictEqual(hex(client.nonce), vectors.clientNonce)
    assert.strictEqual(hex(Hello.ClientHello.encode(client)), vectors.clientHello)
    const server = Result.getOrThrow(Hello.ServerHello.decode(unhex(vectors.serverHello)))
    assert.strictEqual(hex(server.nonce), vectors.relayNonce)
    assert.strictEqual(hex(Hello.ServerHello.encode(server)), vectors.serverHello)
    const payload = Result.getOrThrow(Hello.HelloPayload.decode(unhex(vectors.clientPayload)))
    assert.strictEqual(hex(payload.ephemeralKey), vectors.clientEphemeral.publicKey)
    assert.strictEqual(hex(payload.baseNonce), vectors.clientBase)
    assert.strictEqual(hex(Hello.HelloPayload.encode(payload)), vectors.clientPayload)
  })

  it("C10: any other length is refused", () => {
    for (let size = 0; size < 200; size++) {
      const bytes = new Uint8Array(size)
      assert.strictEqual(Result.isSuccess(Hello.ClientHello.decode(bytes)), size === Hello.clientHelloSize)
      assert.strictEqual(Result.isSuccess(Hello.ServerHello.decode(bytes)), size === Hello.serverHelloSize)
      assert.strictEqual(Result.isSuccess(Hello.HelloPayload.decode(bytes)), size === Hello.helloPayloadSize)
    }
    assert.deepStrictEqual([Hello.clientHelloSize, Hello.serverHelloSize, Hello.helloPayloadSize], [128, 96, 56])
  })
})
