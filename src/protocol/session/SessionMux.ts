/**
 * The multiplexer of one link: here session ids become sessions. Frames of the peer go to the session they name; frames of the
 * sessions go out round robin, control before bulk, for as long as net_crypto takes packets.
 *
 * Plain code, called once per packet or batch. It keeps no time: the layer calls `creditInterval` and gives up on a silent peer.
 */
import type { LinkHello } from "../../schema/LinkControl.ts"
import * as Frame from "../../schema/SessionFrame.ts"
import { ByteSessionState, shortened } from "./ByteSessionState.ts"
import { LinkStream } from "./LinkStream.ts"
import { SessionCode, type SessionFault } from "./sessionFault.ts"
import { SessionIds } from "./SessionIds.ts"
import type { SessionMuxCounts, SessionMuxOptions } from "./sessionMuxOptions.ts"

export type { SessionMuxCounts } from "./sessionMuxOptions.ts"

/** Frame bytes put on the link before it is sent. */
const batchSize = 64 * 1024

/** Bytes of UTF-8. */
const maxNameSize = 255
const encoder = new TextEncoder()

type SessionFrameOf = Parameters<ByteSessionState["receive"]>[0]

export class SessionMux {
  /** Why the link is over. */
  fault: SessionFault | undefined = undefined
  /** The peer's hello, once it has come. */
  hello: LinkHello | undefined = undefined
  /** The peer's GoAway: it takes no new sessions. */
  goneAway: SessionFault | undefined = undefined
  private readonly options: SessionMuxOptions
  private readonly link: LinkStream
  private readonly ids: SessionIds
  private readonly sessions = new Map<number, ByteSessionState>()
  /** Sessions with something to send, in the order of their turns. */
  private readonly turns = new Set<ByteSessionState>()
  /** Sessions of the peer that nobody has accepted. */
  private readonly offers: Array<ByteSessionState> = []
  private incoming = 0
  private replies: Array<Uint8Array> = []
  private replyBytes = 0
  private held = false
  private creditWaiting = false
  /** New sessions of the peer are refused with this. */
  private refusal: { readonly code: number; readonly message: string } | undefined = undefined
  private pumping = false
  private pumpAgain = false
  private unknownSession = 0
  private ignoredFrames = 0
  private refusedSessions = 0

  constructor(options: SessionMuxOptions) {
    this.options = options
    const { greater, hello, numbers, trySend } = options
    this.ids = new SessionIds(greater)
    this.link = new LinkStream({ hello, trySend, maxFrameSize: numbers.maxFrameSize })
  }

  get counts(): SessionMuxCounts {
    const { ignoredFrames, refusedSessions, unknownSession } = this
    return { unknownSession, ignoredFrames, ignoredPackets: this.link.ignoredPackets, refusedSessions }
  }

  /** Sessions that are not over, on either side. */
  get sessionCount(): number {
    return this.sessions.size
  }

  /** Sessions of the peer that wait to be accepted. */
  get offered(): number {
    return this.offers.length
  }

  // --- the application's side

  /** Begins a session of ours. Throws on a name that no Open can carry. */
  open(name: string): ByteSessionState {
    if (encoder.encode(name).length > maxNameSize) throw new RangeError(`a session name of over ${maxNameSize} bytes`)
    const session = ByteSessionState.opened(this.ids.next((id) => this.sessions.has(id)), name, this.options.numbers)
    const fault = this.fault ?? this.goneAway
    if (fault !== undefined) {
      session.fail(fault)
      return session
    }
    this.sessions.set(session.id, session)
    this.touch(session)
    return session
  }

  /** Accepts the oldest session that the peer offers. */
  accept(): ByteSessionState | undefined {
    const session = this.offers.shift()
    session?.accept()
    if (session !== undefined) this.touch(session)
    return session
  }

  /** Ends a session at once, unless it is over already. Throws on a code that is not a u16. */
  reset(session: ByteSessionState, code: number, message: string): void {
    if (!Number.isInteger(code) || code < 0 || code > 0xffff) throw new RangeError(`${code} is not a u16`)
    session.reset({ _tag: "Reset", code, detail: message, byPeer: false }, code, message)
    this.touch(session)
  }

  /** Takes no more sessions from the peer, and says so. Those that nobody accepted are refused. */
  goAway(code: number, message: string): void {
    this.refusal = { code, message: shortened(message) }
    this.reply(Frame.GoAway.encode(Frame.GoAway.make(this.refusal)))
    for (const session of this.offers.splice(0)) this.reset(session, code, message)
    this.pump()
  }

  /** A session may have something to send: bytes, credit for bytes that were taken, its end. */
  touch(session: ByteSessionState): void {
    if (this.fault !== undefined) return
    this.note(session)
    this.pump()
  }

  // --- the connection's side

  /** Takes one lossless packet, which then belongs to the link. */
  receive(packet: Uint8Array): void {
    if (this.fault !== undefined) return
    const { frames, hello, violation } = this.link.receive(packet)
    if (hello !== undefined) {
      this.hello = { ...hello, instanceId: hello.instanceId.slice() }
      this.options.onChange()
    }
    for (const frame of frames) {
      this.dispatch(frame)
      if (this.fault !== undefined) return
    }
    if (violation !== undefined) this.violate(violation)
    else this.pump()
  }

  /** The credit interval has passed since `onCreditLater`. */
  creditInterval(): void {
    this.creditWaiting = false
    if (this.fault !== undefined) return
    for (const session of this.sessions.values()) {
      if (!session.creditLater) continue
      session.creditDue()
      this.note(session)
    }
    this.pump()
  }

  /** Ends the link and all its sessions. */
  fail(fault: SessionFault): void {
    if (this.fault !== undefined) return
    this.fault = fault
    for (const session of this.sessions.values()) session.fail(fault)
    this.sessions.clear()
    this.turns.clear()
    this.offers.length = 0
    this.options.onChange()
  }

  /** Sends for as long as there is something to send and net_crypto takes it. Call it when net_crypto takes packets again. */
  pump(): void {
    // A packet may be delivered, or room reported, while one is being given away.
    if (this.pumping) {
      this.pumpAgain = true
      return
    }
    this.pumping = true
    do {
      this.pumpAgain = false
      while (this.link.send()) {
        if (this.fill()) continue
        this.link.flush()
        this.link.send()
        break
      }
    } while (this.pumpAgain)
    this.pumping = false
  }

  /** Puts up to a batch of frames on the link. False: there are none. */
  private fill(): boolean {
    if (this.replies.length > 0) {
      for (const reply of this.replies) this.link.push(reply)
      this.replies = []
      this.replyBytes = 0
      if (this.held) {
        this.held = false
        this.options.hold(false)
      }
      return true
    }
    let budget = Math.ceil(batchSize / this.options.numbers.maxFramePayload)
    if (this.turns.size === 0) return false
    for (const session of this.turns) {
      if (budget-- === 0) break
      this.turns.delete(session)
      if (session.hasOutput) session.writeNext(this.link)
      this.note(session)
    }
    return true
  }

  /** Files a session where its state says it belongs. */
  private note(session: ByteSessionState): void {
    if (session.removable) {
      if (this.sessions.get(session.id) !== session) return
      this.sessions.delete(session.id)
      this.turns.delete(session)
      if (!session.openedHere) this.incoming--
      session.onChange()
      return
    }
    if (session.hasOutput) this.turns.add(session)
    if (session.creditLater && !this.creditWaiting) {
      this.creditWaiting = true
      this.options.onCreditLater()
    }
  }

  private dispatch(frame: Frame.SessionFrame): void {
    switch (frame._tag) {
      case "Open":
        return this.onOpen(frame)
      case "Bytes":
      case "Accept":
      case "Close":
      case "Reset":
      case "Credit":
        return this.onSessionFrame(frame)
      case "Ping":
        return this.reply(Frame.Pong.encode(Frame.Pong.make({ value: frame.value })))
      case "GoAway":
        return this.onGoAway(frame)
      default:
        // Pong, Resume, Datagram and values of other types: nothing here has asked for them.
        this.ignoredFrames++
    }
  }

  private onSessionFrame(frame: SessionFrameOf): void {
    const session = this.sessions.get(frame.sessionId)
    if (session === undefined) {
      this.unknownSession++
      return
    }
    const violation = session.receive(frame)
    if (violation !== undefined) {
      session.reset({ _tag: "Violation", detail: violation }, SessionCode.violation, violation)
    }
    // Nobody will accept what the peer has taken back.
    if (session.fault !== undefined && this.offers.includes(session)) {
      this.offers.splice(this.offers.indexOf(session), 1)
    }
    this.note(session)
  }

  private onOpen(frame: Frame.Open): void {
    const id = frame.sessionId
    if (!this.ids.isPeers(id)) {
      return this.violate(`Open with session id ${id}, which is not the peer's to give`)
    }
    if (this.sessions.has(id)) return this.violate(`Open with session id ${id}, which is in use`)
    const busy = this.incoming >= this.options.numbers.maxIncomingSessions
    const refusal = this.refusal ?? (busy ? { code: SessionCode.busy, message: "no more sessions" } : undefined)
    if (refusal !== undefined) {
      this.refusedSessions++
      return this.reply(Frame.Reset.encode(Frame.Reset.make({ sessionId: id, ...refusal })))
    }
    const session = ByteSessionState.offered(frame, this.options.numbers)
    this.sessions.set(id, session)
    this.incoming++
    this.offers.push(session)
    this.note(session)
    this.options.onChange()
  }

  /** Accepted sessions go on; the others will never be. */
  private onGoAway(frame: Frame.GoAway): void {
    const fault: SessionFault = { _tag: "Refused", code: frame.code, detail: frame.message }
    this.goneAway = fault
    for (const session of this.sessions.values()) {
      if (!session.openedHere || session.accepted) continue
      session.fail(fault)
      this.note(session)
    }
    this.options.onChange()
  }

  /** The peer broke the rules of the link: tell it, as far as packets are taken, and end everything. */
  private violate(detail: string): void {
    const message = shortened(detail)
    this.link.push(Frame.GoAway.encode(Frame.GoAway.make({ code: SessionCode.violation, message })))
    this.link.flush()
    this.link.send()
    this.fail({ _tag: "Violation", detail })
  }

  private reply(frame: Uint8Array): void {
    this.replies.push(frame)
    this.replyBytes += frame.length
    if (this.held || this.replyBytes <= this.options.numbers.replyBacklog) return
    this.held = true
    this.options.hold(true)
  }
}
