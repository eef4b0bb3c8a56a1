/**
 * `NodePhase` around a node: it builds the node's layers in a scope of its own, over transports that go through a gate, so that it can
 * end all of it, and derives the phase from what is inside. It keeps no state beside theirs but that it is over.
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import { ConnectionRegistry } from "../services/ConnectionRegistry.ts"
import { DirectTransport } from "../services/DirectTransport.ts"
import { NodePhase, type Phase, phaseOf, phasesBetween } from "../services/NodePhase.ts"
import { NodeSettings } from "../services/NodeSettings.ts"
import { RelayTransport } from "../services/RelayTransport.ts"
import * as nodeGate from "./nodeGate.ts"

/**
 * The node with its phase. `node` is what needs the transports: from `RelayClient` and `DirectLinks` up to what the application uses. The
 * transports come from outside of it, since only then can they be gated; they are given on gated. Its layers are shared with no others.
 */
export const layer = <A, E, R>(node: Layer.Layer<A, E, R>): Layer.Layer<A | NodePhase, E, R> =>
  Layer.effectContext(Effect.gen(function*() {
    const { goodbyeTimeout } = yield* NodeSettings
    const outside = yield* Effect.context<never>()
    const watchers = new Set<Latch.Latch>()
    const changed = (): void => {
      for (const watcher of watchers) watcher.openUnsafe()
    }
    const gate = nodeGate.make(changed)
    const scope = yield* Scope.make()
    const over = yield* Deferred.make<void>()
    const ref = yield* SubscriptionRef.make<Phase>("Disconnected")
    let isEnding = false
    let isTerminated = false

    const end = Effect.gen(function*() {
      gate.shut()
      const goodbyes = yield* Effect.forkDetach(Scope.close(scope, Exit.void), { startImmediately: true })
      yield* Effect.timeoutOption(Fiber.await(goodbyes), goodbyeTimeout)
      yield* gate.cut
      isTerminated = true
      yield* SubscriptionRef.set(ref, "Terminated")
      changed()
      const exit = yield* Fiber.await(goodbyes)
      if (Exit.isFailure(exit)) yield* Effect.logError("A part of the node did not end as it should", exit.cause)
      yield* Deferred.succeed(over, undefined)
    })
    // In a fiber of its own: whoever asks for it may be part of what ends.
    const terminate = Effect.suspend(() => {
      if (isEnding) return Deferred.await(over)
      isEnding = true
      return Effect.andThen(Effect.forkDetach(end, { startImmediately: true }), Deferred.await(over))
    })
    yield* Effect.addFinalizer(() => terminate)

    const relayTransport = Context.getOrUndefined(outside, RelayTransport)
    const directTransport = Context.getOrUndefined(outside, DirectTransport)
    let gated: Context.Context<never> = Context.empty()
    if (relayTransport !== undefined) gated = Context.add(gated, RelayTransport, gate.relayTransport(relayTransport))
    if (directTransport !== undefined) {
      gated = Context.add(gated, DirectTransport, gate.directTransport(directTransport))
    }
    const inside = yield* Layer.buildWithMemoMap(
      Layer.provide(node, Layer.succeedContext(gated)),
      Layer.makeMemoMapUnsafe(),
      scope
    )

    const registry = Context.getOrUndefined(inside, ConnectionRegistry)
    const phase: Effect.Effect<Phase> = Effect.gen(function*() {
      if (isTerminated) return "Terminated"
      const relays = registry === undefined ? [] : yield* registry.relays
      return phaseOf(relays.map(({ state }) => state), gate.direct())
    })
    if (registry !== undefined) {
      yield* Effect.forkScoped(Stream.runForEach(registry.relayChanges, () => Effect.sync(changed)), {
        startImmediately: true
      })
    }
    const changes = Stream.unwrap(Effect.map(
      Effect.acquireRelease(
        Effect.sync(() => {
          const watcher = Latch.makeUnsafe(true)
          watchers.add(watcher)
          return watcher
        }),
        (watcher) => Effect.sync(() => watchers.delete(watcher))
      ),
      (watcher) =>
        Stream.fromEffectRepeat(Effect.andThen(
          watcher.await,
          Effect.suspend(() => {
            watcher.closeUnsafe()
            return phase
          })
        ))
    )).pipe(
      Stream.mapAccum((): Phase | undefined => undefined, (before, now) => [now, phasesBetween(before, now)]),
      Stream.takeUntil((now) => now === "Terminated")
    )

    // For those who want to be told by a ref. The end of the node is told by the end itself.
    const copied = Stream.runForEach(changes, (now) => isTerminated ? Effect.void : SubscriptionRef.set(ref, now))
    yield* Effect.forkScoped(copied, { startImmediately: true })

    return Context.mergeAll(gated, inside, Context.make(NodePhase, NodePhase.of({ phase, ref, changes, terminate })))
  }))
