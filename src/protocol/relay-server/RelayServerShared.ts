/**
 * What all connections of one relay share: its limits, its time and its counters. Plain mutable state without behaviour beyond
 * counting.
 */

/** The limits that plain code needs. Durations are milliseconds, sizes bytes, rates per second. The relay's settings fit. */
export interface RelayServerLimits {
  readonly confirmTimeout: number
  readonly pingInterval: number
  readonly pingTimeout: number
  readonly frameTimeout: number
  readonly clientQueueBytes: number
  readonly clientControlFrames: number
  readonly blockedTimeout: number
  readonly routingPerSecond: number
  readonly oobPerSecond: number
  readonly bytesPerSecond: number | undefined
}

/** One open byte stream as plain code sees it. */
export interface RelayServerPort {
  /** Hands bytes over; false when the socket takes no more for now. `RelayServerClient.drained` is to be called when it does. */
  readonly write: (bytes: Uint8Array) => boolean
  /** Bytes written that the socket has not taken. */
  readonly pendingBytes: () => number
  /** Ends the connection. Called once at most, never while one of its own packets is being handled. */
  readonly end: () => void
}

/** Everything that is counted, since the relay started. */
export class RelayServerCounters {
  accepted = 0
  refused = 0
  forwardedPackets = 0
  forwardedBytes = 0
  droppedPackets = 0
  /** Connections closed for bad bytes, and closed for anything else, by cause. */
  readonly violations: Record<string, number> = {}
  readonly closed: Record<string, number> = {}
  /** Packets ignored, by cause. */
  readonly ignored: Record<string, number> = {}
}

/** Adds one to a cause. Causes are fixed texts: never built from what a client sent, or a client could fill the memory. */
export const count = (causes: Record<string, number>, cause: string): void => {
  causes[cause] = (causes[cause] ?? 0) + 1
}

export interface RelayServerShared {
  readonly limits: RelayServerLimits
  readonly counters: RelayServerCounters
  /** The relay's time, milliseconds, set at the start of every batch. It stands still while the event loop does. */
  now: number
}
