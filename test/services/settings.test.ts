/** Settings that cannot work are refused with a message that says which, and what would. */
import * as Context from "effect/Context"
import { describe, expect, it } from "vitest"
import * as NetCrypto from "../../src/services/NetCryptoSettings.ts"
import * as Registry from "../../src/services/RegistrySettings.ts"
import { settingsProblem } from "../../src/services/settingsProblem.ts"

const registry = Context.get(Context.empty(), Registry.RegistrySettings)
const netCrypto = Context.get(Context.empty(), NetCrypto.NetCryptoSettings)
/** What no number may be. */
const never = [-1, Number.NaN, -Infinity, undefined, null, "3"]

describe("settings", () => {
  it("T14: the defaults are in order", () => {
    expect([Registry.problemOf(registry), NetCrypto.problemOf(netCrypto)]).toEqual([undefined, undefined])
  })

  it.each(Object.keys(registry))("T14: the registry's %s is checked, and named", (name) => {
    for (const value of typeof registry[name as keyof typeof registry] === "boolean" ? ["yes", 1, undefined] : never) {
      const problem = Registry.problemOf({ ...registry, [name]: value })
      expect(problem).toContain(`${name} `)
      expect(problem).toContain(String(value))
      expect(problem).toContain("use ")
    }
  })

  it.each(Object.keys(netCrypto))("T14: net_crypto's %s is checked, and named", (name) => {
    for (const value of [...never, Infinity]) {
      const problem = NetCrypto.problemOf({ ...netCrypto, [name]: value })
      expect(problem).toMatch(new RegExp(`^${name} is ${value}: use a (whole )?number `))
    }
  })

  it.each([
    ["maxKnownRelays", 5],
    ["maxKnownRelays", 64.5],
    ["trialsAtOnce", 0],
    ["trialsPerMinute", 0],
    ["trialsPerMinute", Infinity],
    ["blockedTimeout", Infinity],
    ["minimumRelays", 0.5],
    ["onionRelays", 0.5],
    ["announceTimeout", 0],
    ["announceTimeout", Infinity]
  ])("T14: a registry with %s %d is refused", (name, value) => {
    expect(Registry.problemOf({ ...registry, [name]: value })).toContain(`${name} is ${value}`)
  })

  it.each([
    ["maxKnownRelays", 6],
    ["blockedTimeout", 0],
    ["minimumRelays", 0],
    ["minimumOnlyFor", 0],
    ["minimumOnlyFor", Infinity],
    ["onionRelays", 0],
    ["allowPrivate", true],
    ["announceTimeout", 0.5 + 1]
  ])("T14: a registry with %s %s works", (name, value) => {
    expect(Registry.problemOf({ ...registry, [name]: value })).toBeUndefined()
  })

  it.each([
    ["handshakeTries", 0],
    ["handshakeTries", 2.5],
    ["handshakeInterval", 0],
    ["sendBuffer", 1_399],
    ["maxInFlight", 0],
    ["ackBytes", 0],
    ["handshakesPerSource", 0],
    ["parkGrace", -1],
    ["wakeTimeout", 0]
  ])("T14: net_crypto with %s %d is refused", (name, value) => {
    expect(NetCrypto.problemOf({ ...netCrypto, [name]: value })).toContain(`${name} is ${value}`)
  })

  it("T14: a connection that ends before anything can have been asked is refused", () => {
    expect(NetCrypto.problemOf({ ...netCrypto, connectionTimeout: 1_000 })).toContain("connectionTimeout is 1000")
    expect(NetCrypto.problemOf({ ...netCrypto, stallTimeout: 32_000 })).toContain("(32000)")
    expect(NetCrypto.problemOf({ ...netCrypto, connectionTimeout: 1_001, ackDelay: 0, parkGrace: 0 })).toBeUndefined()
  })

  it("names the first that is wrong", () => {
    const ranges = { a: { from: 1, to: 5 }, b: "boolean", c: { from: 0, to: 9, whole: true } } as const
    expect(settingsProblem({ a: 5, b: false, c: 0 }, ranges)).toBeUndefined()
    expect(settingsProblem({ a: 0.5, b: 1, c: 0.5 }, ranges)).toBe("a is 0.5: use a number from 1 to 5")
    expect(settingsProblem({ a: 1, b: 1, c: 0.5 }, ranges)).toBe("b is 1: use true or false")
    expect(settingsProblem({ a: 1, b: true, c: 0.5 }, ranges)).toBe("c is 0.5: use a whole number from 0 to 9")
  })
})
