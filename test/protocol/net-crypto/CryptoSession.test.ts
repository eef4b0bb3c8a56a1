import { assert, describe, it } from "@effect/vitest"
import { CryptoSession } from "../../../src/protocol/net-crypto/CryptoSession.ts"
import { DataCipher } from "../../../src/protocol/net-crypto/DataCipher.ts"
import { PayloadSlab } from "../../../src/protocol/net-crypto/PayloadSlab.ts"
import type { SessionHost } from "../../../src/protocol/net-crypto/SessionHost.ts"
import type { PeerPath, SendOutcome } from "../../../src/protocol/registry/PeerPath.ts"
import { keyPairFrom, plainCrypto } from "../../utils/plainCrypto.ts"

const ours = keyPairFrom(0x81)
const theirs = keyPairFrom(0xa1)
const nonce = new Uint8Array(24)
const route = { relay: { host: "relay.example", port: 1, publicKey: ours.publicKey }, reply: () => true }

/** A confirmed session over a path that is a few variables; `sent` collects the numbers of the data packets. */
const scene = () => {
  let now = 1_000
  const state = { carrier: 1, outcome: "sent" as SendOutcome, inSend: () => {} }
  const peer = new DataCipher(plainCrypto.box(ours.publicKey, theirs.secretKey)!, nonce, nonce)
  const plain = new Uint8Array(1_400)
  const sent: Array<number> = []
  const path: PeerPath = {
    peer: theirs.publicKey,
    send: (frame, length) => {
      if (state.outcome !== "sent") return state.outcome
      peer.open(frame.slice(1, length), plain, 0)
      if (plain[peer.payloadAt]! >= 16) sent.push(peer.number)
      state.inSend()
      return "sent"
    },
    carrier: () => state.carrier,
    room: () => 1_000_000,
    moveOn: () => false,
    heard: () => {},
    tie: () => {},
    ways: () => [],
    standbys: () => [],
    sendVia: () => false,
    judge: () => {},
    prefer: () => {},
    isAsleep: false,
    sleep: () => {},
    wake: () => {},
    tieHome: () => {},
    close: () => {}
  }
  const host: SessionHost = {
    numbers: {
      connectionTimeout: 32_000,
      requestInterval: 1_000,
      stallTimeout: 400,
      sendBuffer: 100_000,
      receiveBuffer: 100_000,
      maxInFlight: 1_000_000,
      ackBytes: 32_768,
      ackDelay: 2,
      parkGrace: 1_000,
      wakeTimeout: 2_000
    },
    slab: new PayloadSlab(),
    budget: { used: 0, limit: 1_000_000 },
    now: () => now,
    onConfirmed: () => {},
    onLossless: () => {},
    onLossy: () => {},
    onWritable: () => {},
    onAcknowledged: () => {},
    onKilled: () => {},
    onWaking: () => {},
    onWoken: () => {},
    onTouched: () => {}
  }
  const session = new CryptoSession(host, path, plainCrypto.box(theirs.publicKey, ours.secretKey)!, nonce, nonce)
  /** A request packet of the peer, with its acknowledgement. */
  const request = (acknowledged: number, ...list: ReadonlyArray<number>): void => {
    const frame = new Uint8Array(1_401)
    session.receive(frame.slice(1, peer.seal(frame, acknowledged, 0, Uint8Array.of(1, ...list))), route)
    session.endBatch(now)
  }
  request(0)
  return { session, state, sent, request, pass: (time: number) => (now += time), now: () => now }
}

describe("CryptoSession", () => {
  it("T23: the carrier changes in the middle of a send: every packet goes once over the new one, and the books agree", () => {
    const { now, pass, request, sent, session, state } = scene()
    for (let i = 0; i < 4; i++) session.trySend(Uint8Array.of(160, i))
    assert.deepStrictEqual(sent.splice(0), [0, 1, 2, 3])
    pass(1_000)
    state.inSend = () => {
      state.inSend = () => {}
      state.carrier = 2
      session.onCarrierChange(1, now())
    }
    // The peer misses 0 and 1; sending 0 again changes the carrier, so 2 and 3 are lost with the old one.
    request(0, 1, 1)
    assert.deepStrictEqual(sent.splice(0), [0, 1, 2, 3])
    assert.strictEqual(session.counters.resent, 4)
    pass(10)
    request(4)
    assert.strictEqual(session.sending.inFlightPackets, 0)
    session.trySend(Uint8Array.of(160, 4))
    assert.deepStrictEqual(sent.splice(0), [4])
    // What went by the new carrier is lost with it, and with no other.
    session.onCarrierChange(1, now())
    assert.deepStrictEqual(sent.splice(0), [])
    session.onCarrierChange(2, now())
    assert.deepStrictEqual(sent.splice(0), [4])
  })

  it("a path that takes nothing keeps everything queued, in order", () => {
    const { now, sent, session, state } = scene()
    state.outcome = "blocked"
    for (let i = 0; i < 5; i++) assert.isTrue(session.trySend(Uint8Array.of(160, i)))
    assert.deepStrictEqual([session.sending.queuedPackets, session.sending.inFlightPackets], [5, 0])
    state.outcome = "sent"
    session.pump(now())
    assert.deepStrictEqual(sent, [0, 1, 2, 3, 4])
  })

  it("after dispose nothing is sent, nothing is taken and nothing throws", () => {
    const { now, sent, session } = scene()
    session.dispose()
    assert.isFalse(session.trySend(Uint8Array.of(160)))
    assert.isFalse(session.sendLossy(Uint8Array.of(200)))
    session.kill()
    session.pump(now())
    session.endBatch(now())
    session.hold(false)
    assert.deepStrictEqual(sent, [])
  })
})
