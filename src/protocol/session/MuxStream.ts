/**
 * One stream of a link, in use: bytes of the peer become frames, and the frames of the sessions on this stream go out round robin,
 * control before bulk, for as long as the link takes them.
 *
 * Plain code, called once per packet or batch. What a frame does is `SessionMux`'s.
 */
import { type SessionFrameInvalid, SessionFrameReader, type SessionFrameSink } from "../../schema/SessionFrameReader.ts"
import type { LinkOutput } from "./LinkOutput.ts"
import type { SessionState } from "./SessionState.ts"

/** Frame bytes put on the link before it is sent (row I20). */
const batchSize = 32 * 1024
/** Frame bytes of one turn, at least, while no other session has something to send. */
const aloneSize = 16 * 1024

/** Batches that were full, and batches in which every session had its turn. */
export interface BatchCounts {
  fullBatches: number
  roundBatches: number
}

export class MuxStream {
  /** Our latest Resume is on its way and counts, so that other frames of ours may follow. */
  resumeSent = false
  /** The peer's answer to it has come, or the Resume that it answers, so that other frames of the peer may follow. */
  resumeReceived = false
  /** There has been a Resume of the peer: whatever it sends before the first one is a mistake. */
  wasResumed = false
  private readonly output: LinkOutput
  private reader: SessionFrameReader | undefined
  private readonly replyBacklog: number
  private readonly batches: BatchCounts
  /** A session's turn is over: file it where its state says it belongs. */
  private readonly afterTurn: (session: SessionState) => void
  private readonly onSend: () => void
  /** Sessions with something to send, in the order of their turns. */
  private turns = new Set<SessionState>()
  private replies: Array<Uint8Array> = []
  private replyBytes = 0
  private held = false
  private pumping = false
  private pumpAgain = false
  private busy = false
  private isOver = false

  constructor(options: {
    readonly output: LinkOutput
    readonly sink: SessionFrameSink
    readonly maxFrameSize: number
    readonly replyBacklog: number
    readonly batches: BatchCounts
    readonly afterTurn: (session: SessionState) => void
    /** A batch has been put on the link, or is about to be. */
    readonly onSend: () => void
  }) {
    this.output = options.output
    this.reader = new SessionFrameReader(options.sink, options.maxFrameSize)
    this.replyBacklog = options.replyBacklog
    this.batches = options.batches
    this.afterTurn = options.afterTurn
    this.onSend = options.onSend
  }

  /** The link took everything the last time, and nothing waits for its turn. */
  get isIdle(): boolean {
    return this.resumeSent && !this.busy && this.turns.size === 0 && this.replies.length === 0
  }

  /** Bytes of a frame of the peer that has not come to its end. */
  get pendingBytes(): number {
    return this.reader?.pendingBytes ?? 0
  }

  /** Takes the next bytes of the peer, which then belong to the stream. */
  receive(bytes: Uint8Array): SessionFrameInvalid | undefined {
    return this.reader?.push(bytes)
  }

  /** Gives a session with output its turn. */
  schedule(session: SessionState): void {
    if (this.resumeSent) this.turns.add(session)
  }

  unschedule(session: SessionState): void {
    this.turns.delete(session)
  }

  /** Begins, or begins again: our Resume goes before everything else. Frames of the peer count again from its Resume on. */
  begin(resume: Uint8Array): void {
    if (this.isOver) return
    this.resumeSent = true
    this.resumeReceived = false
    this.reply(resume)
    this.onSend()
  }

  /** Puts a frame before those of the sessions. With too many of them nothing is taken from the peer until they have gone. */
  reply(frame: Uint8Array): void {
    if (!this.resumeSent) return
    this.replies.push(frame)
    this.replyBytes += frame.length
    if (this.held || this.replyBytes <= this.replyBacklog) return
    this.held = true
    this.output.hold(true)
  }

  /** Sends for as long as there is something to send and the link takes it. Call it when the link takes more again. */
  pump(): void {
    // A packet may be delivered, or room reported, while one is being given away.
    if (this.pumping) {
      this.pumpAgain = true
      return
    }
    if (this.isIdle) return
    this.pumping = true
    do {
      this.pumpAgain = false
      this.busy = true
      while (!this.isOver && this.output.send()) {
        if (this.resumeSent && this.fill()) {
          this.onSend()
          continue
        }
        this.output.flush()
        this.busy = !this.output.send()
        break
      }
    } while (this.pumpAgain)
    this.pumping = false
  }

  /** Sends nothing more of the sessions until it begins again. What is packed already goes, so that no frame is cut off. */
  mute(): void {
    this.resumeSent = false
    this.turns = new Set()
    this.replies = []
    this.replyBytes = 0
  }

  /** Takes bytes of the peer again, if replies that are gone now were in the way. They may come before this returns. */
  release(): void {
    if (!this.held || this.replyBytes > this.replyBacklog) return
    this.held = false
    this.output.hold(false)
  }

  /** Sends one last frame, as far as the link takes it, and nothing any more; takes nothing any more. */
  finish(frame: Uint8Array | undefined): void {
    if (frame !== undefined && !this.isOver) {
      this.output.push(frame)
      this.output.flush()
      this.output.send()
    }
    this.isOver = true
    this.reader = undefined
    this.mute()
    this.release()
  }

  /** Puts up to a batch of frames on the link. False: there are none. */
  private fill(): boolean {
    if (this.replies.length > 0) {
      for (const reply of this.replies) this.output.push(reply)
      this.replies = []
      this.replyBytes = 0
      this.release()
      return true
    }
    let left = this.turns.size
    if (left === 0) return false
    let size = 0
    for (const session of this.turns) {
      this.turns.delete(session)
      if (session.hasOutput) size += session.writeNext(this.output)
      // Nobody waits behind it: small frames go on in the same turn.
      while (this.turns.size === 0 && size < aloneSize && session.hasOutput && !session.removable) {
        size += session.writeNext(this.output)
      }
      this.afterTurn(session)
      if (size >= batchSize) {
        this.batches.fullBatches++
        return true
      }
      if (--left === 0) break
    }
    this.batches.roundBatches++
    return true
  }
}
