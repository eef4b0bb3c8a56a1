import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { RelayIds } from "../../../src/protocol/relay/RelayIds.ts"
import { RelayInbound } from "../../../src/protocol/relay/RelayInbound.ts"
import type { PublicKey } from "../../../src/schema/Bytes.ts"
import { hex } from "../../utils/plainCrypto.ts"

const key = (n: number) => new Uint8Array(32).fill(n) as PublicKey
const ours = key(0xee)
const bytes = (...parts: Array<number | Uint8Array>) =>
  Uint8Array.from(parts.flatMap((part) => typeof part === "number" ? [part] : [...part]))
const pingId = bytes(1, 2, 3, 4, 5, 6, 7, 8)

/** Id 16 is registered for key 1, id 17 is online for key 2, and key 3 has been asked for. */
const make = () => {
  const ids = new RelayIds()
  ids.request(key(1))
  ids.onResponse(16, key(1))
  ids.request(key(2))
  ids.onResponse(17, key(2))
  ids.onConnect(17)
  ids.request(key(3))
  const seen: Array<unknown> = []
  const inbound = new RelayInbound(ids, ours, {
    onPing: (id) => seen.push(["ping", hex(id)]),
    onPong: (id) => seen.push(["pong", hex(id)]),
    onRouteResponse: (id, peer) => seen.push(["response", id, peer[0]]),
    onPeerOnline: (id) => seen.push(["online", id]),
    onPeerOffline: (id) => seen.push(["offline", id]),
    onData: (id, data) => seen.push(["data", id, hex(data)]),
    onOob: (sender, data) => seen.push(["oob", sender[0], hex(data)]),
    onOnion: (data) => seen.push(["onion", hex(data)]),
    onForwarded: (data) => seen.push(["forwarded", hex(data)])
  })
  return { ids, inbound, seen }
}

/** Given a packet: what is reported, or that it is dropped, or that it is a violation. */
const outcome = (packet: Uint8Array): unknown => {
  const { ids, inbound, seen } = make()
  const before = ids.counts()
  const violation = inbound.accept(packet)
  if (violation !== undefined) {
    expect(seen).toEqual([])
    expect(ids.counts()).toEqual(before)
    return "violation"
  }
  if (seen.length === 0) expect(inbound.dropped).toBe(1)
  return seen.length === 0 ? "dropped" : seen
}

describe("RelayInbound", () => {
  describe("C09: hands on every packet that a relay may send", () => {
    it.each<[string, Uint8Array, unknown]>([
      ["routing response", bytes(1, 18, key(3)), [["response", 18, 3]]],
      ["routing response of id 0, a refusal", bytes(1, 0, key(3)), [["response", 0, 3]]],
      ["connect notification", bytes(2, 16), [["online", 16]]],
      ["disconnect notification", bytes(3, 17), [["offline", 17]]],
      ["ping", bytes(4, pingId), [["ping", "0102030405060708"]]],
      ["pong", bytes(5, pingId), [["pong", "0102030405060708"]]],
      ["OOB of 1 byte", bytes(7, key(9), 5), [["oob", 9, "05"]]],
      ["OOB of 1024 bytes", bytes(7, key(9), new Uint8Array(1024)), [["oob", 9, "00".repeat(1024)]]],
      ["onion response", bytes(9, 1, 2), [["onion", "0102"]]],
      ["forwarded packet", bytes(11, 1, 2), [["forwarded", "0102"]]],
      ["data on an online id", bytes(17, 7, 8), [["data", 17, "0708"]]],
      ["data on a registered id", bytes(16, 7), [["data", 16, "07"]]],
      ["data of the largest size", bytes(17, new Uint8Array(2031)), [["data", 17, "00".repeat(2031)]]]
    ])("%s", (_, packet, expected) => expect(outcome(packet)).toEqual(expected))
  })

  describe("relay client: drops what is harmless, without changing any state", () => {
    it.each<[string, Uint8Array]>([
      ["response for a key not asked for", bytes(1, 18, key(4))],
      ["response for a key that was answered", bytes(1, 18, key(1))],
      ["connect for an id without a response", bytes(2, 18)],
      ["connect for an online id", bytes(2, 17)],
      ["disconnect for a registered id", bytes(3, 16)],
      ["disconnect for a free id", bytes(3, 18)],
      ["ping of id 0", bytes(4, new Uint8Array(8))],
      ["OOB from ourselves", bytes(7, ours, 1)],
      ["data on an unlinked id", bytes(18, 1, 2, 3)],
      ["empty data on an online id (a peer could cut us off)", bytes(17)],
      ["empty data on a free id", bytes(200)]
    ])("%s", (_, packet) => {
      expect(outcome(packet)).toBe("dropped")
      const { ids, inbound } = make()
      const before = ids.counts()
      inbound.accept(packet)
      expect(ids.counts()).toEqual(before)
    })
  })

  describe("relay client: settles a request that cannot be granted as refused", () => {
    it.each([1, 15, 16, 17])("id %i", (id) => {
      expect(outcome(bytes(1, id, key(3)))).toEqual([["response", 0, 3]])
    })
  })

  it("reports a repeated response, and that the peer is online already", () => {
    const { ids, inbound, seen } = make()
    ids.request(key(2))
    inbound.accept(bytes(1, 17, key(2)))
    expect(seen).toEqual([["response", 17, 2], ["online", 17]])
  })

  describe("relay client: closes on what is malformed", () => {
    it.each<[string, Uint8Array]>([
      ...[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15].map((type): [string, Uint8Array] => [
        `one byte, type ${type}`,
        bytes(type)
      ]),
      ["routing request", bytes(0, key(1))],
      ["OOB send", bytes(6, key(1), 1)],
      ["onion request", bytes(8, new Uint8Array(200))],
      ["forward request", bytes(10, new Uint8Array(20))],
      ...[12, 13, 14, 15].map((type): [string, Uint8Array] => [`type ${type}`, bytes(type, 1, 2)]),
      ["routing response of 33 bytes", bytes(1, key(3))],
      ["routing response of 35 bytes", bytes(1, 18, key(3), 0)],
      ["connect of 3 bytes", bytes(2, 16, 0)],
      ["connect for id 0", bytes(2, 0)],
      ["connect for id 15", bytes(2, 15)],
      ["disconnect of 3 bytes", bytes(3, 17, 0)],
      ["disconnect for id 0", bytes(3, 0)],
      ["disconnect for id 15", bytes(3, 15)],
      ["ping of 8 bytes", bytes(4, pingId.subarray(1))],
      ["ping of 10 bytes", bytes(4, pingId, 0)],
      ["pong of 8 bytes", bytes(5, pingId.subarray(1))],
      ["pong of 10 bytes", bytes(5, pingId, 0)],
      ["pong of id 0", bytes(5, new Uint8Array(8))],
      ["OOB without payload", bytes(7, key(9))],
      ["OOB of 20 bytes", bytes(7, new Uint8Array(19))]
    ])("%s", (_, packet) => expect(outcome(packet)).toBe("violation"))
  })

  it("gives keys that outlive the packet", () => {
    const ids = new RelayIds()
    const keys: Array<PublicKey> = []
    const ignore = () => {}
    const inbound = new RelayInbound(ids, ours, {
      onPing: ignore,
      onPong: ignore,
      onPeerOnline: ignore,
      onPeerOffline: ignore,
      onData: ignore,
      onOnion: ignore,
      onForwarded: ignore,
      onRouteResponse: (_, peer) => keys.push(peer),
      onOob: (sender) => keys.push(sender)
    })
    ids.request(key(3))
    for (const packet of [bytes(1, 18, key(3)), bytes(7, key(9), 1)]) {
      inbound.accept(packet)
      packet.fill(0)
    }
    expect(keys.map(hex)).toEqual([hex(key(3)), hex(key(9))])
  })

  it("property: never throws, and never touches another peer's id, whatever bytes come", () => {
    const packet = fc.oneof(
      fc.uint8Array({ minLength: 1, maxLength: 60 }),
      fc.tuple(fc.integer({ min: 0, max: 20 }), fc.uint8Array({ minLength: 0, maxLength: 45 }))
        .map(([type, rest]) => bytes(type, rest))
    )
    fc.assert(
      fc.property(fc.array(packet, { maxLength: 20 }), (packets) => {
        const { ids, inbound, seen } = make()
        for (const packet of packets) inbound.accept(packet)
        // Only a disconnect notification for id 17 itself ends it, only a connect for 16 itself begins it.
        const ends = seen.filter((event) => Array.isArray(event) && event[0] === "offline" && event[1] === 17).length
        const begins = seen.filter((event) => Array.isArray(event) && event[0] === "online" && event[1] === 17).length
        expect(ids.isOnline(17)).toBe(begins === ends)
        expect(ids.isHeld(16)).toBe(true)
      }),
      { numRuns: 500 }
    )
  })
})
