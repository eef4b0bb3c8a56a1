/**
 * Cuts the byte stream of a link into session frames, wherever its chunks begin and end. It keeps at most one incomplete frame, never
 * allocates for a length before that is known to be allowed, and copies each byte at most a few times. After the first bad frame it
 * reads nothing more: the link has to be closed.
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { defaultMaxFrameSize, frameHeaderSize, payloadSize, prefixedHeaderSize, SessionFrame } from "./SessionFrame.ts"

/** Why the stream of a link cannot be read on. */
export class SessionFrameInvalid extends Schema.TaggedError<SessionFrameInvalid>()("SessionFrameInvalid", {
  /** `TooLong`: beyond the limit for one frame; `Malformed`: the content does not fit its descriptor. */
  problem: Schema.Literals(["UnknownDescriptor", "TooLong", "Malformed"]),
  descriptor: Schema.Int,
  detail: Schema.String
}) {
  override get message(): string {
    return `bad session frame 0x${this.descriptor.toString(16).padStart(2, "0")}: ${this.detail}`
  }
}

/** What one chunk completed. Payloads are views: of that chunk, or of a buffer that is theirs. */
export interface SessionFrames {
  readonly frames: ReadonlyArray<SessionFrame>
  /** Why reading has ended, after these frames. */
  readonly problem: SessionFrameInvalid | undefined
}

/** A frame of a byte session at once, with nothing to copy again: doubling towards it costs a bulk transfer twice its bytes in garbage. */
const firstCapacity = 17 * 1024

export class SessionFrameReader {
  private readonly maxFrameSize: number
  /** The beginning of a frame of which the rest has not arrived. */
  private pending = new Uint8Array(0)
  private pendingLength = 0
  private problem: SessionFrameInvalid | undefined = undefined

  /** `maxFrameSize`: bytes of the largest frame that is taken, header included. */
  constructor(maxFrameSize: number = defaultMaxFrameSize) {
    this.maxFrameSize = maxFrameSize
  }

  /** Bytes of the incomplete frame that is held back. */
  get pendingBytes(): number {
    return this.pendingLength
  }

  /** Takes the next bytes of the stream, which then belong to the reader, and returns the frames they complete. */
  push(chunk: Uint8Array): SessionFrames {
    const frames: Array<SessionFrame> = []
    let offset = 0
    while (this.problem === undefined && offset < chunk.length) {
      if (this.pendingLength > 0) {
        const size = this.sizeFrom(this.pending, 0, this.pendingLength)
        if (this.problem !== undefined) break
        const missing = Math.min(size - this.pendingLength, chunk.length - offset)
        this.keep(chunk.subarray(offset, offset + missing), size)
        offset += missing
        if (this.pendingLength === size && this.isWhole(this.pending, 0, size)) {
          const frame = this.pending.subarray(0, size)
          this.pending = new Uint8Array(0)
          this.pendingLength = 0
          this.decode(frame, frames)
        }
      } else {
        const available = chunk.length - offset
        const size = this.sizeFrom(chunk, offset, available)
        if (this.problem !== undefined) break
        if (size <= available) {
          this.decode(chunk.subarray(offset, offset + size), frames)
          offset += size
        } else {
          this.keep(chunk.subarray(offset), size)
          offset = chunk.length
        }
      }
    }
    return { frames, problem: this.problem }
  }

  /** Bytes up to the end of the frame at `at` or, while its header is incomplete, up to the next part of the header. */
  private sizeFrom(bytes: Uint8Array, at: number, available: number): number {
    if (available < frameHeaderSize) return frameHeaderSize
    const descriptor = bytes[at + 4] ?? 0
    const payload = payloadSize(descriptor)
    if (payload === undefined) {
      this.problem = new SessionFrameInvalid({ problem: "UnknownDescriptor", descriptor, detail: "unknown descriptor" })
      return 0
    }
    if (typeof payload === "function" && available < prefixedHeaderSize) return prefixedHeaderSize
    const size = typeof payload === "number"
      ? frameHeaderSize + payload
      : prefixedHeaderSize + payload(readLength(bytes, at + frameHeaderSize))
    if (size > this.maxFrameSize) {
      const detail = `a frame of ${size} bytes, at most ${this.maxFrameSize} are allowed`
      this.problem = new SessionFrameInvalid({ problem: "TooLong", descriptor, detail })
    }
    return size
  }

  /** Whether `size` bytes are a frame and not only a part of its header. */
  private isWhole(bytes: Uint8Array, at: number, size: number): boolean {
    return this.sizeFrom(bytes, at, size) === size && this.problem === undefined
  }

  private decode(frame: Uint8Array, frames: Array<SessionFrame>): void {
    const decoded = SessionFrame.decode(frame)
    if (Result.isSuccess(decoded)) {
      frames.push(decoded.success)
    } else {
      const detail = decoded.failure.message
      this.problem = new SessionFrameInvalid({ problem: "Malformed", descriptor: frame[4] ?? 0, detail })
    }
  }

  /** Appends to the incomplete frame. The buffer doubles up to `size`, so that a length alone costs no memory. */
  private keep(bytes: Uint8Array, size: number): void {
    const length = this.pendingLength + bytes.length
    if (length > this.pending.length) {
      const capacity = Math.max(length, Math.min(size, Math.max(firstCapacity, this.pending.length * 2)))
      const grown = new Uint8Array(capacity)
      grown.set(this.pending.subarray(0, this.pendingLength))
      this.pending = grown
    }
    this.pending.set(bytes, this.pendingLength)
    this.pendingLength = length
  }
}

const readLength = (bytes: Uint8Array, at: number): number =>
  ((bytes[at] ?? 0) | (bytes[at + 1] ?? 0) << 8 | (bytes[at + 2] ?? 0) << 16 | (bytes[at + 3] ?? 0) << 24) >>> 0
