/** What a multiplexer is made with, and what it counts. Types only. */

/** Numbers of the sessions with one peer. Sizes are bytes. */
export interface SessionMuxNumbers {
  /** Frame bytes of one session that may wait for the application, at first, at most, and all sessions together beyond the first. */
  readonly initialWindow: number
  readonly maxWindow: number
  readonly windowBudget: number
  /** Consumed bytes after which the peer gets new credit at once. */
  readonly creditStep: number
  /** Payload of the frames that carry bytes without boundaries, at most. */
  readonly maxFramePayload: number
  /** The largest frame that is taken, header included. */
  readonly maxFrameSize: number
  readonly maxDatagramSize: number
  /** Replies to the peer (pongs, refusals) that may wait; with more of them nothing is taken from the peer until they have gone. */
  readonly replyBacklog: number
  /** Sessions opened by the peer, at most. */
  readonly maxIncomingSessions: number
}

/** What there is now, what has been dropped or refused, by cause, and how batches of frames ended. */
export interface SessionMuxCounts {
  /** Sessions that are not over at this end, whoever has begun them. */
  readonly sessions: number
  /** Frames for sessions that are not, and packets and frames that were not understood. */
  readonly unknownSession: number
  readonly ignoredFrames: number
  readonly ignoredPackets: number
  readonly refusedSessions: number
  /** Datagrams of ours that found the link busy, and the peer's that found nobody to take them. */
  readonly droppedDatagrams: number
  /** Batches that were full, and batches in which every session had its turn (row I20). */
  readonly fullBatches: number
  readonly roundBatches: number
}

export interface SessionMuxOptions {
  /** 16 bytes, random per process. */
  readonly instanceId: Uint8Array
  /** Our identity key is the greater one, compared as bytes: it decides which ids are ours, and that we name the epochs. */
  readonly greater: boolean
  readonly numbers: SessionMuxNumbers
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** An offered session, a goodbye, the end. Called inside packet processing: only take note. */
  readonly onChange: () => void
  /** A Credit is waiting: call `creditInterval` when the interval has passed. */
  readonly onCreditLater: () => void
}
