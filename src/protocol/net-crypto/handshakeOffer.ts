/** Our side of one handshake: its keys, and the packet that is repeated until it is answered. */
import type { PublicKey } from "../../schema/Bytes.ts"
import { echoIdSize, maxDataSize } from "../../schema/NetCryptoPacket.ts"
import type { Cipher, Crypto, KeyPair } from "../crypto/Crypto.ts"
import { type Ephemeral, type Fill, makeEphemeral, randomBytes, randomNonce } from "../crypto/ephemeral.ts"
import type { PeerPath } from "../registry/PeerPath.ts"
import type { CookieJar } from "./CookieJar.ts"
import type { CryptoSession } from "./CryptoSession.ts"
import * as Handshake from "./netCryptoHandshake.ts"

/** One session key pair and base nonce for the whole handshake, whichever packets it takes. */
export interface Offer {
  readonly ephemeral: Ephemeral
  readonly baseNonce: Uint8Array
  readonly echoId: Uint8Array
  /** A cookie request first, a handshake later. */
  packet: Uint8Array
  isHandshake: boolean
  /** How often this packet has been sent, and when it is sent next. */
  tries: number
  nextAt: number
}

/** A session whose handshake is complete, but under whose key nothing has been opened yet. */
export interface Candidate {
  readonly session: CryptoSession
  readonly offer: Offer
  /** The peer's session key that made it: a repetition of that handshake changes nothing. */
  readonly origin: PublicKey
  readonly path: PeerPath
}

export const makeOffer = (crypto: Crypto, fill: Fill, now: number): Offer => ({
  ephemeral: makeEphemeral(crypto, fill),
  baseNonce: randomNonce(fill),
  echoId: randomBytes(fill, echoIdSize),
  packet: new Uint8Array(0),
  isHandshake: false,
  tries: 0,
  nextAt: now
})

/** What the packets of a handshake are made of. */
interface Tools {
  readonly crypto: Crypto
  readonly fill: Fill
  readonly jar: CookieJar
  readonly identity: KeyPair
  readonly dht: KeyPair
}

/** A cookie request with this echo id. `cipher` is the box of both DHT keys. */
export const cookieQuestion = ({ dht, fill, identity }: Tools, cipher: Cipher, echoId: Uint8Array): Uint8Array =>
  Handshake.cookieRequest(cipher, { realKey: identity.publicKey, dhtKey: dht.publicKey }, echoId, fill)

/** An offer whose packet is the question for a cookie. */
export const makeQuestion = (
  crypto: Crypto,
  fill: Fill,
  now: number,
  ask: (echoId: Uint8Array) => Uint8Array
): Offer => {
  const offer = makeOffer(crypto, fill, now)
  offer.packet = ask(offer.echoId)
  return offer
}

/**
 * Makes the offer's packet a handshake to the holder of these keys, who issued the cookie; its tries are counted from the beginning. An
 * unusable key leaves it as it was.
 */
export const toHandshake = (
  offer: Offer,
  { crypto, fill, identity, jar }: Tools,
  realKey: PublicKey,
  dhtKey: PublicKey,
  cookie: Uint8Array,
  now: number
): void => {
  const inner = jar.issue({ realKey, dhtKey }, now)
  const content = { baseNonce: offer.baseNonce, sessionKey: offer.ephemeral.publicKey }
  const packet = Handshake.handshake(crypto, identity.secretKey, realKey, cookie, inner, content, fill)
  if (packet === undefined) return
  offer.packet = packet
  offer.isHandshake = true
  offer.tries = 0
  offer.nextAt = now
}

/** Sends the packets of one peer's handshakes. */
export class OfferSender {
  readonly #frame = new Uint8Array(1 + maxDataSize)

  /** Whether a route took it. */
  sendPacket(packet: Uint8Array, path: PeerPath): boolean {
    this.#frame.set(packet, 1)
    return path.send(this.#frame, packet.length + 1, true) === "sent"
  }

  /** Only what a route accepted counts as a try (protocol, section 5): otherwise a new relay is waited for. */
  send(offer: Offer, path: PeerPath, now: number, interval: number): void {
    const wasTaken = this.sendPacket(offer.packet, path)
    if (wasTaken) offer.tries++
    offer.nextAt = now + (wasTaken ? interval : Math.min(interval, 100))
  }
}
