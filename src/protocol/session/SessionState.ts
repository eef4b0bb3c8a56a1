/**
 * One session as plain state: frames of the peer go in, frames of ours come out, one at a time, when the multiplexer asks. Both
 * directions end on their own (Close); Reset and a fault end both at once. What was sent and not received goes again over another link.
 *
 * It never waits, never touches a connection, and knows no other session.
 */
import { type Payload, payloadLength } from "../../schema/Payload.ts"
import * as Frame from "../../schema/SessionFrame.ts"
import type { DatagramInbox } from "./DatagramInbox.ts"
import { type CreditNeed, FrameReceiver, type ReceiverSurroundings } from "./FrameReceiver.ts"
import { FrameSender } from "./FrameSender.ts"
import type { LinkOutput } from "./LinkOutput.ts"
import { SessionCode, type SessionFault } from "./sessionFault.ts"
import type { InFrame } from "./ValueInbox.ts"

/** What an opener may send before it is accepted: bytes of whole frames. */
const initialCredit = 64 * 1024

/** What a session is made with. Sizes are bytes. */
export interface SessionOptions extends ReceiverSurroundings {
  readonly initialWindow: number
  readonly maxFramePayload: number
}

/** How a session began: an Open of ours, an Open of the peer, or made on both sides without a word. */
type Origin = "opened" | "offered" | "made"

/** What the peer may send whatever the settings say: it does before it hears of them. */
const windowOf = (options: SessionOptions): number => Math.max(initialCredit, options.initialWindow)

export class SessionState {
  readonly id: number
  readonly name: string
  readonly origin: Origin
  /** Why it ended early. */
  fault: SessionFault | undefined = undefined
  /** Its frames may go over the link in use: that link's Resume has dealt with it. */
  synced = false
  /** Something changed that the application may be waiting for. Called inside packet processing: only take note. */
  onChange: (() => void) | undefined = undefined
  /** Made when the first one comes. */
  datagrams: DatagramInbox | undefined = undefined
  private readonly options: SessionOptions
  private readonly sender: FrameSender
  private readonly receiver: FrameReceiver
  /** Both sides have agreed that the session is. */
  private open: boolean
  private ending = false
  private closeQueued = false
  private resetQueued = false
  /**
   * We have reset a session of ours that the peer's Resume does not name. It may have forgotten it already, and would take it for a new
   * one; or it may have been told of it over the earlier link after that Resume, and sends Credit; or the next Resume says the same.
   */
  private doubtful = false
  /** The peer's Reset has come: nothing of ours goes again. */
  private peerReset = false
  /** The peer's Close has come, also after the end; and our latest Resume counts it. */
  private gotClose = false
  private saidClose = false
  /** Frames up to our Close, when a fault came after that had been sent. */
  private closedAt = Infinity

  private constructor(id: number, name: string, origin: Origin, credit: number, options: SessionOptions) {
    this.id = id
    this.name = name
    this.origin = origin
    this.options = options
    this.open = origin === "made"
    this.sender = new FrameSender(id, credit)
    this.sender.gated = origin === "made"
    const window = origin === "offered" ? initialCredit : windowOf(options)
    this.receiver = new FrameReceiver(options, window, origin === "offered" ? initialCredit : 0)
  }

  /** A session of ours. */
  static opened(id: number, name: string, options: SessionOptions): SessionState {
    const session = new SessionState(id, name, "opened", initialCredit, options)
    const credit = session.receiver.grant(windowOf(options))
    session.sender.control(Frame.Open.encode(Frame.Open.make({ sessionId: id, name, credit })))
    return session
  }

  /** A session that the peer's Open began. */
  static offered(open: Frame.Open, options: SessionOptions): SessionState {
    const session = new SessionState(open.sessionId, open.name, "offered", open.credit, options)
    session.receiver.count()
    return session
  }

  /** A session that both sides make. `credit`: what the peer has allowed already, if it was first. */
  static made(id: number, credit: number | undefined, options: SessionOptions): SessionState {
    const session = new SessionState(id, "", "made", credit ?? 0, options)
    session.sender.gated = credit === undefined
    session.receiver.urgent = true
    return session
  }

  get accepted(): boolean {
    return this.open
  }

  /** The peer has ended its direction and everything it sent has been taken. */
  get readEnded(): boolean {
    return this.receiver.closed && this.receiver.inbox.length === 0
  }

  /** The application has ended our direction. */
  get writeEnded(): boolean {
    return this.ending
  }

  /** Written bytes that have not been sent. */
  get queuedBytes(): number {
    return this.sender.queuedBytes
  }

  /** Values received that the application has not taken. */
  get waitingValues(): number {
    return this.receiver.inbox.length
  }

  /** Both directions ended in order, and both sides know that everything arrived. */
  get finished(): boolean {
    return this.fault === undefined && this.closeQueued && this.receiver.closed && this.sender.settled &&
      this.need === "none"
  }

  /** Nothing more will be sent or received under this id. */
  get removable(): boolean {
    if (this.fault === undefined) return this.finished
    if (this.resetQueued) return this.sender.settled
    return this.need === "none"
  }

  /** No numbered frame has gone either way, nor could the peer have sent one, so a link need not take it over. */
  get untouched(): boolean {
    const isAllowed = this.origin === "made" && this.receiver.hasGranted
    return this.sender.sent === 0 && this.receiver.received === 0 && !isAllowed
  }

  /** The peer has yet to say that it has received something of ours. */
  get isOwedAnswer(): boolean {
    return !this.sender.gated && this.sender.received < this.sender.sent
  }

  /** Payload bytes: received, written, and known to have been received by the peer. */
  get counts(): { readonly received: number; readonly written: number; readonly delivered: number } {
    return {
      received: this.receiver.receivedBytes,
      written: this.sender.writtenBytes,
      delivered: this.sender.deliveredBytes
    }
  }

  /** Whether the peer has received the first `bytes` written and, after the end, the end too. */
  hasDelivered(bytes: number): boolean {
    if (this.sender.deliveredBytes < bytes) return false
    return !this.ending || (this.closeQueued && this.sender.settled)
  }

  /** Whether there is a frame to put on the link. */
  get hasOutput(): boolean {
    return this.synced && (this.need === "now" || this.sender.canSend)
  }

  /** Whether a Credit is waiting for the credit interval to pass. */
  get creditLater(): boolean {
    return this.synced && this.need === "later"
  }

  /** The credit interval has passed. */
  creditDue(): void {
    this.receiver.urgent = true
  }

  // --- the application's side

  /** Agrees to the peer's session. */
  accept(): void {
    if (this.open || this.fault !== undefined) return
    this.open = true
    const credit = this.receiver.grant(windowOf(this.options))
    this.sender.control(Frame.Accept.encode(Frame.Accept.make({ sessionId: this.id, credit })))
  }

  /** Queues bytes without boundaries. */
  write(chunks: ReadonlyArray<Uint8Array>): void {
    if (this.mayWrite()) this.sender.write(chunks)
  }

  /** Queues one value. `length`: the u32 of its header, undefined where there is none. */
  writeValue(descriptor: number, length: number | undefined, payload: Uint8Array): void {
    if (this.mayWrite()) this.sender.writeValue(descriptor, length, payload)
  }

  end(): void {
    if (this.ending) return
    this.ending = true
    this.queueClose()
  }

  /** The next value, which stays uncounted until `consume`. */
  take(): InFrame | undefined {
    return this.receiver.inbox.take()
  }

  /** Opens credit for values that were taken. */
  consume(cost: number): void {
    this.receiver.consume(cost)
  }

  /** Ends both directions at once, for `fault`, and tells the peer; unless both have ended. */
  reset(fault: SessionFault, code: number, message: string): void {
    // With both ends on their way or here, the peer may have forgotten the session: nobody would acknowledge a Reset.
    const isEnding = this.closeQueued && this.receiver.closed && !this.sender.hasWaiting
    if (this.fault !== undefined || isEnding) return
    this.fail(fault)
    // An Open that never went needs no end; a made session does, because the peer makes it all the same.
    if (this.origin === "opened" && this.sender.sent === 0) return
    this.resetQueued = true
    const reset = Frame.Reset.make({ sessionId: this.id, code, message: shortened(message) })
    this.sender.control(Frame.Reset.encode(reset))
  }

  /** Ends both directions at once without a word to the peer: it said so, or there is no way to tell it. */
  fail(fault: SessionFault): void {
    if (this.fault !== undefined || this.finished) return
    this.fault = fault
    if (this.closeQueued && !this.sender.hasWaiting) this.closedAt = this.sender.sent
    // A Close that is not known to have arrived counts as one that never will.
    this.closeQueued &&= this.sender.settled
    this.sender.discard()
    // What arrived before a link was lost, or as all there is, was received; after a Reset nobody wants the rest.
    if ((fault._tag === "Reset" || fault._tag === "Violation") && !this.receiver.closed) this.receiver.discard()
    this.onChange?.()
  }

  // --- the link's side

  /** Puts one frame on the link and returns its size. Only when `hasOutput`. Lost frames first, then credit, then what waits. */
  writeNext(link: LinkOutput): number {
    let size: number
    // With word of its Close alone a peer that has ours is done, and would not know what a later Reset is for.
    const isResetDue = this.resetQueued && this.sender.canSend
    if (this.need === "now" && !isResetDue) {
      const frame = Frame.Credit.encode(Frame.Credit.make({ sessionId: this.id, ...this.receiver.credit() }))
      link.push(frame)
      size = frame.length
    } else {
      size = this.sender.writeFrame(link, this.options.maxFramePayload * (link.frameScale ?? 1))
      this.queueClose()
    }
    this.onChange?.()
    return size
  }

  /** A link may take over a session without a word if no frame of it has gone either way, or it has just begun. */
  begin(): void {
    this.synced = true
    if (this.origin === "made") this.receiver.tellAgain()
  }

  /** What our Resume on a new link says of this session. */
  resumeEntry(): Frame.ResumedSession {
    this.synced = false
    this.saidClose = this.gotClose
    return { _tag: "ResumedSession", sessionId: this.id, received: this.receiver.resume() }
  }

  /** Takes what the peer's Resume says: how much it has received, undefined when it does not name the session. */
  resume(received: number | undefined): string | undefined {
    this.synced = true
    const violation = this.peerReset ? undefined : this.resend(received)
    if (violation !== undefined) return violation
    this.receiver.resumed()
    if (this.origin === "made" || this.receiver.received > 0) this.receiver.tellAgain()
    this.onChange?.()
    return undefined
  }

  /** Takes a value of the peer, which then belongs to the session. The answer says what is wrong with it. */
  value(descriptor: number, length: number, payload: Payload): string | undefined {
    if (!this.receiver.count()) return undefined
    // The peer could not know yet that the session is over.
    if (this.fault !== undefined) return undefined
    if (this.receiver.closed) return "a value after Close"
    if (!this.open && this.origin === "opened") return "a value before Accept"
    const size = payloadLength(payload)
    const cost = Frame.valueHeaderSize(descriptor) + size
    if (!this.receiver.value(descriptor, length, payload, size, cost)) return "a value beyond the credit"
    this.onChange?.()
    return undefined
  }

  /** Takes a control frame of the peer. The answer says what is wrong with it. */
  receive(frame: Frame.Open | Frame.Accept | Frame.Close | Frame.Reset): string | undefined {
    if (!this.receiver.count()) return undefined
    this.gotClose ||= frame._tag === "Close"
    if (frame._tag === "Reset") {
      this.onReset(frame)
      return undefined
    }
    if (this.fault !== undefined) return undefined
    if (this.receiver.closed) return `${frame._tag} after Close`
    switch (frame._tag) {
      case "Open":
        return "Open for a session that is open"
      case "Accept":
        if (this.open || this.origin !== "opened") return "Accept for a session that is not being opened"
        this.open = true
        this.sender.raise(frame.credit)
        break
      case "Close":
        if (!this.open && this.origin === "opened") return "Close before Accept"
        this.receiver.closed = true
        this.receiver.urgent = true
        break
    }
    this.onChange?.()
    return undefined
  }

  /** Takes a Credit of the peer. The answer says what is wrong with it. */
  credit(received: number, credit: number): string | undefined {
    this.sender.gated = false
    this.doubtful = false
    if (!this.sender.credit(received, credit)) return "acknowledged frames that were never sent"
    this.onChange?.()
    return undefined
  }

  /** Numbered frames of the peer that are still to come, for the second time. */
  get repeated(): number {
    return this.receiver.repeated
  }

  /** The id is free: what it had of the shared budget goes back. */
  release(): void {
    this.receiver.release()
  }

  private get need(): CreditNeed {
    return this.receiver.need
  }

  private resend(received: number | undefined): string | undefined {
    const wasDoubtful = this.doubtful
    this.doubtful = false
    let upTo = received
    // Both Resumes count the Close of the other side, so the peer is done: it would not know what a Reset is for.
    if (upTo !== undefined && upTo >= this.closedAt && this.saidClose) {
      this.sender.abandon()
      return undefined
    }
    if (upTo === undefined) {
      // A made session on which frames have gone had credit, so the peer has it.
      const hadCredit = this.origin === "made" && this.sender.sent > 0
      const isKnownToPeer = hadCredit || this.receiver.received > 0 || this.sender.received > 0
      // It knew the session and no longer does: for it, the session has ended, and only one that has received everything may think so.
      const isOver = this.fault !== undefined || (this.closeQueued && !this.sender.hasWaiting)
      if (isKnownToPeer && !isOver) return "forgot a session that had not ended"
      if (this.fault !== undefined && (isKnownToPeer || wasDoubtful)) {
        this.sender.abandon()
        return undefined
      }
      this.doubtful = this.resetQueued && this.origin === "opened"
      upTo = isKnownToPeer ? this.sender.sent : 0
    }
    if (this.doubtful || wasDoubtful) this.sender.gated = this.doubtful
    return this.sender.resume(upTo) ? undefined : `received ${upTo} frames of a session, which cannot be`
  }

  private mayWrite(): boolean {
    if (this.fault !== undefined) return false
    if (this.ending) throw new Error("write after the end of the session")
    return true
  }

  /** Behind the last byte. */
  private queueClose(): void {
    if (!this.ending || this.closeQueued || this.fault !== undefined || this.sender.hasBytes) return
    this.closeQueued = true
    this.sender.control(Frame.Close.encode(Frame.Close.make({ sessionId: this.id })))
  }

  private onReset(frame: Frame.Reset): void {
    this.receiver.urgent = true
    // Both sides reset at once: the peer's word is enough, ours need not be received.
    this.resetQueued = false
    const refused = this.origin === "opened" && !this.open
    this.fail(
      refused
        ? { _tag: "Refused", code: frame.code, detail: frame.message }
        : { _tag: "Reset", code: frame.code, detail: frame.message, byPeer: true }
    )
    this.peerReset = true
    this.sender.discard()
  }
}

/** The session's fault and the code for the peer when it has broken a rule of one session. */
export const violationOf = (detail: string): { readonly fault: SessionFault; readonly code: number } => ({
  fault: { _tag: "Violation", detail },
  code: SessionCode.violation
})

/** A message cut to what a frame takes, and well-formed. */
export const shortened = (message: string): string =>
  // A UTF-16 unit takes at most three bytes.
  message.slice(0, Math.floor(Frame.maxMessageSize / 3)).replaceAll(/\p{Surrogate}/gu, "\ufffd")
