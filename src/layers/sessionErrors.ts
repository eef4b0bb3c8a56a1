/** The errors that tell applications about the faults of sessions. */
import type { SessionFault } from "../protocol/session/sessionFault.ts"
import { type PublicKey, toHex } from "../schema/Bytes.ts"
import * as SessionError from "../services/SessionError.ts"

const reasonOf = (fault: SessionFault): SessionError.SessionErrorReason => {
  switch (fault._tag) {
    case "NotCauseway":
      return new SessionError.PeerIsNotCauseway({ afterMs: fault.afterMs })
    case "Refused":
      return new SessionError.SessionRefused({ code: fault.code, detail: fault.detail })
    case "Reset":
      return new SessionError.SessionReset({ code: fault.code, detail: fault.detail, byPeer: fault.byPeer })
    case "LinkLost":
      return new SessionError.LinkLost({ detail: fault.detail })
    case "NotReached":
      return new SessionError.PeerNotReached({ detail: fault.detail })
    case "PeerRestarted":
      return new SessionError.PeerRestarted()
    case "Violation":
      return new SessionError.ProtocolViolation({ detail: fault.detail })
  }
}

export const errorOf = (peer: PublicKey, reason: SessionError.SessionErrorReason): SessionError.SessionError =>
  new SessionError.SessionError({ peer: toHex(peer), reason })

export const errorOfFault = (peer: PublicKey, fault: SessionFault): SessionError.SessionError =>
  errorOf(peer, reasonOf(fault))
