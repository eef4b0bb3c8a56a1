/**
 * A direct stream from the moment that it is secured until somebody uses it: reads the one packet that opens it, and keeps what comes behind
 * that, with the stream held, for the one who will use it. What the packet says is not its business.
 */
import type { IpEndpoint } from "../schema/IpEndpoint.ts"
import type { DirectStream, DirectStreamHandlers } from "../services/DirectTransport.ts"
import type { TransportError } from "../services/RelayTransport.ts"

/** What is told of a stream that is being opened; all of it from the stream's own callbacks. */
export interface OpeningEvents {
  /** The opening packet, of the size that was asked for. It belongs to the receiver. */
  readonly onPacket: (packet: Uint8Array) => void
  /** The first bytes behind it have come; they are kept. */
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
  #kept: Array<Uint8Array> = []
  #error: TransportError | undefined = undefined
  #handlers: DirectStreamHandlers | undefined = undefined
  #held = false

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
      onBytes: (bytes) => this.#onBytes(bytes),
      onWritable: () => this.#handlers?.onWritable(),
      onClosed: (error) => this.#onClosed(error)
    })
  }

  /** Bytes behind the packet have come. */
  get isUsed(): boolean {
    return this.#kept.length > 0
  }

  handle(handlers: DirectStreamHandlers): void {
    this.#handlers = handlers
    this.#release()
    if (this.#error !== undefined) this.#finish(this.#error)
  }

  write(pieces: ReadonlyArray<Uint8Array>): boolean {
    return this.#stream.write(pieces)
  }

  hold(held: boolean): void {
    this.#held = held
    if (this.#handlers !== undefined) this.#release()
  }

  destroy(): void {
    this.#stream.destroy()
  }

  #onBytes(bytes: Uint8Array): void {
    if (bytes.length === 0) return undefined
    const missing = this.#packet.length - this.#filled
    if (missing === 0) return this.#deliver(bytes)
    const part = bytes.subarray(0, missing)
    this.#packet.set(part, this.#filled)
    this.#filled += part.length
    if (part.length < missing) return undefined
    this.#events.onPacket(this.#packet)
    if (bytes.length > missing) this.#deliver(bytes.subarray(missing))
    return undefined
  }

  #deliver(bytes: Uint8Array): void {
    if (this.#handlers !== undefined && this.#kept.length === 0 && !this.#held) return this.#handlers.onBytes(bytes)
    const isFirst = this.#kept.length === 0 && this.#handlers === undefined
    this.#kept.push(bytes)
    this.#stream.hold(true)
    if (isFirst) this.#events.onUsed()
    return undefined
  }

  /** Delivers what was kept, unless the user holds the stream, and lets it flow as the user wants it. */
  #release(): void {
    while (!this.#held && this.#kept.length > 0) this.#handlers?.onBytes(this.#kept.shift()!)
    this.#stream.hold(this.#held)
  }

  #onClosed(error: TransportError): void {
    this.#error = error
    this.#events.onClosed(error)
    this.#finish(error)
  }

  /** Tells the user of the end: behind the last bytes, also of those that a user who holds the stream will not ask for any more. */
  #finish(error: TransportError): void {
    const handlers = this.#handlers
    if (handlers === undefined) return
    const kept = this.#kept
    this.#kept = []
    for (const bytes of kept) handlers.onBytes(bytes)
    handlers.onClosed(error)
  }
}
