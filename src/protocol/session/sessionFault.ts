/**
 * Why a session, or the whole link it runs over, ended early; and the codes that say so to the peer. Plain values: the services turn
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
  /** The session was never accepted. */
  | { readonly _tag: "Refused"; readonly code: number; readonly detail: string }
  /** One side ended the session at once. */
  | { readonly _tag: "Reset"; readonly code: number; readonly detail: string; readonly byPeer: boolean }
  /** The connection ended under the session. */
  | { readonly _tag: "LinkLost"; readonly detail: string }
  /** The peer sent what it must not send. */
  | { readonly _tag: "Violation"; readonly detail: string }
