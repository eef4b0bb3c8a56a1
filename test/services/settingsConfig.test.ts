/** Settings out of the configuration: every one of them, and only those with which the layers work. */
import { assert, describe, it } from "@effect/vitest"
import type * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { NetCryptoSettings, netCryptoSettingsConfig } from "../../src/services/NetCryptoSettings.ts"
import { RegistrySettings, registrySettingsConfig } from "../../src/services/RegistrySettings.ts"
import { RelayServerSettings, relayServerSettingsConfig } from "../../src/services/RelayServerSettings.ts"
import { RelaySettings, relaySettingsConfig } from "../../src/services/RelaySettings.ts"
import { SessionSettings, sessionSettingsConfig } from "../../src/services/SessionSettings.ts"

type Env = Record<string, string>

const read = <Settings>(config: Config.Config<Settings>, env: Env) => config.parse(ConfigProvider.fromEnv({ env }))
const refused = <Settings>(config: Config.Config<Settings>, env: Env) => Effect.flip(read(config, env))

describe("settings out of the configuration", () => {
  it.effect("are the defaults where nothing is set", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* read(registrySettingsConfig, {}), RegistrySettings.defaultValue())
      assert.deepStrictEqual(yield* read(netCryptoSettingsConfig, {}), NetCryptoSettings.defaultValue())
    }))

  it.effect("reach every setting of the registry", () =>
    Effect.gen(function*() {
      const defaults = RegistrySettings.defaultValue()
      const set = {
        CAUSEWAY_REGISTRY_DESIRED_RELAYS: 2,
        CAUSEWAY_REGISTRY_MAX_RELAYS: 7,
        CAUSEWAY_REGISTRY_MAX_KNOWN_RELAYS: 99,
        CAUSEWAY_REGISTRY_TRIALS_AT_ONCE: 9,
        CAUSEWAY_REGISTRY_TRIALS_PER_MINUTE: 9,
        CAUSEWAY_REGISTRY_ALLOW_PRIVATE: true,
        CAUSEWAY_REGISTRY_BLOCKED_TIMEOUT: 0,
        CAUSEWAY_REGISTRY_MINIMUM_RELAYS: 0,
        CAUSEWAY_REGISTRY_MINIMUM_ONLY_FOR: 1.5,
        CAUSEWAY_REGISTRY_ONION_RELAYS: 0,
        CAUSEWAY_REGISTRY_ANNOUNCE_TIMEOUT: 9
      }
      const names = Object.keys(defaults)
      assert.strictEqual(Object.keys(set).length, names.length)
      for (const [index, [name, value]] of Object.entries(set).entries()) {
        const settings = yield* read(registrySettingsConfig, { [name]: String(value) })
        assert.deepStrictEqual(settings, { ...defaults, [names[index]!]: value })
      }
      const always = yield* read(registrySettingsConfig, { CAUSEWAY_REGISTRY_MINIMUM_ONLY_FOR: "Infinity" })
      assert.strictEqual(always.minimumOnlyFor, Infinity)
    }))

  it.effect("reach every setting of net_crypto", () =>
    Effect.gen(function*() {
      const defaults = NetCryptoSettings.defaultValue()
      for (const name of Object.keys(defaults)) {
        const words = name.split(/(?=[A-Z])/).join("_").toUpperCase()
        assert.deepStrictEqual(yield* read(netCryptoSettingsConfig, { [`CAUSEWAY_NET_CRYPTO_${words}`]: "1500" }), {
          ...defaults,
          [name]: 1_500
        })
      }
    }))

  it.effect("reach every setting of sessions, of the relay client and of a relay", () =>
    Effect.gen(function*() {
      const reach = Effect.fnUntraced(function*<Settings extends object>(
        group: string,
        defaults: Settings,
        config: Config.Config<Settings>
      ) {
        assert.deepStrictEqual(yield* read(config, {}), defaults)
        for (const [name, value] of Object.entries(defaults)) {
          const words = name.split(/(?=[A-Z])/).join("_").toUpperCase()
          const other = typeof value === "boolean" ? !value : (value ?? 1_000) + 1
          assert.deepStrictEqual(yield* read(config, { [`CAUSEWAY_${group}_${words}`]: String(other) }), {
            ...defaults,
            [name]: other
          })
        }
        const [name = ""] = Object.keys(defaults)
        const problem = yield* refused(config, {
          [`CAUSEWAY_${group}_${name.split(/(?=[A-Z])/).join("_").toUpperCase()}`]: "0"
        })
        assert.include(problem.message, `${name} is 0: use`)
      })
      yield* reach("SESSION", SessionSettings.defaultValue(), sessionSettingsConfig)
      yield* reach("RELAY", RelaySettings.defaultValue(), relaySettingsConfig)
      yield* reach("RELAY_SERVER", RelayServerSettings.defaultValue(), relayServerSettingsConfig)
    }))

  it.effect.each([
    { name: "CAUSEWAY_REGISTRY_MAX_RELAYS", text: "5", message: "maxRelays is 5 and desiredRelays 3: use" },
    { name: "CAUSEWAY_REGISTRY_MAX_KNOWN_RELAYS", text: "5", message: "maxKnownRelays is 5: use" },
    { name: "CAUSEWAY_REGISTRY_TRIALS_AT_ONCE", text: "1.5", message: "trialsAtOnce is 1.5: use" },
    { name: "CAUSEWAY_REGISTRY_BLOCKED_TIMEOUT", text: "-1", message: "blockedTimeout is -1: use" },
    { name: "CAUSEWAY_REGISTRY_BLOCKED_TIMEOUT", text: "NaN", message: "blockedTimeout is NaN: use" },
    { name: "CAUSEWAY_REGISTRY_BLOCKED_TIMEOUT", text: "soon", message: "CAUSEWAY_REGISTRY_BLOCKED_TIMEOUT" },
    { name: "CAUSEWAY_REGISTRY_ALLOW_PRIVATE", text: "perhaps", message: "CAUSEWAY_REGISTRY_ALLOW_PRIVATE" }
  ])(
    "T14: what the registry would refuse is refused: $name=$text",
    ({ message, name, text }) =>
      Effect.gen(function*() {
        const error = yield* refused(registrySettingsConfig, { [name]: text })
        assert.strictEqual(error._tag, "ConfigError")
        assert.include(error.message, message)
      })
  )

  it.effect.each([
    { name: "CAUSEWAY_NET_CRYPTO_SEND_BUFFER", text: "1399", message: "sendBuffer is 1399: use" },
    {
      name: "CAUSEWAY_NET_CRYPTO_CONNECTION_TIMEOUT",
      text: "1000",
      message: "connectionTimeout is 1000: use more than"
    },
    { name: "CAUSEWAY_NET_CRYPTO_STALL_TIMEOUT", text: "Infinity", message: "stallTimeout is Infinity: use" },
    { name: "CAUSEWAY_NET_CRYPTO_ACK_DELAY", text: "2 ms", message: "CAUSEWAY_NET_CRYPTO_ACK_DELAY" }
  ])("T14: what net_crypto would refuse is refused: $name=$text", ({ message, name, text }) =>
    Effect.gen(function*() {
      const error = yield* refused(netCryptoSettingsConfig, { [name]: text })
      assert.strictEqual(error._tag, "ConfigError")
      assert.include(error.message, message)
    }))

  it.effect("become those of a node", () =>
    Effect.gen(function*() {
      const env = { CAUSEWAY_REGISTRY_MINIMUM_RELAYS: "1" }
      const settings = yield* RegistrySettings.pipe(
        Effect.provide(Layer.effect(RegistrySettings, registrySettingsConfig)),
        Effect.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env })))
      )
      assert.strictEqual(settings.minimumRelays, 1)
    }))
})
