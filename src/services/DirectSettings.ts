import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Schema from "effect/Schema"
import { checked, settingsConfig, valid, variable } from "./settingsConfig.ts"
import { count, duration, durationOrNone, settingsProblem } from "./settingsProblem.ts"

/** Which links may carry the sessions with a peer. */
export type PathPolicy =
  /** Relays first, a direct link as soon as there can be one. */
  | "auto"
  /** Relays only: no address of ours is ever told, and no call answered or made outside of them. */
  | "relayed"
  /** Direct links only: relays carry the exchange of addresses and nothing else. */
  | "direct"

/** Numbers of direct links. Durations are milliseconds. */
export interface DirectNumbers {
  /** For peers that nothing else was said about. */
  readonly policy: PathPolicy
  /** Parallel streams of one link, 1 to 64. The smaller number of the two sides counts. */
  readonly parallelism: number
  /** From the connected socket to the acknowledged hello. */
  readonly handshakeTimeout: number
  /** For one endpoint of the peer to answer the dial. */
  readonly dialTimeout: number
  /** For a whole attempt: all endpoints, both sides. At most `expectationLifetime`. */
  readonly attemptTimeout: number
  /** How much later than the greater identity the lower one dials, if it listens itself: else the greater cannot dial it. */
  readonly lowerDialDelay: number
  /** How long an announced connection is expected. */
  readonly expectationLifetime: number
  /** Expected connections in all, and of one peer. */
  readonly maxExpectations: number
  readonly maxExpectationsPerPeer: number
  /** Unfinished handshakes of callers, in all and from one address. */
  readonly maxPendingHandshakes: number
  readonly maxPendingPerAddress: number
  /** The pause before another attempt: at first, and at most; it doubles, and up to half of it is random. */
  readonly directRetryMin: number
  readonly directRetryMax: number
  /** A direct link with data outstanding that brings nothing for max(3 round trips, this), after a probe, has stalled. */
  readonly stallTimeout: number
  /** How often a direct link that is otherwise silent is asked for a sign of life. */
  readonly idleProbeInterval: number
  /** How long the relays have to be without use before they sleep. */
  readonly quietPeriod: number
  /** How long sleeping relays may take to wake before net_crypto begins anew. */
  readonly wakeTimeout: number
  /** Keeps one relay of the peer connected beside a direct link, for the fastest way back: best set at both ends. */
  readonly warmRelay: boolean
  /** Whether endpoints that a peer names may be private or loopback addresses. Those of tickets always may. */
  readonly allowPrivate: boolean
  /** How often the machine's addresses are looked at: when they change, a direct link is tried at once. */
  readonly addressInterval: number
}

const defaults: DirectNumbers = {
  policy: "auto",
  parallelism: 1,
  handshakeTimeout: 5_000,
  dialTimeout: 5_000,
  attemptTimeout: 10_000,
  lowerDialDelay: 3_000,
  expectationLifetime: 20_000,
  maxExpectations: 1_024,
  maxExpectationsPerPeer: 4,
  maxPendingHandshakes: 256,
  maxPendingPerAddress: 16,
  directRetryMin: 1_000,
  directRetryMax: 60_000,
  stallTimeout: 400,
  idleProbeInterval: 5_000,
  quietPeriod: 5_000,
  wakeTimeout: 2_000,
  warmRelay: false,
  allowPrivate: false,
  addressInterval: 5_000
}

/** Settings of direct links; the defaults are the design's. */
export const DirectSettings = Context.Reference<DirectNumbers>("causeway/services/DirectSettings", {
  defaultValue: () => defaults
})

/** A setting of direct links is out of its range. The message says which, and what to use instead. */
export class DirectSettingsInvalid extends Schema.TaggedError<DirectSettingsInvalid>()("DirectSettingsInvalid", {
  message: Schema.String
}) {}

const policies: ReadonlyArray<PathPolicy> = ["auto", "relayed", "direct"]

/** What is wrong with these settings and what to do about it; undefined when they are in order. */
export const problemOf = ({ policy, ...settings }: DirectNumbers): string | undefined => {
  if (!policies.includes(policy)) return `policy is ${String(policy)}: use one of ${policies.join(", ")}`
  return settingsProblem(settings, {
    parallelism: { ...count, to: 64 },
    handshakeTimeout: duration,
    dialTimeout: duration,
    expectationLifetime: duration,
    attemptTimeout: { ...duration, to: settings.expectationLifetime },
    lowerDialDelay: durationOrNone,
    maxExpectations: count,
    maxExpectationsPerPeer: count,
    maxPendingHandshakes: count,
    maxPendingPerAddress: count,
    directRetryMin: duration,
    directRetryMax: { ...duration, from: settings.directRetryMin },
    stallTimeout: duration,
    idleProbeInterval: duration,
    quietPeriod: durationOrNone,
    wakeTimeout: duration,
    warmRelay: "boolean",
    allowPrivate: "boolean",
    addressInterval: duration
  })
}

/** The settings of direct links, unless they cannot work. */
export const validDirectSettings = valid(DirectSettings, problemOf, DirectSettingsInvalid)

const { policy: defaultPolicy, ...defaultNumbers } = defaults

/**
 * The same out of `CAUSEWAY_DIRECT_POLICY`, `CAUSEWAY_DIRECT_RETRY_MAX` (milliseconds) and so on, for those that are set. What the layer would
 * refuse is a `ConfigError`.
 */
export const directSettingsConfig: Config.Config<DirectNumbers> = Config.all({
  policy: Config.Literals(policies, variable("DIRECT", "policy")).pipe(Config.withDefault(defaultPolicy)),
  numbers: settingsConfig("DIRECT", defaultNumbers)
}).pipe(Config.map(({ numbers, policy }) => ({ policy, ...numbers })), checked(problemOf))
