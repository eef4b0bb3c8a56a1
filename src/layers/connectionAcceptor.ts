/**
 * What the listeners of all transports share: connections that arrive are admitted, then served by a fiber and a scope of their
 * own. It never opens or closes a listening socket.
 */
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import type * as Scope from "effect/Scope"

/** Connections kept while nobody serves; beyond it they are refused. As many as the backlog of a listening socket usually holds. */
const maxWaiting = 256

/** A connection that nobody has taken over yet. Exactly one of `open` and `reject` is called. */
export interface Arrival<Connection> {
  readonly remoteAddress: string
  /** Makes it usable; `close` is run when its handler has ended, whatever the reason. */
  readonly open: () => { readonly connection: Connection; readonly close: Effect.Effect<void> }
  readonly reject: () => void
}

export interface ConnectionAcceptor<Connection> {
  readonly offer: (arrival: Arrival<Connection>) => void
  /** As `TransportListener.serve`, for any kind of connection. */
  readonly serve: <R>(
    handler: (connection: Connection) => Effect.Effect<void, never, R>,
    admit: (remoteAddress: string) => boolean
  ) => Effect.Effect<never, never, Exclude<R, Scope.Scope>>
}

/** The scope owns every handler and every connection; closing it returns when all of them have ended. */
export const make = Effect.fnUntraced(function*<Connection>() {
  let accept: ((arrival: Arrival<Connection>) => void) | undefined
  let waiting: Array<Arrival<Connection>> = []
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      accept = (arrival) => arrival.reject()
      for (const arrival of waiting) arrival.reject()
    })
  )
  const handlers = yield* FiberSet.make<void>()

  const serve = <R>(
    handler: (connection: Connection) => Effect.Effect<void, never, R>,
    admit: (remoteAddress: string) => boolean
  ) =>
    Effect.flatMap(FiberSet.runtime(handlers)<Exclude<R, Scope.Scope>>(), (run) =>
      Effect.callback<never>(() => {
        const take = (arrival: Arrival<Connection>) => {
          if (!admit(arrival.remoteAddress)) return arrival.reject()
          const { connection, close } = arrival.open()
          run(
            Effect.suspend(() => handler(connection)).pipe(
              Effect.scoped,
              Effect.tapDefect((defect) => Effect.logError("Connection handler died", defect)),
              Effect.ensuring(close)
            )
          )
        }
        accept = take
        const early = waiting
        waiting = []
        early.forEach(take)
        return Effect.suspend(() => {
          if (accept === take) accept = undefined
          return FiberSet.clear(handlers)
        })
      }))

  const acceptor: ConnectionAcceptor<Connection> = {
    offer: (arrival) => {
      if (accept !== undefined) accept(arrival)
      else if (waiting.length < maxWaiting) waiting.push(arrival)
      else arrival.reject()
    },
    serve
  }
  return acceptor
})
