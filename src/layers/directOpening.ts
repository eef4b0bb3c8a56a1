/**
 * A direct stream from the moment that it is secured until somebody uses it: reads the one packet that opens it, and keeps what comes behind
 * that, with the stream held, for the one who will use it. What the packet says is not its business.
 */
import type { IpEndpoint } from "../schema/IpEndpoint.ts"
import type { DirectStream, DirectStreamHandlers } from "../services/DirectTransport.ts"
import { TransportError } from "../services/RelayTransport.ts"
import { DirectInbox } from "./DirectInbox.ts"

const closedHere = new TransportError({ kind: "Reset", detail: "closed" })

/** What is told of a stream that is being opened; all of it from the stream's own callbacks. */
export interface OpeningEvents {
  /** The opening packet, of the size that was asked for. It belongs to the receiver. */
  readonly onPacket: (packet: Uint8Array) => void
  /** The first bytes behind it have come, before anybody receives them; they are kept. */
  readonly onUsed: () => void
  /** The stream is over. */
  readonly onClosed: (error: TransportError) => void
}

export class OpeningStream implements DirectStream {
  readonly remote: IpEndpoint
  readonly keyExchange: string
  readonly pskIdentity: string
  readonly #stream: DirectStream
  readonly #events: OpeningEvents
  readonly #packet: Uint8Array
  #filled = 0
  #isUsed = false
  /** What is behind the packet. It keeps bytes only while the stream below is held, which is not its business: that stops and starts it. */
  readonly #inbox = new DirectInbox({
    stop: () => undefined,
    start: () => undefined,
    flushSoon: () => queueMicrotask(() => this.#inbox.flush())
  })
  #isHandled = false
  #isHeld = false

  /** Will read a packet of `packetSize` bytes first. */
  constructor(stream: DirectStream, packetSize: number, events: OpeningEvents) {
    this.#stream = stream
    this.#events = events
    this.#packet = new Uint8Array(packetSize)
    this.remote = stream.remote
    this.keyExchange = stream.keyExchange
    this.pskIdentity = stream.pskIdentity
  }

  /** Begins to read. Events may come before this returns. */
  begin(): void {
    this.#stream.handle({
      onBytes: (bytes) => this.#isUsed ? this.#inbox.push(bytes) : this.#open(bytes),
      onWritable: () => this.#inbox.writable(),
      onClosed: (error) => {
        this.#events.onClosed(error)
        this.#inbox.end(error)
      }
    })
  }

  /** Bytes behind the packet have come. */
  get isUsed(): boolean {
    return this.#isUsed
  }

  handle(handlers: DirectStreamHandlers): void {
    this.#isHandled = true
    this.#inbox.handle(handlers)
    // The receiver may have held it by now.
    this.#stream.hold(this.#isHeld)
  }

  write(pieces: ReadonlyArray<Uint8Array>): boolean {
    return this.#stream.write(pieces)
  }

  hold(held: boolean): void {
    this.#isHeld = held
    this.#inbox.hold(held)
    // Until there is a receiver, the packet is still to come, or what is behind it has to wait.
    if (this.#isHandled) this.#stream.hold(held)
  }

  destroy(): void {
    this.#stream.destroy()
    this.#inbox.abandon(closedHere)
  }

  /** The packet, and the first bytes behind it. */
  #open(bytes: Uint8Array): void {
    const missing = this.#packet.length - this.#filled
    if (missing > 0) {
      const part = bytes.subarray(0, missing)
      this.#packet.set(part, this.#filled)
      this.#filled += part.length
      if (part.length < missing) return
      this.#events.onPacket(this.#packet)
    }
    if (bytes.length <= missing) return
    this.#isUsed = true
    if (!this.#isHandled) this.#stream.hold(true)
    this.#inbox.push(bytes.subarray(missing))
    if (!this.#isHandled) this.#events.onUsed()
  }
}
