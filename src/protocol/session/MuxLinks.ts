/**
 * The links of a multiplexer, and which of them the sessions run over. Each move has an epoch and begins with a Resume from each side on
 * every stream. Either side may begin one; the greatest epoch counts, and the other side follows it. Links that are left stay in step
 * and can be begun again (docs/adr/0010).
 */
import { equalBytes } from "../../schema/Bytes.ts"
import type * as Frame from "../../schema/SessionFrame.ts"
import { TokenBucket } from "../TokenBucket.ts"
import type { LinkOutput } from "./LinkOutput.ts"
import { type LinkOptions, MuxLink } from "./MuxLink.ts"
import type { PeerFrames } from "./PeerFrames.ts"
import type { SessionMux } from "./SessionMux.ts"

/** No peer moves that often; and numbers beyond it lose their last digits. */
const maxEpoch = 2 ** 48

/** Moves that a peer may begin a second: each costs us a look at every session. */
const moveRate = 64

export class MuxLinks {
  /** The link in use. One that has not begun waits for the peer to begin on it. */
  current: MuxLink | undefined = undefined
  private readonly mux: SessionMux
  private readonly frames: PeerFrames
  /** Attached and not detached. */
  private readonly attached = new Set<MuxLink>()
  /** Of the latest move, whoever has begun it. */
  private epoch = 0
  /** Which process of the peer the sessions are with. */
  private peerInstance: Uint8Array | undefined = undefined
  private readonly moves = new TokenBucket(moveRate)

  constructor(mux: SessionMux, frames: PeerFrames) {
    this.mux = mux
    this.frames = frames
  }

  /** A new link. The greater identity begins on it at once; the lesser stays where it is until that has come. */
  attach(
    outputs: ReadonlyArray<LinkOutput>,
    roundTrip: () => number | undefined,
    options: LinkOptions = {}
  ): MuxLink {
    const link = new MuxLink(this.mux, this.frames, outputs, roundTrip, options)
    if (this.mux.fault !== undefined) {
      link.close(undefined)
      return link
    }
    this.attached.add(link)
    if (options.idle === true) return link
    if (this.mux.options.greater) this.begin(link)
    else if (this.current?.epoch === undefined) this.current = link
    return link
  }

  /** Begins again on a link that was attached before. */
  reattach(link: MuxLink): boolean {
    if (!this.attached.has(link)) return false
    if (this.current !== link || link.epoch === undefined) this.begin(link)
    return true
  }

  /** The link is no more. */
  detach(link: MuxLink): void {
    if (!this.attached.delete(link)) return
    link.close(undefined)
    if (this.current?.earlier === link) this.current.earlier = undefined
    if (this.current !== link) return
    this.current = undefined
    this.mux.left()
    this.awaitBegin()
    this.mux.options.onChange()
  }

  /** Everything is over. */
  close(): void {
    this.current = undefined
    for (const link of this.attached) link.close(undefined)
    this.attached.clear()
  }

  /** Takes the peer's Resume on one stream. The answer says what is wrong with it. */
  takeResume(link: MuxLink, index: number, frame: Frame.Resume): string | undefined {
    const { mux } = this
    const stream = link.streams[index]
    this.peerInstance ??= frame.instanceId.slice()
    if (!equalBytes(this.peerInstance, frame.instanceId)) {
      mux.fail({ _tag: "PeerRestarted" })
      return undefined
    }
    if (stream === undefined || frame.epoch > maxEpoch) return `resumed with epoch ${frame.epoch}`
    stream.wasResumed = true
    // It asks for what must not be: the sessions stay where they are, and what follows is read and ignored.
    if (frame.epoch !== this.epoch && !link.mayFollow()) {
      // The next move of ours has to come after it all the same.
      this.epoch = Math.max(this.epoch, frame.epoch)
      stream.resumeReceived = false
      return undefined
    }
    // The peer began here before it, or we, began elsewhere: the later move will come to its notice, or to ours.
    if (frame.epoch < this.epoch) {
      if (link === this.current && link.epoch === undefined) this.begin(link)
      return undefined
    }
    if (frame.epoch > this.epoch) {
      if (!this.moves.take(mux.options.now())) return `over ${moveRate} moves a second`
      this.move(link, frame.epoch)
      // Sending may have brought the next move.
      if (link.epoch !== frame.epoch) return undefined
    } else if (link.epoch !== frame.epoch) {
      return `resumed with epoch ${frame.epoch} after ${this.epoch}`
    } else if (stream.resumeReceived) {
      return "a second Resume"
    }
    return mux.resumeSessions(link, index, frame.sessions)
  }

  /** The lesser waits on the newest link that was never in use; if the peer began there before it began elsewhere, it will not do so again. */
  private awaitBegin(): void {
    if (this.mux.options.greater) return
    let next: MuxLink | undefined
    for (const link of this.attached) if (!link.isLeft && link.mayFollow()) next = link
    this.current = next
    if (next?.streams.some((stream) => stream.wasResumed) === true) this.begin(next)
  }

  /** The greater identity's epochs are even and the lesser's odd, so that no two moves have the same. */
  private begin(link: MuxLink): void {
    const next = this.epoch + 1
    this.move(link, (next % 2 === 0) === this.mux.options.greater ? next : next + 1)
  }

  /** Leaves the link in use for this one, which may be the same, and says what has been received. */
  private move(link: MuxLink, epoch: number): void {
    const earlier = this.current
    this.epoch = epoch
    if (earlier !== undefined) {
      earlier.mute()
      earlier.earlier = undefined
      this.mux.left()
    }
    this.current = link
    link.earlier = earlier === link ? undefined : earlier
    this.mux.sendResume(link, epoch)
    earlier?.release()
  }
}
