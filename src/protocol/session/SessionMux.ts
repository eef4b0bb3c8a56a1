/**
 * All sessions with one peer, over whichever link is up: here session ids become sessions. It outlives links. A new one begins with a
 * Resume from each side, after which lost frames go again (design, "Resume" and "Moving").
 *
 * Plain code, called once per packet or batch. It waits for nothing: the layer brings links, calls `creditInterval`, and gives up.
 */
import * as Frame from "../../schema/SessionFrame.ts"
import type { LinkOutput } from "./LinkOutput.ts"
import type { LinkOptions, MuxLink } from "./MuxLink.ts"
import { MuxLinks } from "./MuxLinks.ts"
import { MuxPings } from "./MuxPings.ts"
import { PeerFrames } from "./PeerFrames.ts"
import { SessionCode, type SessionFault } from "./sessionFault.ts"
import { SessionIds } from "./SessionIds.ts"
import type { SessionMuxCounts, SessionMuxOptions } from "./sessionMuxOptions.ts"
import { type SessionOptions, SessionState, shortened } from "./SessionState.ts"

export type { SessionMuxCounts } from "./sessionMuxOptions.ts"

/** Bytes of UTF-8. */
const maxNameSize = 255
const encoder = new TextEncoder()

export class SessionMux {
  /** Why everything with the peer is over. */
  fault: SessionFault | undefined = undefined
  /** The peer's GoAway: it takes no new sessions. */
  goneAway: SessionFault | undefined = undefined
  readonly options: SessionMuxOptions
  readonly pings = new MuxPings()
  readonly sessions = new Map<number, SessionState>()
  readonly ids: SessionIds
  readonly sessionOptions: SessionOptions
  /** Sessions of the peer that nobody has accepted. */
  readonly offers: Array<SessionState> = []
  /** Sessions opened by the peer that are not over; those that were refused and do not know it yet. */
  incoming = 0
  refused = 0
  /** New sessions of the peer are refused with this. */
  refusal: { readonly code: number; readonly message: string } | undefined = undefined
  /** Credit for made sessions that only the peer has made so far. */
  readonly earlyCredits = new Map<number, number>()
  readonly batches = { fullBatches: 0, roundBatches: 0 }
  readonly dropped = { unknownSession: 0, ignoredFrames: 0, ignoredPackets: 0, refusedSessions: 0, droppedDatagrams: 0 }
  readonly links: MuxLinks
  private readonly creditWaiting = new Set<SessionState>()

  constructor(options: SessionMuxOptions) {
    this.options = options
    const { numbers } = options
    this.ids = new SessionIds(options.greater)
    this.sessionOptions = {
      now: options.now,
      roundTrip: () => this.link?.roundTrip(),
      leastRoundTrip: () => this.link?.leastRoundTrip(),
      budget: { left: numbers.windowBudget },
      initialWindow: numbers.initialWindow,
      maxWindow: numbers.maxWindow,
      creditStep: numbers.creditStep,
      maxFramePayload: numbers.maxFramePayload
    }
    this.links = new MuxLinks(this, new PeerFrames(this))
  }

  get counts(): SessionMuxCounts {
    return { sessions: this.sessions.size, ...this.dropped, ...this.batches }
  }

  /** The link in use; one whose epoch is undefined waits for the peer to begin on it. */
  get link(): MuxLink | undefined {
    return this.links.current
  }

  /** Something has been sent that the peer has yet to answer: frames, a Resume, a ping. Looks at every session. */
  get isOwedAnswer(): boolean {
    if (this.link?.isUnanswered === true || this.pings.count > 0) return true
    for (const session of this.sessions.values()) if (session.isOwedAnswer) return true
    return false
  }

  /** Nothing waits to be sent over the link in use. */
  get isIdle(): boolean {
    return this.link?.streams.every((stream) => stream.isIdle) !== false
  }

  /** Sessions of the peer that wait to be accepted. */
  get offered(): number {
    return this.offers.length
  }

  // --- the application's side

  /** Begins a session of ours. Throws on a name that no Open can carry. */
  open(name: string): SessionState {
    if (encoder.encode(name).length > maxNameSize) throw new RangeError(`a session name of over ${maxNameSize} bytes`)
    const id = this.ids.next((used) => this.sessions.has(used))
    const session = SessionState.opened(id, name, this.sessionOptions)
    const fault = this.fault ?? this.goneAway
    if (fault === undefined) this.add(session)
    else session.fail(fault)
    return session
  }

  /** The next `count` sessions that both sides make without asking (row I11). Throws when there would be too many. */
  make(count: number): ReadonlyArray<SessionState> {
    return this.ids.make(count).map((id) => {
      const session = SessionState.made(id, this.earlyCredits.get(id), this.sessionOptions)
      this.earlyCredits.delete(id)
      if (this.fault === undefined) this.add(session)
      else session.fail(this.fault)
      return session
    })
  }

  /** Takes the oldest session that the peer offers; `SessionState.accept` or `reset` answers it. */
  takeOffer(): SessionState | undefined {
    return this.offers.shift()
  }

  /** Ends a session at once, unless it is over already. Throws on a code that is not a u16. */
  reset(session: SessionState, code: number, message: string): void {
    if (!Number.isInteger(code) || code < 0 || code > 0xffff) throw new RangeError(`${code} is not a u16`)
    session.reset({ _tag: "Reset", code, detail: message, byPeer: false }, code, message)
    this.touch(session)
  }

  /** Takes no more sessions from the peer, and says so. Those that nobody accepted are refused. */
  goAway(code: number, message: string): void {
    this.refusal = { code, message: shortened(message) }
    for (const session of this.offers.splice(0)) this.reset(session, code, message)
    this.link?.sayGoAway(this.refusal)
  }

  /** A session may have something to send: bytes, credit for bytes that were taken, its end. */
  touch(session: SessionState): void {
    if (this.fault !== undefined) return
    this.note(session)
    this.link?.streamOf(session.id).pump()
  }

  /** Sends a datagram now or never. False: the link is busy or absent. Throws when it is too long. */
  datagram(session: SessionState, bytes: Uint8Array): boolean {
    const { maxDatagramSize } = this.options.numbers
    if (bytes.length > maxDatagramSize) {
      throw new RangeError(`a datagram of ${bytes.length} bytes, at most ${maxDatagramSize} are allowed`)
    }
    const stream = this.link?.streamOf(session.id)
    if (stream?.isIdle !== true || !session.accepted || session.fault !== undefined) {
      this.dropped.droppedDatagrams++
      return false
    }
    stream.reply(Frame.Datagram.encode(Frame.Datagram.make({ sessionId: session.id, bytes })))
    stream.pump()
    return true
  }

  /** Asks the peer for a sign of life over one stream of the link; `onPong` is called unless the link is lost before. False: there is no link. */
  ping(onPong: () => void, index = 0): boolean {
    const stream = this.link?.streams[index]
    if (stream?.resumeSent !== true) return false
    stream.reply(this.pings.begin(onPong))
    stream.pump()
    return true
  }

  /** The credit interval has passed since `onCreditLater`. */
  creditInterval(): void {
    const waiting = Array.from(this.creditWaiting)
    this.creditWaiting.clear()
    if (this.fault !== undefined) return
    for (const session of waiting) {
      if (session.creditLater) session.creditDue()
      this.note(session)
    }
    this.link?.pump()
  }

  /** Ends everything with the peer. */
  fail(fault: SessionFault): void {
    if (this.fault !== undefined) return
    this.fault = fault
    for (const session of this.sessions.values()) session.fail(fault)
    this.sessions.clear()
    this.creditWaiting.clear()
    this.offers.length = 0
    this.links.close()
    this.left()
    this.options.onChange()
  }

  // --- the links' side

  /**
   * A new link with the same process of the peer: its streams, and its round trip, smoothed. Sessions move to it when the greater identity,
   * which does it at once, or either side by `reattach`, begins on it.
   */
  attach(
    outputs: ReadonlyArray<LinkOutput>,
    roundTrip: () => number | undefined,
    options?: LinkOptions
  ): MuxLink {
    return this.links.attach(outputs, roundTrip, options)
  }

  /** Moves the sessions to a link that was attached before. Nothing when they run over it. False: it has been detached. */
  reattach(link: MuxLink): boolean {
    return this.links.reattach(link)
  }

  /** The link is no more, whether it was in use or not. Without another one, sessions wait for the next. */
  detach(link: MuxLink): void {
    this.links.detach(link)
  }

  /** A link was left: what it was asked has no answer any more, and nothing goes before the next one has begun. */
  left(): void {
    this.pings.clear()
    for (const session of this.sessions.values()) session.synced = false
  }

  /** Begins the link on our side: what has been received of every session, so that the peer sends the rest. */
  sendResume(link: MuxLink, epoch: number): void {
    const entries = link.streams.map(() => new Array<Frame.ResumedSession>())
    for (const session of this.sessions.values()) {
      if (session.untouched) session.begin()
      else entries[session.id % link.streams.length]?.push(session.resumeEntry())
    }
    const { instanceId } = this.options
    link.begin(
      epoch,
      entries.map((sessions) => Frame.Resume.encode(Frame.Resume.make({ instanceId, epoch, sessions })))
    )
    if (this.refusal !== undefined) link.sayGoAway(this.refusal)
    for (const session of this.sessions.values()) this.note(session)
    link.pump()
  }

  /** Takes what the peer's Resume on one stream says of its sessions. The answer says what is wrong with it. */
  resumeSessions(link: MuxLink, index: number, entries: ReadonlyArray<Frame.ResumedSession>): string | undefined {
    const received = new Map(entries.map((entry) => [entry.sessionId, entry.received]))
    for (const session of this.sessions.values()) {
      if (session.synced || session.id % link.streams.length !== index) continue
      const violation = session.resume(received.get(session.id))
      if (violation !== undefined) return violation
      this.note(session)
    }
    link.resumed(index)
    return undefined
  }

  /** The peer broke the rules: tell it, as far as the link takes it, and end everything. */
  violate(link: MuxLink, detail: string): void {
    if (this.fault !== undefined) return
    link.close(Frame.GoAway.encode(Frame.GoAway.make({ code: SessionCode.violation, message: shortened(detail) })))
    this.fail({ _tag: "Violation", detail })
  }

  /** Adds a session that may use the link in use at once, because that link's Resume did not name it. */
  add(session: SessionState): void {
    this.enlist(session)
    if (this.link?.streamOf(session.id).resumeSent === true) session.begin()
    this.touch(session)
  }

  /** Adds a session that the peer has begun. */
  enlist(session: SessionState): void {
    this.sessions.set(session.id, session)
  }

  /** Files a session where its state says it belongs. */
  note(session: SessionState): void {
    const stream = this.link?.streamOf(session.id)
    if (session.removable) {
      if (this.sessions.get(session.id) !== session) return
      this.sessions.delete(session.id)
      this.creditWaiting.delete(session)
      stream?.unschedule(session)
      if (session.repeated > 0) {
        ;(session.synced ? this.link : this.link?.earlier)?.leftovers.set(session.id, session.repeated)
      }
      session.release()
      if (session.origin === "offered") this.forget(session)
      session.onChange?.()
      return
    }
    if (stream !== undefined && session.hasOutput) stream.schedule(session)
    if (!session.creditLater) return
    if (this.creditWaiting.size === 0) this.options.onCreditLater()
    this.creditWaiting.add(session)
  }

  private forget(session: SessionState): void {
    if (session.fault?._tag === "Refused") this.refused--
    else this.incoming--
  }
}
