/**
 * Cuts the byte stream of a link into session frames, wherever its chunks begin and end. It keeps at most one incomplete frame, as the
 * pieces that have come, and allocates nothing for a length alone. After the first bad frame it reads nothing more: the link has to be
 * closed.
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { joined, type Payload } from "./Payload.ts"
import { PieceList } from "./PieceList.ts"
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

/** Who gets the frames, in order. False ends the reading for good. Payloads are views: of chunks, or of memory that is theirs. */
export interface SessionFrameSink {
  /** A value; `length` is the u32 of its header, 0 for a descriptor without one. Only bytes come in more than one piece. */
  readonly onValue: (sessionId: number, descriptor: number, length: number, payload: Payload) => boolean
  readonly onControl: (frame: ControlFrame) => boolean
}

const bytesDescriptor = 0x0c

export class SessionFrameReader {
  private readonly sink: SessionFrameSink
  private readonly maxFrameSize: number
  /** The header of an incomplete frame, as far as it has come. */
  private readonly head = new Uint8Array(prefixedHeaderSize)
  private headLength = 0
  /** The payload of an incomplete frame, and how much of it has not come; 0 while the header is incomplete. */
  private readonly pieces = new PieceList()
  private missing = 0
  private isOver = false

  /** `maxFrameSize`: bytes of the largest frame that is taken, header included. */
  constructor(sink: SessionFrameSink, maxFrameSize: number = defaultMaxFrameSize) {
    this.sink = sink
    this.maxFrameSize = maxFrameSize
  }

  /** Bytes of the incomplete frame that is held back. */
  get pendingBytes(): number {
    return this.headLength + this.pieces.length
  }

  /** Takes the next bytes of the stream, which then belong to the reader. The answer says why reading has ended. */
  push(chunk: Uint8Array): SessionFrameInvalid | undefined {
    let offset = 0
    while (!this.isOver && offset < chunk.length) {
      const next = this.headLength === 0
        ? this.whole(chunk, offset)
        : this.missing > 0
        ? this.payload(chunk, offset)
        : this.header(chunk, offset)
      if (typeof next !== "number") {
        this.isOver = true
        this.forget()
        return next
      }
      offset = next
    }
    return undefined
  }

  /** At the beginning of a frame: takes it whole, or what there is of it. Returns where to go on. */
  private whole(chunk: Uint8Array, at: number): number | SessionFrameInvalid {
    const available = chunk.length - at
    const size = this.sizeFrom(chunk, at, available)
    if (typeof size !== "number") return size
    if (size <= available) return this.give(chunk, at, size) ?? at + size
    const header = this.headerFrom(chunk, at, available)
    this.headLength = Math.min(available, header)
    this.head.set(chunk.subarray(at, at + this.headLength))
    if (available < header) return chunk.length
    this.missing = size - available
    this.pieces.begin(size - header)
    this.pieces.push(chunk.subarray(at + header))
    return chunk.length
  }

  /** Within a header: one more byte of it. */
  private header(chunk: Uint8Array, at: number): number | SessionFrameInvalid {
    this.head[this.headLength++] = chunk[at] ?? 0
    const size = this.sizeFrom(this.head, 0, this.headLength)
    if (typeof size !== "number") return size
    if (this.headLength < this.headerFrom(this.head, 0, this.headLength)) return at + 1
    this.missing = size - this.headLength
    this.pieces.begin(this.missing)
    return this.missing > 0 ? at + 1 : this.giveHeld() ?? at + 1
  }

  /** Within a payload: what there is of it. */
  private payload(chunk: Uint8Array, at: number): number | SessionFrameInvalid {
    const end = Math.min(chunk.length, at + this.missing)
    this.pieces.push(at === 0 && end === chunk.length ? chunk : chunk.subarray(at, end))
    this.missing -= end - at
    return this.missing > 0 ? end : this.giveHeld() ?? end
  }

  /** Bytes of the header at `at`, as far as that can be known: the descriptor decides. */
  private headerFrom(bytes: Uint8Array, at: number, available: number): number {
    if (available < frameHeaderSize) return frameHeaderSize
    return typeof payloadSize(bytes[at + descriptorOffset] ?? 0) === "number" ? frameHeaderSize : prefixedHeaderSize
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
    return this.giveValue(bytes, at, header, bytes.subarray(at + header, at + size))
  }

  /** Hands on the frame that came in pieces. */
  private giveHeld(): SessionFrameInvalid | undefined {
    const { head, headLength } = this
    const descriptor = head[descriptorOffset] ?? 0
    const pieces = this.pieces.take()
    this.forget()
    if (isValueDescriptor(descriptor)) {
      const [only] = pieces
      return this.giveValue(head, 0, headLength, only !== undefined && pieces.length === 1 ? only : pieces)
    }
    return this.giveControl(joined([head.slice(0, headLength), ...pieces]), descriptor)
  }

  /** `header`: bytes of the header at `at`. */
  private giveValue(bytes: Uint8Array, at: number, header: number, pieces: Payload): SessionFrameInvalid | undefined {
    const descriptor = bytes[at + descriptorOffset] ?? 0
    const length = header === prefixedHeaderSize ? readLength(bytes, at + frameHeaderSize) : 0
    const id = readLength(bytes, at)
    let payload = pieces
    if (descriptor !== bytesDescriptor) {
      payload = joined(pieces)
      const detail = checkValue(descriptor, payload, length)
      if (detail !== undefined) return new SessionFrameInvalid({ problem: "Malformed", descriptor, detail })
    }
    this.isOver = !this.sink.onValue(id, descriptor, length, payload)
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

  private forget(): void {
    this.headLength = 0
    this.missing = 0
    this.pieces.clear()
  }
}

const readLength = (bytes: Uint8Array, at: number): number =>
  ((bytes[at] ?? 0) | (bytes[at + 1] ?? 0) << 8 | (bytes[at + 2] ?? 0) << 16 | (bytes[at + 3] ?? 0) << 24) >>> 0
