/**
 * What each frame of the peer does. Frames of the link in use, and of the one before it until the peer has resumed on the session's
 * stream; everything else about a session is the session's.
 */
import * as Frame from "../../schema/SessionFrame.ts"
import type { SessionFrameSink } from "../../schema/SessionFrameReader.ts"
import { TokenBucket } from "../TokenBucket.ts"
import { DatagramInbox } from "./DatagramInbox.ts"
import type { MuxLink } from "./MuxLink.ts"
import { SessionCode, type SessionFault } from "./sessionFault.ts"
import type { SessionMux } from "./SessionMux.ts"
import { SessionState, violationOf } from "./SessionState.ts"

/** Frames for unknown sessions that a peer may send a second; one that makes no mistakes sends none. */
const unknownRate = 64

/** Sessions that may have been refused without the peer knowing it: so many for each that is allowed, and so many in any case. */
const refusedPerSession = 3
const refusedAtLeast = 256

export class PeerFrames {
  private readonly mux: SessionMux
  private readonly unknown = new TokenBucket(unknownRate)

  constructor(mux: SessionMux) {
    this.mux = mux
  }

  /** The frames of one stream. */
  of(link: MuxLink, index: number): SessionFrameSink {
    const { mux } = this
    return {
      onValue: (id, descriptor, length, payload) => {
        if (!this.isTaken(link, index, id)) return mux.fault === undefined
        const session = mux.sessions.get(id)
        if (session === undefined) return this.onUnknown(link, id)
        return this.judge(session, session.value(descriptor, length, payload))
      },
      onControl: (frame) => {
        if (frame._tag === "Resume") return this.onResume(link, index, frame)
        const id = "sessionId" in frame ? frame.sessionId : index
        if (!this.isTaken(link, index, id)) return mux.fault === undefined
        return this.onControl(link, index, frame)
      }
    }
  }

  /** Whether a frame for a session counts on this stream. */
  private isTaken(link: MuxLink, index: number, id: number): boolean {
    const { mux } = this
    const stream = link.streams[index]
    if (stream === undefined || link.isOver) return false
    if (!stream.wasResumed) {
      mux.violate(link, "a frame before Resume")
      return false
    }
    // Without the Resume of this move it would be read from another place than where it begins.
    if (!stream.resumeReceived) return false
    const current = mux.link
    return link === current || (current?.earlier === link && !current.streamOf(id).resumeReceived)
  }

  private onControl(link: MuxLink, index: number, frame: Exclude<Frame.ControlFrame, Frame.Resume>): boolean {
    const { mux } = this
    switch (frame._tag) {
      case "Open":
        return this.onOpen(link, frame)
      case "Accept":
      case "Close":
      case "Reset": {
        const session = mux.sessions.get(frame.sessionId)
        if (session === undefined) return this.onUnknown(link, frame.sessionId)
        return this.judge(session, session.receive(frame))
      }
      case "Credit": {
        const session = mux.sessions.get(frame.sessionId)
        if (session !== undefined) return this.judge(session, session.credit(frame.received, frame.credit))
        // One for a session that is over crossed the last word of ours, which is nobody's mistake.
        if (frame.received > 0 || !mux.ids.isUnmade(frame.sessionId)) mux.dropped.ignoredFrames++
        else mux.earlyCredits.set(frame.sessionId, frame.credit)
        return true
      }
      case "Ping":
        link.streams[index]?.reply(Frame.Pong.encode(Frame.Pong.make({ value: frame.value })))
        return true
      case "Pong":
        if (!mux.pings.pong(frame.value)) mux.dropped.ignoredFrames++
        return true
      case "GoAway":
        this.onGoAway(frame)
        return true
      case "Datagram":
        this.onDatagram(frame)
        return true
    }
  }

  private onResume(link: MuxLink, index: number, frame: Frame.Resume): boolean {
    const { mux } = this
    if (link.isOver) return false
    const violation = mux.links.takeResume(link, index, frame)
    if (violation === undefined) return mux.fault === undefined
    mux.violate(link, violation)
    return false
  }

  /** Dropped and counted; a peer that keeps doing it is at fault. */
  private onUnknown(link: MuxLink, id: number): boolean {
    const { mux } = this
    if (link.takeLeftover(id)) return true
    mux.dropped.unknownSession++
    if (this.unknown.take(mux.options.now())) return true
    mux.violate(link, `over ${unknownRate} frames a second for unknown sessions`)
    return false
  }

  /** What is wrong with a frame ends its session, not the others. */
  private judge(session: SessionState, violation: string | undefined): boolean {
    const { mux } = this
    if (violation !== undefined) {
      const { code, fault } = violationOf(violation)
      session.reset(fault, code, violation)
    }
    // Nobody will accept what the peer has taken back.
    if (session.fault !== undefined && mux.offers.includes(session)) {
      mux.offers.splice(mux.offers.indexOf(session), 1)
    }
    mux.note(session)
    return true
  }

  private onOpen(link: MuxLink, frame: Frame.Open): boolean {
    const { mux } = this
    const id = frame.sessionId
    const known = mux.sessions.get(id)
    if (known?.origin === "offered") {
      const violation = known.receive(frame)
      if (violation === undefined) return true
    }
    if (known !== undefined || !mux.ids.isPeers(id)) {
      const problem = known === undefined ? "is not the peer's to give" : "is in use"
      mux.violate(link, `Open with session id ${id}, which ${problem}`)
      return false
    }
    const { maxIncomingSessions } = mux.options.numbers
    const busy = mux.incoming >= maxIncomingSessions
    const refusal = mux.refusal ?? (busy ? { code: SessionCode.busy, message: "no more sessions" } : undefined)
    const session = SessionState.offered(frame, mux.sessionOptions)
    mux.enlist(session)
    if (link === mux.link) session.begin()
    if (refusal === undefined) {
      mux.incoming++
      mux.offers.push(session)
      mux.options.onChange()
    } else {
      mux.dropped.refusedSessions++
      mux.refused++
      session.reset({ _tag: "Refused", code: refusal.code, detail: refusal.message }, refusal.code, refusal.message)
      if (mux.refused > refusedPerSession * maxIncomingSessions + refusedAtLeast) {
        mux.violate(link, "too many sessions were opened at once")
        return false
      }
    }
    mux.note(session)
    return true
  }

  /** Accepted sessions go on; the others will never be. */
  private onGoAway(frame: Frame.GoAway): void {
    const { mux } = this
    const fault: SessionFault = { _tag: "Refused", code: frame.code, detail: frame.message }
    mux.goneAway = fault
    for (const session of Array.from(mux.sessions.values())) {
      if (session.origin !== "opened" || session.accepted) continue
      // An Open that is on its way will be refused, so the session stays until that is known.
      session.reset(fault, SessionCode.cancelled, "")
      mux.note(session)
    }
    mux.options.onChange()
  }

  private onDatagram(frame: Frame.Datagram): void {
    const { mux } = this
    const session = mux.sessions.get(frame.sessionId)
    const isTooLong = frame.bytes.length > mux.options.numbers.maxDatagramSize
    if (session === undefined || session.fault !== undefined || isTooLong) {
      mux.dropped.droppedDatagrams++
      return
    }
    session.datagrams ??= new DatagramInbox()
    mux.dropped.droppedDatagrams += session.datagrams.push(frame.bytes)
    session.onChange?.()
  }
}
