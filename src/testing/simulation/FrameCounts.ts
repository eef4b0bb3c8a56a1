/**
 * Counts what the sessions of one node do on their links: frames that go again over another link, frames that come again, credit
 * before there is a session, windows that grow. It reads along, and knows nothing but the frames.
 */
import * as Result from "effect/Result"
import { toHex } from "../../schema/Bytes.ts"
import { LinkControl } from "../../schema/LinkControl.ts"
import { linkControlId, sessionStreamId } from "../../schema/NetCryptoPacket.ts"
import type { ControlFrame, Resume } from "../../schema/SessionFrame.ts"
import { SessionFrameReader } from "../../schema/SessionFrameReader.ts"
import type { Trace } from "./Trace.ts"

/** Numbered frames of one session, over all links: those that have gone, and those that have come. */
interface Numbers {
  sent: number
  received: number
}

/** The sessions of one process of ours with one of the peer's, by id, and the link on which the peer has resumed last. */
interface Relation {
  readonly sessions: Map<number, Numbers>
  resumed: object | undefined
}

/** The window that a session begins with, bytes. */
const firstWindow = 64 * 1024
const numbered: ReadonlySet<ControlFrame["_tag"]> = new Set(["Open", "Accept", "Close", "Reset"])
/** Ids of `makeSessions` are below. */
const firstOpenedId = 0x8000_0000

export interface LinkOwner {
  /** How many sessions of `makeSessions` there are on our side. */
  readonly made: () => number
  /** Our side has resumed on this link. */
  readonly onResumed: () => void
}

export interface LinkCounts {
  readonly onSent: (packet: Uint8Array) => void
  readonly onReceived: (packet: Uint8Array) => void
}

export class FrameCounts {
  readonly #trace: Trace
  readonly #node: string
  /** By the instance ids of both sides. */
  readonly #relations = new Map<string, Relation>()

  constructor(trace: Trace, node: string) {
    this.#trace = trace
    this.#node = node
  }

  /** A new connection. */
  link({ made, onResumed }: LinkOwner): LinkCounts {
    const trace = this.#trace
    const node = this.#node
    const self = {}
    const instances = { ours: "", peers: "" }
    // Where each session goes on over this link, in both directions.
    const nextSent = new Map<number, number>()
    const nextReceived = new Map<number, number>()
    const relationOf = (): Relation => {
      const key = `${instances.ours} ${instances.peers}`
      const relation = this.#relations.get(key) ?? { sessions: new Map<number, Numbers>(), resumed: undefined }
      this.#relations.set(key, relation)
      return relation
    }
    const numbersOf = (id: number): Numbers => {
      const { sessions } = relationOf()
      const numbers = sessions.get(id) ?? { sent: 0, received: 0 }
      sessions.set(id, numbers)
      return numbers
    }
    const sent = (id: number): void => {
      const numbers = numbersOf(id)
      const number = nextSent.get(id) ?? 0
      nextSent.set(id, number + 1)
      if (number < numbers.sent) trace.count("frame sent again", `${node} ${id}:${number}`)
      else numbers.sent = number + 1
    }
    const received = (id: number): void => {
      if (relationOf().resumed !== self) return trace.tally("late frame ignored")
      const numbers = numbersOf(id)
      const number = nextReceived.get(id) ?? 0
      nextReceived.set(id, number + 1)
      if (number < numbers.received) trace.count("frame received again", `${node} ${id}:${number}`)
      else numbers.received = number + 1
    }
    const resume = (next: Map<number, number>, { sessions }: Resume): void => {
      for (const { received, sessionId } of sessions) next.set(sessionId, received)
      if (sessions.length > 0) trace.count("sessions resumed", `${node} ${sessions.length}`)
      else trace.tally("link begun")
    }
    const outgoing = new SessionFrameReader({
      onValue: (id) => {
        sent(id)
        return true
      },
      onControl: (frame) => {
        if (frame._tag === "Resume") {
          resume(nextReceived, frame)
          onResumed()
        }
        if ("sessionId" in frame && numbered.has(frame._tag)) sent(frame.sessionId)
        if (frame._tag === "Credit" && frame.credit > firstWindow) trace.tally("window grown")
        if (frame._tag === "GoAway") trace.count("goodbye sent", node)
        return true
      }
    })
    const incoming = new SessionFrameReader({
      onValue: (id) => {
        received(id)
        return true
      },
      onControl: (frame) => {
        if (frame._tag === "Resume") {
          relationOf().resumed = self
          resume(nextSent, frame)
        }
        if ("sessionId" in frame && numbered.has(frame._tag)) received(frame.sessionId)
        if (frame._tag === "Credit" && frame.sessionId < firstOpenedId && frame.sessionId >= made()) {
          trace.tally("credit came early")
        }
        if (frame._tag === "GoAway") trace.count("goodbye received", node)
        return true
      }
    })
    const read = (packet: Uint8Array, reader: SessionFrameReader, side: "ours" | "peers"): void => {
      if (packet[0] === sessionStreamId) reader.push(packet.subarray(1))
      if (packet[0] !== linkControlId || instances[side] !== "") return
      const decoded = LinkControl.decode(packet)
      if (Result.isSuccess(decoded) && decoded.success._tag === "LinkHello") {
        instances[side] = toHex(decoded.success.instanceId)
      }
    }
    return {
      onSent: (packet) => read(packet, outgoing, "ours"),
      onReceived: (packet) => read(packet, incoming, "peers")
    }
  }
}
