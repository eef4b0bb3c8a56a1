/**
 * What has come from a direct stream and waits for its receiver: nobody has called `handle` yet, or it is held. Both transports of direct
 * links deliver through it, so that both deliver alike. Plain code; it never writes, and never calls the source from inside `push`
 * other than to stop it.
 */
import type { DirectStreamHandlers } from "../services/DirectTransport.ts"
import type { TransportError } from "../services/RelayTransport.ts"

/** Bytes kept here before the source is stopped. The chunk that reaches it is kept as well. */
const maxKept = 64 * 1024

/** Where the bytes come from. */
export interface InboxSource {
  /** No more `push` for now; one that is under way still counts. */
  readonly stop: () => void
  readonly start: () => void
  /** Asks for a `flush` that is not inside the running call. */
  readonly flushSoon: () => void
}

export class DirectInbox {
  readonly #source: InboxSource
  #handlers: DirectStreamHandlers | undefined
  #held = false
  #chunks: Array<Uint8Array> = []
  #kept = 0
  #stopped = false
  #ending: TransportError | undefined
  #told: DirectStreamHandlers | undefined

  constructor(source: InboxSource) {
    this.#source = source
  }

  /** The next bytes. They are delivered inside the call when somebody wants them. */
  push(chunk: Uint8Array): void {
    if (this.#ending !== undefined) return
    if (this.#kept === 0 && !this.#held && this.#handlers !== undefined) return this.#handlers.onBytes(chunk)
    this.#chunks.push(chunk)
    this.#kept += chunk.length
    if (this.#kept < maxKept || this.#stopped) return
    this.#stopped = true
    this.#source.stop()
  }

  /** The stream is over, behind what was pushed. Only the first end counts. */
  end(error: TransportError): void {
    this.#ending ??= error
    this.#tell()
  }

  /** The stream is over by our own doing: what is kept is dropped, and the receiver is told soon. */
  abandon(error: TransportError): void {
    this.#chunks = []
    this.#kept = 0
    this.#ending ??= error
    this.#source.flushSoon()
  }

  handle(handlers: DirectStreamHandlers): void {
    this.#handlers = handlers
    this.flush()
  }

  hold(held: boolean): void {
    if (this.#held === held) return
    this.#held = held
    if (!held && (this.#kept > 0 || this.#ending !== undefined)) this.#source.flushSoon()
  }

  /** The writer may go on. */
  writable(): void {
    if (this.#ending === undefined) this.#handlers?.onWritable()
  }

  /** Delivers what is kept to a receiver that wants it, and then the end. */
  flush(): void {
    while (this.#kept > 0 && !this.#held && this.#handlers !== undefined) {
      const chunk = this.#chunks.shift()!
      this.#kept -= chunk.length
      this.#handlers.onBytes(chunk)
    }
    if (this.#stopped && this.#kept < maxKept) {
      this.#stopped = false
      this.#source.start()
    }
    this.#tell()
  }

  /** Each receiver once. */
  #tell(): void {
    const handlers = this.#handlers
    if (this.#ending === undefined || this.#kept > 0 || handlers === undefined || handlers === this.#told) return
    this.#told = handlers
    handlers.onClosed(this.#ending)
  }
}
