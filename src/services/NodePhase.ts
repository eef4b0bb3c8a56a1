import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type * as SubscriptionRef from "effect/SubscriptionRef"
import type { RelayState } from "./RelayClient.ts"

/**
 * Where a node stands (rows M01 to M05).
 *
 * - `Disconnected`: nothing connects it to anybody, and nothing is being tried. So it begins, and so it is again after the last connection.
 * - `Bootstrapping`: relays or peers are being dialled, and none has been reached.
 * - `Connected`: a relay is confirmed, or a direct connection to a peer is open.
 * - `Terminated`: nothing goes out any more, for good.
 */
export type Phase = "Disconnected" | "Bootstrapping" | "Connected" | "Terminated"

/** Direct connections, as far as the phase depends on them. */
export interface DirectActivity {
  readonly open: number
  readonly dialling: number
}

/** The phase of a node that is not terminated, from the states of its relays and its direct connections. */
export const phaseOf = (relays: Iterable<RelayState>, direct: DirectActivity): Exclude<Phase, "Terminated"> => {
  let isTrying = direct.dialling > 0
  if (direct.open > 0) return "Connected"
  for (const state of relays) {
    if (state._tag === "Confirmed") return "Connected"
    // Between two dials it is still being tried; after a connection, which is lost, it is not yet being tried again.
    isTrying ||= state._tag === "Failed" ? !state.error.wasConfirmed : state._tag !== "Sleeping"
  }
  return isTrying ? "Bootstrapping" : "Disconnected"
}

/**
 * What the node has gone through from one look to the next, the new phase last. Other relays may be being dialled already at the moment when
 * the last connection is lost: it is `Disconnected` all the same, though nobody has seen it (row M04).
 */
export const phasesBetween = (before: Phase | undefined, after: Phase): ReadonlyArray<Phase> => {
  if (before === after) return []
  return before === "Connected" && after === "Bootstrapping" ? ["Disconnected", after] : [after]
}

/**
 * The phase of the node, and its end.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Stream from "effect/Stream"
 * import { NodePhase } from "effect-causeway"
 *
 * const connected = Effect.flatMap(NodePhase, ({ changes }) =>
 *   changes.pipe(Stream.takeUntil((phase) => phase === "Connected"), Stream.runDrain))
 * ```
 */
export class NodePhase extends Context.Service<NodePhase, {
  /** The present phase. It is looked up, not remembered. */
  readonly phase: Effect.Effect<Phase>
  /** The same for those who follow a ref. It is told of every change a moment later; setting it changes nothing. */
  readonly ref: SubscriptionRef.SubscriptionRef<Phase>
  /** The present phase, then every change. Ends after `Terminated`. A slow reader may miss a phase that was over before it looked. */
  readonly changes: Stream.Stream<Phase>
  /**
   * Ends the node for good, as closing its scope does: from now on nothing is dialled and nobody is let in; the goodbyes that are owed go out,
   * within `NodeSettings.goodbyeTimeout`; then every connection and every listener is closed. When it is done nothing goes out of the node
   * any more, whatever its services are asked for. Idempotent; interrupting it stops the waiting only.
   */
  readonly terminate: Effect.Effect<void>
}>()("causeway/services/NodePhase") {}
