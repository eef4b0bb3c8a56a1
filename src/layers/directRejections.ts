/**
 * Callers that were turned away: counted, and told to each reader at its own pace. A reader that falls behind misses the oldest and holds up
 * nobody.
 */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Stream from "effect/Stream"
import { EventBacklog } from "../protocol/registry/EventBacklog.ts"
import { DirectError, type DirectErrorReason } from "../services/DirectError.ts"
import type { DirectRejection } from "../services/DirectLinks.ts"

/** Rejections that a reader may fall behind by. */
const maxWaiting = 256

/** What a caller is turned away with. */
export type Rejection = Extract<DirectErrorReason, { readonly _tag: DirectRejection }>

interface Reader {
  readonly backlog: EventBacklog<DirectError>
  readonly filled: Latch.Latch
}

export class DirectRejections {
  readonly #readers = new Set<Reader>()

  readonly counts: Record<DirectRejection, number> = {
    Unexpected: 0,
    Expired: 0,
    Replayed: 0,
    WrongDirection: 0,
    HandshakeFailed: 0
  }

  readonly publish = (peer: string, reason: Rejection): void => {
    this.counts[reason._tag]++
    const error = new DirectError({ peer, reason })
    for (const { backlog, filled } of this.#readers) {
      backlog.push(error, false)
      filled.openUnsafe()
    }
  }

  /** What is rejected from now on. */
  readonly stream: Stream.Stream<DirectError> = Stream.unwrap(
    Effect.acquireRelease(
      Effect.sync(() => {
        const reader: Reader = { backlog: new EventBacklog(maxWaiting, maxWaiting), filled: Latch.makeUnsafe(false) }
        this.#readers.add(reader)
        return reader
      }),
      (reader) => Effect.sync(() => this.#readers.delete(reader))
    ).pipe(Effect.map((reader) => Stream.fromIterableEffectRepeat(read(reader))))
  )
}

const read = ({ backlog, filled }: Reader): Effect.Effect<ReadonlyArray<DirectError>> =>
  Effect.map(filled.await, () => {
    filled.closeUnsafe()
    return backlog.takeAll()
  })
