/**
 * Writes the golden vectors of test/vectors. It knows the protocols only from their documents and libsodium, and never imports the
 * library it is there to check: bytes are put together by hand, in the order of the documents' tables, and sealed messages are
 * compared with the known answers that were made with c-toxcore before anything is written.
 *
 *     node scripts/vectors.ts           documents
 *     node scripts/vectors.ts --live    also records sessions with a stock relay and a stock peer
 */
import sodium from "libsodium-wrappers"
import { createHash } from "node:crypto"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { recordStock } from "./vectorsLive.ts"

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")
const unhex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, "hex"))
const cat = (...parts: ReadonlyArray<Uint8Array>): Uint8Array => Uint8Array.from(Buffer.concat(parts))
const text = (value: string): Uint8Array => Uint8Array.from(Buffer.from(value, "utf8"))
/** `count` consecutive byte values. */
const run = (first: number, count: number): Uint8Array => Uint8Array.from({ length: count }, (_, i) => first + i & 0xff)
const fill = (value: number, count: number): Uint8Array => new Uint8Array(count).fill(value)
const u8 = (value: number) => Uint8Array.of(value)
const be = (value: number, size: number) => run(0, size).map((i) => Math.floor(value / 256 ** (size - 1 - i)) % 256)
const le = (value: number, size: number) => be(value, size).reverse()
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")
const sha512 = (bytes: Uint8Array): Uint8Array => Uint8Array.from(createHash("sha512").update(bytes).digest())

const expect = (what: string, found: string, known: string): void => {
  if (found !== known) throw new Error(`${what}: made ${found}, the document says ${known}`)
}

const folder = join(import.meta.dirname, "..", "test", "vectors")
const write = (name: string, value: unknown): void => {
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, `${name}.json`), `${JSON.stringify(value, undefined, 2)}\n`)
}

await sodium.ready
const publicKey = (secret: Uint8Array) => sodium.crypto_scalarmult_base(secret)
const seal = (message: Uint8Array, nonce: Uint8Array, theirs: Uint8Array, ours: Uint8Array) =>
  sodium.crypto_box_easy(message, nonce, theirs, ours)
const sharedKey = (theirs: Uint8Array, ours: Uint8Array) => sodium.crypto_box_beforenm(theirs, ours)

/** Relay protocol, section 15. */
const relayHandshake = () => {
  const relay = run(0x01, 32)
  const client = run(0x21, 32)
  const clientEphemeral = run(0x41, 32)
  const relayEphemeral = run(0x61, 32)
  const clientNonce = fill(0xa1, 24)
  const relayNonce = fill(0xc1, 24)
  const clientBase = cat(fill(0xb1, 23), u8(0xff))
  const relayBase = fill(0xd1, 24)
  const clientPayload = cat(publicKey(clientEphemeral), clientBase)
  const relayPayload = cat(publicKey(relayEphemeral), relayBase)
  const clientHello = cat(publicKey(client), clientNonce, seal(clientPayload, clientNonce, publicKey(relay), client))
  const serverHello = cat(relayNonce, seal(relayPayload, relayNonce, publicKey(client), relay))
  const sessionKey = sharedKey(publicKey(relayEphemeral), clientEphemeral)
  expect("client hello", sha256(clientHello), "ddeae1856e841fde8fe86b52e8b62d40e2474ea5d6bb4cee363987715aac51b6")
  expect("server hello", sha256(serverHello), "c84573c4bd9d760f3feea8475231b787fea87ea8473cc01349a683c0a121b611")
  expect("session key", hex(sessionKey), "fad97f4c552999bded1d5887896dc849ad1ba9485b616188a9df62dce12b4603")
  expect(
    "static key",
    hex(sharedKey(publicKey(relay), client)),
    "ec88f6e13b22bf9f04d480e0d8525c08ac7e2f48e212742bcbcafa104a74b08d"
  )

  const frame = (from: "client" | "relay", nonce: Uint8Array, plaintext: Uint8Array, known: string) => {
    const body = sodium.crypto_box_easy_afternm(plaintext, nonce, sessionKey)
    const wire = hex(cat(be(body.length, 2), body))
    expect(`frame of the ${from}`, wire, known)
    return { from, nonce: hex(nonce), plaintext: hex(plaintext), wire }
  }
  const pingId = unhex("0102030405060708")
  return {
    relay: { secretKey: hex(relay), publicKey: hex(publicKey(relay)) },
    client: { secretKey: hex(client), publicKey: hex(publicKey(client)) },
    clientEphemeral: { secretKey: hex(clientEphemeral), publicKey: hex(publicKey(clientEphemeral)) },
    relayEphemeral: { secretKey: hex(relayEphemeral), publicKey: hex(publicKey(relayEphemeral)) },
    clientNonce: hex(clientNonce),
    relayNonce: hex(relayNonce),
    clientBase: hex(clientBase),
    relayBase: hex(relayBase),
    staticKey: hex(sharedKey(publicKey(relay), client)),
    sessionKey: hex(sessionKey),
    clientPayload: hex(clientPayload),
    relayPayload: hex(relayPayload),
    clientHello: hex(clientHello),
    serverHello: hex(serverHello),
    frames: [
      frame("client", clientBase, cat(u8(4), pingId), "0019c1855be951746934dbf1822c0ee82939d70dab8b3e8e5fcf44"),
      frame(
        "client",
        cat(fill(0xb1, 22), unhex("b200")),
        cat(u8(0), publicKey(relay)),
        "0031459206ff8a667cb411113b9e40c088db603166a247edfd17c5c8c3d8cc81ed41028fe7b6f67ca01988ffff47ede344fd0c"
      ),
      frame("relay", relayBase, cat(u8(5), pingId), "00195a60d471c3acf4145542d0902d4c5840f60bb48ed524b6b799")
    ]
  }
}

/** net_crypto, section 16. */
const netCrypto = () => {
  const senderReal = run(0x01, 32)
  const receiverReal = run(0x21, 32)
  const senderDht = run(0x41, 32)
  const receiverDht = run(0x61, 32)
  const session = run(0x81, 32)
  const peerSession = run(0xa1, 32)
  const baseNonce = cat(fill(0xb1, 22), unhex("ffff"))

  const requestNonce = fill(0xa1, 24)
  const echoId = unhex("0102030405060708")
  const requestContent = cat(publicKey(senderReal), new Uint8Array(32), echoId)
  const cookieRequest = cat(
    u8(24),
    publicKey(senderDht),
    requestNonce,
    seal(requestContent, requestNonce, publicKey(receiverDht), senderDht)
  )
  expect("cookie request", sha256(cookieRequest), "c664cc0288abb42efc8a8fe50393e7fd29124bdeabc50ac697f834c411484e78")

  const handshakeNonce = fill(0xa2, 24)
  const outerCookie = run(0, 112)
  const innerCookie = run(100, 112)
  const handshakeContent = cat(baseNonce, publicKey(session), sha512(outerCookie), innerCookie)
  const handshake = cat(
    u8(26),
    outerCookie,
    handshakeNonce,
    seal(handshakeContent, handshakeNonce, publicKey(receiverReal), senderReal)
  )
  expect("handshake", sha256(handshake), "844513d8a74b6228919ce216ef1e0d0b77b70c74abee0ef957b2a40979fef935")

  const sessionKey = sharedKey(publicKey(peerSession), session)
  const data = (nonce: Uint8Array, number: number, payload: Uint8Array, known: string) => {
    const padding = new Uint8Array((1373 - payload.length) % 8)
    const plaintext = cat(be(0, 4), be(number, 4), padding, payload)
    const wire = cat(u8(27), nonce.subarray(22), sodium.crypto_box_easy_afternm(plaintext, nonce, sessionKey))
    expect(`data ${number}`, hex(wire), known)
    return { number, nonce: hex(nonce), payload: hex(payload), plaintext: hex(plaintext), wire: hex(wire) }
  }
  const keyPair = (secretKey: Uint8Array) => ({ secretKey: hex(secretKey), publicKey: hex(publicKey(secretKey)) })
  return {
    senderReal: keyPair(senderReal),
    receiverReal: keyPair(receiverReal),
    senderDht: keyPair(senderDht),
    receiverDht: keyPair(receiverDht),
    session: keyPair(session),
    peerSession: keyPair(peerSession),
    baseNonce: hex(baseNonce),
    sessionKey: hex(sessionKey),
    cookieRequest: {
      nonce: hex(requestNonce),
      echoId: hex(echoId),
      content: hex(requestContent),
      wire: hex(cookieRequest)
    },
    handshake: {
      nonce: hex(handshakeNonce),
      outerCookie: hex(outerCookie),
      innerCookie: hex(innerCookie),
      content: hex(handshakeContent),
      wire: hex(handshake)
    },
    data: [
      data(baseNonce, 0, u8(0x18), "1bffff365c4af382294663b34a29a4fc29db0f06ac74f6daa83039a830174e32"),
      data(
        cat(fill(0xb1, 21), unhex("b20000")),
        1,
        u8(0x10),
        "1b00009e613f6ab28db3ad5983f2f37f704466e5eef91a161cbcdbb0fa4e7610"
      )
    ],
    /** Section 9: payloads of request packets that c-toxcore made. `end` is one past the last packet that is known of. */
    requests: [
      { start: 5, end: 5, missing: [], payload: "01" },
      { start: 1, end: 2, missing: [1], payload: "0101" },
      { start: 1, end: 5, missing: [1, 4], payload: "010103" },
      { start: 1, end: 1025, missing: [3, 6, 1024], payload: "010303000000fd" },
      { start: 1, end: 257, missing: [1, 256], payload: "0101ff" },
      { start: 1, end: 258, missing: [1, 257], payload: "01010001" },
      { start: 10, end: 13, missing: [10, 11, 12], payload: "01010101" }
    ]
  }
}

/** A value in JSON: bytes are `{ hex }`, 64-bit integers `{ u64 }`. */
const bytes = (value: Uint8Array) => ({ hex: hex(value) })
const key = run(0x11, 32)

const packet = (codec: string, tag: string, fields: Record<string, unknown>, ...parts: ReadonlyArray<Uint8Array>) => ({
  codec,
  tag,
  fields,
  hex: hex(cat(...parts))
})

const relayPackets = () => {
  const relay = (tag: string, fields: Record<string, unknown>, ...parts: ReadonlyArray<Uint8Array>) =>
    packet("RelayPacket", tag, fields, ...parts)
  const pingId = run(0xf0, 8)
  const payload = text("payload")
  const target = cat(u8(2), unhex("7f000001"), be(33445, 2))
  return [
    relay("RoutingRequest", { publicKey: bytes(key) }, u8(0), key),
    relay("RoutingResponse", { connectionId: 16, publicKey: bytes(key) }, u8(1), u8(16), key),
    relay("RoutingResponse", { connectionId: 0, publicKey: bytes(key) }, u8(1), u8(0), key),
    relay("ConnectNotification", { connectionId: 255 }, u8(2), u8(255)),
    relay("DisconnectNotification", { connectionId: 16 }, u8(3), u8(16)),
    relay("Ping", { pingId: bytes(pingId) }, u8(4), pingId),
    relay("Pong", { pingId: bytes(pingId) }, u8(5), pingId),
    relay("OobSend", { destination: bytes(key), payload: bytes(payload) }, u8(6), key, payload),
    relay("OobReceive", { sender: bytes(key), payload: bytes(payload) }, u8(7), key, payload),
    relay("OnionRequest", { payload: bytes(payload) }, u8(8), payload),
    relay("OnionResponse", { payload: bytes(payload) }, u8(9), payload),
    relay("ForwardRequest", { payload: bytes(cat(target, payload)) }, u8(10), target, payload),
    relay("Forwarding", { payload: bytes(payload) }, u8(11), payload),
    relay("Data", { connectionId: 16, payload: bytes(payload) }, u8(16), payload),
    relay("Data", { connectionId: 255, payload: bytes(u8(0)) }, u8(255), u8(0))
  ]
}

const peerPackets = () => {
  const instance = run(0x70, 16)
  const node = (family: number, address: string) => cat(u8(family), unhex(address), be(443, 2), key)
  const shared = { port: 443, publicKey: bytes(key) }
  return [
    packet(
      "ShareRelays",
      "ShareRelays",
      {
        nodes: [
          { transport: "Tcp", host: "192.0.2.7", ...shared },
          { transport: "Tcp", host: "2001:db8::7", ...shared },
          { transport: "Udp", host: "192.0.2.8", ...shared }
        ]
      },
      u8(17),
      node(130, "c0000207"),
      node(138, "20010db8000000000000000000000007"),
      node(2, "c0000208")
    ),
    packet(
      "ShareRelays",
      "ShareRelays",
      {
        nodes: [{ transport: "Udp", host: "::1", ...shared }]
      },
      u8(17),
      node(10, "00000000000000000000000000000001")
    ),
    packet("LinkControl", "LinkHello", { version: 1, instanceId: bytes(instance) }, u8(177), u8(1), be(1, 2), instance),
    packet("LinkControl", "Park", { nextPacketNumber: 0x01020304 }, u8(177), u8(2), be(0x01020304, 4)),
    packet("LinkControl", "ParkAck", {}, u8(177), u8(3))
  ]
}

const sessionFrames = () => {
  const id = 0x80000001
  const instance = run(0x70, 16)
  const frame = (tag: string, sessionId: number, descriptor: number, fields: object, ...parts: Array<Uint8Array>) => {
    const content = cat(...parts)
    const named = sessionId === 0xffffffff ? fields : { sessionId, ...fields }
    return packet("SessionFrame", tag, { ...named }, le(sessionId, 4), u8(descriptor), le(content.length, 4), content)
  }
  const link = 0xffffffff
  const u64 = (value: bigint) => ({ u64: value.toString() })
  return [
    frame("Bytes", 7, 0x0c, { bytes: bytes(text("hello")) }, text("hello")),
    frame("Bytes", 0, 0x0c, { bytes: bytes(new Uint8Array(0)) }),
    frame("Open", id, 0x40, { name: "é", credit: 65536 }, u8(2), unhex("c3a9"), le(65536, 4)),
    frame("Accept", id, 0x41, { credit: 0xfffffffe }, le(0xfffffffe, 4)),
    frame("Reset", id, 0x42, { code: 0x0102, message: "no" }, le(0x0102, 2), text("no")),
    frame("Close", id, 0x43, {}),
    frame("Credit", id, 0x44, { received: 0x0001020304050607, credit: 1 }, unhex("0706050403020100"), le(1, 4)),
    frame(
      "Resume",
      link,
      0x45,
      { instanceId: bytes(instance), epoch: 3, sessions: [{ _tag: "ResumedSession", sessionId: id, received: 258 }] },
      instance,
      le(3, 8),
      le(id, 4),
      le(258, 8)
    ),
    frame("Ping", link, 0x46, { value: u64(0xf102030405060708n) }, unhex("08070605040302f1")),
    frame("Pong", link, 0x47, { value: u64(1n) }, unhex("0100000000000000")),
    frame("GoAway", link, 0x48, { code: 1, message: "busy" }, le(1, 2), text("busy")),
    frame("Datagram", 1, 0x49, { bytes: bytes(u8(9)) }, u8(9))
  ]
}

/** Design, "Ticket". */
const tickets = () => {
  const identityKey = run(0x21, 32)
  const dhtKey = run(0x41, 32)
  const ticket = (content: object, ...parts: ReadonlyArray<Uint8Array>) => {
    const body = cat(u8(1), identityKey, dhtKey, ...parts)
    const all = cat(body, sha512(body).subarray(0, 4))
    return {
      value: { identityKey: bytes(identityKey), dhtKey: bytes(dhtKey), ...content },
      text: `causeway:${Buffer.from(all).toString("base64url")}`
    }
  }
  const name = text("relay.example.org")
  return [
    ticket({ relays: [], endpoints: [] }, u8(0), u8(0)),
    ticket(
      {
        relays: [
          { host: "192.0.2.7", port: 33445, publicKey: bytes(key) },
          { host: "2001:db8::7", port: 443, publicKey: bytes(key) },
          { host: "relay.example.org", port: 3389, publicKey: bytes(key) }
        ],
        endpoints: [{ host: "198.51.100.1", port: 5000 }, { host: "::1", port: 5001 }]
      },
      u8(3),
      cat(u8(130), unhex("c0000207"), be(33445, 2), key),
      cat(u8(138), unhex("20010db8000000000000000000000007"), be(443, 2), key),
      cat(u8(240), u8(name.length), name, be(3389, 2), key),
      u8(2),
      cat(u8(2), unhex("c6336401"), be(5000, 2)),
      cat(u8(10), unhex("00000000000000000000000000000001"), be(5001, 2))
    )
  ]
}

write("relay-handshake", relayHandshake())
write("net-crypto", netCrypto())
write("packets", [...relayPackets(), ...peerPackets(), ...sessionFrames()])
write("tickets", tickets())
if (process.argv.includes("--live")) write("stock", await recordStock())
