/**
 * A peer of net_crypto that is played by the test, packet by packet: it can say everything that a peer can say, right or wrong. It has
 * real keys and builds its packets with plain functions, so whatever it gets wrong is on purpose.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as TestClock from "effect/testing/TestClock"
import type { KeyPair } from "../../src/protocol/crypto/Crypto.ts"
import { CookieJar } from "../../src/protocol/net-crypto/CookieJar.ts"
import { DataCipher } from "../../src/protocol/net-crypto/DataCipher.ts"
import * as Handshake from "../../src/protocol/net-crypto/netCryptoHandshake.ts"
import type { PublicKey } from "../../src/schema/Bytes.ts"
import * as Packet from "../../src/schema/NetCryptoPacket.ts"
import * as EntropySeeded from "../../src/testing/EntropySeeded.ts"
import type { Node } from "./cryptoNode.ts"
import type { FakeWire, WireNode, WirePath } from "./FakeWire.ts"
import { keyPairFrom, plainCrypto } from "./plainCrypto.ts"

/** A data packet as the raw peer sees it. */
export interface RawData {
  readonly acknowledged: number
  readonly number: number
  readonly payload: Uint8Array
}

export class RawPeer {
  readonly identity: KeyPair
  readonly dht: KeyPair
  readonly at: WireNode
  readonly path: WirePath
  readonly jar: CookieJar
  readonly fill: (target: Uint8Array) => void
  /** Everything that the node has sent us, oldest first. */
  readonly inbox: Array<Uint8Array> = []
  readonly #wire: FakeWire
  readonly #node: Node
  readonly #frame = new Uint8Array(1 + 2048)
  session: KeyPair
  baseNonce = new Uint8Array(24).fill(0x77)
  cipher: DataCipher | undefined

  constructor(wire: FakeWire, node: Node, identity: number, dht: number, session = 0x91) {
    this.#wire = wire
    this.#node = node
    this.identity = keyPairFrom(identity)
    this.dht = keyPairFrom(dht)
    this.session = keyPairFrom(session)
    this.fill = EntropySeeded.make(identity + dht + session).fill
    this.jar = new CookieJar(plainCrypto, this.fill, 15_000)
    this.at = wire.attach(this.dht.publicKey)
    const take = (bytes: Uint8Array): void => void this.inbox.push(bytes.slice())
    this.at.bridge.attach({ onUnboundPacket: (_, bytes) => take(bytes), onBatchEnd: () => {} })
    this.path = this.at.bridge.open(node.address.dhtKey, {
      onPacket: take,
      onCarrierChange: () => {},
      onWritable: () => {}
    }) as WirePath
    for (const relay of wire.relays) this.path.tie(relay)
  }

  get bearer(): { readonly realKey: PublicKey; readonly dhtKey: PublicKey } {
    return { realKey: this.identity.publicKey, dhtKey: this.dht.publicKey }
  }

  /** Packets of one kind, by their first byte. */
  received(id: number): Array<Uint8Array> {
    return this.inbox.filter((bytes) => bytes[0] === id)
  }

  send(bytes: Uint8Array): void {
    this.#frame.set(bytes, 1)
    this.path.send(this.#frame, bytes.length + 1, true)
  }

  /** Delivers a packet at once. */
  inject(bytes: Uint8Array, options?: { readonly relay?: number; readonly outOfBand?: boolean }): void {
    this.#wire.inject(this.dht.publicKey, this.#node.at, bytes, options)
  }

  cookieRequest(bearer = this.bearer, echoId = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)): Uint8Array {
    const cipher = plainCrypto.box(this.#node.address.dhtKey, this.dht.secretKey)!
    return Handshake.cookieRequest(cipher, bearer, echoId, this.fill)
  }

  /** An answer to the node's newest cookie request; `echoId` changes what it repeats. */
  cookieResponse(echoId: (asked: Uint8Array) => Uint8Array = (asked) => asked): Uint8Array {
    const request = readRequest(this.received(24).at(-1)!)
    const cipher = plainCrypto.box(request.senderDhtKey, this.dht.secretKey)!
    const asked = new Uint8Array(72)
    cipher.open(asked, 0, request.sealed, 0, request.sealed.length, request.nonce)
    const bearer = { realKey: this.#node.address.identityKey, dhtKey: this.#node.address.dhtKey }
    const cookie = this.jar.issue(bearer, this.#wire.now())
    const content = Packet.CookieResponseContent.encode(
      Packet.CookieResponseContent.make({ cookie, echoId: echoId(asked.slice(64)) })
    )
    const nonce = new Uint8Array(24)
    this.fill(nonce)
    const sealed = new Uint8Array(content.length + 16)
    cipher.seal(sealed, 0, content, 0, content.length, nonce)
    return Packet.CookieResponse.encode(Packet.CookieResponse.make({ nonce, sealed }))
  }

  /** The cookie of the newest response, if there is one. */
  get cookie(): Uint8Array | undefined {
    const response = this.received(25).at(-1)
    const cipher = plainCrypto.box(this.#node.address.dhtKey, this.dht.secretKey)!
    return response && Handshake.openCookieResponse(response, cipher)?.cookie
  }

  /** A handshake that is right unless it is told otherwise. */
  handshake(
    cookie: Uint8Array,
    options: {
      readonly inner?: Uint8Array
      readonly sessionKey?: PublicKey
      readonly secretKey?: KeyPair["secretKey"]
      readonly hash?: (bytes: Uint8Array) => Uint8Array
    } = {}
  ): Uint8Array {
    const inner = options.inner ??
      this.jar.issue({ realKey: this.#node.address.identityKey, dhtKey: this.#node.address.dhtKey }, this.#wire.now())
    const crypto = options.hash === undefined ? plainCrypto : { ...plainCrypto, sha512: options.hash }
    const offer = { baseNonce: this.baseNonce, sessionKey: options.sessionKey ?? this.session.publicKey }
    const secret = options.secretKey ?? this.identity.secretKey
    return Handshake.handshake(crypto, secret, this.#node.address.identityKey, cookie, inner, offer, this.fill)!
  }

  /** Opens the newest handshake of the node and makes the session's cipher. False when there is none that opens. */
  takeHandshake(): boolean {
    const bytes = this.received(26).at(-1)
    const opened = bytes &&
      Handshake.openHandshake(plainCrypto, this.jar, this.identity.secretKey, bytes, this.#wire.now(), () => true)
    if (opened === undefined) return false
    const cipher = plainCrypto.box(opened.sessionKey, this.session.secretKey)!
    this.cipher = new DataCipher(cipher, this.baseNonce, opened.baseNonce)
    return true
  }

  /** A data packet; lossy and request packets carry our next number. */
  data(payload: Uint8Array, number = 0, acknowledged = 0): Uint8Array {
    const frame = new Uint8Array(1401)
    return frame.slice(1, this.cipher!.seal(frame, acknowledged, number, payload))
  }

  /** Opens the data packets that have arrived and forgets them. */
  takeData(): Array<RawData> {
    const cipher = this.cipher!
    const target = new Uint8Array(Packet.maxDataPlaintext)
    return this.inbox.splice(0).flatMap((bytes) => {
      if (bytes[0] !== 27 || cipher.open(bytes, target, 0) !== undefined) return []
      const payload = target.slice(cipher.payloadAt, cipher.payloadAt + cipher.payloadLength)
      return [{ acknowledged: cipher.acknowledged, number: cipher.number, payload }]
    })
  }

  /** Calls the node and confirms the session, as a caller should. */
  readonly connect = Effect.suspend(() => {
    const settle = TestClock.adjust(20)
    return Effect.gen({ self: this }, function*() {
      yield* settle
      this.send(this.cookieRequest())
      yield* settle
      this.send(this.handshake(this.cookie!))
      yield* settle
      if (!this.takeHandshake()) return yield* Effect.die(new Error("no handshake came back"))
      this.send(this.data(Uint8Array.of(Packet.requestId)))
      yield* settle
      this.inbox.length = 0
      return this
    })
  })
}

/** The value of a cookie request's outside, to be changed. */
export const readRequest = (bytes: Uint8Array): Packet.CookieRequest =>
  Result.getOrThrow(Packet.CookieRequest.decode(bytes))
