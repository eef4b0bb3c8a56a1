/** What a link's multiplexer is made with, and what it counts. Types only. */
import type { LinkHello } from "../../schema/LinkControl.ts"
import type { ByteSessionNumbers } from "./ByteSessionState.ts"

/** Numbers of a link. Sizes are bytes. */
export interface SessionMuxNumbers extends ByteSessionNumbers {
  readonly maxFrameSize: number
  /** Replies to the peer (pongs, refusals) that may wait; with more of them nothing is taken from the peer until they have gone. */
  readonly replyBacklog: number
  /** Sessions opened by the peer, at most. */
  readonly maxIncomingSessions: number
}

/** What a link has dropped or refused, by cause. */
export interface SessionMuxCounts {
  readonly unknownSession: number
  readonly ignoredFrames: number
  readonly ignoredPackets: number
  readonly refusedSessions: number
}

export interface SessionMuxOptions {
  readonly hello: LinkHello
  /** Our identity key is the greater one, compared as bytes: it decides which ids are ours. */
  readonly greater: boolean
  readonly numbers: SessionMuxNumbers
  readonly trySend: (packet: Uint8Array) => boolean
  /** Stops (true) or resumes (false) the delivery of packets. */
  readonly hold: (held: boolean) => void
  /** The link itself changed: the hello, an offered session, its end. Called inside packet processing: only take note. */
  readonly onChange: () => void
  /** A Credit is waiting: call `creditInterval` when the interval has passed. */
  readonly onCreditLater: () => void
}
