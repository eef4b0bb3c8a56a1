import * as Redacted from "effect/Redacted"
import { createHash } from "node:crypto"
import { describe, expect, it } from "vitest"
import { FrameSealer } from "../../../src/protocol/relay/FrameSealer.ts"
import { RelayFrames } from "../../../src/protocol/relay/RelayFrames.ts"
import {
  answerClientHello,
  clientHello,
  forgetHello,
  openServerHello
} from "../../../src/protocol/relay/relayHandshake.ts"
import type { PublicKey } from "../../../src/schema/Bytes.ts"
import * as EntropySeeded from "../../../src/testing/EntropySeeded.ts"
import { consecutive, hex, keyPairFrom, plainCrypto, unhex, watchedCrypto } from "../../utils/plainCrypto.ts"

const relay = keyPairFrom(0x01)
const client = keyPairFrom(0x21)
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex")

/** Replays the values of the vectors in the order in which a side draws them: ephemeral secret, nonce of the hello, base nonce. */
const script = (...values: Array<Uint8Array>) => (target: Uint8Array): void => {
  target.set(values.shift()!)
}
const baseNonce = new Uint8Array(24).fill(0xb1)
baseNonce[23] = 0xff
const clientFill = () => script(consecutive(0x41), new Uint8Array(24).fill(0xa1), baseNonce)
const relayFill = () => script(consecutive(0x61), new Uint8Array(24).fill(0xc1), new Uint8Array(24).fill(0xd1))

const vectors = () => {
  const hello = clientHello(plainCrypto, client, relay.publicKey, clientFill())!
  const answer = answerClientHello(plainCrypto, relay, hello.bytes, relayFill())!
  const session = openServerHello(plainCrypto, hello.state, answer.reply)!
  return { hello, answer, session }
}

describe("relay handshake", () => {
  it("makes the bytes of the known-answer vectors", () => {
    const { answer, hello, session } = vectors()
    expect(hello.bytes.length).toBe(128)
    expect(sha256(hello.bytes)).toBe("ddeae1856e841fde8fe86b52e8b62d40e2474ea5d6bb4cee363987715aac51b6")
    expect(answer.reply.length).toBe(96)
    expect(sha256(answer.reply)).toBe("c84573c4bd9d760f3feea8475231b787fea87ea8473cc01349a683c0a121b611")
    expect(hex(answer.clientKey)).toBe("5869aff450549732cbaaed5e5df9b30a6da31cb0e5742bad5ad4a1a768f1a67b")
    expect(hex(session.send)).toBe(hex(baseNonce))
    expect(hex(session.receive)).toBe("d1".repeat(24))
    expect(hex(answer.send)).toBe("d1".repeat(24))
    expect(hex(answer.receive)).toBe(hex(baseNonce))
  })

  it("C09: seals the frames of the known-answer vectors, with a big-endian nonce that carries", () => {
    const { answer, session } = vectors()
    const sealer = new FrameSealer(session.cipher, session.send)
    const ping = unhex("040102030405060708")
    sealer.append(ping, 9)
    const first = sealer.take()!
    expect(hex(first)).toBe("0019c1855be951746934dbf1822c0ee82939d70dab8b3e8e5fcf44")
    const request = Uint8Array.from([0, ...relay.publicKey])
    sealer.append(request, request.length)
    const second = sealer.take()!
    expect(hex(second)).toBe(
      "0031459206ff8a667cb411113b9e40c088db603166a247edfd17c5c8c3d8cc81ed41028fe7b6f67ca01988ffff47ede344fd0c"
    )
    const relaySealer = new FrameSealer(answer.cipher, answer.send)
    relaySealer.append(unhex("050102030405060708"), 9)
    const pong = relaySealer.take()!
    expect(hex(pong)).toBe("00195a60d471c3acf4145542d0902d4c5840f60bb48ed524b6b799")

    const seen: Array<string> = []
    const frames = new RelayFrames(answer.cipher, answer.receive)
    expect(frames.push(Uint8Array.from([...first, ...second]), (plain) => void seen.push(hex(plain)))).toBeUndefined()
    expect(new RelayFrames(session.cipher, session.receive).push(pong, (plain) => void seen.push(hex(plain))))
      .toBeUndefined()
    expect(seen).toEqual([hex(ping), hex(request), "050102030405060708"])
  })

  it("gives both sides one session with fresh randomness", () => {
    const entropy = EntropySeeded.make(1)
    const hello = clientHello(plainCrypto, client, relay.publicKey, entropy.fill)!
    const answer = answerClientHello(plainCrypto, relay, hello.bytes, entropy.fill)!
    const session = openServerHello(plainCrypto, hello.state, answer.reply)!
    expect(hex(session.send)).toBe(hex(answer.receive))
    expect(hex(session.receive)).toBe(hex(answer.send))
    expect(hex(session.send)).not.toBe(hex(session.receive))
    const sealed = new Uint8Array(17)
    session.cipher.seal(sealed, 0, Uint8Array.of(7), 0, 1, session.send)
    const plain = new Uint8Array(1)
    expect(answer.cipher.open(plain, 0, sealed, 0, 17, answer.receive)).toBe(true)
    expect(plain[0]).toBe(7)
  })

  it("refuses a client hello in which any one bit is flipped", () => {
    const { bytes } = clientHello(plainCrypto, client, relay.publicKey, clientFill())!
    for (let at = 0; at < bytes.length; at++) {
      const damaged = bytes.slice()
      // Never bit 7: X25519 ignores the top bit of a public key.
      damaged[at]! ^= 1 << (at % 7)
      expect(answerClientHello(plainCrypto, relay, damaged, relayFill()), `byte ${at}`).toBeUndefined()
    }
  })

  it("refuses a client hello of another length, of random bytes, and for another relay", () => {
    const { bytes } = clientHello(plainCrypto, client, relay.publicKey, clientFill())!
    expect(answerClientHello(plainCrypto, relay, bytes.subarray(0, 127), relayFill())).toBeUndefined()
    expect(answerClientHello(plainCrypto, relay, Uint8Array.from([...bytes, 0]), relayFill())).toBeUndefined()
    expect(answerClientHello(plainCrypto, relay, EntropySeeded.make(9).bytes(128), relayFill())).toBeUndefined()
    expect(answerClientHello(plainCrypto, keyPairFrom(0x81), bytes, relayFill())).toBeUndefined()
  })

  it("refuses a server hello in which any one bit is flipped, or of another length", () => {
    const { answer } = vectors()
    for (let at = 0; at < 96; at++) {
      const hello = clientHello(plainCrypto, client, relay.publicKey, clientFill())!
      const damaged = answer.reply.slice()
      damaged[at]! ^= 1 << (at % 8)
      expect(openServerHello(plainCrypto, hello.state, damaged), `byte ${at}`).toBeUndefined()
    }
    for (const size of [0, 95, 97]) {
      const hello = clientHello(plainCrypto, client, relay.publicKey, clientFill())!
      const wrong = new Uint8Array(size)
      wrong.set(answer.reply.subarray(0, size))
      expect(openServerHello(plainCrypto, hello.state, wrong)).toBeUndefined()
    }
  })

  it("accepts a replayed client hello without the session of the first: it draws fresh keys", () => {
    const { answer, hello } = vectors()
    const replay = answerClientHello(plainCrypto, relay, hello.bytes, EntropySeeded.make(4).fill)!
    expect(hex(replay.clientKey)).toBe(hex(answer.clientKey))
    expect(hex(replay.send)).not.toBe(hex(answer.send))
    const sealed = new Uint8Array(17)
    answer.cipher.seal(sealed, 0, Uint8Array.of(7), 0, 1, answer.receive)
    expect(replay.cipher.open(new Uint8Array(1), 0, sealed, 0, 17, replay.receive)).toBe(false)
  })

  it("has nothing to say to a relay with our own key or with a low-order key", () => {
    const fill = EntropySeeded.make(2).fill
    expect(clientHello(plainCrypto, client, client.publicKey, fill)).toBeUndefined()
    expect(clientHello(plainCrypto, client, new Uint8Array(32) as PublicKey, fill)).toBeUndefined()
    const one = new Uint8Array(32)
    one[0] = 1
    expect(clientHello(plainCrypto, client, one as PublicKey, fill)).toBeUndefined()
  })

  it("refuses a client that uses the relay's own key", () => {
    const { bytes } = clientHello(plainCrypto, client, relay.publicKey, clientFill())!
    const own = bytes.slice()
    own.set(relay.publicKey)
    expect(answerClientHello(plainCrypto, relay, own, relayFill())).toBeUndefined()
    // Even one that seals correctly, because it holds the relay's secret key.
    const cipher = plainCrypto.box(relay.publicKey, relay.secretKey)!
    const nonce = own.subarray(32, 56)
    cipher.seal(own, 56, Uint8Array.from([...client.publicKey, ...baseNonce]), 0, 56, nonce)
    expect(answerClientHello(plainCrypto, relay, own, relayFill())).toBeUndefined()
  })

  it("refuses low-order keys from the far side, outside and inside the seal", () => {
    const zero = new Uint8Array(128)
    expect(answerClientHello(plainCrypto, relay, zero, relayFill())).toBeUndefined()
    const lowOrderOffer = Uint8Array.from([...new Uint8Array(32), ...baseNonce])
    const { answer, hello } = vectors()
    const toRelay = hello.bytes.slice()
    plainCrypto.box(relay.publicKey, client.secretKey)!.seal(
      toRelay,
      56,
      lowOrderOffer,
      0,
      56,
      toRelay.subarray(32, 56)
    )
    expect(answerClientHello(plainCrypto, relay, toRelay, relayFill())).toBeUndefined()
    const toClient = answer.reply.slice()
    plainCrypto.box(client.publicKey, relay.secretKey)!
      .seal(toClient, 24, lowOrderOffer, 0, 56, toClient.subarray(0, 24))
    const again = clientHello(plainCrypto, client, relay.publicKey, clientFill())!
    expect(openServerHello(plainCrypto, again.state, toClient)).toBeUndefined()
  })

  describe("secrets", () => {
    /** Watches every cipher and every random buffer that the handshake makes. */
    const watch = () => {
      const { crypto, open } = watchedCrypto()
      const drawn: Array<Uint8Array> = []
      const entropy = EntropySeeded.make(3)
      const fill = (target: Uint8Array) => {
        entropy.fill(target)
        if (target.length === 32) drawn.push(target)
      }
      return { crypto, drawn, fill, open }
    }
    const zeros = hex(new Uint8Array(32))

    it("G1: leave nothing but the session's cipher on both sides", () => {
      const ours = watch()
      const theirs = watch()
      const hello = clientHello(ours.crypto, client, relay.publicKey, ours.fill)!
      expect(ours.drawn.map(hex)).not.toContain(zeros)
      const answer = answerClientHello(theirs.crypto, relay, hello.bytes, theirs.fill)!
      expect(theirs.drawn.map(hex)).toEqual([zeros])
      expect([...theirs.open]).toEqual([answer.cipher])
      const session = openServerHello(ours.crypto, hello.state, answer.reply)!
      expect(ours.drawn.map(hex)).toEqual([zeros])
      expect([...ours.open]).toEqual([session.cipher])
      expect(() => Redacted.value(hello.state.ephemeral.secretKey)).toThrow()
    })

    it("G1: leave nothing at all after a failure, or when no answer comes", () => {
      const ours = watch()
      const theirs = watch()
      const hello = clientHello(ours.crypto, client, relay.publicKey, ours.fill)!
      const damaged = hello.bytes.slice()
      damaged[100]! ^= 1
      expect(answerClientHello(theirs.crypto, relay, damaged, theirs.fill)).toBeUndefined()
      expect(theirs.open.size).toBe(0)
      expect(openServerHello(ours.crypto, hello.state, new Uint8Array(96))).toBeUndefined()
      expect(ours.open.size).toBe(0)
      expect(ours.drawn.map(hex)).toEqual([zeros])
      const silent = clientHello(ours.crypto, client, relay.publicKey, ours.fill)!
      forgetHello(silent.state)
      forgetHello(silent.state)
      expect(ours.open.size).toBe(0)
      expect(ours.drawn.map(hex)).toEqual([zeros, zeros])
    })

    it("cannot be opened twice", () => {
      const hello = clientHello(plainCrypto, client, relay.publicKey, clientFill())!
      const answer = answerClientHello(plainCrypto, relay, hello.bytes, relayFill())!
      expect(openServerHello(plainCrypto, hello.state, answer.reply)).toBeDefined()
      expect(openServerHello(plainCrypto, hello.state, answer.reply)).toBeUndefined()
    })
  })
})
