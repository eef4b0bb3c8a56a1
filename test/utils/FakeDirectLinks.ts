/**
 * `DirectLinks` of two nodes, joined without network or cryptography: an attempt that both meet becomes a link, unless the test has
 * blocked the way. The links can be cut and frozen.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { type PublicKey, toHex } from "../../src/schema/Bytes.ts"
import type { IpEndpoint } from "../../src/schema/IpEndpoint.ts"
import { DirectError, NotReached } from "../../src/services/DirectError.ts"
import type { DirectAttempt, DirectLink, DirectLinks } from "../../src/services/DirectLinks.ts"
import type { DirectStream, DirectStreamHandlers } from "../../src/services/DirectTransport.ts"
import { TransportError } from "../../src/services/RelayTransport.ts"
import { greaterKey, lesserKey } from "./FakeNetCrypto.ts"

type Announcement = Parameters<DirectLinks["Service"]["expect"]>[0]

class FakeStream implements DirectStream {
  readonly remote: IpEndpoint = { host: "192.0.2.1", port: 1 }
  readonly keyExchange = "none"
  readonly pskIdentity = ""
  peer: FakeStream | undefined = undefined
  readonly #way: { isFrozen: boolean }
  readonly #queue: Array<Uint8Array> = []
  #handlers: DirectStreamHandlers | undefined = undefined
  #isHeld = false
  #isOver = false

  constructor(way: { isFrozen: boolean }) {
    this.#way = way
  }

  readonly handle = (handlers: DirectStreamHandlers): void => {
    this.#handlers = handlers
    this.deliver()
  }

  readonly write = (pieces: ReadonlyArray<Uint8Array>): boolean => {
    if (!this.#isOver) this.peer?.take(pieces.map((piece) => piece.slice()))
    return true
  }

  readonly hold = (held: boolean): void => {
    this.#isHeld = held
    this.deliver()
  }

  readonly destroy = (): void => {
    this.end("Ended")
    if (!this.#way.isFrozen) this.peer?.end("Ended")
  }

  end(kind: TransportError["kind"]): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#handlers?.onClosed(new TransportError({ kind, detail: "by the test" }))
  }

  take(pieces: ReadonlyArray<Uint8Array>): void {
    this.#queue.push(...pieces)
    queueMicrotask(() => this.deliver())
  }

  deliver(): void {
    while (!this.#way.isFrozen && !this.#isHeld && !this.#isOver && this.#handlers !== undefined) {
      const bytes = this.#queue.shift()
      if (bytes === undefined) return
      this.#handlers.onBytes(bytes)
    }
  }
}

export class FakeDirectLinks {
  /** Whether attempts come to anything. */
  isOpen = true
  /** Nothing becomes of attempts, and nobody learns of it before their time is over. */
  hangs = false
  /** Milliseconds that an attempt takes. */
  delay = 0
  /** What each node says of where it listens. */
  readonly endpoints: { a: Array<IpEndpoint>; b: Array<IpEndpoint> } = { a: [], b: [] }
  /** Every attempt that a node has met, in order. */
  readonly met: Array<{ readonly side: "a" | "b"; readonly attempt: DirectAttempt }> = []
  /** Called when a node begins to expect a call. */
  onExpect: (side: "a" | "b", announcement: Announcement) => void = () => {}
  /** Streams of each link. */
  streams = 2
  /** Links that were made, the latest last. */
  readonly links: Array<
    { readonly a: ReadonlyArray<FakeStream>; readonly b: ReadonlyArray<FakeStream>; way: { isFrozen: boolean } }
  > = []
  readonly #waiting = new Map<string, { readonly side: "a" | "b"; readonly link: Deferred.Deferred<DirectLink> }>()

  /** Breaks the latest link at both ends; what has not arrived is lost. */
  cut(kind: TransportError["kind"] = "Reset"): void {
    const { a = [], b = [] } = this.links.at(-1) ?? {}
    for (const stream of [...a, ...b]) stream.end(kind)
  }

  /** Nothing arrives over the latest link any more, not even its end. */
  freeze(): void {
    const last = this.links.at(-1)
    if (last !== undefined) last.way.isFrozen = true
  }

  service(side: "a" | "b"): DirectLinks["Service"] {
    const unused = Effect.die(new Error("not part of this fake"))
    return {
      endpoints: Effect.sync(() => [...this.endpoints[side]]),
      expect: (announcement) => Effect.sync(() => this.onExpect(side, announcement)),
      meet: (attempt) => this.#meet(side, attempt),
      dial: () => unused,
      accept: () => unused,
      rejections: Stream.never,
      rejected: Effect.succeed({ Unexpected: 0, Expired: 0, Replayed: 0, WrongDirection: 0, HandshakeFailed: 0 })
    }
  }

  #meet(side: "a" | "b", attempt: DirectAttempt): Effect.Effect<DirectLink, DirectError, Scope.Scope> {
    return Effect.gen({ self: this }, function*() {
      this.met.push({ side, attempt })
      if (this.hangs || !this.isOpen) {
        const reason = new NotReached({ detail: "blocked by the test" })
        yield* Effect.sleep(this.hangs ? attempt.patience ?? Infinity : 1_000)
        return yield* Effect.fail(new DirectError({ peer: toHex(attempt.identityKey), reason }))
      }
      if (this.delay > 0) yield* Effect.sleep(this.delay)
      const id = toHex(attempt.attempt as PublicKey)
      const other = this.#waiting.get(id)
      if (other === undefined || other.side === side) {
        const link = yield* Deferred.make<DirectLink>()
        this.#waiting.set(id, { side, link })
        return yield* Effect.tap(Deferred.await(link), closeAtEnd)
      }
      this.#waiting.delete(id)
      const made = this.#link()
      yield* Deferred.succeed(other.link, made[other.side])
      yield* closeAtEnd(made[side])
      return made[side]
    })
  }

  #link(): { readonly a: DirectLink; readonly b: DirectLink } {
    const way = { isFrozen: false }
    const pairs = Array.from({ length: this.streams }, () => {
      const pair = { a: new FakeStream(way), b: new FakeStream(way) }
      pair.a.peer = pair.b
      pair.b.peer = pair.a
      return pair
    })
    const a = pairs.map((pair) => pair.a)
    const b = pairs.map((pair) => pair.b)
    this.links.push({ a, b, way })
    return {
      a: { identityKey: greaterKey, streams: a, roles: a.map(() => "accepted") },
      b: { identityKey: lesserKey, streams: b, roles: b.map(() => "dialled") }
    }
  }
}

const closeAtEnd = ({ streams }: DirectLink): Effect.Effect<void, never, Scope.Scope> =>
  Effect.addFinalizer(() => Effect.sync(() => streams.forEach((stream) => stream.destroy())))
