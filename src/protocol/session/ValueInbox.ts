/**
 * Values of one session that the application has not taken, in order. Small ones lie packed in pages, so that a peer that fills a
 * window with the smallest frames there are costs little more memory than the window; large ones are kept as they came.
 */
import type { Payload } from "../../schema/Payload.ts"
import { valueHeaderSize } from "../../schema/SessionFrame.ts"
import { Fifo } from "./Fifo.ts"

/** A value as it came. `length` is the u32 of its header, 0 for descriptors without one; `cost` its frame bytes. */
export interface InFrame {
  readonly descriptor: number
  readonly length: number
  readonly payload: Payload
  /** Bytes of the payload. */
  readonly size: number
  readonly cost: number
}

/** Payloads below this are copied: a view would keep a whole packet alive for a few bytes. */
const smallPayload = 1024
/** And those below this that came in pieces, because somebody will want them in one, and a page costs less than an allocation each. */
const smallJoined = 8 * 1024
const firstPage = 64
const largestPage = 32 * 1024
/** A drained page above this is not kept for the next value. */
const largestIdlePage = 2 * 1024
/** Descriptor, length and size of a packed value. */
const entrySize = 7

/** Packed values: `start..end` have not been taken. */
interface Page {
  readonly bytes: Uint8Array
  start: number
  end: number
}

export class ValueInbox {
  /** Values that wait. */
  length = 0
  private readonly items = new Fifo<InFrame | Page>()
  /** The page that takes the next small value; it is the last item unless it is drained. */
  private page: Page | undefined = undefined
  private nextPage = firstPage

  /** The payload then belongs to the inbox. */
  push(descriptor: number, length: number, payload: Payload, size: number): void {
    this.length++
    const limit = payload instanceof Uint8Array ? smallPayload : smallJoined
    if (size < limit) return this.pack(descriptor, length, payload, size)
    this.page = undefined
    this.items.push({ descriptor, length, payload, size, cost: valueHeaderSize(descriptor) + size })
  }

  /** The oldest value, which then belongs to the caller. */
  take(): InFrame | undefined {
    const item = this.items.at(0)
    if (item === undefined) return undefined
    this.length--
    if (!("bytes" in item)) return this.items.shift() as InFrame
    const frame = unpack(item)
    if (item.start === item.end) {
      this.items.shift()
      if (item.bytes.length > largestIdlePage && this.page === item) {
        this.page = undefined
        if (item.end < item.bytes.length / 2) this.nextPage = Math.max(firstPage, this.nextPage / 2)
      }
    }
    return frame
  }

  clear(): void {
    this.length = 0
    this.items.clear()
    this.page = undefined
  }

  private pack(descriptor: number, length: number, payload: Payload, payloadSize: number): void {
    const size = entrySize + payloadSize
    let { page } = this
    if (page === undefined || page.end + size > page.bytes.length) {
      if (page !== undefined) this.nextPage = Math.min(largestPage, this.nextPage * 2)
      page = { bytes: new Uint8Array(Math.max(this.nextPage, size)), start: 0, end: 0 }
      this.page = page
    }
    if (page.start === page.end) this.items.push(page)
    const { bytes, end } = page
    bytes[end] = descriptor
    bytes[end + 1] = length
    bytes[end + 2] = length >>> 8
    bytes[end + 3] = length >>> 16
    bytes[end + 4] = length >>> 24
    bytes[end + 5] = payloadSize
    bytes[end + 6] = payloadSize >>> 8
    let at = end + entrySize
    if (payload instanceof Uint8Array) {
      bytes.set(payload, at)
    } else {
      for (const piece of payload) {
        bytes.set(piece, at)
        at += piece.length
      }
    }
    page.end = end + size
  }
}

const unpack = (page: Page): InFrame => {
  const { bytes, start } = page
  const byte = (at: number): number => bytes[start + at] ?? 0
  const descriptor = byte(0)
  const length = (byte(1) | byte(2) << 8 | byte(3) << 16 | byte(4) << 24) >>> 0
  const end = start + entrySize + (byte(5) | byte(6) << 8)
  page.start = end
  const payload = bytes.subarray(start + entrySize, end)
  return { descriptor, length, payload, size: payload.length, cost: valueHeaderSize(descriptor) + payload.length }
}
