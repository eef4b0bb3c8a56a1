/**
 * The real relay with a hand on what it passes on: `RelayServerLive` around a core that has faults. FOR TESTS ONLY. It works on any
 * `RelayTransport`, real TCP and the network inside the process, and under `TestClock`.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import { monotonicMillis } from "../layers/monotonicMillis.ts"
import * as RelayServerLive from "../layers/RelayServerLive.ts"
import { toHex } from "../schema/Bytes.ts"
import { Entropy } from "../services/Entropy.ts"
import type { RelayServer } from "../services/RelayServer.ts"
import type { RelayServerSettingsInvalid } from "../services/RelayServerSettings.ts"
import type { RelayTransport, TransportError } from "../services/RelayTransport.ts"
import type { ToxCrypto } from "../services/ToxCrypto.ts"
import { FaultyRelayCore } from "./faultyRelayCore.ts"
import { RelayFaultRules } from "./relayFaultRules.ts"
import { RelayFaults } from "./RelayFaults.ts"

/** A relay and its faults; without any it behaves as `RelayServerLive.layer`. Build it once per relay (`Layer.fresh`). */
export const layer = (
  options: RelayServerLive.RelayServerOptions
): Layer.Layer<
  RelayServer | RelayFaults,
  TransportError | RelayServerSettingsInvalid,
  RelayTransport | ToxCrypto | Entropy
> =>
  Layer.unwrap(Effect.gen(function*() {
    const { fraction } = yield* Entropy
    const now = monotonicMillis(yield* Clock.Clock)
    const rules = new RelayFaultRules()
    const held = Latch.makeUnsafe(false)
    let core: FaultyRelayCore | undefined

    const server = RelayServerLive.layerWith(options, (coreOptions) => {
      core = new FaultyRelayCore(coreOptions, { rules, fraction, now, onHeld: () => held.openUnsafe() })
      return core
    })
    const releaseNext = Effect.suspend(() => {
      held.closeUnsafe()
      const wait = (core?.nextDue ?? Infinity) - now()
      if (wait === Infinity) return held.await
      if (wait > 0) return Effect.raceFirst(Effect.sleep(Math.ceil(wait)), held.await)
      core?.at(now())
      core?.release()
      return Effect.void
    })
    yield* Effect.forkScoped(Effect.forever(releaseNext))

    return Layer.merge(
      server,
      Layer.succeed(RelayFaults)({
        set: (direction, change) => rules.set(direction, change),
        clear: () => rules.clear(),
        announce: ({ from, to }, isOnline) => {
          core?.at(now())
          return core?.announce(toHex(from), toHex(to), isOnline) ?? false
        },
        counts: () => ({ dropped: 0, duplicated: 0, reordered: 0, delayed: 0, lies: 0, ...core?.counts })
      })
    )
  }))
