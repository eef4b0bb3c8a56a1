import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Schema from "effect/Schema"
import { ipToBytes } from "../schema/IpEndpoint.ts"
import { checked, settingsConfig, valid, variable } from "./settingsConfig.ts"
import { duration, settingsProblem } from "./settingsProblem.ts"

/** Numbers of port mapping. Durations are milliseconds. */
export interface PortMappingNumbers {
  /** For how long the gateway is asked to keep the mapping; it is renewed after half of it. Some keep at least an hour. */
  readonly lease: number
  /** How long finding a gateway and mapping the port may take, for each protocol. */
  readonly attemptTimeout: number
  /** The pause after an attempt that came to nothing: at first, and at most; it doubles. */
  readonly retryMin: number
  readonly retryMax: number
  /** How long taking a mapping back may take: at the end, and after an attempt that came to nothing. */
  readonly unmapTimeout: number
  /** The URL of the gateway's UPnP description; it is searched for when left out. `false`: UPnP is not tried. */
  readonly upnp: string | false | undefined
  /** The gateway's address for NAT-PMP; the machine's default route when left out (on Linux). `false`: NAT-PMP is not tried. */
  readonly natPmp: string | false | undefined
}

const defaults: PortMappingNumbers = {
  lease: 3_600_000,
  attemptTimeout: 10_000,
  retryMin: 60_000,
  retryMax: 1_800_000,
  unmapTimeout: 1_000,
  upnp: undefined,
  natPmp: undefined
}

/** Settings of port mapping. */
export const PortMappingSettings = Context.Reference<PortMappingNumbers>("causeway/services/PortMappingSettings", {
  defaultValue: () => defaults
})

/** A setting of port mapping is out of its range. The message says which, and what to use instead. */
export class PortMappingSettingsInvalid
  extends Schema.TaggedError<PortMappingSettingsInvalid>()("PortMappingSettingsInvalid", { message: Schema.String })
{}

const isGiven = (gateway: string | false | undefined): gateway is string => gateway !== undefined && gateway !== false

/** What is wrong with these settings and what to do about it; undefined when they are in order. */
export const problemOf = ({ natPmp, upnp, ...settings }: PortMappingNumbers): string | undefined => {
  if (isGiven(upnp) && !/^https?:$/.test(URL.parse(upnp)?.protocol ?? "")) {
    return `upnp is ${String(upnp)}: use the http URL of the gateway's description, or false`
  }
  if (isGiven(natPmp) && ipToBytes(String(natPmp))?.length !== 4) {
    return `natPmp is ${String(natPmp)}: use the gateway's IPv4 address, or false`
  }
  return settingsProblem(settings, {
    lease: duration,
    attemptTimeout: duration,
    retryMin: duration,
    retryMax: { ...duration, from: settings.retryMin },
    unmapTimeout: duration
  })
}

/** The settings of port mapping, unless they cannot work. */
export const validPortMappingSettings = valid(PortMappingSettings, problemOf, PortMappingSettingsInvalid)

const { natPmp: _natPmp, upnp: _upnp, ...defaultNumbers } = defaults

const gateway = (name: "upnp" | "natPmp"): Config.Config<string | false | undefined> =>
  Config.String(variable("PORT_MAPPING", name)).pipe(
    Config.map((text) => text === "off" ? false : text),
    Config.withDefault(defaults[name])
  )

/**
 * The same out of `CAUSEWAY_PORT_MAPPING_LEASE`, `_ATTEMPT_TIMEOUT`, `_RETRY_MIN`, `_RETRY_MAX`, `_UNMAP_TIMEOUT` (milliseconds), `_UPNP` (a
 * URL, or `off`) and `_NAT_PMP` (an address, or `off`), for those that are set. What the layer would refuse is a `ConfigError`.
 */
export const portMappingConfig: Config.Config<PortMappingNumbers> = Config.all({
  upnp: gateway("upnp"),
  natPmp: gateway("natPmp"),
  numbers: settingsConfig("PORT_MAPPING", defaultNumbers)
}).pipe(Config.map(({ numbers, ...gateways }) => ({ ...numbers, ...gateways })), checked(problemOf))
