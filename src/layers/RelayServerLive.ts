/**
 * `RelayServer` on any `RelayTransport`: one fiber a connection, one more that pings and closes on time for all of them. Ten thousand
 * idle clients must cost next to nothing, so none of them has a timer of its own.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { KeyPair } from "../protocol/crypto/Crypto.ts"
import { RelayServerAdmission } from "../protocol/relay-server/RelayServerAdmission.ts"
import { RelayServerCore, type RelayServerCoreOptions } from "../protocol/relay-server/RelayServerCore.ts"
import { Entropy } from "../services/Entropy.ts"
import { RelayServer } from "../services/RelayServer.ts"
import { type RelayServerSettingsInvalid, validRelayServerSettings } from "../services/RelayServerSettings.ts"
import { RelayTransport, type TransportError } from "../services/RelayTransport.ts"
import { ToxCrypto } from "../services/ToxCrypto.ts"
import { monotonicMillis } from "./monotonicMillis.ts"
import { serveConnection } from "./relayServerConnection.ts"

/**
 * How often deadlines are looked at, milliseconds: how late a client can be pinged or closed. A look at 10,000 clients takes well
 * under a millisecond.
 */
const tickInterval = 250

/** Where to listen, and who the relay is. Port 0 takes a free port. */
export interface RelayServerOptions {
  readonly host: string
  readonly port: number
  readonly keyPair: KeyPair
}

/**
 * A relay that listens from when the layer is built until its scope closes; then every connection is ended gracefully, within 2 s.
 * Fails when the address cannot be bound.
 */
export const layer = (
  options: RelayServerOptions
): Layer.Layer<RelayServer, TransportError | RelayServerSettingsInvalid, RelayTransport | ToxCrypto | Entropy> =>
  layerWith(options, (core) => new RelayServerCore(core))

/**
 * `layer` around a core of the caller's: for relays that do not do as they should, in tests.
 *
 * @internal
 */
export const layerWith = (
  options: RelayServerOptions,
  makeCore: (options: RelayServerCoreOptions) => RelayServerCore
): Layer.Layer<RelayServer, TransportError | RelayServerSettingsInvalid, RelayTransport | ToxCrypto | Entropy> =>
  Layer.effect(
    RelayServer,
    Effect.gen(function*() {
      const transport = yield* RelayTransport
      const crypto = yield* ToxCrypto
      const entropy = yield* Entropy
      const limits = yield* validRelayServerSettings
      const clock = yield* Clock.Clock
      const now = monotonicMillis(clock)

      const admission = new RelayServerAdmission(limits)
      const core = makeCore({ crypto, keyPair: options.keyPair, fill: entropy.fill, limits, admission })
      core.at(now())

      const listener = yield* transport.listen({ host: options.host, port: options.port })
      const admit = (remoteAddress: string): boolean => {
        core.at(now())
        const admitted = admission.admit(admission.sourceOf(remoteAddress), core.now)
        if (!admitted) core.counters.refused++
        return admitted
      }

      const tick = Effect.suspend(() => {
        core.at(now())
        core.tick()
        const defects = core.defects
        if (defects.length === 0) return Effect.void
        core.defects = []
        return Effect.logError("Connections of the relay failed", ...defects)
      })
      yield* Effect.sleep(tickInterval).pipe(
        Effect.andThen(tick),
        Effect.catchDefect((defect) => Effect.logError("The relay's clockwork failed", defect)),
        Effect.forever,
        Effect.forkScoped
      )
      yield* Effect.forkScoped(listener.serve(serveConnection({ core, admission, now }), admit))

      return RelayServer.of({
        address: { host: listener.host, port: listener.port, publicKey: options.keyPair.publicKey },
        stats: Effect.sync(() => {
          const { accepted, closed, droppedPackets, forwardedBytes, forwardedPackets, ignored, refused, violations } =
            core.counters
          return {
            accepted,
            refused,
            clients: core.clients,
            pending: core.pending,
            forwardedPackets,
            forwardedBytes,
            droppedPackets,
            violations: { ...violations },
            closed: { ...closed },
            ignored: { ...ignored }
          }
        })
      })
    })
  )
