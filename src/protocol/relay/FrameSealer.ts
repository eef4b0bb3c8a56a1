/**
 * The sending half of the relay framing (relay protocol, section 4): seals plaintexts into frames, one behind the other, so that
 * many packets leave in one write. Client and server use it. It never writes to a socket and never decides when a batch ends.
 */
import { macSize } from "../../schema/Bytes.ts"
import { frameLengthSize, maxPlaintext } from "../../schema/RelayPacket.ts"
import type { Cipher } from "../crypto/Crypto.ts"
import * as Nonce from "../crypto/nonce.ts"
import { frameOverhead } from "./RelayFrames.ts"

/** Room for 46 of the largest ordinary data frames; a bulk batch rarely exceeds it. */
const scratchSize = 64 * 1024
/** Batches are open for microseconds, so a few scratches serve any number of connections. */
const pooled = 8
const scratches: Array<Uint8Array> = []

/** Seals the frames of one direction of one connection. */
export class FrameSealer {
  readonly #cipher: Cipher
  readonly #nonce: Uint8Array
  #batch: Uint8Array | undefined
  #size = 0
  #disposed = false

  /** `nonce` is the 24-byte base nonce that we generated and sent; it is copied. The cipher stays the caller's. */
  constructor(cipher: Cipher, nonce: Uint8Array) {
    this.#cipher = cipher
    this.#nonce = nonce.slice()
  }

  /** Bytes of the open batch, as they will be on the wire. */
  get size(): number {
    return this.#size
  }

  /**
   * Seals `plain[0..length)`, 1 to 2032 bytes, as the next frame of the batch; `length + 18` bytes on the wire. The bytes are
   * consumed before it returns. Another length is a bug and throws. Ignored after `dispose`.
   */
  append(plain: Uint8Array, length: number): void {
    if (this.#disposed) return
    if (length < 1 || length > maxPlaintext) throw new RangeError(`a relay frame of ${length} bytes`)
    const at = this.#size
    const batch = this.#reserve(at + length + frameOverhead)
    const body = length + macSize
    batch[at] = body >> 8
    batch[at + 1] = body
    this.#cipher.seal(batch, at + frameLengthSize, plain, 0, length, this.#nonce)
    Nonce.increment(this.#nonce)
    this.#size = at + frameLengthSize + body
  }

  /** Ends the batch: its bytes, which the caller then owns, or undefined when nothing was appended. Write every one of them. */
  take(): Uint8Array | undefined {
    if (this.#size === 0) return undefined
    const bytes = this.#batch!.slice(0, this.#size)
    this.#release()
    return bytes
  }

  /** Drops the open batch. The stream cannot continue after that. Idempotent. */
  dispose(): void {
    this.#disposed = true
    this.#release()
  }

  /** The batch's buffer, with room for `size` bytes in all. */
  #reserve(size: number): Uint8Array {
    const batch = this.#batch ??= scratches.pop() ?? new Uint8Array(scratchSize)
    if (size <= batch.length) return batch
    const larger = new Uint8Array(batch.length * 2)
    larger.set(batch.subarray(0, this.#size))
    this.#release(this.#size)
    return this.#batch = larger
  }

  #release(keep = 0): void {
    const batch = this.#batch
    this.#batch = undefined
    this.#size = keep
    if (batch !== undefined && batch.length === scratchSize && scratches.length < pooled) scratches.push(batch)
  }
}
