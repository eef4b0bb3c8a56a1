/**
 * The transfer of the demonstration: random bytes through one byte session, hashed at both ends. It knows nothing of relays and
 * prints nothing.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import { createHash } from "node:crypto"
import type { Entropy } from "../services/Entropy.ts"
import type { ByteSession } from "../services/Session.ts"
import type { SessionError } from "../services/SessionError.ts"

/** Bytes handed to the session at once. */
const chunkSize = 64 * 1024
/** The chunks are cut from this many random bytes, at changing places, so that no two are alike. */
const poolSize = 1024 * 1024
/** This part of the bytes is only sent once the relay has been killed, which must not come too late for a small transfer. */
const heldBack = 1 / 3

/** Both ends' view of the transfer, updated while it runs. Times are nanoseconds of the monotonic clock. */
export class Transfer {
  readonly size: number
  /** Done when the relay has been killed: the rest may be sent. */
  readonly killed = Deferred.makeUnsafe<void>()
  readonly #sent = createHash("sha256")
  readonly #received = createHash("sha256")
  #receivedBytes = 0
  #lastArrival: bigint | undefined
  #longestGap = 0n

  constructor(size: number) {
    this.size = size
  }

  get receivedBytes(): number {
    return this.#receivedBytes
  }

  /** The longest time between two arrivals, milliseconds. */
  get longestGap(): number {
    return Number(this.#longestGap) / 1e6
  }

  hashSent(chunk: Uint8Array): void {
    this.#sent.update(chunk)
  }

  arrived(chunk: Uint8Array, now: bigint): void {
    this.#received.update(chunk)
    this.#receivedBytes += chunk.length
    if (this.#lastArrival !== undefined && now - this.#lastArrival > this.#longestGap) {
      this.#longestGap = now - this.#lastArrival
    }
    this.#lastArrival = now
  }

  /** Whether both ends saw the same bytes. Once, at the end. */
  matches(): boolean {
    return this.#receivedBytes === this.size && this.#sent.digest("hex") === this.#received.digest("hex")
  }
}

/** Sends all of it and waits until it has arrived. */
export const send = Effect.fnUntraced(function*(
  session: ByteSession,
  transfer: Transfer,
  entropy: Entropy["Service"]
): Effect.fn.Return<void, SessionError> {
  const pool = entropy.bytes(poolSize)
  const gate = Math.ceil(transfer.size * (1 - heldBack))
  for (let at = 0; at < transfer.size;) {
    const isHeld = at >= gate
    if (isHeld) yield* Deferred.await(transfer.killed)
    const end = Math.min(at + chunkSize, isHeld ? transfer.size : gate)
    const from = (at / chunkSize * 7919 | 0) % (poolSize - chunkSize)
    const chunk = pool.slice(from, from + end - at)
    transfer.hashSent(chunk)
    yield* session.write(chunk)
    at = end
  }
  yield* session.end
  yield* session.delivered
})

/** Takes everything until the sender's end, and ends this direction as well. */
export const receive = Effect.fnUntraced(function*(
  session: ByteSession,
  transfer: Transfer
): Effect.fn.Return<void, SessionError> {
  const clock = yield* Clock.Clock
  const take = Effect.map(session.read, (chunks) => {
    const now = clock.monotonicTimeNanosUnsafe()
    for (const chunk of chunks) transfer.arrived(chunk, now)
  })
  yield* Pull.catchDone(Effect.forever(take), () => Effect.void)
  yield* session.end
})
