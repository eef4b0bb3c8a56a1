/**
 * What must hold for the sessions of a simulated world (reliability, invariants I1 to I3). Every end of every session is told to it, with
 * everything that the end sends, receives and reports. It only judges; it never sends.
 */
import type { SessionValue } from "../../schema/SessionValue.ts"
import type { PeerLinkState } from "../../services/Causeway.ts"
import type { Peer } from "../../services/Causeway.ts"
import type { SessionErrorReason } from "../../services/SessionError.ts"
import * as Content from "./sessionContent.ts"
import {
  endName,
  isFinished,
  type Kind,
  nameOf,
  otherOf,
  type Relation,
  type SessionEnd,
  stateOf
} from "./SessionEnd.ts"
import type { Trace } from "./Trace.ts"

export interface SessionsHost {
  readonly trace: Trace
  /** Whether a node takes so few sessions that peers meet the limit. */
  readonly isOftenBusy: boolean
  /** Whether a link may be absent for longer than sessions wait. */
  readonly mayLoseLinks: boolean
  readonly isRunning: (node: string, incarnation: number) => boolean
  readonly violate: (what: string) => void
}

/** What a scope says to the peer when it gives a session up. */
export const givenUp = { code: 0, message: "given up" }
export class Sessions {
  readonly relations: Array<Relation> = []
  readonly ends: Array<SessionEnd> = []
  readonly #host: SessionsHost
  readonly #trace: Trace
  readonly #violate: (what: string) => void
  readonly #refusals = new Map<SessionEnd, { readonly code: number; readonly message: string }>()

  constructor(host: SessionsHost) {
    this.#host = host
    this.#trace = host.trace
    this.#violate = host.violate
  }

  /** A node has sessions with a peer. */
  begin(node: string, peer: string, incarnation: number, handle: Peer): Relation {
    const relation: Relation = {
      number: this.relations.length,
      node,
      peer,
      incarnation,
      handle,
      partner: undefined,
      links: 0,
      made: [],
      isLeft: false,
      ended: undefined
    }
    const isFirst = !this.relations.some((other) => other.node === node && other.peer === peer)
    this.relations.push(relation)
    this.#trace.count(isFirst ? "peer met" : "peer met again", nameOf(relation))
    return relation
  }

  /** Sessions can send and receive, or no longer. */
  onLink(relation: Relation, state: PeerLinkState): void {
    if (state._tag === "Up") relation.links++
    this.#trace.count(`sessions ${state._tag}`, nameOf(relation))
    if (state._tag === "Up") this.#trace.count(`sessions ${state.path}`, nameOf(relation))
  }

  onRelationEnded(relation: Relation, reason: SessionErrorReason): void {
    if (relation.ended !== undefined) this.#violate(`I2 ${nameOf(relation)} was told twice that it is over`)
    relation.ended = reason._tag
    this.#trace.count(`peer lost ${reason._tag}`, nameOf(relation))
    const { partner } = relation
    if (relation.isLeft || partner === undefined || this.#isOver(partner)) return
    if (reason._tag === "LinkLost" && this.#host.mayLoseLinks) return
    this.#violate(`I2 ${nameOf(relation)} ended with ${reason._tag} ${reason.message}, and both nodes were well`)
  }

  /** A node is about to have an end of a session. */
  open(relation: Relation, kind: Kind, isProbe: boolean): SessionEnd {
    const end: SessionEnd = {
      number: this.ends.length,
      kind,
      relation,
      isProbe,
      link: relation.links,
      other: undefined,
      session: undefined,
      sizes: [],
      offered: 0,
      accepted: 0,
      delivered: 0,
      hasEnded: false,
      brokenOff: undefined,
      received: 0,
      receivedBytes: 0,
      datagramsSent: 0,
      datagrams: new Set(),
      readEnded: undefined,
      ended: undefined
    }
    this.ends.push(end)
    if (kind === "made") relation.made.push(end)
    this.#trace.count(`session ${kind}`, endName(end))
    return end
  }

  /** The name under which the peer is asked for a session. */
  sessionName(end: SessionEnd): string {
    return `${end.kind} ${end.number}`
  }

  /** I1: the peer's end of a session that was opened with this name, which nobody has been offered before. */
  offered(relation: Relation, name: string): SessionEnd | undefined {
    const opener = this.ends[Number(name.split(" ")[1])]
    if (opener === undefined || name !== this.sessionName(opener)) {
      this.#violate(`I1 ${nameOf(relation)} was offered a session "${name}", which nobody has opened`)
      return undefined
    }
    if (opener.other !== undefined || this.#refusals.has(opener)) {
      this.#violate(`I1 ${nameOf(relation)} was offered ${endName(opener)} twice`)
      return undefined
    }
    if (!this.#pair(relation, opener.relation)) return undefined
    return opener
  }

  /** The offer is accepted. */
  accept(relation: Relation, opener: SessionEnd): SessionEnd {
    const end = this.open(relation, opener.kind, opener.isProbe)
    end.other = opener
    opener.other = end
    return end
  }

  refuse(opener: SessionEnd, code: number, message: string): void {
    this.#refusals.set(opener, { code, message })
    this.#trace.count("session refused", endName(opener))
  }

  /** I1: the next bytes of a session of bytes. */
  onBytes(end: SessionEnd, chunk: Uint8Array): void {
    const { other } = end
    if (other === undefined) return this.#violate(`I1 ${endName(end)} received bytes that nobody has sent`)
    const wrong = Content.wrongByte(other.number, end.received, chunk)
    if (wrong !== undefined) this.#violate(`I1 ${endName(end)} received a wrong byte at ${wrong}`)
    this.#received(end, chunk.length, chunk.length)
  }

  /** I1: the next message. */
  onLine(end: SessionEnd, received: Content.Line): void {
    const { other } = end
    const { at, flow, text } = received
    if (other === undefined || other.number !== flow) {
      return this.#violate(`I1 ${endName(end)} received a message of #${flow}, which leads elsewhere`)
    }
    const size = other.sizes[end.received] ?? 0
    if (at !== end.received) {
      this.#violate(`I1 ${endName(end)} received ${at} instead of ${end.received}: ${lost(at, end)}`)
    } else if (text !== Content.line(flow, at, size).text) {
      this.#violate(`I1 ${endName(end)} received a changed message`)
    }
    this.#received(end, 1, text.length)
  }

  /** I1: the next value. Ends of `makeSessions` learn from the first one which other end they have. */
  onValue(end: SessionEnd, received: SessionValue): void {
    const flow = Content.flowOf(received)
    const sender = flow === undefined ? undefined : this.ends[flow]
    if (end.kind === "made" && sender?.kind === "made" && this.#pair(end.relation, sender.relation)) {
      if (end.relation.made.indexOf(end) === sender.relation.made.indexOf(sender)) {
        end.other = sender
        sender.other = end
      }
    }
    if (sender === undefined || end.other !== sender) {
      return this.#violate(`I1 ${endName(end)} received a value of #${flow}, which leads elsewhere`)
    }
    const size = sender.sizes[end.received] ?? 0
    if (!Content.isEqual(received, Content.value(sender.number, end.received, size))) {
      this.#violate(`I1 ${endName(end)} received another value than number ${end.received} of ${endName(sender)}`)
    }
    this.#received(end, 1, size)
  }

  /** I1 for datagrams: at most once, and only those of the session. */
  onDatagram(end: SessionEnd, received: Uint8Array): void {
    const other = otherOf(end)
    const number = other && Content.datagramNumber(other.number, received)
    this.#trace.count("datagram received", endName(end))
    if (other === undefined) return
    if (number === undefined || number >= other.datagramsSent) {
      return this.#violate(`I1 ${endName(end)} received a datagram that was not sent in its session`)
    }
    if (end.datagrams.has(number)) this.#violate(`I1 ${endName(end)} received datagram ${number} twice`)
    end.datagrams.add(number)
  }

  /** I1: an orderly end comes after everything. */
  onReadDone(end: SessionEnd): void {
    end.readEnded = "done"
    this.#trace.count("reading ended", endName(end))
    const other = otherOf(end)
    if (!end.hasEnded && end.brokenOff === undefined) this.#trace.count("half-closed", endName(end))
    if (other === undefined) return
    if (!other.hasEnded) this.#violate(`I1 ${endName(end)} read an end that was never written`)
    if (end.received !== other.accepted) {
      this.#violate(`I1 ${endName(end)} read the end after ${end.received} of ${other.accepted}`)
    }
  }

  /** What was delivered can be read whatever happens to the link. Broken off, nobody wants the rest. */
  onReadFailed(end: SessionEnd, reason: SessionErrorReason): void {
    end.readEnded = reason._tag
    const other = otherOf(end)
    const isLoss = reason._tag === "LinkLost" || reason._tag === "PeerRestarted"
    if (!isLoss || other === undefined) return
    const known = end.kind === "bytes" ? other.session?.stats().bytesDelivered ?? 0 : 0
    const delivered = Math.max(known, other.delivered)
    if (end.received >= delivered) return
    this.#violate(`I2 ${endName(end)} could read ${end.received} of ${delivered} that were delivered`)
  }

  /** The scope of the session has ended, and with it the session, if it had not ended before. */
  onGivenUp(end: SessionEnd): void {
    end.readEnded ??= "given up"
    if (end.ended !== undefined) return
    end.brokenOff ??= givenUp
    end.ended = "given up"
    this.#trace.count("session given up", endName(end))
  }

  /** All directions have ended, in whatever way. */
  onEnded(end: SessionEnd, reason: SessionErrorReason | undefined): void {
    if (end.ended !== undefined) return
    end.ended = reason?._tag ?? "closed"
    this.#trace.count(`session ended ${end.ended}`, endName(end))
    if (reason !== undefined) {
      if (!this.#hasReason(end, reason)) {
        this.#violate(`I2 ${endName(end)} ended with ${reason._tag} ${reason.message}, for which there was no reason`)
      }
      return
    }
    if (end.relation.links > end.link) this.#trace.count("session outlived its link", endName(end))
    const other = otherOf(end)
    if (!end.hasEnded || other?.hasEnded === false) {
      this.#violate(`I2 ${endName(end)} closed before both directions had ended`)
    }
  }

  #hasReason(end: SessionEnd, reason: SessionErrorReason): boolean {
    const { relation } = end
    const other = otherOf(end)
    // Without a partner nothing has ever come through, and the peer's side may have been anything.
    const isPeerOver = this.#isOver(relation) || relation.partner === undefined || this.#isOver(relation.partner)
    switch (reason._tag) {
      case "SessionReset": {
        const by = reason.byPeer ? other?.brokenOff : end.brokenOff
        // The peer's end of a made session is not known before something has come from it.
        if (by === undefined) return reason.byPeer && (other === undefined || this.#isOver(other.relation))
        return by.code === reason.code && by.message === reason.detail
      }
      case "SessionRefused": {
        // A session may be accepted and broken off before the peer has heard of it.
        const refusal = this.#refusals.get(end) ?? other?.brokenOff
        if (refusal !== undefined && refusal.code === reason.code && refusal.message === reason.detail) return true
        if (reason.code === 1 && reason.detail === "no more sessions") {
          this.#trace.count("session refused as busy", endName(end))
          return this.#host.isOftenBusy
        }
        return isPeerOver
      }
      case "PeerRestarted":
        return isPeerOver
      case "LinkLost":
        return isPeerOver || this.#host.mayLoseLinks
      default:
        return false
    }
  }

  /** I2, when the world has settled: whatever was accepted has been read, or the writer was told that it may not have. */
  checkSettled(): void {
    for (const end of this.ends) {
      if (!this.isRunning(end.relation)) continue
      if (!isFinished(end)) this.#violate(`I2 ${endName(end)} is neither over nor at its end: ${stateOf(end)}`)
      const other = otherOf(end)
      if (end.ended !== "closed" || other === undefined || !this.isRunning(other.relation)) continue
      if (other.readEnded === "given up" || other.received === end.accepted) continue
      this.#violate(`I2 ${endName(end)} closed, and of ${end.accepted} the peer has read ${other.received}`)
    }
  }

  /** I2, when everybody has left everybody: all who are left know it. */
  checkEnded(): void {
    for (const relation of this.relations) {
      if (relation.ended !== undefined || !this.isRunning(relation)) continue
      this.#violate(`I2 ${nameOf(relation)} was left and not told so`)
    }
  }

  /** Whether the process of this side still runs. */
  isRunning({ incarnation, node }: Relation): boolean {
    return this.#host.isRunning(node, incarnation)
  }

  /** Whether this side has gone, or given up. */
  #isOver(relation: Relation | undefined): boolean {
    if (relation === undefined) return false
    return relation.isLeft || relation.ended !== undefined || !this.isRunning(relation)
  }

  #received(end: SessionEnd, amount: number, size: number): void {
    end.received += amount
    end.receivedBytes += size
    this.#trace.note(`read ${endName(end)} ${end.received}`)
    this.#trace.tally("session read", amount)
    const other = otherOf(end)
    if (other !== undefined && end.received > other.offered) {
      this.#violate(`I1 ${endName(end)} received ${end.received}, and ${other.offered} were sent`)
    }
  }

  /** Whether the two relations are the two sides of one. */
  #pair(a: Relation, b: Relation): boolean {
    if (a.partner === undefined && b.partner === undefined && a.node === b.peer && a.peer === b.node) {
      a.partner = b
      b.partner = a
    }
    if (a.partner === b && b.partner === a) return true
    this.#violate(`I1 ${nameOf(a)} has a session with ${nameOf(b)}, which belongs to another process`)
    return false
  }
}

const lost = (at: number, end: SessionEnd): string => at < end.received ? "doubled" : "lost or reordered"
