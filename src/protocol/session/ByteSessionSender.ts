/**
 * The sending half of a byte session: queued bytes, the credit they may use, and what the peer has received.
 *
 * Credit counts bytes of whole value frames; control frames are numbered like them but cost nothing, so that a Close never waits for
 * a reader. A frame may go while credit is above zero, which overdraws by one frame at most (design, "Credit").
 */
import { prefixedHeaderSize } from "../../schema/SessionFrame.ts"
import type { LinkStream } from "./LinkStream.ts"

/** What an opener may send before it is accepted. */
export const initialCredit = 64 * 1024

const bytesDescriptor = 0x0c

export class ByteSessionSender {
  /** Payload bytes that were written and are in no frame yet. */
  queuedBytes = 0
  /** Payload bytes written by the application in all, and those the peer has received. */
  writtenBytes = 0
  receivedBytes = 0
  /** Numbered frames sent, and those the peer has received. */
  sentFrames = 0
  receivedFrames = 0
  private readonly header = new Uint8Array(prefixedHeaderSize)
  private readonly headerView = new DataView(this.header.buffer)
  private readonly maxFramePayload: number
  private queue: Array<Uint8Array> = []
  /** The first chunk that still has bytes, and how many of its bytes are gone. */
  private head = 0
  private headOffset = 0
  /** Frame bytes sent in all, those the peer has received, and those that may be sent in all. */
  private sentFrameBytes = 0
  private receivedFrameBytes = 0
  private limit: number
  /** For every sent frame that the peer has not received: frame bytes and payload bytes up to its end. */
  private marks: Array<number> = []
  private markHead = 0

  constructor(id: number, limit: number, maxFramePayload: number) {
    this.headerView.setUint32(0, id, true)
    this.header[4] = bytesDescriptor
    this.limit = limit
    this.maxFramePayload = maxFramePayload
  }

  /** Whether a value frame may go now. */
  get canSend(): boolean {
    return this.queuedBytes > 0 && this.sentFrameBytes < this.limit
  }

  /** Queues chunks, which then belong to the session. */
  write(chunks: ReadonlyArray<Uint8Array>): void {
    for (const chunk of chunks) {
      if (chunk.length === 0) continue
      this.queue.push(chunk)
      this.queuedBytes += chunk.length
      this.writtenBytes += chunk.length
    }
  }

  /** Forgets what is queued. */
  discard(): void {
    this.queue = []
    this.head = 0
    this.headOffset = 0
    this.queuedBytes = 0
  }

  /** Puts one value frame on the link. Only when `canSend`. */
  writeFrame(link: LinkStream): void {
    const size = Math.min(this.queuedBytes, this.maxFramePayload)
    this.headerView.setUint32(5, size, true)
    link.push(this.header)
    let left = size
    while (left > 0) {
      const chunk = this.queue[this.head]
      if (chunk === undefined) throw new Error("the queue is shorter than its count")
      const end = Math.min(chunk.length, this.headOffset + left)
      link.push(this.headOffset === 0 && end === chunk.length ? chunk : chunk.subarray(this.headOffset, end))
      left -= end - this.headOffset
      if (end === chunk.length) {
        this.head++
        this.headOffset = 0
      } else {
        this.headOffset = end
      }
    }
    this.queuedBytes -= size
    if (this.head === this.queue.length) this.queue.length = this.head = 0
    else if (this.head >= 64) this.queue = this.queue.slice(this.head)
    if (this.head >= 64) this.head = 0
    this.sentFrameBytes += prefixedHeaderSize + size
    this.note()
  }

  /** Counts a numbered frame that has been put on the link. */
  note(): void {
    this.sentFrames++
    this.marks.push(this.sentFrameBytes, this.writtenBytes - this.queuedBytes)
  }

  /** Takes the credit of an Accept: bytes from the beginning of the session. */
  raise(limit: number): void {
    this.limit = Math.max(this.limit, limit)
  }

  /** Takes a Credit. False: it acknowledges what was never sent. An older one than the last changes nothing. */
  credit(received: number, credit: number): boolean {
    if (received > this.sentFrames) return false
    while (this.receivedFrames < received) {
      this.receivedFrames++
      this.receivedFrameBytes = this.marks[this.markHead] ?? 0
      this.receivedBytes = this.marks[this.markHead + 1] ?? 0
      this.markHead += 2
    }
    if (this.markHead === this.marks.length) this.marks.length = this.markHead = 0
    else if (this.markHead >= 1_024) {
      this.marks = this.marks.slice(this.markHead)
      this.markHead = 0
    }
    if (received === this.receivedFrames) this.raise(this.receivedFrameBytes + credit)
    return true
  }
}
