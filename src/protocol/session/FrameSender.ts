/**
 * The sending half of a session: what waits for credit, and every numbered frame that the peer has not received, so that it can go
 * again over another link.
 *
 * Credit counts bytes of whole value frames; control frames are numbered like them but cost nothing, so that a Close never waits for a
 * reader. A frame may go while credit is above zero, which overdraws by one frame at most (design, "Credit").
 */
import { type Payload, payloadLength } from "../../schema/Payload.ts"
import { frameHeaderSize, prefixedHeaderSize } from "../../schema/SessionFrame.ts"
import { ByteQueue } from "./ByteQueue.ts"
import { Fifo } from "./Fifo.ts"
import type { LinkOutput } from "./LinkOutput.ts"

const bytesDescriptor = 0x0c
/** In place of a descriptor: the frame is there as it goes on the link, header included. */
const encoded = -1

/** Frames kept until they are received, however small they are: each costs more memory than its bytes. */
const maxRetained = 32_768

/** Where headers are put together: the link copies them at once. */
const heads = { plain: new Uint8Array(frameHeaderSize), prefixed: new Uint8Array(prefixedHeaderSize) }

/**
 * One numbered frame: a value, whose header is made when it goes, or a control frame. There may be many, so each is one object. `length`
 * is the u32 of the header, undefined where there is none; `cost`: bytes of credit, 0 for control frames; `payload`: bytes that the
 * application counts; `queued`: what it counts for while it waits.
 */
interface OutFrame {
  readonly descriptor: number
  readonly length: number | undefined
  readonly bytes: Payload
  readonly cost: number
  readonly payload: number
  readonly queued: number
}

export class FrameSender {
  /** Payload bytes written by the application in all, and those the peer has received. */
  writtenBytes = 0
  deliveredBytes = 0
  /** Bytes that wait to be sent, with the headers of messages. */
  queuedBytes = 0
  /** Numbered frames: put on a link at least once, and received by the peer. */
  sent = 0
  received = 0
  /** Nothing may go, whatever it costs: the peer does not know the session yet. */
  gated = false
  private readonly id: number
  /** Frames that have been sent and not let go; the first is number `base`. */
  private readonly retained = new Fifo<OutFrame>()
  private base = 0
  /** The number of the next frame for the link in use: below `sent` while frames go again. */
  private next = 0
  /** Frames that were never sent: control frames and messages. Bytes without boundaries wait in `bytes`, behind these. */
  private readonly waiting = new Fifo<OutFrame>()
  private bytes: ByteQueue | undefined = undefined
  private sentCost = 0
  private receivedCost = 0
  /** Cost that may be sent in all. */
  private limit: number

  constructor(id: number, limit: number) {
    this.id = id
    this.limit = limit
  }

  /** Whether a frame may go now. */
  get canSend(): boolean {
    if (this.gated) return false
    if (this.next < this.sent) return true
    if (this.sent - this.base >= maxRetained) return false
    const first = this.waiting.at(0)
    if (first !== undefined) return first.cost === 0 || this.sentCost < this.limit
    return this.bytes !== undefined && this.bytes.length > 0 && this.sentCost < this.limit
  }

  /** Everything that was ever to be sent has been received by the peer. */
  get settled(): boolean {
    return this.received === this.sent && !this.hasWaiting
  }

  /** Something was never sent. */
  get hasWaiting(): boolean {
    return this.waiting.length > 0 || this.hasBytes
  }

  /** Bytes without boundaries are waiting. */
  get hasBytes(): boolean {
    return this.bytes !== undefined && this.bytes.length > 0
  }

  /** Queues bytes without boundaries; the chunks then belong to the session. */
  write(chunks: ReadonlyArray<Uint8Array>): void {
    this.bytes ??= new ByteQueue()
    const before = this.bytes.length
    for (const chunk of chunks) this.bytes.push(chunk)
    this.writtenBytes += this.bytes.length - before
    this.queuedBytes += this.bytes.length - before
  }

  /** Queues one value. `length`: the u32 of its header, undefined where there is none. The payload then belongs to the session. */
  writeValue(descriptor: number, length: number | undefined, payload: Uint8Array): void {
    const cost = (length === undefined ? frameHeaderSize : prefixedHeaderSize) + payload.length
    this.waiting.push({ descriptor, length, bytes: payload, cost, payload: payload.length, queued: cost })
    this.writtenBytes += payload.length
    this.queuedBytes += cost
  }

  /** Queues a numbered control frame behind the messages, and before the bytes, that wait. */
  control(frame: Uint8Array): void {
    this.waiting.push({ descriptor: encoded, length: undefined, bytes: frame, cost: 0, payload: 0, queued: 0 })
  }

  /** Forgets what was never sent. */
  discard(): void {
    this.waiting.clear()
    this.bytes?.clear()
    this.queuedBytes = 0
  }

  /** Forgets everything: nothing goes any more, neither for the first time nor again. */
  abandon(): void {
    this.discard()
    this.retained.clear()
    this.base = this.next = this.received = this.sent
  }

  /** Puts one frame on the link and returns its size. Only when `canSend`. `maxPayload` bounds frames made of bytes. */
  writeFrame(link: LinkOutput, maxPayload: number): number {
    let frame: OutFrame | undefined
    if (this.next < this.sent) {
      frame = this.retained.at(this.next - this.base)
    } else {
      frame = this.waiting.shift() ?? this.cut(maxPayload)
      this.retained.push(frame)
      this.sent++
      this.sentCost += frame.cost
      this.queuedBytes -= frame.queued
    }
    if (frame === undefined) throw new Error("a frame that was not received is gone")
    this.next++
    const { bytes } = frame
    if (frame.descriptor !== encoded) link.push(this.header(frame.descriptor, frame.length))
    if (bytes instanceof Uint8Array) link.push(bytes)
    else for (const part of bytes) link.push(part)
    this.letGo()
    return frame.descriptor === encoded ? payloadLength(bytes) : frame.cost
  }

  /** Takes the credit of an Open or Accept: cost from the beginning of the session. */
  raise(limit: number): void {
    this.limit = Math.max(this.limit, limit)
  }

  /** Takes a Credit. False: it acknowledges what was never sent. An older one than the last changes nothing. */
  credit(received: number, credit: number): boolean {
    if (!this.acknowledge(received)) return false
    if (received === this.received) this.raise(this.receivedCost + credit)
    return true
  }

  /** Goes on over another link, behind the first `received` frames. False: the peer cannot have received that many, or so few. */
  resume(received: number): boolean {
    if (received < this.received || !this.acknowledge(received)) return false
    this.next = received
    this.letGo()
    return true
  }

  private acknowledge(received: number): boolean {
    if (received > this.sent) return false
    while (this.received < received) {
      const frame = this.retained.at(this.received - this.base)
      if (frame === undefined) throw new Error("a frame that was not received is gone")
      this.received++
      this.receivedCost += frame.cost
      this.deliveredBytes += frame.payload
    }
    this.letGo()
    return true
  }

  /** A frame that is to go again must go although the peer has it by now: the peer counts what the new link brings. */
  private letGo(): void {
    const end = Math.min(this.received, this.next)
    while (this.base < end) {
      this.retained.shift()
      this.base++
    }
  }

  private cut(maxPayload: number): OutFrame {
    const { bytes } = this
    if (bytes === undefined || bytes.length === 0) throw new Error("there is nothing to send")
    const size = Math.min(bytes.length, maxPayload)
    const parts: Array<Uint8Array> = []
    bytes.cut(size, parts)
    const cost = prefixedHeaderSize + size
    return { descriptor: bytesDescriptor, length: size, bytes: parts, cost, payload: size, queued: size }
  }

  /** The header of a value, until the next one is made. */
  private header(descriptor: number, length: number | undefined): Uint8Array {
    const head = length === undefined ? heads.plain : heads.prefixed
    const { id } = this
    head[0] = id
    head[1] = id >>> 8
    head[2] = id >>> 16
    head[3] = id >>> 24
    head[4] = descriptor
    if (length === undefined) return head
    head[5] = length
    head[6] = length >>> 8
    head[7] = length >>> 16
    head[8] = length >>> 24
    return head
  }
}
