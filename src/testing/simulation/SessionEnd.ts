/** The ends of sessions in a simulated world, as `Sessions` keeps them, and how they are called. Plain values. */
import type { Peer } from "../../services/Causeway.ts"
import type { Session } from "../../services/Session.ts"
import type { SessionErrorReason } from "../../services/SessionError.ts"

export type Kind = "bytes" | "messages" | "values" | "made"
type Reason = SessionErrorReason["_tag"]

/** Everything that a process of a node has with a process of a peer, from the first link to the end of all sessions. */
export interface Relation {
  readonly number: number
  readonly node: string
  readonly peer: string
  readonly incarnation: number
  readonly handle: Peer
  /** The peer's side of it, once a session has shown which it is. */
  partner: Relation | undefined
  /** How often there has been a link. */
  links: number
  /** Sessions of `makeSessions` so far, in order. */
  readonly made: Array<SessionEnd>
  /** The application has ended it. */
  isLeft: boolean
  ended: Reason | undefined
}

/** One end of a session. Its number is the flow of what it sends. Amounts are bytes in sessions of bytes, else messages. */
export interface SessionEnd {
  readonly number: number
  readonly kind: Kind
  readonly relation: Relation
  /** Begun in peace, to see whether sessions work. */
  readonly isProbe: boolean
  /** The link over which it began, as the number of those before. */
  readonly link: number
  /** The end that the peer has. */
  other: SessionEnd | undefined
  session: Session | undefined
  /** Sizes of messages, by their place; what was to be sent, what was accepted, and what the peer is known to have. */
  readonly sizes: Array<number>
  offered: number
  accepted: number
  delivered: number
  hasEnded: boolean
  /** How it was broken off here. */
  brokenOff: { readonly code: number; readonly message: string } | undefined
  received: number
  receivedBytes: number
  datagramsSent: number
  readonly datagrams: Set<number>
  /** How reading ended, and the whole session. `given up`: with the scope, before anything else. */
  readEnded: "done" | "given up" | Reason | undefined
  ended: "closed" | "given up" | Reason | undefined
}

/** Whether it has ended and, if there has been a session, whether everything in it has been read. */
export const isFinished = (end: SessionEnd): boolean =>
  end.ended !== undefined && (end.session === undefined || end.readEnded !== undefined)

/** The other end, also of a made session in which nothing has come yet. */
export const otherOf = (end: SessionEnd): SessionEnd | undefined =>
  end.other ?? (end.kind === "made" ? end.relation.partner?.made[end.relation.made.indexOf(end)] : undefined)

export const nameOf = ({ incarnation, node, number, peer }: Relation): string =>
  `${node}.${incarnation}->${peer}@${number}`

export const endName = (end: SessionEnd): string => `${nameOf(end.relation)}#${end.number} ${end.kind}`

/** For whoever reads of a failure. */
export const stateOf = (end: SessionEnd): string => {
  const flow = ({ accepted, hasEnded, offered }: SessionEnd, reader: SessionEnd | undefined) =>
    `${reader?.received ?? 0}/${accepted}/${offered}${hasEnded ? "." : ""}`
  const other = otherOf(end)
  const back = other === undefined ? "?" : flow(other, end)
  return `${endName(end)} read/accepted/offered ${
    flow(end, other)
  }, back ${back}, reading ${end.readEnded}, other ${other?.ended}`
}
