/** I3: what waits for readers and for links in a simulated world is within windows, their budget, and the send buffer. */
import type { SessionNumbers } from "../../services/SessionSettings.ts"
import { endName, nameOf, type Relation, type SessionEnd } from "./SessionEnd.ts"

/** The largest frame of the simulation, bytes with all headers: what may go beyond a window. */
const maxFrame = 48 * 1024
/** The largest write, bytes: what may go beyond the send buffer and the window. */
const maxBatch = 600 * 1024

/** Judges all ends there are. */
export const check = (
  ends: ReadonlyArray<SessionEnd>,
  numbers: SessionNumbers,
  violate: (what: string) => void
): void => {
  const { initialWindow, maxIncomingSessions, maxWindow, sendBuffer, windowBudget } = numbers
  const first = Math.max(64 * 1024, initialWindow)
  const kept = new Map<Relation, { unread: number; sessions: number }>()
  const incoming = new Map<Relation, number>()
  for (const end of ends) {
    if (end.session === undefined || end.ended !== undefined) continue
    const { bytesDelivered, bytesIn, bytesOut } = end.session.stats()
    const unread = bytesIn - end.receivedBytes
    if (unread > Math.max(first, maxWindow) + maxFrame) {
      violate(`I3 ${endName(end)} keeps ${unread} bytes unread`)
    }
    const unsent = bytesOut - bytesDelivered
    if (unsent > sendBuffer + Math.max(first, maxWindow) + maxBatch) {
      violate(`I3 ${endName(end)} keeps ${unsent} bytes for the peer`)
    }
    const total = kept.get(end.relation) ?? { unread: 0, sessions: 0 }
    kept.set(end.relation, { unread: total.unread + unread, sessions: total.sessions + 1 })
    if (end.kind === "made" || end.other === undefined || end.other.number > end.number) continue
    incoming.set(end.relation, (incoming.get(end.relation) ?? 0) + 1)
  }
  for (const [relation, { sessions, unread }] of kept) {
    const limit = windowBudget + sessions * (first + maxFrame)
    if (unread > limit) violate(`I3 ${nameOf(relation)} keeps ${unread} bytes unread, and ${limit} are allowed`)
  }
  for (const [relation, count] of incoming) {
    if (count > maxIncomingSessions) violate(`I3 ${nameOf(relation)} has ${count} sessions of the peer`)
  }
}
