/**
 * `DirectLinks` for members of a static group, without a network: streams are pairs of byte queues that the test can kill, freeze and read.
 * What is on its way when a stream is killed is lost, except for a prefix that the test may choose.
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { type PublicKey, toHex } from "../../src/schema/Bytes.ts"
import { DirectError, NotReached } from "../../src/services/DirectError.ts"
import { type DirectLink, DirectLinks } from "../../src/services/DirectLinks.ts"
import type { DirectStream, DirectStreamHandlers } from "../../src/services/DirectTransport.ts"
import { TransportError } from "../../src/services/RelayTransport.ts"

/** Bytes on their way after which a writer has to stop. */
const sendBuffer = 64 * 1024

/** One end of a stream. */
export class FakeStream implements DirectStream {
  readonly remote = { host: "192.0.2.1", port: 1 }
  readonly keyExchange = "none"
  readonly pskIdentity = ""
  /** Every byte that this end has written, in order. */
  readonly written: Array<Uint8Array> = []
  /** On its way to the other end, in order. */
  readonly wire: Array<Uint8Array> = []
  isClosed = false
  /** Nothing of what this end writes arrives. */
  frozen = false
  other!: FakeStream
  #handlers: DirectStreamHandlers | undefined = undefined
  #held = false
  #isFull = false
  #scheduled = false
  #error: TransportError | undefined = undefined

  get inFlight(): number {
    return this.wire.reduce((sum, piece) => sum + piece.length, 0)
  }

  readonly handle = (handlers: DirectStreamHandlers): void => {
    this.#handlers = handlers
    this.other.flush()
    if (this.#error !== undefined) handlers.onClosed(this.#error)
  }

  readonly write = (pieces: ReadonlyArray<Uint8Array>): boolean => {
    if (this.isClosed) return true
    for (const piece of pieces) {
      this.written.push(piece.slice())
      this.wire.push(piece.slice())
    }
    this.later()
    this.#isFull = this.inFlight > sendBuffer
    return !this.#isFull
  }

  readonly hold = (held: boolean): void => {
    this.#held = held
    if (!held) this.other.later()
  }

  readonly destroy = (): void => {
    if (!this.isClosed) this.kill()
  }

  /** Breaks the stream: `arrives` bytes of what is on its way still do. */
  kill(arrives: () => number = () => 0): void {
    if (this.isClosed && this.other.isClosed) return
    this.isClosed = this.other.isClosed = true
    for (const end of [this, this.other]) {
      const lastBytes = Math.min(arrives(), end.inFlight)
      end.deliver(lastBytes)
      end.wire.length = 0
    }
    this.end()
    this.other.end()
  }

  /** This end breaks, and the other one does not learn of it. */
  vanish(): void {
    this.isClosed = true
    this.wire.length = 0
    this.other.frozen = true
    this.end()
  }

  /** Makes what is on its way arrive after the code that is running. */
  later(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    queueMicrotask(() => {
      this.#scheduled = false
      this.flush()
    })
  }

  flush(): void {
    if (this.isClosed || this.frozen) return
    this.deliver(Infinity)
    if (!this.#isFull || this.inFlight > sendBuffer) return
    this.#isFull = false
    this.#handlers?.onWritable()
  }

  private deliver(most: number): void {
    let left = most
    const { other } = this
    while (left > 0 && other.#handlers !== undefined && !other.#held) {
      const piece = this.wire.shift()
      if (piece === undefined) return
      const part = piece.subarray(0, left)
      left -= part.length
      other.#handlers.onBytes(part)
    }
  }

  private end(): void {
    if (this.#error !== undefined) return
    this.#error = new TransportError({ kind: "Reset", detail: "the test ended it" })
    this.#handlers?.onClosed(this.#error)
  }
}

/** Both ends of a stream. */
export const streamPair = (): readonly [FakeStream, FakeStream] => {
  const a = new FakeStream()
  const b = new FakeStream()
  a.other = b
  b.other = a
  return [a, b]
}

interface Waiting {
  readonly give: (link: DirectLink) => void
  readonly streams: number
}

/** A link that was made: the dialler's ends of its streams. */
export interface FakeLink {
  readonly from: string
  readonly to: string
  readonly streams: ReadonlyArray<FakeStream>
}

/** 32 bytes that begin with the number, so that greater numbers are greater keys. */
export const keyOf = (number: number): PublicKey => {
  const key = new Uint8Array(32).fill(7)
  key[0] = number
  return key as PublicKey
}

export const identityOf = (number: number) => {
  const keys = { publicKey: keyOf(number), secretKey: Redacted.make(new Uint8Array(32)) }
  return { identity: keys, dht: keys }
}

export class FakeGroup {
  /** Every link that was made, in order. */
  readonly links: Array<FakeLink> = []
  /** Dials so far, by number of the dialler. */
  readonly dials: Array<number> = []
  /** Members that nobody reaches now, by number. */
  readonly away = new Set<number>()
  /** Called with each link when it is made, before anybody has it. */
  onLink: (link: FakeLink) => void = () => undefined
  /** Calls for which somebody waits. */
  readonly #waiting = new Map<string, Array<Waiting>>()
  #wakers = new Set<() => void>()

  /** Streams that are open. */
  get open(): ReadonlyArray<FakeStream> {
    return this.links.flatMap(({ streams }) => streams).filter((stream) => !stream.isClosed)
  }

  /** The ends of open streams, and calls that are waited for: nothing of either is left when everybody is gone. */
  get waiting(): number {
    return Array.from(this.#waiting.values()).reduce((sum, { length }) => sum + length, 0)
  }

  isExpected(acceptor: number, dialler: number): boolean {
    return (this.#waiting.get(`${acceptor} from ${toHex(keyOf(dialler))}`)?.length ?? 0) > 0
  }

  /** The service of one member. `parallelism`: its streams, unless it asks for fewer. */
  of(number: number, parallelism: number): DirectLinks["Service"] {
    const us = keyOf(number)
    const unused = Effect.die(new Error("not part of this fake"))
    return DirectLinks.of({
      endpoints: Effect.succeed([]),
      meet: () => unused,
      expect: () => unused,
      rejections: Stream.never,
      rejected: Effect.succeed({ Unexpected: 0, Expired: 0, Replayed: 0, WrongDirection: 0, HandshakeFailed: 0 }),
      accept: (from, streams = parallelism) => {
        const way = `${number} from ${toHex(from)}`
        const link = Effect.callback<DirectLink>((resume) => {
          const waiting: Waiting = { streams, give: (given) => resume(Effect.succeed(given)) }
          const queue = this.#waiting.get(way) ?? []
          this.#waiting.set(way, [...queue, waiting])
          for (const wake of this.#wakers) wake()
          return Effect.sync(() => this.#remove(way, waiting))
        })
        return owned(link)
      },
      dial: (to, _, streams = parallelism) => {
        this.dials.push(number)
        const acceptor = to[0] ?? 0
        const way = `${acceptor} from ${toHex(us)}`
        const link = Effect.callback<DirectLink, DirectError>((resume) => {
          if (this.away.has(acceptor) || this.away.has(number)) {
            const reason = new NotReached({ detail: "192.0.2.1:1 refused" })
            return resume(Effect.fail(new DirectError({ peer: toHex(to), reason })))
          }
          const attempt = (): void => {
            const [waiting] = this.#waiting.get(way) ?? []
            if (waiting === undefined) return
            this.#wakers.delete(attempt)
            this.#remove(way, waiting)
            const pairs = Array.from({ length: Math.min(streams, waiting.streams) }, streamPair)
            const made = { from: toHex(us), to: toHex(to), streams: pairs.map(([near]) => near) }
            this.links.push(made)
            this.onLink(made)
            waiting.give({ identityKey: us, streams: pairs.map(([, far]) => far), roles: pairs.map(() => "accepted") })
            resume(
              Effect.succeed({
                identityKey: to,
                streams: pairs.map(([near]) => near),
                roles: pairs.map(() => "dialled")
              })
            )
          }
          this.#wakers.add(attempt)
          attempt()
          return Effect.sync(() => this.#wakers.delete(attempt))
        })
        return owned(link)
      }
    })
  }

  #remove(way: string, waiting: Waiting): void {
    this.#waiting.set(way, (this.#waiting.get(way) ?? []).filter((one) => one !== waiting))
  }
}

const owned = <E>(link: Effect.Effect<DirectLink, E>) =>
  Effect.acquireRelease(link, ({ streams }) => Effect.sync(() => streams.forEach((stream) => stream.destroy())), {
    interruptible: true
  })
