/** Every layer that has settings refuses those that cannot work, with a typed error that names the setting, before it does anything. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as CausewayLive from "../../src/layers/CausewayLive.ts"
import * as DirectLinksLive from "../../src/layers/DirectLinksLive.ts"
import * as NetCryptoLive from "../../src/layers/NetCryptoLive.ts"
import * as NodePhaseLive from "../../src/layers/NodePhaseLive.ts"
import * as PeerConnectionBuilderLive from "../../src/layers/PeerConnectionBuilderLive.ts"
import * as PortMappingNat from "../../src/layers/PortMappingNat.ts"
import * as RelayClientLive from "../../src/layers/RelayClientLive.ts"
import * as RelayServerLive from "../../src/layers/RelayServerLive.ts"
import * as ToxCryptoNative from "../../src/layers/ToxCryptoNative.ts"
import { DirectLinks } from "../../src/services/DirectLinks.ts"
import { DirectSettings } from "../../src/services/DirectSettings.ts"
import { DirectTransport } from "../../src/services/DirectTransport.ts"
import { Identity } from "../../src/services/Identity.ts"
import { NetCrypto } from "../../src/services/NetCrypto.ts"
import { NetCryptoBridge } from "../../src/services/NetCryptoBridge.ts"
import { NodeSettings } from "../../src/services/NodeSettings.ts"
import { PortMappingSettings } from "../../src/services/PortMappingSettings.ts"
import { RelayServerSettings } from "../../src/services/RelayServerSettings.ts"
import { RelaySettings } from "../../src/services/RelaySettings.ts"
import { RelayTransport } from "../../src/services/RelayTransport.ts"
import { SessionSettings } from "../../src/services/SessionSettings.ts"
import * as EntropySeeded from "../../src/testing/EntropySeeded.ts"
import { keyPairFrom } from "../utils/plainCrypto.ts"

const uncalled = (): never => {
  throw new Error("called in spite of the settings")
}

/** Of those that are made up nothing may be called. */
const untouched = Layer.mergeAll(
  Layer.mock(NetCrypto, {}),
  Layer.succeed(NetCryptoBridge, { attach: uncalled, open: uncalled }),
  Layer.mock(DirectLinks, {}),
  Layer.mock(DirectTransport, {}),
  Layer.mock(RelayTransport, {}),
  ToxCryptoNative.layer,
  EntropySeeded.layer(1),
  Layer.succeed(Identity, { identity: keyPairFrom(0x81), dht: keyPairFrom(0x82) })
)

const sessions = Context.make(SessionSettings, { ...SessionSettings.defaultValue(), sendBuffer: 0 })
const direct = Context.make(DirectSettings, { ...DirectSettings.defaultValue(), parallelism: 0 })
const relay = Context.make(RelaySettings, { ...RelaySettings.defaultValue(), pingInterval: 0 })
const server = Context.make(RelayServerSettings, { ...RelayServerSettings.defaultValue(), pendingTotal: 0 })
const node = Context.make(NodeSettings, { ...NodeSettings.defaultValue(), goodbyeTimeout: 0 })
const mapping = Context.make(PortMappingSettings, { ...PortMappingSettings.defaultValue(), lease: 0 })

type Services = Layer.Success<typeof untouched>
interface Case {
  readonly name: string
  readonly build: Effect.Effect<unknown, { readonly _tag: string; readonly message: string }, Services | Scope.Scope>
  readonly settings: Context.Context<never>
  readonly tag: string
  readonly message: string
}

const relayServer = RelayServerLive.layer({ host: "127.0.0.1", port: 0, keyPair: keyPairFrom(0x83) })
const sendBuffer = { settings: sessions, tag: "SessionSettingsInvalid", message: "sendBuffer is 0: use" }
const parallelism = { settings: direct, tag: "DirectSettingsInvalid", message: "parallelism is 0: use" }
const goodbyeTimeout = { settings: node, tag: "NodeSettingsInvalid", message: "goodbyeTimeout is 0: use" }
const cases: ReadonlyArray<Case> = [
  { name: "CausewayLive", build: Layer.build(CausewayLive.layer), ...sendBuffer },
  { name: "CausewayLive", build: Layer.build(CausewayLive.layer), ...parallelism },
  {
    name: "PeerConnectionBuilderLive",
    build: Layer.build(PeerConnectionBuilderLive.layer()),
    ...sendBuffer
  },
  {
    name: "PeerConnectionBuilderLive",
    build: Layer.build(PeerConnectionBuilderLive.layer()),
    ...parallelism
  },
  { name: "DirectLinksLive", build: Layer.build(DirectLinksLive.layer()), ...parallelism },
  { name: "CausewayLive", build: Layer.build(CausewayLive.layer), ...goodbyeTimeout },
  { name: "NetCryptoLive", build: Layer.build(NetCryptoLive.layer), ...goodbyeTimeout },
  { name: "DirectLinksLive", build: Layer.build(DirectLinksLive.layer()), ...goodbyeTimeout },
  { name: "NodePhaseLive", build: Layer.build(NodePhaseLive.layer(Layer.empty)), ...goodbyeTimeout },
  {
    name: "PortMappingNat",
    build: Layer.build(PortMappingNat.layer),
    settings: mapping,
    tag: "PortMappingSettingsInvalid",
    message: "lease is 0: use"
  },
  {
    name: "RelayClientLive",
    build: Layer.build(RelayClientLive.layer),
    settings: relay,
    tag: "RelaySettingsInvalid",
    message: "pingInterval is 0: use"
  },
  {
    name: "RelayServerLive",
    build: Layer.build(relayServer),
    settings: server,
    tag: "RelayServerSettingsInvalid",
    message: "pendingTotal is 0: use"
  }
]

describe("settings that cannot work", () => {
  it.effect.each(cases)("T14: $name refuses them: $tag", ({ build, message, settings, tag }) =>
    Effect.gen(function*() {
      const error = yield* build.pipe(
        Effect.provideContext(settings),
        Effect.provide(untouched),
        Effect.scoped,
        Effect.flip
      )
      assert.strictEqual(error._tag, tag)
      assert.include(error.message, message)
    }))
})
