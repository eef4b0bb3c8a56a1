/**
 * Seals the packets of one session and hands them to a path. Every packet carries what we have received in order and the number of our
 * next lossless packet, so the writer reads both windows; it changes neither.
 */
import * as Packet from "../../schema/NetCryptoPacket.ts"
import type { PeerPath, SendOutcome } from "../registry/PeerPath.ts"
import type { DataCipher } from "./DataCipher.ts"
import { encodeRequest } from "./packetRequest.ts"
import type { ReceiveWindow } from "./ReceiveWindow.ts"
import type { SendWindow } from "./SendWindow.ts"

/** The largest payload whose data packet fits an out-of-band packet of 1024 bytes. */
export const oobPayload = 1024 - 27 - 8

export class PacketWriter {
  readonly #cipher: DataCipher
  readonly #sending: SendWindow
  readonly #receiving: ReceiveWindow
  readonly #frame = new Uint8Array(1 + Packet.maxDataSize)
  readonly #request = new Uint8Array(Packet.maxPayload)

  constructor(cipher: DataCipher, sending: SendWindow, receiving: ReceiveWindow) {
    this.#cipher = cipher
    this.#sending = sending
    this.#receiving = receiving
  }

  /** Sends a payload by the path's rule. */
  send(path: PeerPath, payload: Uint8Array, number: number, urgent: boolean): SendOutcome {
    return path.send(this.#frame, this.#cipher.seal(this.#frame, this.#receiving.start, number, payload), urgent)
  }

  /** Sends a request packet: what we miss, what we have, and that we are there. `everywhere`: by all carriers, not only the present one. */
  sendRequest(path: PeerPath, everywhere: boolean): SendOutcome {
    const size = path.carrier() === 0 ? oobPayload : Packet.maxPayload
    const outcome = this.send(path, this.#missing(size), this.#sending.sent, true)
    if (everywhere) { for (const carrier of path.standbys()) path.sendVia(carrier, this.#frame, this.#sealRequest()) }
    return outcome
  }

  /** The same, short enough for an out-of-band packet, for whoever sends it. */
  requestPacket(): Uint8Array {
    const length = this.#sealRequest()
    return this.#frame.slice(1, length)
  }

  #sealRequest(): number {
    return this.#cipher.seal(this.#frame, this.#receiving.start, this.#sending.sent, this.#missing(oobPayload))
  }

  /** The list of what we miss, of at most so many bytes: the beginning of a list is a list as well. */
  #missing(size: number): Uint8Array {
    const { end, start } = this.#receiving
    const length = encodeRequest(this.#request, start, end, (number) => this.#receiving.has(number))
    return this.#request.subarray(0, Math.min(length, size))
  }
}
