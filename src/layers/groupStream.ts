/**
 * One stream of a group's link, from its first byte to its last. A hello goes first each way and says which process speaks, so that the
 * sessions below it are those with that process; what follows is the sessions', whom it does not know. Data passes it in plain calls;
 * a fiber watches that the hello comes in time and waits for the end (row I09).
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { IpEndpoint } from "../schema/IpEndpoint.ts"
import { instanceIdSize, LinkControl, LinkHello, linkVersion } from "../schema/LinkControl.ts"
import type { DirectStream, DirectStreamHandlers } from "../services/DirectTransport.ts"
import type { TransportError } from "../services/RelayTransport.ts"
import type { Waiters } from "./waitUntil.ts"

/** Packet id, kind, version, instance id. */
const helloSize = 4 + instanceIdSize

export class GroupStream implements DirectStream {
  readonly remote: IpEndpoint
  readonly keyExchange: string
  readonly pskIdentity: string
  /** Which process of the peer is at the other end, once it has said so. */
  peerInstance: Uint8Array | undefined = undefined
  readonly #stream: DirectStream
  readonly #waiters: Waiters
  readonly #hello = new Uint8Array(helloSize)
  #helloLength = 0
  /** What came right behind the hello. */
  #early: Uint8Array | undefined = undefined
  #handlers: DirectStreamHandlers | undefined = undefined
  #isHeld = false
  /** Why it is over, or must be. */
  #end: string | undefined = undefined
  #closed: TransportError | undefined = undefined

  /** Says hello at once. `waiters` are woken by the peer's hello and by the end. */
  constructor(stream: DirectStream, instanceId: Uint8Array, waiters: Waiters) {
    this.#stream = stream
    this.#waiters = waiters
    this.remote = stream.remote
    this.keyExchange = stream.keyExchange
    this.pskIdentity = stream.pskIdentity
    stream.write([LinkControl.encode(LinkHello.make({ version: linkVersion, instanceId }))])
    stream.handle({
      onBytes: (bytes) => {
        if (this.#handlers === undefined) this.#greet(bytes)
        else this.#handlers.onBytes(bytes)
      },
      onWritable: () => this.#handlers?.onWritable(),
      onClosed: (error) => {
        this.#closed = error
        this.#finish(error.message)
        this.#handlers?.onClosed(error)
      }
    })
  }

  /** The stream's life: waits for the hello, for at most so many milliseconds, then for the end, and says why it ended. */
  life(helloTimeout: number): Effect.Effect<string> {
    const greeted = this.#waiters.until(() =>
      this.peerInstance !== undefined || this.#end !== undefined ? Effect.void : undefined
    )
    const ended = this.#waiters.until(() => this.#end === undefined ? undefined : Effect.succeed(this.#end))
    return Effect.timeoutOrElse(greeted, {
      duration: helloTimeout,
      orElse: () => Effect.sync(() => this.#finish(`it said no hello within ${helloTimeout} ms`))
    }).pipe(Effect.andThen(ended))
  }

  readonly handle = (handlers: DirectStreamHandlers): void => {
    this.#handlers = handlers
    const early = this.#early
    this.#early = undefined
    if (early !== undefined) handlers.onBytes(early)
    // The receiver may have held it by now.
    if (this.#closed === undefined) this.#stream.hold(this.#isHeld)
    else handlers.onClosed(this.#closed)
  }

  readonly write = (pieces: ReadonlyArray<Uint8Array>): boolean => this.#stream.write(pieces)

  readonly hold = (held: boolean): void => {
    this.#isHeld = held
    this.#stream.hold(held)
  }

  readonly destroy = (): void => this.#stream.destroy()

  #greet(bytes: Uint8Array): void {
    const part = bytes.subarray(0, helloSize - this.#helloLength)
    this.#hello.set(part, this.#helloLength)
    this.#helloLength += part.length
    if (this.#helloLength < helloSize) return
    const decoded = LinkControl.decode(this.#hello)
    const hello = Result.isSuccess(decoded) && decoded.success._tag === "LinkHello" ? decoded.success : undefined
    if (hello === undefined || hello.version === 0) {
      this.#finish("it did not begin with a hello")
      this.#stream.destroy()
      return
    }
    // Nothing more comes until there are sessions for it.
    this.#stream.hold(true)
    if (part.length < bytes.length) this.#early = bytes.subarray(part.length)
    this.peerInstance = hello.instanceId.slice()
    this.#waiters.wake()
  }

  #finish(why: string): void {
    this.#end ??= why
    this.#waiters.wake()
  }
}
