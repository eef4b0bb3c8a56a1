/**
 * Why a session, or everything with a peer, ended early; and the codes that say so to the peer. Plain values: the services turn
 * them into `SessionError`.
 */

/** Codes of Reset and GoAway. A code that is not known here is shown as its number. */
export const SessionCode = {
  /** The application gave the session up. */
  cancelled: 0,
  /** No session is to be had now; another time perhaps. */
  busy: 1,
  /** The peer broke the rules; the message says which. */
  violation: 2,
  /** The node is about to stop. */
  shuttingDown: 3
} as const

export type SessionFault =
  /** No hello came: the peer is a net_crypto peer of another kind. */
  | { readonly _tag: "NotCauseway"; readonly afterMs: number }
  /** The session was never accepted, or the peer takes no sessions. */
  | { readonly _tag: "Refused"; readonly code: number; readonly detail: string }
  /** One side ended the session at once. */
  | { readonly _tag: "Reset"; readonly code: number; readonly detail: string; readonly byPeer: boolean }
  /** The peer did not answer the call. */
  | { readonly _tag: "NotReached"; readonly detail: string }
  /** There was no link for too long, or this side has given the peer up. */
  | { readonly _tag: "LinkLost"; readonly detail: string }
  /** The peer's process is another one than before, or has forgotten the sessions. */
  | { readonly _tag: "PeerRestarted" }
  /** The peer sent what it must not send. */
  | { readonly _tag: "Violation"; readonly detail: string }

/** What becomes of everything with a peer whose link has ended in this way after its GoAway: it is not to be waited for. */
export const faultOfGoodbye = (goneAway: SessionFault, how: string): SessionFault => {
  if (goneAway._tag !== "Refused") return { _tag: "LinkLost", detail: how }
  if (goneAway.code === SessionCode.busy) return goneAway
  return { _tag: "LinkLost", detail: goneAway.detail === "" ? how : `${how}: ${goneAway.detail}` }
}
