/**
 * The gate that everything of a node goes out and comes in by: it stands around the transports, owns the scope of every connection and
 * listener that they open, and can close all of them. It never touches a byte: a connection whose scope has closed takes none.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { DirectTransport } from "../services/DirectTransport.ts"
import type { DirectActivity } from "../services/NodePhase.ts"
import { PortMapping } from "../services/PortMapping.ts"
import { RelayTransport, TransportError } from "../services/RelayTransport.ts"

export interface NodeGate {
  readonly relayTransport: (inner: RelayTransport["Service"]) => RelayTransport["Service"]
  readonly directTransport: (inner: DirectTransport["Service"]) => DirectTransport["Service"]
  /** A gateway is asked for as long as there is the listener, and nothing any more once the gate is cut. */
  readonly portMapping: (inner: PortMapping["Service"]) => PortMapping["Service"]
  readonly direct: () => DirectActivity
  /**
   * From now on nothing is dialled, and nobody who calls is let in. Dials that are under way end. What is open stays open. False: it was shut
   * before.
   */
  readonly shut: () => boolean
  /** After `shut`: closes everything that is open, all at once, and waits until it is closed. */
  readonly cut: Effect.Effect<void>
  /** It has been cut: nothing goes through it any more, for good. */
  readonly isCut: () => boolean
}

/** A connection or a listener, from before it opens until it has closed. */
interface Holding {
  readonly scope: Scope.Closeable
  /** Closes it, or waits until it is closed. */
  readonly close: Effect.Effect<void>
}

const refusal = new TransportError({ kind: "Refused", detail: "this node has been terminated" })

/** `onChange` is called when `direct` may have changed, and when it has been cut. */
export const make = (onChange: () => void): NodeGate => {
  /** Fails once it is shut. */
  const shutting = Deferred.makeUnsafe<never, TransportError>()
  const isShut = (): boolean => Deferred.isDoneUnsafe(shutting)
  const holdings = new Set<Holding>()
  let isCut = false
  let open = 0
  let dialling = 0

  const hold = (): Holding => {
    const scope = Scope.makeUnsafe()
    const closed = Deferred.makeUnsafe<void>()
    let isClosing = false
    const close = Effect.suspend(() => {
      if (isClosing) return Deferred.await(closed)
      isClosing = true
      return Effect.ensuring(
        Scope.close(scope, Exit.void),
        Effect.sync(() => {
          holdings.delete(holding)
          Deferred.doneUnsafe(closed, Exit.void)
        })
      )
    })
    const holding = { scope, close }
    holdings.add(holding)
    return holding
  }

  /** Opens something in a scope of its own, which closes with the caller's. */
  const acquire = <A>(opening: Effect.Effect<A, TransportError, Scope.Scope>) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function*() {
        if (isShut()) return yield* refusal
        const { close, scope } = hold()
        const opened = yield* restore(Effect.raceFirst(Scope.provide(opening, scope), Deferred.await(shutting))).pipe(
          Effect.onError(() => close)
        )
        yield* Effect.addFinalizer(() => close)
        return opened
      })
    )

  const counted = Effect.acquireRelease(
    Effect.sync(() => {
      open++
      onChange()
    }),
    () =>
      Effect.sync(() => {
        open--
        onChange()
      })
  )

  const diallingWhile = <A, E, R>(dial: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.suspend(() => {
      dialling++
      onChange()
      return Effect.ensuring(
        dial,
        Effect.sync(() => {
          dialling--
          onChange()
        })
      )
    })

  return {
    relayTransport: (inner) =>
      RelayTransport.of({
        connect: (address) => acquire(inner.connect(address)),
        listen: (address) =>
          Effect.map(acquire(inner.listen(address)), (listener) => ({
            ...listener,
            serve: (handler, admit) => listener.serve(handler, (remote) => !isShut() && admit(remote))
          }))
      }),
    directTransport: (inner) =>
      DirectTransport.of({
        connect: (endpoint, secret) =>
          diallingWhile(acquire(Effect.tap(inner.connect(endpoint, secret), () => counted))),
        listen: (address, pskOf) =>
          Effect.map(
            acquire(inner.listen(address, (identity, remote) => isShut() ? undefined : pskOf(identity, remote))),
            (listener) => ({
              ...listener,
              serve: (handler, onRefused) =>
                listener.serve((stream) => isShut() ? Effect.void : Effect.andThen(counted, handler(stream)), onRefused)
            })
          ),
        addresses: inner.addresses
      }),
    portMapping: (inner) =>
      PortMapping.of({
        map: (port) =>
          Effect.orElseSucceed(acquire(inner.map(port)), () => ({ endpoints: () => [], states: Stream.empty }))
      }),
    direct: () => ({ open, dialling }),
    shut: () => Deferred.doneUnsafe(shutting, Exit.fail(refusal)),
    cut: Effect.suspend(() =>
      Effect.forEach(Array.from(holdings), ({ close }) => close, { concurrency: "unbounded", discard: true })
    ).pipe(Effect.andThen(Effect.sync(() => {
      isCut = true
      onChange()
    }))),
    isCut: () => isCut
  }
}
