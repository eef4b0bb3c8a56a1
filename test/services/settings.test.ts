/** Settings that cannot work are refused with a message that says which, and what would. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import * as Direct from "../../src/services/DirectSettings.ts"
import * as NetCrypto from "../../src/services/NetCryptoSettings.ts"
import * as Node from "../../src/services/NodeSettings.ts"
import * as PortMapping from "../../src/services/PortMappingSettings.ts"
import * as Registry from "../../src/services/RegistrySettings.ts"
import * as RelayServer from "../../src/services/RelayServerSettings.ts"
import * as Relay from "../../src/services/RelaySettings.ts"
import * as Session from "../../src/services/SessionSettings.ts"
import { settingsProblem } from "../../src/services/settingsProblem.ts"

const registry = Context.get(Context.empty(), Registry.RegistrySettings)
const netCrypto = Context.get(Context.empty(), NetCrypto.NetCryptoSettings)
/** What no number may be. */
const never = [-1, Number.NaN, -Infinity, undefined, null, "3"]

interface Group {
  readonly name: string
  readonly defaults: Readonly<Record<string, unknown>>
  readonly problemOf: (settings: never) => string | undefined
}

const { natPmp: _natPmp, upnp: _upnp, ...portMapping } = PortMapping.PortMappingSettings.defaultValue()

/** Groups of which each setting is judged by itself. */
const groups: ReadonlyArray<Group> = [
  { name: "sessions", defaults: { ...Session.SessionSettings.defaultValue() }, problemOf: Session.problemOf },
  { name: "direct links", defaults: { ...Direct.DirectSettings.defaultValue() }, problemOf: Direct.problemOf },
  { name: "the relay client", defaults: { ...Relay.RelaySettings.defaultValue() }, problemOf: Relay.problemOf },
  {
    name: "a relay",
    defaults: { ...RelayServer.RelayServerSettings.defaultValue() },
    problemOf: RelayServer.problemOf
  },
  { name: "the node", defaults: { ...Node.NodeSettings.defaultValue() }, problemOf: Node.problemOf },
  { name: "port mapping", defaults: portMapping, problemOf: PortMapping.problemOf }
]
const settingsOfGroups = groups.flatMap((group) =>
  Object.keys(group.defaults).map((name) => ({ ...group, group: group.name, name }))
)

describe("settings", () => {
  it.each(settingsOfGroups)("$group: $name is checked, and named", ({ defaults, name, problemOf }) => {
    const judge = (value: unknown) => problemOf({ ...defaults, [name]: value } as never)
    expect(judge(defaults[name])).toBeUndefined()
    const isNumber = typeof defaults[name] !== "boolean" && name !== "policy" && name !== "role"
    // A relay has no limit on a client's bytes unless it is given one.
    for (
      const value of isNumber
        ? never.filter((value) => (value ?? undefined) !== defaults[name])
        : ["yes", 1, undefined]
    ) {
      expect(judge(value)).toMatch(new RegExp(`^${name} is ${value}: use `))
    }
    if (isNumber) expect(judge(Infinity)).toContain(`${name} is Infinity: use `)
  })

  it.each([
    ["sessions", "sendBuffer", 0],
    ["sessions", "maxFramePayload", 262_129],
    ["sessions", "maxFrameSize", 4_095],
    ["sessions", "maxDatagramSize", 1024 * 1024 - 8],
    ["sessions", "maxRedialPause", 249],
    ["sessions", "maxIncomingSessions", 1.5],
    ["direct links", "parallelism", 65],
    ["direct links", "stallTimeout", 0],
    ["direct links", "directRetryMax", 999],
    ["direct links", "attemptTimeout", 20_001],
    ["the relay client", "markWindow", 4_095],
    ["the relay client", "reconnectMax", 249],
    ["a relay", "bytesPerSecond", 0],
    ["a relay", "pendingTotal", 0],
    ["the node", "goodbyeTimeout", 0],
    ["port mapping", "lease", 0],
    ["port mapping", "retryMax", 59_999]
  ])("%s with %s %d are refused", (group, name, value) => {
    const { defaults, problemOf } = groups.find((each) => each.name === group)!
    expect(problemOf({ ...defaults, [name]: value } as never)).toContain(`${name} is ${value}: use `)
  })

  it.each([
    ["upnp", "192.0.2.1", "use the http URL"],
    ["upnp", "ftp://192.0.2.1/", "use the http URL"],
    ["upnp", "", "use the http URL"],
    ["natPmp", "gateway.example", "use the gateway's IPv4 address"],
    ["natPmp", "2001:db8::1", "use the gateway's IPv4 address"],
    ["natPmp", "", "use the gateway's IPv4 address"]
  ])("port mapping with %s '%s' is refused", (name, value, message) => {
    const defaults = PortMapping.PortMappingSettings.defaultValue()
    expect(PortMapping.problemOf({ ...defaults, [name]: value })).toContain(`${name} is ${value}: ${message}`)
  })

  it.each([["upnp", "http://192.0.2.1:5000/rootDesc.xml"], ["natPmp", "192.0.2.1"]])(
    "port mapping with %s %s works",
    (name, value) => {
      const defaults = PortMapping.PortMappingSettings.defaultValue()
      for (const works of [value, false, undefined]) {
        expect(PortMapping.problemOf({ ...defaults, [name]: works })).toBeUndefined()
      }
    }
  )

  it("the largest frames of bytes are taken by a peer with the default settings", () => {
    const { maxFrameSize } = Session.SessionSettings.defaultValue()
    const problem = Session.problemOf({ ...Session.SessionSettings.defaultValue(), maxFramePayload: 1024 * 1024 })
    const [, largest] = /from 1 to (\d+)/.exec(problem ?? "") ?? []
    expect(4 * Number(largest) + 9).toBeLessThanOrEqual(maxFrameSize)
  })

  it("layers are given what works, or a typed error", async () => {
    const broken = { ...Session.SessionSettings.defaultValue(), sendBuffer: 0 }
    const settings = Effect.provideService(Session.validSessionSettings, Session.SessionSettings, broken)
    const error = await Effect.runPromise(Effect.flip(settings))
    expect([error._tag, error.message]).toEqual([
      "SessionSettingsInvalid",
      "sendBuffer is 0: use a whole number of at least 1"
    ])
    expect(await Effect.runPromise(Direct.validDirectSettings)).toEqual(Direct.DirectSettings.defaultValue())
  })

  it("T14: the defaults are in order", () => {
    expect([Registry.problemOf(registry), NetCrypto.problemOf(netCrypto)]).toEqual([undefined, undefined])
  })

  it("T11, T12, T19, T23: without settings, three relays for a peer, six ties, three of our own, 200 ms for a full one", () => {
    const { blockedTimeout, desiredRelays, maxRelays, minimumRelays } = registry
    expect({ blockedTimeout, desiredRelays, maxRelays, minimumRelays }).toEqual({
      blockedTimeout: 200,
      desiredRelays: 3,
      maxRelays: 6,
      minimumRelays: 3
    })
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
