/**
 * `RelayClient` over whatever transport is provided. `relaySession` is the life of one connection; here it is repeated. It never
 * decides which relays are used: that is the connection registry's part.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { RelayBackOff } from "../protocol/relay/RelayBackOff.ts"
import type { RelayLinkEvents } from "../protocol/relay/RelayLink.ts"
import { formatHostPort, type RelayAddress } from "../schema/RelayAddress.ts"
import { Entropy } from "../services/Entropy.ts"
import { Identity } from "../services/Identity.ts"
import { RelayClient, type RelayState } from "../services/RelayClient.ts"
import { type RelaySettingsInvalid, validRelaySettings } from "../services/RelaySettings.ts"
import { RelayTransport } from "../services/RelayTransport.ts"
import { ToxCrypto } from "../services/ToxCrypto.ts"
import { monotonicMillis } from "./monotonicMillis.ts"
import * as relaySession from "./relaySession.ts"

/** Connects with the DHT key pair of `Identity`. */
export const layer: Layer.Layer<
  RelayClient,
  RelaySettingsInvalid,
  Entropy | Identity | RelayTransport | ToxCrypto
> = Layer.effect(
  RelayClient,
  Effect.gen(function*() {
    const transport = yield* RelayTransport
    const crypto = yield* ToxCrypto
    const entropy = yield* Entropy
    const { dht } = yield* Identity
    const numbers = yield* validRelaySettings
    const tools: relaySession.RelaySessionTools = { transport, crypto, entropy, keys: dht, numbers }

    const run = Effect.fn("RelayClient.run")((
      relay: RelayAddress,
      events: RelayLinkEvents,
      onState: (state: RelayState) => void
    ) => Effect.scoped(relaySession.run(tools, relay, events, onState)))

    const maintain = Effect.fn("RelayClient.maintain")(function*(
      relay: RelayAddress,
      events: RelayLinkEvents,
      onState: (state: RelayState) => void
    ): Effect.fn.Return<never> {
      const millis = monotonicMillis(yield* Clock.Clock)
      const backOff = new RelayBackOff(numbers)
      const log = Effect.annotateLogs({ relay: formatHostPort(relay) })
      while (true) {
        let confirmedAt: number | undefined
        let lostAt = 0
        const watch = (state: RelayState) => {
          if (state._tag === "Confirmed") confirmedAt = millis()
          onState(state)
        }
        const error = yield* relaySession.run(tools, relay, events, watch).pipe(
          // Before the scope closes, which may take the transport two seconds.
          Effect.tapError(() => Effect.sync(() => lostAt = millis())),
          Effect.scoped,
          Effect.flip
        )
        const confirmedFor = confirmedAt === undefined ? undefined : lostAt - confirmedAt
        const retryIn = backOff.next(confirmedFor, error.isViolation, entropy.fraction())
        onState({ _tag: "Failed", error, retryIn })
        yield* log(Effect.logDebug(`${error.message}; again in ${Math.round(retryIn)} ms`))
        yield* Effect.sleep(retryIn)
      }
    }, Effect.tapDefect((defect) => Effect.logError("The connection to a relay died of a bug", defect)))

    return RelayClient.of({ run, maintain })
  })
)
