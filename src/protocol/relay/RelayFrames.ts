/**
 * The receiving half of the relay framing (relay protocol, section 4): cuts a byte stream into frames and opens each one with a
 * counter nonce. Client and server use it. It holds one partial frame at most, never reads a clock and never closes anything:
 * it says what is wrong and its caller ends the connection.
 */
import { macSize } from "../../schema/Bytes.ts"
import { frameLengthSize, maxFrameBody, maxPlaintext, minFrameBody } from "../../schema/RelayPacket.ts"
import type { Cipher } from "../crypto/Crypto.ts"
import * as Nonce from "../crypto/nonce.ts"

/** Bytes of a frame on the wire beyond its plaintext: length prefix and tag. */
export const frameOverhead = frameLengthSize + macSize

/** Buffers that are kept for the next user; more than these go to the garbage collector. */
const pooled = 8
const partials: Array<Uint8Array> = []
const scratches: Array<Uint8Array> = []

/** The incremental parser of one direction of one connection. */
export class RelayFrames {
  readonly #cipher: Cipher
  readonly #nonce: Uint8Array
  #partial: Uint8Array | undefined
  #held = 0
  #opened = 0
  #stopped = false
  #violation: string | undefined

  /** `nonce` is the 24-byte base nonce that the far side sent; it is copied. The cipher stays the caller's. */
  constructor(cipher: Cipher, nonce: Uint8Array) {
    this.#cipher = cipher
    this.#nonce = nonce.slice()
  }

  /** Whether the first part of a frame has arrived and its rest has not. */
  get waiting(): boolean {
    return this.#held > 0
  }

  /**
   * How many frames have been opened. A frame has been waiting since the moment a deadline first saw `waiting` with this count.
   */
  get opened(): number {
    return this.#opened
  }

  /**
   * Takes the next bytes, cut anywhere, and calls `onFrame` with the plaintext of each frame that they complete. The view is valid
   * during the call only. `onFrame` returning false, or calling `stop`, ends the parser: later bytes are ignored.
   * Returns what the far side did wrong, which ends the parser too, or undefined.
   */
  push(chunk: Uint8Array, onFrame: (plain: Uint8Array) => boolean | void): string | undefined {
    if (this.#stopped) return this.#violation
    const scratch = scratches.pop() ?? new Uint8Array(maxPlaintext)
    try {
      return this.#read(chunk, scratch, onFrame)
    } finally {
      if (scratches.length < pooled) scratches.push(scratch)
    }
  }

  /** Ends the parser and lets go of the partial frame. Also from within `onFrame`. */
  stop(): void {
    this.#stopped = true
    this.#release()
  }

  #read(chunk: Uint8Array, scratch: Uint8Array, onFrame: (plain: Uint8Array) => boolean | void): string | undefined {
    let at = 0
    if (this.#held > 0) {
      const partial = this.#partial!
      while (this.#held < 2 && at < chunk.length) partial[this.#held++] = chunk[at++]!
      if (this.#held < 2) return undefined
      const body = (partial[0]! << 8) | partial[1]!
      if (!isBodyLength(body)) return this.#fail(body)
      const taken = Math.min(2 + body - this.#held, chunk.length - at)
      partial.set(chunk.subarray(at, at + taken), this.#held)
      at += taken
      this.#held += taken
      if (this.#held < 2 + body) return undefined
      // Still marked as held while the frame is handed over, so that the buffer cannot be given to anybody else.
      if (!this.#open(partial, 2, body, scratch, onFrame)) return this.#violation
      this.#release()
    }
    const end = chunk.length
    while (end - at >= 2) {
      const body = (chunk[at]! << 8) | chunk[at + 1]!
      if (!isBodyLength(body)) return this.#fail(body)
      if (end - at < 2 + body) break
      if (!this.#open(chunk, at + 2, body, scratch, onFrame)) return this.#violation
      at += 2 + body
    }
    if (at < end) {
      const partial = partials.pop() ?? new Uint8Array(2 + maxFrameBody)
      partial.set(chunk.subarray(at, end))
      this.#partial = partial
      this.#held = end - at
    }
    return undefined
  }

  /** Whether to go on. */
  #open(
    source: Uint8Array,
    at: number,
    body: number,
    scratch: Uint8Array,
    onFrame: (plain: Uint8Array) => boolean | void
  ): boolean {
    if (!this.#cipher.open(scratch, 0, source, at, body, this.#nonce)) {
      this.#violation = "a frame that does not authenticate"
      this.stop()
      return false
    }
    Nonce.increment(this.#nonce)
    this.#opened++
    if (onFrame(scratch.subarray(0, body - macSize)) === false) this.stop()
    return !this.#stopped
  }

  #fail(body: number): string {
    this.#violation = `a frame length of ${body}`
    this.stop()
    return this.#violation
  }

  #release(): void {
    this.#held = 0
    const partial = this.#partial
    if (partial === undefined) return
    this.#partial = undefined
    if (partials.length < pooled) partials.push(partial)
  }
}

/** A body holds a tag and at least one byte; 0 is refused as well, though some implementations skip it. */
const isBodyLength = (length: number): boolean => length >= minFrameBody && length <= maxFrameBody
