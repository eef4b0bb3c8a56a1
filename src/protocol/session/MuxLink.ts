/**
 * One link of a multiplexer: its streams, and whether both sides have resumed on them. A session lives on stream `id mod streams` (row I21).
 * Which link the sessions run over is `MuxLinks`' choice; a link that they have left keeps its streams in step, for another time.
 */
import * as Frame from "../../schema/SessionFrame.ts"
import type { LinkOutput } from "./LinkOutput.ts"
import { MuxStream } from "./MuxStream.ts"
import type { PeerFrames } from "./PeerFrames.ts"
import type { SessionMux } from "./SessionMux.ts"

export interface LinkOptions {
  /** Nobody begins on it before `reattach`, not even the greater identity. */
  readonly idle?: boolean
  /** Whether sessions may follow the peer onto this link now. Always, when it is left out. */
  readonly mayFollow?: () => boolean
  /** The shortest round trip of the path, milliseconds, where the link knows it: its smoothed one otherwise. */
  readonly leastRoundTrip?: () => number | undefined
}

export class MuxLink {
  /** Of our latest Resume, while it counts: undefined before the first, and while the sessions run over another link. */
  epoch: number | undefined = undefined
  /** The link before this one, whose frames count until the peer's Resume has come on the session's stream. */
  earlier: MuxLink | undefined = undefined
  /** Sessions have run over it. */
  wasUsed = false
  /** Bytes of the peer, on all streams. */
  receivedBytes = 0
  /** Something of ours has been put on the link. Called once per batch: only take note. */
  onSend: (() => void) | undefined = undefined
  /** Numbered frames that the peer sends again for sessions that are over, because they had come over the earlier link. */
  readonly leftovers = new Map<number, number>()
  readonly streams: ReadonlyArray<MuxStream>
  /** Milliseconds there and back, smoothed and the least; undefined before the first measurement. */
  readonly roundTrip: () => number | undefined
  readonly leastRoundTrip: () => number | undefined
  readonly mayFollow: () => boolean
  private readonly mux: SessionMux
  private over = false

  constructor(
    mux: SessionMux,
    frames: PeerFrames,
    outputs: ReadonlyArray<LinkOutput>,
    roundTrip: () => number | undefined,
    { leastRoundTrip = roundTrip, mayFollow = () => true }: LinkOptions
  ) {
    this.mux = mux
    this.roundTrip = roundTrip
    this.leastRoundTrip = leastRoundTrip
    this.mayFollow = mayFollow
    const { maxFrameSize, replyBacklog } = mux.options.numbers
    this.streams = outputs.map((output, index) =>
      new MuxStream({
        output,
        maxFrameSize,
        replyBacklog,
        batches: mux.batches,
        sink: frames.of(this, index),
        afterTurn: (session) => mux.note(session),
        onSend: () => this.onSend?.()
      })
    )
  }

  /** Whether sessions flow both ways on every stream. */
  get isUp(): boolean {
    return this.streams.every((stream) => stream.resumeSent && stream.resumeReceived)
  }

  /** The sessions ran over it, and no longer do. */
  get isLeft(): boolean {
    return this.over || (this.wasUsed && this.mux.link !== this)
  }

  /** It has been detached, or everything is over. */
  get isOver(): boolean {
    return this.over
  }

  /** A stream has a Resume of ours that the peer has not answered. */
  get isUnanswered(): boolean {
    return this.streams.some((stream) => stream.resumeSent && !stream.resumeReceived)
  }

  /** Takes a frame for a session that is not. False: it is not one that comes again. */
  takeLeftover(sessionId: number): boolean {
    const left = this.leftovers.get(sessionId)
    if (left === undefined) return false
    if (left === 1) this.leftovers.delete(sessionId)
    else this.leftovers.set(sessionId, left - 1)
    return true
  }

  streamOf(sessionId: number): MuxStream {
    const stream = this.streams[sessionId % this.streams.length]
    if (stream === undefined) throw new Error("a link without streams")
    return stream
  }

  /** Takes the next bytes of one of the peer's streams, which then belong to the link. */
  receive(index: number, bytes: Uint8Array): void {
    const stream = this.streams[index]
    if (stream === undefined || this.over) return
    this.receivedBytes += bytes.length
    const problem = stream.receive(bytes)
    if (problem !== undefined) this.mux.violate(this, problem.message)
    else this.mux.link?.pump()
  }

  /** A stream takes bytes again. */
  writable(index: number): void {
    this.streams[index]?.pump()
  }

  pump(): void {
    for (const stream of this.streams) stream.pump()
  }

  /** Begins on every stream, each with its Resume; what the peer says before its own is nothing. */
  begin(epoch: number, resumes: ReadonlyArray<Uint8Array>): void {
    this.epoch = epoch
    this.wasUsed = true
    this.leftovers.clear()
    for (const [index, stream] of this.streams.entries()) {
      const resume = resumes[index]
      if (resume !== undefined) stream.begin(resume)
    }
  }

  /** The peer's Resume has come on a stream. */
  resumed(index: number): void {
    const stream = this.streams[index]
    if (stream !== undefined) stream.resumeReceived = true
    if (!this.isUp) return
    this.earlier = undefined
    this.mux.options.onChange()
  }

  sayGoAway(reason: { readonly code: number; readonly message: string }): void {
    const [stream] = this.streams
    if (stream?.resumeSent !== true) return
    stream.reply(Frame.GoAway.encode(Frame.GoAway.make(reason)))
    stream.pump()
  }

  /** Sends nothing more of the sessions until it begins again; what the peer has sent is still taken. */
  mute(): void {
    this.epoch = undefined
    for (const stream of this.streams) stream.mute()
  }

  /** The last step of leaving it: bytes of the peer may come before this returns. */
  release(): void {
    for (const stream of this.streams) stream.release()
  }

  /** Sends one last frame, if there is one, takes nothing any more, and lets everything go. */
  close(last: Uint8Array | undefined): void {
    this.over = true
    this.epoch = undefined
    this.earlier = undefined
    this.onSend = undefined
    this.leftovers.clear()
    for (const [index, stream] of this.streams.entries()) stream.finish(index === 0 ? last : undefined)
  }
}
