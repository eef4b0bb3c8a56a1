/** One secured connection in the network inside the process as a `DirectStream`. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { DirectInbox } from "../layers/DirectInbox.ts"
import type { DirectStream } from "../services/DirectTransport.ts"
import { type TransportConnection, TransportError } from "../services/RelayTransport.ts"
import * as memoryLink from "./memoryLink.ts"

const closedHere = new TransportError({ kind: "Reset", detail: "closed" })

/**
 * Takes over a secured connection, which its own scope closes; this scope owns the reading. `early` are bytes that came behind the
 * handshake; `run` runs what is due soon.
 */
export const make = Effect.fnUntraced(function*(
  connection: TransportConnection,
  early: Uint8Array,
  run: (effect: Effect.Effect<void>) => unknown,
  found: Pick<DirectStream, "remote" | "pskIdentity">
): Effect.fn.Return<DirectStream, never, Scope.Scope> {
  let stopped = false
  let goOn: (() => void) | undefined
  let left = false
  const inbox = new DirectInbox({
    stop: () => {
      stopped = true
    },
    start: () => {
      stopped = false
      goOn?.()
    },
    flushSoon: () => run(Effect.andThen(Effect.yieldNow, flush))
  })
  const flush = Effect.sync(() => inbox.flush())
  const started = Effect.callback<void>((resume) => {
    if (!stopped) return resume(Effect.void)
    goOn = () => {
      goOn = undefined
      resume(Effect.void)
    }
    return Effect.sync(() => {
      goOn = undefined
    })
  })

  if (early.length > 0) inbox.push(early.slice())
  connection.onDrain(() => inbox.writable())
  const leave = () => {
    if (left) return
    left = true
    inbox.abandon(closedHere)
  }
  const reading = connection.pull.pipe(
    Effect.flatMap((chunks) => {
      for (const chunk of chunks) inbox.push(chunk)
      return stopped ? started : Effect.void
    }),
    Effect.forever,
    Effect.catch((error) => Effect.sync(() => inbox.end(error)))
  )
  yield* Effect.forkScoped(stopped ? Effect.andThen(started, reading) : reading)
  yield* Effect.addFinalizer(() => Effect.andThen(Effect.sync(leave), flush))

  return {
    ...found,
    // Nothing is negotiated in here.
    keyExchange: "none, in memory",
    handle: (handlers) => inbox.handle(handlers),
    write: (pieces) => {
      if (left) return true
      // The network hands on what it is given; the receiver's bytes must be its own.
      const batch = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0))
      let at = 0
      for (const piece of pieces) {
        batch.set(piece, at)
        at += piece.length
      }
      return connection.write(batch)
    },
    hold: (held) => inbox.hold(held),
    destroy: () => {
      if (left) return
      leave()
      memoryLink.abort(connection)
    }
  }
})
