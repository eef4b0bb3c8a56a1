/** Bytes that were written and are in no frame yet: chunks as the application gave them, cut without copying. */
import { Fifo } from "./Fifo.ts"

export class ByteQueue {
  /** Bytes in the queue. */
  length = 0
  private readonly chunks = new Fifo<Uint8Array>()
  /** Bytes of the first chunk that are gone. */
  private offset = 0

  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return
    this.chunks.push(chunk)
    this.length += chunk.length
  }

  /** Takes the first `size` bytes, which must be there, and appends them to `parts`. */
  cut(size: number, parts: Array<Uint8Array>): void {
    let left = size
    while (left > 0) {
      const chunk = this.chunks.at(0)
      if (chunk === undefined) throw new Error("the queue is shorter than its count")
      const end = Math.min(chunk.length, this.offset + left)
      parts.push(this.offset === 0 && end === chunk.length ? chunk : chunk.subarray(this.offset, end))
      left -= end - this.offset
      if (end === chunk.length) {
        this.chunks.shift()
        this.offset = 0
      } else {
        this.offset = end
      }
    }
    this.length -= size
  }

  clear(): void {
    this.chunks.clear()
    this.offset = 0
    this.length = 0
  }
}
