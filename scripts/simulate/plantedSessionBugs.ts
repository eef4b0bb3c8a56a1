/** Mistakes in sessions that the simulation must find, planted like those of `plantedBugs.ts`. */
import { FrameReceiver } from "../../src/protocol/session/FrameReceiver.ts"
import { FrameSender } from "../../src/protocol/session/FrameSender.ts"
import { SessionIds } from "../../src/protocol/session/SessionIds.ts"
import { SessionMux } from "../../src/protocol/session/SessionMux.ts"
import { SessionState } from "../../src/protocol/session/SessionState.ts"

/** What is private of a session, and has to be changed nevertheless. */
interface SessionParts {
  readonly resetQueued: boolean
  readonly sender: FrameSender
  readonly receiver: FrameReceiver
}
const partsOf = (session: SessionState): SessionParts => session as unknown as SessionParts

export const plantedSessionBugs: Readonly<Record<string, () => void>> = {
  /** Over a new link a session goes on one frame too late. */
  "resume-too-late": () => {
    const { resume } = FrameSender.prototype
    FrameSender.prototype.resume = function(received) {
      return resume.call(this, Math.min(received + 1, this.sent))
    }
  },
  /** What the link before has brought after our Resume is taken again when the new link brings it. */
  "repeats-taken": () => {
    FrameReceiver.prototype.resumed = () => undefined
  },
  /** A new link is told of one frame less than has come, and then what it brings again is taken. */
  "resume-too-early": () => {
    const { resume } = FrameReceiver.prototype
    FrameReceiver.prototype.resume = function() {
      return Math.max(0, resume.call(this) - 1)
    }
  },
  /** A Reset that was lost with its link is not sent again. */
  "forgotten-reset": () => {
    const { resume } = SessionState.prototype
    SessionState.prototype.resume = function(received) {
      const { resetQueued, sender } = partsOf(this)
      return resume.call(this, resetQueued ? sender.sent : received)
    }
  },
  /** Every third time nobody is told that something was taken. */
  "credit-leak": () => {
    const { consume } = FrameReceiver.prototype
    let times = 0
    FrameReceiver.prototype.consume = function(cost) {
      if (++times % 3 !== 0) consume.call(this, cost)
    }
  },
  /** Credit that was lost with its link is not given again. */
  "lost-credit": () => {
    FrameReceiver.prototype.tellAgain = () => undefined
  },
  /** A sender may send whatever it likes. */
  "endless-credit": () => {
    const { credit } = FrameReceiver.prototype
    FrameReceiver.prototype.credit = function() {
      Object.assign(this, { granted: 0xffff_ffff })
      return credit.call(this)
    }
  },
  /** An id is given to one session after the other, whether the one before is over or not. */
  "reused-id": () => {
    const { next } = SessionIds.prototype
    SessionIds.prototype.next = function() {
      Object.assign(this, { count: 0 })
      return next.call(this, () => false)
    }
  },
  /** The frames of one session go to another one that is open. */
  "cross-delivery": () => {
    const { value } = SessionState.prototype
    let last: SessionState | undefined
    let times = 0
    const choose = (session: SessionState): SessionState => {
      const other = last
      last = session
      return ++times % 50 === 0 && other !== undefined && other.fault === undefined ? other : session
    }
    SessionState.prototype.value = function(descriptor, length, payload) {
      return value.call(choose(this), descriptor, length, payload)
    }
  },
  /** What has arrived and was not read is lost with the link. */
  "unread-lost": () => {
    const { fail } = SessionState.prototype
    SessionState.prototype.fail = function(fault) {
      fail.call(this, fault)
      if (fault._tag === "LinkLost" || fault._tag === "PeerRestarted") partsOf(this).receiver.discard()
    }
  },
  /** A session that is over is never forgotten. */
  "kept-session": () => {
    const { note } = SessionMux.prototype
    SessionMux.prototype.note = function(session) {
      if (!session.finished || session.id % 4 !== 3) note.call(this, session)
    }
  }
}
