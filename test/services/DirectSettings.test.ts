import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import { DirectSettings, directSettingsConfig } from "../../src/services/DirectSettings.ts"

const read = (env: Record<string, string>) => directSettingsConfig.parse(ConfigProvider.fromEnv({ env }))
const defaults = DirectSettings.defaultValue()

describe("the settings of direct links out of the configuration", () => {
  it.effect("are the defaults where nothing is set, and what is set otherwise", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* read({}), defaults)
      const set = {
        CAUSEWAY_DIRECT_POLICY: "relayed",
        CAUSEWAY_DIRECT_RETRY_MAX: "2000",
        CAUSEWAY_DIRECT_MAX_EXPECTATIONS_PER_PEER: "7",
        CAUSEWAY_DIRECT_LOWER_DIAL_DELAY: "0",
        CAUSEWAY_DIRECT_WARM_RELAY: "true"
      }
      assert.deepStrictEqual(yield* read(set), {
        ...defaults,
        policy: "relayed",
        directRetryMax: 2_000,
        maxExpectationsPerPeer: 7,
        lowerDialDelay: 0,
        warmRelay: true
      })
    }))

  it.effect("reach every setting", () =>
    Effect.gen(function*() {
      for (const name of Object.keys(defaults) as Array<keyof typeof defaults>) {
        const words = name.replace(/^direct/, "").split(/(?=[A-Z])/).join("_").toUpperCase()
        const number = name === "directRetryMax" || name === "expectationLifetime" ? 19_000 : 9
        const value = name === "policy" ? "direct" : typeof defaults[name] === "boolean" ? !defaults[name] : number
        assert.deepStrictEqual(yield* read({ [`CAUSEWAY_DIRECT_${words}`]: String(value) }), {
          ...defaults,
          [name]: value
        })
      }
    }))

  it.effect("are refused when they cannot be meant", () =>
    Effect.gen(function*() {
      const wrong = [
        { CAUSEWAY_DIRECT_POLICY: "fast" },
        { CAUSEWAY_DIRECT_PARALLELISM: "65" },
        { CAUSEWAY_DIRECT_PARALLELISM: "1.5" },
        { CAUSEWAY_DIRECT_RETRY_MAX: "0" },
        { CAUSEWAY_DIRECT_STALL_TIMEOUT: "-1" },
        { CAUSEWAY_DIRECT_DIAL_TIMEOUT: "2147483648" },
        { CAUSEWAY_DIRECT_WARM_RELAY: "perhaps" }
      ]
      for (const env of wrong) assert.strictEqual((yield* Effect.flip(read(env)))._tag, "ConfigError")
    }))
})
