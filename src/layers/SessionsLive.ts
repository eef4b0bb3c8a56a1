/**
 * `Sessions` over net_crypto: one link per connection, made by the first call that names the connection.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { ByteSessionState } from "../protocol/session/ByteSessionState.ts"
import { SessionCode } from "../protocol/session/sessionFault.ts"
import { instanceIdSize } from "../schema/LinkControl.ts"
import { Entropy } from "../services/Entropy.ts"
import { Identity } from "../services/Identity.ts"
import type { NetCryptoConnection } from "../services/NetCrypto.ts"
import { Sessions } from "../services/Sessions.ts"
import { SessionSettings } from "../services/SessionSettings.ts"
import * as byteSession from "./byteSession.ts"
import * as sessionLink from "./sessionLink.ts"

/** Whether `a` comes after `b` in byte order; both have the same length. */
const isGreater = (a: Uint8Array, b: Uint8Array): boolean => {
  const at = a.findIndex((byte, index) => byte !== b[index])
  return at >= 0 && (a[at] ?? 0) > (b[at] ?? 0)
}

export const layer: Layer.Layer<Sessions, never, Entropy | Identity> = Layer.effect(
  Sessions,
  Effect.gen(function*() {
    const entropy = yield* Entropy
    const { identity } = yield* Identity
    const numbers = yield* SessionSettings
    const scope = yield* Effect.scope
    const instanceId = entropy.bytes(instanceIdSize)
    const links = new WeakMap<NetCryptoConnection, sessionLink.SessionLink>()

    const linkOf = (connection: NetCryptoConnection) =>
      Effect.suspend(() => {
        const known = links.get(connection)
        if (known !== undefined) return Effect.succeed(known)
        const greater = isGreater(identity.publicKey, connection.identityKey)
        const link = sessionLink.attach({ connection, instanceId, greater, numbers })
        links.set(connection, link)
        return link.run.pipe(
          Effect.tapDefect((defect) => Effect.logError("The fiber of a session link died", defect)),
          Effect.forkIn(scope),
          Effect.as(link)
        )
      })

    const giveUpAtEnd = (link: sessionLink.SessionLink, state: ByteSessionState) =>
      Effect.addFinalizer(() => Effect.sync(() => link.mux.reset(state, SessionCode.cancelled, "given up")))

    const open = Effect.fn("Sessions.open")(function*(connection: NetCryptoConnection, name: string) {
      const link = yield* linkOf(connection)
      const state = yield* Effect.uninterruptible(Effect.suspend(() => {
        const state = link.mux.open(name)
        return Effect.as(giveUpAtEnd(link, state), state)
      }))
      const { accepted, session } = byteSession.attach(link, state, numbers)
      yield* accepted
      return session
    })

    const accept = Effect.fn("Sessions.accept")(function*(connection: NetCryptoConnection) {
      const link = yield* linkOf(connection)
      const { mux, waiters } = link
      const offered = waiters.until(() => {
        if (mux.offered > 0) return Effect.void
        return mux.fault === undefined ? undefined : Effect.fail(byteSession.errorOf(link, mux.fault))
      })
      // Waiting can be interrupted; from taking the offer to owing its end nothing can.
      return yield* Effect.uninterruptibleMask(Effect.fnUntraced(function*(restore) {
        for (;;) {
          yield* restore(offered)
          const state = mux.accept()
          if (state === undefined) continue
          yield* giveUpAtEnd(link, state)
          return byteSession.attach(link, state, numbers).session
        }
      }))
    })

    const refuse = Effect.fn("Sessions.refuse")(function*(connection: NetCryptoConnection, message: string) {
      const { mux, waiters } = yield* linkOf(connection)
      mux.goAway(SessionCode.busy, message)
      yield* waiters.until(() => mux.hello === undefined && mux.fault === undefined ? undefined : Effect.void)
      yield* connection.drained.pipe(Effect.timeoutOption(numbers.drainTimeout), Effect.ignore)
      yield* connection.close
    })

    return Sessions.of({
      open,
      accept,
      refuse,
      counts: (connection) =>
        links.get(connection)?.mux.counts ??
          { unknownSession: 0, ignoredFrames: 0, ignoredPackets: 0, refusedSessions: 0 }
    })
  })
)
