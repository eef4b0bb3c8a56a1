/**
 * Cuts the byte stream of a link into session frames, wherever its chunks begin and end. It keeps at most one incomplete frame, never
 * allocates for a length before that is known to be allowed, and copies each byte at most a few times. After the first bad frame it
 * reads nothing more: the link has to be closed.
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import {
  ControlFrame,
  defaultMaxFrameSize,
  descriptorOffset,
  frameHeaderSize,
  payloadSize,
  prefixedHeaderSize,
  valueHeaderSize
} from "./SessionFrame.ts"
import { checkValue, isValueDescriptor } from "./SessionValue.ts"

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

/** Who gets the frames, in order. False ends the reading for good. Payloads are views: of a chunk, or of a buffer that is theirs. */
export interface SessionFrameSink {
  /** A value; `length` is the u32 of its header, 0 for a descriptor without one. */
  readonly onValue: (sessionId: number, descriptor: number, length: number, payload: Uint8Array) => boolean
  readonly onControl: (frame: ControlFrame) => boolean
}

/** A usual frame at once, with nothing to copy again: doubling towards it costs a bulk transfer twice its bytes in garbage. */
const firstCapacity = 66 * 1024

export class SessionFrameReader {
  private readonly sink: SessionFrameSink
  private readonly maxFrameSize: number
  /** The beginning of a frame of which the rest has not arrived. */
  private pending = new Uint8Array(0)
  private pendingLength = 0
  private isOver = false

  /** `maxFrameSize`: bytes of the largest frame that is taken, header included. */
  constructor(sink: SessionFrameSink, maxFrameSize: number = defaultMaxFrameSize) {
    this.sink = sink
    this.maxFrameSize = maxFrameSize
  }

  /** Bytes of the incomplete frame that is held back. */
  get pendingBytes(): number {
    return this.pendingLength
  }

  /** Takes the next bytes of the stream, which then belong to the reader. The answer says why reading has ended. */
  push(chunk: Uint8Array): SessionFrameInvalid | undefined {
    let offset = 0
    while (!this.isOver && offset < chunk.length) {
      if (this.pendingLength > 0) {
        const size = this.sizeFrom(this.pending, 0, this.pendingLength)
        if (typeof size !== "number") return this.end(size)
        const missing = Math.min(size - this.pendingLength, chunk.length - offset)
        this.keep(chunk, offset, missing, size)
        offset += missing
        if (this.pendingLength < size) continue
        // It may have been a part of the header only.
        const whole = this.sizeFrom(this.pending, 0, size)
        if (whole !== size) {
          if (typeof whole !== "number") return this.end(whole)
          continue
        }
        const frame = this.pending
        this.pending = empty
        this.pendingLength = 0
        const problem = this.give(frame, 0, size)
        if (problem !== undefined) return this.end(problem)
      } else {
        const available = chunk.length - offset
        const size = this.sizeFrom(chunk, offset, available)
        if (typeof size !== "number") return this.end(size)
        if (size > available) {
          this.keep(chunk, offset, available, size)
          return undefined
        }
        const problem = this.give(chunk, offset, size)
        if (problem !== undefined) return this.end(problem)
        offset += size
      }
    }
    return undefined
  }

  private end(problem: SessionFrameInvalid): SessionFrameInvalid {
    this.isOver = true
    this.pending = empty
    this.pendingLength = 0
    return problem
  }

  /** Bytes up to the end of the frame at `at` or, while its header is incomplete, up to the next part of the header. */
  private sizeFrom(bytes: Uint8Array, at: number, available: number): number | SessionFrameInvalid {
    if (available < frameHeaderSize) return frameHeaderSize
    const descriptor = bytes[at + descriptorOffset] ?? 0
    const payload = payloadSize(descriptor)
    if (payload === undefined) {
      return new SessionFrameInvalid({ problem: "UnknownDescriptor", descriptor, detail: "unknown descriptor" })
    }
    if (typeof payload === "number") return frameHeaderSize + payload
    if (available < prefixedHeaderSize) return prefixedHeaderSize
    const size = prefixedHeaderSize + payload(readLength(bytes, at + frameHeaderSize))
    if (size <= this.maxFrameSize) return size
    const detail = `a frame of ${size} bytes, at most ${this.maxFrameSize} are allowed`
    return new SessionFrameInvalid({ problem: "TooLong", descriptor, detail })
  }

  /** Hands on the whole frame at `at`. */
  private give(bytes: Uint8Array, at: number, size: number): SessionFrameInvalid | undefined {
    const descriptor = bytes[at + descriptorOffset] ?? 0
    if (!isValueDescriptor(descriptor)) return this.giveControl(bytes.subarray(at, at + size), descriptor)
    const header = valueHeaderSize(descriptor)
    const length = header === prefixedHeaderSize ? readLength(bytes, at + frameHeaderSize) : 0
    const payload = bytes.subarray(at + header, at + size)
    const detail = checkValue(descriptor, payload, length)
    if (detail !== undefined) return new SessionFrameInvalid({ problem: "Malformed", descriptor, detail })
    this.isOver = !this.sink.onValue(readLength(bytes, at), descriptor, length, payload)
    return undefined
  }

  private giveControl(frame: Uint8Array, descriptor: number): SessionFrameInvalid | undefined {
    const decoded = ControlFrame.decode(frame)
    if (Result.isFailure(decoded)) {
      return new SessionFrameInvalid({ problem: "Malformed", descriptor, detail: decoded.failure.message })
    }
    this.isOver = !this.sink.onControl(decoded.success)
    return undefined
  }

  /** Appends to the incomplete frame. The buffer doubles up to `size`, so that a length alone costs little memory. */
  private keep(chunk: Uint8Array, offset: number, count: number, size: number): void {
    const length = this.pendingLength + count
    if (length > this.pending.length) {
      const capacity = Math.max(length, Math.min(size, Math.max(firstCapacity, this.pending.length * 2)))
      const grown = new Uint8Array(capacity)
      grown.set(this.pending.subarray(0, this.pendingLength))
      this.pending = grown
    }
    this.pending.set(chunk.subarray(offset, offset + count), this.pendingLength)
    this.pendingLength = length
  }
}

const empty = new Uint8Array(0)

const readLength = (bytes: Uint8Array, at: number): number =>
  ((bytes[at] ?? 0) | (bytes[at + 1] ?? 0) << 8 | (bytes[at + 2] ?? 0) << 16 | (bytes[at + 3] ?? 0) << 24) >>> 0
