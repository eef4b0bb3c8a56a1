import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Schema from "effect/Schema"
import { checked, settingsConfig, valid } from "./settingsConfig.ts"
import { count, countOrNone, duration, durationOrNone, settingsProblem } from "./settingsProblem.ts"

/** Numbers of sessions. Durations are milliseconds, sizes bytes. */
export interface SessionNumbers {
  /** How long a peer's hello may take; a peer without one is no Causeway node. */
  readonly helloTimeout: number
  /** How long sessions wait for a new link before they end. */
  readonly resumeTimeout: number
  /**
   * The pause before a lost peer is called again: at first, and at most; it doubles, and up to half of it is random. There is none before
   * the first call after a link.
   */
  readonly redialPause: number
  readonly maxRedialPause: number
  /** A peer that nobody has asked for and `accept` cannot offer has to be taken by `connect` within this time. */
  readonly claimTimeout: number
  /**
   * Frame bytes of one session that may wait for the application: at first (at least 64 KiB), and at most. In between the window follows
   * the rate and the round trip. All sessions with a peer share `windowBudget` beyond their first windows, which bounds memory.
   */
  readonly initialWindow: number
  readonly maxWindow: number
  readonly windowBudget: number
  /** Consumed bytes after which the peer gets new credit at once (an eighth of a larger window), and how long it may wait for less. */
  readonly creditStep: number
  readonly creditInterval: number
  /** Written bytes of one session that may wait for the link; more is back-pressure. */
  readonly sendBuffer: number
  /** Payload of the frames a byte session writes, at most; four times as much on direct links. */
  readonly maxFramePayload: number
  /** The largest frame that is taken from a peer, header included. */
  readonly maxFrameSize: number
  /** The largest datagram, sent or taken. */
  readonly maxDatagramSize: number
  /** Replies to the peer that may wait for the link; with more of them nothing is taken from it. */
  readonly replyBacklog: number
  /** Sessions of one peer that may be open or offered at a time; one more is refused as busy. */
  readonly maxIncomingSessions: number
  /** How long saying goodbye to a peer may wait for the link's last acknowledgements. */
  readonly drainTimeout: number
}

const defaults: SessionNumbers = {
  helloTimeout: 5_000,
  resumeTimeout: 120_000,
  redialPause: 250,
  maxRedialPause: 5_000,
  claimTimeout: 10_000,
  initialWindow: 64 * 1024,
  maxWindow: 16 * 1024 * 1024,
  windowBudget: 64 * 1024 * 1024,
  creditStep: 64 * 1024,
  creditInterval: 20,
  sendBuffer: 256 * 1024,
  maxFramePayload: 16 * 1024,
  maxFrameSize: 1024 * 1024,
  maxDatagramSize: 1_200,
  replyBacklog: 64 * 1024,
  maxIncomingSessions: 1_024,
  drainTimeout: 1_000
}

/** Settings of sessions; the defaults are the design's. */
export const SessionSettings = Context.Reference<SessionNumbers>("causeway/services/SessionSettings", {
  defaultValue: () => defaults
})

/** A setting of sessions is out of its range, or two contradict each other. The message says which, and what to use instead. */
export class SessionSettingsInvalid extends Schema.TaggedError<SessionSettingsInvalid>()("SessionSettingsInvalid", {
  message: Schema.String
}) {}

/** What credit can tell of. Bytes. */
const largestWindow = 0xffff_ffff
/** Four times this, and the header, is the largest frame that a peer takes by default. Bytes. */
const largestPayload = 256 * 1024 - 16
/** Control frames with their texts fit. Bytes. */
const smallestFrame = 4 * 1024
/** Bytes of a frame before a datagram. */
const datagramHeader = 9

/** What is wrong with these settings and what to do about it; undefined when they are in order. */
export const problemOf = (settings: SessionNumbers): string | undefined =>
  settingsProblem(settings, {
    helloTimeout: duration,
    resumeTimeout: duration,
    redialPause: duration,
    maxRedialPause: { ...duration, from: settings.redialPause },
    claimTimeout: duration,
    initialWindow: { ...count, to: largestWindow },
    maxWindow: { ...count, to: largestWindow },
    windowBudget: countOrNone,
    creditStep: count,
    creditInterval: duration,
    sendBuffer: count,
    maxFramePayload: { ...count, to: largestPayload },
    maxFrameSize: { ...count, from: smallestFrame },
    maxDatagramSize: { ...countOrNone, to: settings.maxFrameSize - datagramHeader },
    replyBacklog: count,
    maxIncomingSessions: countOrNone,
    drainTimeout: durationOrNone
  })

/** The settings of sessions, unless they cannot work. */
export const validSessionSettings = valid(SessionSettings, problemOf, SessionSettingsInvalid)

/**
 * The same out of `CAUSEWAY_SESSION_MAX_WINDOW` (bytes), `CAUSEWAY_SESSION_RESUME_TIMEOUT` (milliseconds) and so on, for those that are set.
 * What the layer would refuse is a `ConfigError`.
 */
export const sessionSettingsConfig: Config.Config<SessionNumbers> = settingsConfig("SESSION", defaults).pipe(
  checked(problemOf)
)
