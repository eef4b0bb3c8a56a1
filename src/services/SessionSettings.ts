import * as Context from "effect/Context"

/** Numbers of sessions. Durations are milliseconds, sizes bytes. */
export interface SessionNumbers {
  /** How long a peer's hello may take; a peer without one is no Causeway node. */
  readonly helloTimeout: number
  /** Frame bytes of one session that may wait for the application; at least 64 KiB. It bounds memory, and the rate to window / round trip. */
  readonly window: number
  /** Consumed bytes after which the peer gets new credit at once, and how long it may wait for less. */
  readonly creditStep: number
  readonly creditInterval: number
  /** Written bytes of one session that may wait for the link; more is back-pressure. */
  readonly sendBuffer: number
  /** Payload of the frames a byte session writes, at most. */
  readonly maxFramePayload: number
  /** The largest frame that is taken from a peer, header included. */
  readonly maxFrameSize: number
  /** Replies to the peer that may wait for the link; with more of them nothing is taken from it. */
  readonly replyBacklog: number
  /** Sessions of one peer that may be open or offered at a time; one more is refused as busy. */
  readonly maxIncomingSessions: number
  /** How long the end of a session may wait for the connection's last acknowledgements. */
  readonly drainTimeout: number
}

/** Settings of sessions; the defaults are the design's. */
export const SessionSettings = Context.Reference<SessionNumbers>("causeway/services/SessionSettings", {
  defaultValue: () => ({
    helloTimeout: 5_000,
    window: 1024 * 1024,
    creditStep: 64 * 1024,
    creditInterval: 20,
    sendBuffer: 256 * 1024,
    maxFramePayload: 16 * 1024,
    maxFrameSize: 1024 * 1024,
    replyBacklog: 64 * 1024,
    maxIncomingSessions: 1,
    drainTimeout: 2_000
  })
})
