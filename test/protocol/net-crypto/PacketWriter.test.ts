import { assert, describe, it } from "@effect/vitest"
import { DataCipher } from "../../../src/protocol/net-crypto/DataCipher.ts"
import { PacketWriter } from "../../../src/protocol/net-crypto/PacketWriter.ts"
import { ReceiveWindow } from "../../../src/protocol/net-crypto/ReceiveWindow.ts"
import { SendWindow } from "../../../src/protocol/net-crypto/SendWindow.ts"
import { FakeHost, relayAt } from "../../utils/FakeLinks.ts"
import { keyPairFrom, plainCrypto } from "../../utils/plainCrypto.ts"

const nonce = new Uint8Array(24)

/** A session that misses 5000 packets, more than one request can name. */
const writerThatMisses = (): PacketWriter => {
  const cipher = new DataCipher(
    plainCrypto.box(keyPairFrom(0xa1).publicKey, keyPairFrom(0x81).secretKey)!,
    nonce,
    nonce
  )
  const receiving = new ReceiveWindow(1_000_000, { used: 0, limit: 1_000_000 })
  receiving.learnEnd(5_000)
  return new PacketWriter(cipher, new SendWindow(), receiving)
}

describe("PacketWriter", () => {
  it("T39: a long request is cut to what fits out of band while the peer is online nowhere, and only then", () => {
    const host = new FakeHost()
    const { path } = host.open(1)
    path.tie(relayAt(1))
    const link = host.relays.confirm(1)
    const id = link.grant(1)
    const writer = writerThatMisses()
    assert.strictEqual(writer.sendRequest(path, false), "sent")
    assert.deepStrictEqual(link.oob.map(({ bytes }) => bytes.length > 900 && bytes.length <= 1024), [true])
    link.online(id)
    assert.strictEqual(writer.sendRequest(path, false), "sent")
    assert.deepStrictEqual(link.data.map(({ bytes }) => bytes.length > 1024), [true])
    assert.deepStrictEqual(host.relays.violations, [])
  })
})
