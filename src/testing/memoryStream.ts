/**
 * One direction of a connection in the network inside the process: what the writer's socket holds, what is under way, what has
 * arrived and waits for `pull`. It never calls the writer or the reader from inside their own calls.
 */
import * as Effect from "effect/Effect"
import { TransportError } from "../services/RelayTransport.ts"
import type { MemoryTimeline } from "./memoryTimeline.ts"

export const ended = new TransportError({ kind: "Ended", detail: "FIN" })
export const reset = new TransportError({ kind: "Reset", detail: "ECONNRESET" })
const closedHere = new TransportError({ kind: "Reset", detail: "closed" })

type Batch = Effect.Effect<ReadonlyArray<Uint8Array>, TransportError>

/** What the way is like now; asked for each piece. */
export interface MemoryWay {
  readonly latencyNanos: () => bigint
  readonly isFrozen: () => boolean
}

export class MemoryStream {
  readonly #timeline: MemoryTimeline
  readonly #way: MemoryWay
  /** Bytes under way or arrived that nobody has pulled, at most. */
  readonly #capacity: number
  #held: Array<Uint8Array> = []
  #heldBytes = 0
  #window = 0
  #flight: Array<{ readonly due: bigint; readonly payload: Uint8Array | TransportError }> = []
  #armed = false
  #inbox: Array<Uint8Array> = []
  #ending: TransportError | undefined
  #waiter: ((effect: Batch) => void) | undefined
  #discarding = false
  #finishing = false
  #flushed = false
  #onFlushed: (() => void) | undefined
  #blocked = false
  #drained: (() => void) | undefined
  /** Told when the far side's end has arrived at the reader: a FIN or a reset. */
  onEnding: (error: TransportError) => void = () => {}

  constructor(timeline: MemoryTimeline, way: MemoryWay, capacity: number) {
    this.#timeline = timeline
    this.#way = way
    this.#capacity = capacity
  }

  // The writer's side.

  write(bytes: Uint8Array): boolean {
    if (this.#finishing) return true
    if (bytes.length > 0) {
      this.#held.push(bytes)
      this.#heldBytes += bytes.length
      // A blocked writer's bytes wait for the credit that is on its way, or its own call would run its drain callback.
      if (!this.#blocked) this.#depart()
    }
    this.#blocked = this.#heldBytes > 0
    return !this.#blocked
  }

  get heldBytes(): number {
    return this.#heldBytes
  }

  get bytesUnderway(): number {
    return this.#heldBytes + this.#window
  }

  onDrain(callback: () => void): void {
    this.#drained = callback
  }

  /** Sends the FIN behind everything written so far. */
  finish(): void {
    if (this.#finishing) return
    this.#finishing = true
    this.#depart()
  }

  /** Waits until everything including the FIN has left, or the stream is broken. */
  readonly flushed: Effect.Effect<void> = Effect.callback<void>((resume) => {
    if (this.#flushed) return resume(Effect.void)
    this.#onFlushed = () => resume(Effect.void)
    return Effect.sync(() => {
      this.#onFlushed = undefined
    })
  })

  /** The writer has closed: its callback is not called any more. */
  forgetWriter(): void {
    this.#drained = undefined
  }

  get isFlushed(): boolean {
    return this.#flushed
  }

  /** Drops what has not arrived; the reader learns of it as fast as the way allows. */
  abort(): void {
    this.#drop()
    this.#send(reset)
    this.#arm()
  }

  // The reader's side.

  readonly pull: Batch = Effect.suspend(() => {
    if (this.#inbox.length > 0) {
      const taken = this.#inbox
      this.#inbox = []
      this.#credit(taken)
      return Effect.succeed(taken)
    }
    return this.#ending === undefined ? this.#wait : Effect.fail(this.#ending)
  })

  readonly #wait: Batch = Effect.callback((resume) => {
    this.#waiter = resume
    return Effect.sync(() => {
      if (this.#waiter === resume) this.#waiter = undefined
    })
  })

  /** The reader is gone: what arrives is dropped. */
  discard(): void {
    this.#discarding = true
    this.#credit(this.#inbox)
    this.#inbox = []
    this.#ending ??= closedHere
    this.#wakeSoon()
  }

  // Both sides.

  /** Breaks it at once; arrived bytes can still be pulled. */
  sever(): void {
    this.#drop()
    this.#ending ??= reset
    this.#wakeSoon()
  }

  /** Goes on after a thaw. */
  resume(): void {
    this.#arm()
  }

  #drop(): void {
    this.#held = []
    this.#heldBytes = 0
    this.#flight = []
    this.#finishing = true
    this.#markFlushed()
    if (this.#blocked) this.#timeline.soon(this.#onCredit)
  }

  #markFlushed(): void {
    this.#flushed = true
    const callback = this.#onFlushed
    if (callback !== undefined) this.#timeline.soon(callback)
  }

  /** Takes what fits the window out of the writer's hands. */
  #depart(): void {
    while (this.#held.length > 0 && this.#window < this.#capacity) {
      const next = this.#held[0]!
      const room = this.#capacity - this.#window
      const piece = next.length > room ? next.subarray(0, room) : next
      if (piece === next) this.#held.shift()
      else this.#held[0] = next.subarray(room)
      this.#heldBytes -= piece.length
      this.#window += piece.length
      this.#send(piece)
    }
    if (this.#finishing && !this.#flushed && this.#heldBytes === 0) {
      this.#send(ended)
      this.#markFlushed()
    }
    this.#arm()
  }

  #send(payload: Uint8Array | TransportError): void {
    // What comes later is never delivered before what went earlier, even when its own time is shorter.
    this.#flight.push({ due: this.#timeline.now() + this.#way.latencyNanos(), payload })
  }

  #arm(): void {
    const head = this.#flight[0]
    if (this.#armed || head === undefined || this.#way.isFrozen()) return
    this.#armed = true
    const wait = head.due - this.#timeline.now()
    if (wait > 0n) this.#timeline.after(wait, this.#deliver)
    else this.#timeline.soon(this.#deliver)
  }

  readonly #deliver = (): void => {
    this.#armed = false
    if (this.#way.isFrozen()) return
    const now = this.#timeline.now()
    for (let head = this.#flight[0]; head !== undefined && head.due <= now; head = this.#flight[0]) {
      this.#flight.shift()
      if (head.payload instanceof TransportError) {
        this.#ending ??= head.payload
        this.onEnding(head.payload)
      } else if (this.#discarding) this.#credit([head.payload])
      else this.#inbox.push(head.payload)
    }
    this.#wake()
    this.#arm()
  }

  #wakeSoon(): void {
    if (this.#waiter !== undefined) this.#timeline.soon(() => this.#wake())
  }

  #wake(): void {
    const resume = this.#waiter
    if (resume === undefined || (this.#inbox.length === 0 && this.#ending === undefined)) return
    this.#waiter = undefined
    // The fiber takes the bytes itself: an interrupted one leaves them for the next pull.
    resume(this.pull)
  }

  #credit(chunks: ReadonlyArray<Uint8Array>): void {
    for (const chunk of chunks) this.#window -= chunk.length
    if (this.#heldBytes > 0) this.#timeline.soon(this.#onCredit)
  }

  readonly #onCredit = (): void => {
    this.#depart()
    if (!this.#blocked || this.#heldBytes > 0) return
    this.#blocked = false
    this.#drained?.()
  }
}
