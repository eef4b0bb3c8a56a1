/**
 * `NodePhase` around a node: it builds the node's layers in a scope of its own, over transports that go through a gate, so that it can
 * end all of it. The phase is derived, at every look, from the relays inside and from the gate; it is kept nowhere but in the ref that follows
 * it.
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import { ConnectionRegistry } from "../services/ConnectionRegistry.ts"
import { DirectTransport } from "../services/DirectTransport.ts"
import { NodePhase, type Phase, phaseOf, phasesBetween } from "../services/NodePhase.ts"
import { type NodeSettingsInvalid, validNodeSettings } from "../services/NodeSettings.ts"
import { PortMapping } from "../services/PortMapping.ts"
import { RelayTransport } from "../services/RelayTransport.ts"
import * as nodeGate from "./nodeGate.ts"
import * as Waiters from "./waitUntil.ts"

/**
 * The node with its phase. `node` is what needs the transports: from `RelayClient` and `DirectLinks` up to what the application uses. The
 * transports come from outside of it, since only then can they be gated; they are given on gated. Its layers are shared with no others.
 */
export const layer = <A, E, R>(node: Layer.Layer<A, E, R>): Layer.Layer<A | NodePhase, E | NodeSettingsInvalid, R> =>
  Layer.effectContext(Effect.gen(function*() {
    const { goodbyeTimeout } = yield* validNodeSettings
    const outside = yield* Effect.context<never>()
    const waiters = Waiters.make()
    /** Of what the phase is derived from: tells those who follow it whether to look again. */
    let revision = 0
    const onChange = (): void => {
      revision++
      waiters.wake()
    }
    const gate = nodeGate.make(onChange)
    /** There is none in a node without relays, and none yet while the node is built. */
    let registry: ConnectionRegistry["Service"] | undefined
    const phase: Effect.Effect<Phase> = Effect.gen(function*() {
      if (gate.isCut()) return "Terminated"
      const relays = registry === undefined ? [] : yield* registry.relays
      return phaseOf(relays.map(({ state }) => state), gate.direct())
    })
    const changes = Stream.suspend(() => {
      let looked = -1
      return Stream.fromEffectRepeat(waiters.until(() => {
        if (looked === revision) return undefined
        looked = revision
        return phase
      }))
    }).pipe(
      Stream.mapAccum((): Phase | undefined => undefined, (before, now) => [now, phasesBetween(before, now)]),
      Stream.takeUntil((now) => now === "Terminated")
    )
    // For those who want to be told by a ref. It ends by itself, as the node does: the scope must not end it before.
    const ref = yield* SubscriptionRef.make<Phase>("Disconnected")
    const following = yield* Effect.forkDetach(Stream.runForEach(changes, (now) => SubscriptionRef.set(ref, now)), {
      startImmediately: true
    })

    const scope = yield* Scope.make()
    const over = yield* Deferred.make<void>()
    const end = Effect.gen(function*() {
      const goodbyes = yield* Effect.forkDetach(Scope.close(scope, Exit.void), { startImmediately: true })
      yield* Effect.timeoutOption(Fiber.await(goodbyes), goodbyeTimeout)
      yield* gate.cut
      yield* Fiber.await(following)
      const exit = yield* Fiber.await(goodbyes)
      if (Exit.isFailure(exit)) yield* Effect.logError("A part of the node did not end as it should", exit.cause)
      yield* Deferred.succeed(over, undefined)
    })
    // In a fiber of its own: whoever asks for it may be part of what ends. Once the gate is shut, that fiber must begin.
    const terminate = Effect.uninterruptibleMask((restore) =>
      Effect.andThen(
        gate.shut() ? Effect.forkDetach(end, { startImmediately: true }) : Effect.void,
        restore(Deferred.await(over))
      )
    )
    yield* Effect.addFinalizer(() => terminate)

    const relayTransport = Context.getOrUndefined(outside, RelayTransport)
    const directTransport = Context.getOrUndefined(outside, DirectTransport)
    let gated: Context.Context<never> = Context.empty()
    if (relayTransport !== undefined) gated = Context.add(gated, RelayTransport, gate.relayTransport(relayTransport))
    if (directTransport !== undefined) {
      gated = Context.add(gated, DirectTransport, gate.directTransport(directTransport))
    }
    const portMapping = Context.getOrUndefined(outside, PortMapping)
    if (portMapping !== undefined) gated = Context.add(gated, PortMapping, gate.portMapping(portMapping))
    const inside = yield* Layer.buildWithMemoMap(
      Layer.provide(node, Layer.succeedContext(gated)),
      Layer.makeMemoMapUnsafe(),
      scope
    )

    registry = Context.getOrUndefined(inside, ConnectionRegistry)
    if (registry !== undefined) {
      onChange()
      yield* Effect.forkScoped(Stream.runForEach(registry.relayChanges, () => Effect.sync(onChange)), {
        startImmediately: true
      })
    }

    return Context.mergeAll(gated, inside, Context.make(NodePhase, NodePhase.of({ phase, ref, changes, terminate })))
  }))
