/** One link of a multiplexer: its streams, and whether both sides have resumed on them. A session lives on stream `id mod streams` (row I21). */
import * as Frame from "../../schema/SessionFrame.ts"
import type { LinkOutput } from "./LinkOutput.ts"
import { MuxStream } from "./MuxStream.ts"
import type { PeerFrames } from "./PeerFrames.ts"
import type { SessionMux } from "./SessionMux.ts"

export class MuxLink {
  /** Undefined until our Resume. */
  epoch: number | undefined = undefined
  /** The link before this one, whose frames count until the peer's Resume has come on the session's stream. */
  earlier: MuxLink | undefined = undefined
  /** Numbered frames that the peer sends again for sessions that are over, because they had come over the earlier link. */
  readonly leftovers = new Map<number, number>()
  readonly streams: ReadonlyArray<MuxStream>
  /** Milliseconds there and back, undefined before the first measurement. */
  readonly roundTrip: () => number | undefined
  private readonly mux: SessionMux
  private isOver = false

  constructor(
    mux: SessionMux,
    frames: PeerFrames,
    outputs: ReadonlyArray<LinkOutput>,
    roundTrip: () => number | undefined
  ) {
    this.mux = mux
    this.roundTrip = roundTrip
    const { maxFrameSize, replyBacklog } = mux.options.numbers
    this.streams = outputs.map((output, index) =>
      new MuxStream({
        output,
        maxFrameSize,
        replyBacklog,
        sink: frames.of(this, index),
        afterTurn: (session) => mux.note(session)
      })
    )
  }

  get batches(): { readonly fullBatches: number; readonly roundBatches: number } {
    let fullBatches = 0
    let roundBatches = 0
    for (const stream of this.streams) {
      fullBatches += stream.fullBatches
      roundBatches += stream.roundBatches
    }
    return { fullBatches, roundBatches }
  }

  /** Whether sessions flow both ways on every stream. */
  get isUp(): boolean {
    return !this.isOver && this.streams.every((stream) => stream.resumeSent && stream.resumeReceived)
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
    if (stream === undefined || this.mux.fault !== undefined) return
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

  /** Our Resume goes first on a stream. */
  begin(index: number, resume: Uint8Array): void {
    const stream = this.streams[index]
    if (stream === undefined) return
    stream.reply(resume)
    stream.resumeSent = true
  }

  /** The peer's Resume has come on a stream. */
  resumed(index: number): void {
    const stream = this.streams[index]
    if (stream !== undefined) stream.resumeReceived = true
    if (!this.isUp) return
    this.earlier?.close(undefined)
    this.earlier = undefined
    this.mux.options.onChange()
  }

  sayGoAway(reason: { readonly code: number; readonly message: string }): void {
    const [stream] = this.streams
    if (stream?.resumeSent !== true) return
    stream.reply(Frame.GoAway.encode(Frame.GoAway.make(reason)))
    stream.pump()
  }

  /** Sends nothing any more; what the peer has sent is still taken. */
  mute(): void {
    for (const stream of this.streams) stream.finish(undefined)
  }

  /** Sends one last frame, if there is one, and takes nothing any more. */
  close(last: Uint8Array | undefined): void {
    this.isOver = true
    for (const [index, stream] of this.streams.entries()) stream.finish(index === 0 ? last : undefined)
  }
}
