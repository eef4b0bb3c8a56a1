/**
 * Seals and opens the data packets (id 27) of one net_crypto connection: the two counters, the two nonce bytes on the wire, the padding
 * and the replay check (net_crypto protocol, section 7). It knows nothing of what the payload means.
 */
import { macSize } from "../../schema/Bytes.ts"
import type { Cipher } from "../crypto/Crypto.ts"
import * as Nonce from "../crypto/nonce.ts"
import { ReplayWindow } from "./ReplayWindow.ts"

/** First byte of a data packet. */
export const dataPacketId = 27
/** The largest payload, id byte included, and the largest whole packet. */
export const maxPayload = 1373
export const maxDataPacket = 1400
/** Packet id and nonce bytes, before the sealed part. */
const header = 3
/** The two packet numbers, before padding and payload. */
const numbers = 8
const minDataPacket = header + numbers + macSize + 1
/** After this many indices the receiving base moves on; a third of what two bytes can name. */
const threshold = 21_845

/** Why an incoming data packet was dropped. */
export type DataDrop = "length" | "replayed" | "forged" | "empty"

export class DataCipher {
  readonly #cipher: Cipher
  readonly #sendNonce: Uint8Array
  readonly #receiveBase: Uint8Array
  readonly #receiveNonce = new Uint8Array(24)
  readonly #replay = new ReplayWindow()
  readonly #plain = new Uint8Array(maxDataPacket)
  /** How far the receiving base has moved from the peer's base nonce. */
  #baseIndex = 0
  /** Index of the packet that `open` took last, and the highest so far: a higher one is a newer packet. */
  newest = -1
  isNewest = false
  /** The numbers of the packet that `open` took last, and where its payload stands in the target. */
  acknowledged = 0
  number = 0
  payloadAt = 0
  payloadLength = 0

  /** `sendNonce` is the base nonce that we announced, `receiveNonce` the peer's. Both are copied. */
  constructor(cipher: Cipher, sendNonce: Uint8Array, receiveNonce: Uint8Array) {
    this.#cipher = cipher
    this.#sendNonce = sendNonce.slice()
    this.#receiveBase = receiveNonce.slice()
  }

  /**
   * Seals one packet into `frame[1..]` (byte 0 belongs to the relay's connection id) and returns the length of the frame.
   * Every call uses up a nonce, whether or not the packet is then sent.
   */
  seal(frame: Uint8Array, acknowledged: number, number: number, payload: Uint8Array): number {
    const plain = this.#plain
    const padding = (maxPayload - payload.length) & 7
    writeU32(plain, 0, acknowledged)
    writeU32(plain, 4, number)
    plain.fill(0, numbers, numbers + padding)
    plain.set(payload, numbers + padding)
    const length = numbers + padding + payload.length
    frame[1] = dataPacketId
    frame[2] = this.#sendNonce[22]!
    frame[3] = this.#sendNonce[23]!
    this.#cipher.seal(frame, 1 + header, plain, 0, length, this.#sendNonce)
    Nonce.increment(this.#sendNonce)
    return 1 + header + length + macSize
  }

  /**
   * Opens a packet into `target` from `targetAt` (up to 1381 bytes) and fills `acknowledged`, `number`, `payloadAt`,
   * `payloadLength` and `isNewest`. Returns why it was dropped, or undefined.
   */
  open(packet: Uint8Array, target: Uint8Array, targetAt: number): DataDrop | undefined {
    if (packet.length < minDataPacket || packet.length > maxDataPacket) return "length"
    const low = (packet[1]! << 8) | packet[2]!
    const ahead = (low - Nonce.low16(this.#receiveBase)) & 0xffff
    const index = this.#baseIndex + ahead
    if (this.#replay.has(index)) return "replayed"
    this.#receiveNonce.set(this.#receiveBase)
    Nonce.addTo(this.#receiveNonce, ahead)
    const sealed = packet.length - header
    if (!this.#cipher.open(target, targetAt, packet, header, sealed, this.#receiveNonce)) return "forged"
    this.#replay.add(index)
    this.isNewest = index > this.newest
    if (this.isNewest) this.newest = index
    if (ahead > 2 * threshold) {
      this.#replay.forget(this.#baseIndex, threshold)
      this.#baseIndex += threshold
      Nonce.addTo(this.#receiveBase, threshold)
    }
    this.acknowledged = readU32(target, targetAt)
    this.number = readU32(target, targetAt + 4)
    let at = targetAt + numbers
    const end = targetAt + sealed - macSize
    while (at < end && target[at] === 0) at++
    if (at === end) return "empty"
    this.payloadAt = at
    this.payloadLength = end - at
    return undefined
  }

  /** Wipes the keys. Later packets do not open. */
  dispose(): void {
    this.#cipher.dispose()
    this.#plain.fill(0)
  }
}

const writeU32 = (bytes: Uint8Array, at: number, value: number): void => {
  bytes[at] = value >>> 24
  bytes[at + 1] = value >>> 16
  bytes[at + 2] = value >>> 8
  bytes[at + 3] = value
}

const readU32 = (bytes: Uint8Array, at: number): number =>
  ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
