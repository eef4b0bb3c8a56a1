/**
 * Who writes to which unfinished file: one transfer of this process at a time. A transfer that stands still, because its sender died
 * and its session waits for it to come back, makes room for one that begins.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { FileInTransfer, FileTakenOver } from "./FileTransferError.ts"

/** How long a transfer may bring nothing before another one takes its place. */
const patience = "2 seconds"

interface Claim {
  /** Grows while the transfer goes on. */
  readonly bytes: () => number
  readonly evicted: Deferred.Deferred<never, FileTakenOver>
  readonly released: Deferred.Deferred<void>
}

/** The claims of a process, by the unfinished file. */
export type PartClaims = Map<string, Claim>

export const make = (): PartClaims => new Map()

/** Claims the file when nobody has it; answers with whoever has. */
const tryClaim = (claims: PartClaims, part: string, claim: Claim) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const other = claims.get(part)
      if (other === undefined) claims.set(part, claim)
      return other
    }),
    (other) =>
      Effect.suspend(() => {
        if (other !== undefined) return Effect.void
        claims.delete(part)
        return Deferred.succeed(claim.released, undefined)
      })
  )

/**
 * Claims an unfinished file for the scope. `bytes` is what has arrived of it. Answers with what fails when another transfer takes over:
 * race with it. Fails while the file is being received by one that goes on.
 */
export const claim = Effect.fnUntraced(function*(
  claims: PartClaims,
  part: string,
  bytes: () => number
): Effect.fn.Return<Effect.Effect<never, FileTakenOver>, FileInTransfer, Scope.Scope> {
  const mine: Claim = {
    bytes,
    evicted: yield* Deferred.make<never, FileTakenOver>(),
    released: yield* Deferred.make<void>()
  }
  for (;;) {
    const other = yield* tryClaim(claims, part, mine)
    if (other === undefined) return Deferred.await(mine.evicted)
    const before = other.bytes()
    const released = yield* Effect.timeoutOption(Deferred.await(other.released), patience)
    if (Option.isSome(released)) continue
    if (other.bytes() !== before) return yield* new FileInTransfer()
    yield* Deferred.fail(other.evicted, new FileTakenOver())
    yield* Deferred.await(other.released)
  }
})
