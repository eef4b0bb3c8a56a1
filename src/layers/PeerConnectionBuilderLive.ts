/**
 * `PeerConnectionBuilder` over `DirectLinks`: one group at a time, which begins with its first member and belongs to the scope of `build`.
 * A group's fibers are the worker, one for each member, one for each member's sessions, and one for each stream of a link.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { PublicKey } from "../schema/Bytes.ts"
import type { IpEndpoint } from "../schema/IpEndpoint.ts"
import { DirectLinks } from "../services/DirectLinks.ts"
import { type DirectSettingsInvalid, validDirectSettings } from "../services/DirectSettings.ts"
import { Entropy } from "../services/Entropy.ts"
import { Identity } from "../services/Identity.ts"
import { PeerConnectionBuilder } from "../services/PeerConnectionBuilder.ts"
import { type SessionSettingsInvalid, validSessionSettings } from "../services/SessionSettings.ts"
import { GroupWorker } from "./groupWorker.ts"
import { monotonicMillis } from "./monotonicMillis.ts"

/** What is known of a group beforehand. */
export interface GroupOptions {
  /**
   * How many sessions there will be with each peer, where that is known: a link has no more streams than that (row I08). Without it, as many
   * as `DirectSettings.parallelism`.
   */
  readonly sessions?: number
}

/** A group and what ends it. */
interface Group {
  readonly worker: GroupWorker
  readonly scope: Scope.Closeable
}

/** A builder of one group at a time; its scope ends the group. Fails when a setting is out of its range. */
export const layer = (
  options: GroupOptions = {}
): Layer.Layer<
  PeerConnectionBuilder,
  SessionSettingsInvalid | DirectSettingsInvalid,
  DirectLinks | Entropy | Identity
> =>
  Layer.effect(
    PeerConnectionBuilder,
    Effect.gen(function*() {
      const entropy = yield* Entropy
      const { identity } = yield* Identity
      const links = yield* DirectLinks
      const direct = yield* validDirectSettings
      const numbers = yield* validSessionSettings
      const now = monotonicMillis(yield* Clock.Clock)
      const layerScope = yield* Effect.scope
      const { sessions } = options
      const streams = sessions === undefined ? undefined : Math.max(1, Math.min(direct.parallelism, sessions))
      let current: Group | undefined

      const begin = Effect.gen(function*() {
        const scope = yield* Scope.fork(layerScope)
        const fibers = yield* Scope.provide(FiberSet.make(), scope)
        const run = yield* FiberSet.runtime(fibers)()
        const fork = (what: string, effect: Effect.Effect<unknown>): void => {
          run(Effect.tapDefect(effect, (defect) => Effect.logError(`The fiber of ${what} died`, defect)))
        }
        const node = {
          links,
          entropy,
          numbers,
          stallTimeout: direct.stallTimeout,
          idleProbeInterval: direct.idleProbeInterval,
          streams,
          now,
          fork
        }
        const worker = yield* GroupWorker.make(node, identity.publicKey)
        fork("a group's worker", worker.run)
        // Goodbyes need the fibers.
        yield* Scope.addFinalizer(scope, worker.leave)
        current = { worker, scope }
        return current
      })

      const group = Effect.uninterruptible(
        Effect.suspend(() => current === undefined ? begin : Effect.succeed(current))
      )

      const end = (ended: Group): Effect.Effect<void> =>
        Effect.suspend(() => {
          if (current === ended) current = undefined
          return Scope.close(ended.scope, Exit.void)
        })

      const includePeer = Effect.fn("PeerConnectionBuilder.includePeer")(function*(
        identityKey: PublicKey,
        endpoints: ReadonlyArray<IpEndpoint>
      ) {
        const { worker } = yield* group
        yield* worker.include(identityKey, endpoints)
      })

      const build = Effect.fn("PeerConnectionBuilder.build")(function*() {
        const building = yield* group
        const { claim, connected, reconnect } = building.worker
        return yield* Effect.uninterruptibleMask(Effect.fnUntraced(function*(restore) {
          yield* claim
          yield* Effect.addFinalizer(() => end(building))
          const connections = yield* Effect.onInterrupt(restore(connected), () => end(building))
          return { connections, reconnector: { reconnect } }
        }))
      })

      return PeerConnectionBuilder.of({
        includePeer,
        build: build(),
        progress: Stream.unwrap(Effect.map(group, ({ worker }) => worker.changes))
      })
    })
  )
