/**
 * One byte session as plain state: frames of the peer go in, frames of ours come out, one at a time, when the multiplexer asks.
 * Both directions end on their own (Close); Reset and a fault end both at once.
 *
 * It never waits, never touches a connection, and knows no other session.
 */
import * as Frame from "../../schema/SessionFrame.ts"
import { ByteSessionReceiver } from "./ByteSessionReceiver.ts"
import { ByteSessionSender, initialCredit } from "./ByteSessionSender.ts"
import type { LinkStream } from "./LinkStream.ts"
import { SessionCode, type SessionFault } from "./sessionFault.ts"

/** Numbers a session needs. Sizes are bytes. */
export interface ByteSessionNumbers {
  readonly window: number
  readonly creditStep: number
  readonly maxFramePayload: number
}

/** Where a session is on its way to being open: an Open to be sent or answered, an Accept to be sent, or open. */
type Opening = "sendOpen" | "awaitAccept" | "offered" | "sendAccept" | "open"

export class ByteSessionState {
  readonly id: number
  readonly name: string
  /** Whether our side sent the Open. */
  readonly openedHere: boolean
  /** Why it ended early. */
  fault: SessionFault | undefined = undefined
  /** Something changed that the application may be waiting for. Called inside packet processing: only take note. */
  onChange: () => void = () => undefined
  private readonly numbers: ByteSessionNumbers
  private readonly sender: ByteSessionSender
  private readonly receiver: ByteSessionReceiver
  private opening: Opening
  private ending = false
  private closeSent = false
  /** A Reset of ours: to be sent, sent and not yet received by the peer, or none. */
  private resetting: "none" | "due" | "sent" = "none"
  private resetFrame: Frame.Reset

  private constructor(
    id: number,
    name: string,
    openedHere: boolean,
    credit: number,
    window: number,
    numbers: ByteSessionNumbers
  ) {
    this.id = id
    this.name = name
    this.openedHere = openedHere
    this.opening = openedHere ? "sendOpen" : "offered"
    this.numbers = numbers
    this.resetFrame = Frame.Reset.make({ sessionId: id, code: SessionCode.cancelled, message: "" })
    this.sender = new ByteSessionSender(id, credit, numbers.maxFramePayload)
    this.receiver = new ByteSessionReceiver(window, numbers.creditStep)
    // The Open itself.
    if (!openedHere) this.receiver.receivedFrames = 1
  }

  /** A session of ours. */
  static opened(id: number, name: string, numbers: ByteSessionNumbers): ByteSessionState {
    return new ByteSessionState(id, name, true, initialCredit, Math.max(initialCredit, numbers.window), numbers)
  }

  /** A session that the peer's Open began. */
  static offered(open: Frame.Open, numbers: ByteSessionNumbers): ByteSessionState {
    return new ByteSessionState(open.sessionId, open.name, false, open.credit, initialCredit, numbers)
  }

  get accepted(): boolean {
    return this.opening === "open"
  }

  /** The peer has ended its direction and everything it sent has been taken. */
  get readEnded(): boolean {
    return this.receiver.closed && this.receiver.waitingBytes === 0
  }

  /** Our direction has ended: nothing may be written any more. */
  get writeEnded(): boolean {
    return this.ending
  }

  get queuedBytes(): number {
    return this.sender.queuedBytes
  }

  /** Bytes received that the application has not taken. */
  get waitingBytes(): number {
    return this.receiver.waitingBytes
  }

  /** Both directions ended in order, and both sides know that everything arrived. */
  get finished(): boolean {
    return this.fault === undefined && this.closeSent && this.receiver.closed &&
      this.sender.receivedFrames === this.sender.sentFrames && this.receiver.need === "none"
  }

  /** Nothing more will be sent or received under this id. */
  get removable(): boolean {
    if (this.fault === undefined) return this.finished
    if (this.resetting === "due") return false
    if (this.resetting === "sent") return this.sender.receivedFrames === this.sender.sentFrames
    return this.receiver.need === "none"
  }

  /** Payload bytes: received, written, and known to have been received by the peer. */
  get counts(): { readonly received: number; readonly written: number; readonly delivered: number } {
    return {
      received: this.receiver.receivedBytes,
      written: this.sender.writtenBytes,
      delivered: this.sender.receivedBytes
    }
  }

  /** Whether the peer has received the first `bytes` written and, after the end, the end too. */
  hasDelivered(bytes: number): boolean {
    if (this.sender.receivedBytes < bytes) return false
    return !this.ending || (this.closeSent && this.sender.receivedFrames === this.sender.sentFrames)
  }

  /** Whether a Credit is waiting for the credit interval to pass. */
  get creditLater(): boolean {
    return this.receiver.need === "later"
  }

  /** The credit interval has passed. */
  creditDue(): void {
    this.receiver.urgent = true
  }

  // --- the application's side

  accept(): void {
    if (this.opening !== "offered") return
    this.opening = "sendAccept"
  }

  write(chunks: ReadonlyArray<Uint8Array>): void {
    if (this.ending) throw new Error("write after the end of the session")
    if (this.fault === undefined) this.sender.write(chunks)
  }

  end(): void {
    this.ending = true
  }

  take(): [Uint8Array, ...Array<Uint8Array>] | undefined {
    return this.receiver.take()
  }

  /** Ends both directions at once, for `fault`, and tells the peer. */
  reset(fault: SessionFault, code: number, message: string): void {
    if (this.fault !== undefined || this.finished) return
    this.resetting = this.opening === "sendOpen" ? "none" : "due"
    this.resetFrame = Frame.Reset.make({ sessionId: this.id, code, message: shortened(message) })
    this.fail(fault)
  }

  /** Ends both directions without a word to the peer: it said so, or there is no way to tell it. */
  fail(fault: SessionFault): void {
    if (this.fault !== undefined || this.finished) return
    this.fault = fault
    this.sender.discard()
    // What arrived before a link was lost is good, and a direction that had ended is complete; what a reset cut off is neither.
    if (fault._tag !== "LinkLost" && !this.receiver.closed) this.receiver.discard()
    this.onChange()
  }

  // --- the link's side

  /** Whether `writeNext` has something to write. */
  get hasOutput(): boolean {
    if (this.resetting === "due" || this.receiver.need === "now") return true
    if (this.fault !== undefined) return false
    if (this.opening === "sendOpen" || this.opening === "sendAccept") return true
    return this.sender.canSend || (this.closePending && this.opening !== "offered")
  }

  private get closePending(): boolean {
    return this.ending && !this.closeSent && this.sender.queuedBytes === 0
  }

  /** Puts the next frame on the link. Only when `hasOutput`. */
  writeNext(link: LinkStream): void {
    const sessionId = this.id
    if (this.resetting === "due") {
      this.resetting = "sent"
      this.control(link, Frame.Reset.encode(this.resetFrame))
    } else if (this.opening === "sendOpen") {
      this.opening = "awaitAccept"
      const credit = this.receiver.widen(this.numbers.window)
      this.control(link, Frame.Open.encode(Frame.Open.make({ sessionId, name: this.name, credit })))
    } else if (this.opening === "sendAccept") {
      this.opening = "open"
      const credit = this.receiver.widen(this.numbers.window)
      this.control(link, Frame.Accept.encode(Frame.Accept.make({ sessionId, credit })))
    } else if (this.receiver.need === "now") {
      link.push(Frame.Credit.encode(Frame.Credit.make({ sessionId, ...this.receiver.credit() })))
    } else if (this.sender.canSend) {
      this.sender.writeFrame(link)
    } else {
      this.closeSent = true
      this.control(link, Frame.Close.encode(Frame.Close.make({ sessionId })))
    }
    this.onChange()
  }

  /** Takes a frame of the peer. The answer says what is wrong with it. */
  receive(frame: Frame.Bytes | Frame.Accept | Frame.Close | Frame.Reset | Frame.Credit): string | undefined {
    if (frame._tag === "Credit") {
      if (!this.sender.credit(frame.received, frame.credit)) return "acknowledged frames that were never sent"
      this.onChange()
      return undefined
    }
    this.receiver.receivedFrames++
    if (frame._tag === "Reset") {
      this.onReset(frame)
      return undefined
    }
    // The peer could not know yet that the session is over.
    if (this.fault !== undefined) return undefined
    if (this.receiver.closed) return `${frame._tag} after Close`
    if (this.openedHere && this.opening !== "open" && frame._tag !== "Accept") return `${frame._tag} before Accept`
    switch (frame._tag) {
      case "Accept":
        if (this.opening !== "awaitAccept") return "Accept for a session that is not being opened"
        this.opening = "open"
        this.sender.raise(frame.credit)
        break
      case "Bytes":
        if (!this.receiver.bytes(frame.bytes)) return "bytes beyond the credit"
        break
      case "Close":
        this.receiver.closed = true
        this.receiver.urgent = true
        break
    }
    this.onChange()
    return undefined
  }

  private onReset(frame: Frame.Reset): void {
    this.receiver.urgent = true
    // Both sides reset at once: the peer's word is enough, ours need not be acknowledged.
    this.resetting = "none"
    const refused = this.openedHere && !this.accepted
    this.fail(
      refused
        ? { _tag: "Refused", code: frame.code, detail: frame.message }
        : { _tag: "Reset", code: frame.code, detail: frame.message, byPeer: true }
    )
  }

  private control(link: LinkStream, frame: Uint8Array): void {
    link.push(frame)
    this.sender.note()
  }
}

/** A message cut to what a frame takes, and well-formed. */
export const shortened = (message: string): string =>
  // A UTF-16 unit takes at most three bytes.
  message.slice(0, Math.floor(Frame.maxMessageSize / 3)).replaceAll(/\p{Surrogate}/gu, "\ufffd")
