/**
 * What must hold for the connections of a simulated world (reliability, invariants I1 to I3). Every end of every connection is told to it,
 * with everything that the end sends, receives and reports. It only judges; it never sends.
 */
import type { NetCryptoConnection } from "../../services/NetCrypto.ts"
import type { NetCryptoErrorReason } from "../../services/NetCryptoError.ts"
import * as Payload from "./Payload.ts"
import type { Trace } from "./Trace.ts"

/** What one node knows as a connection. Its number is the stream of what it sends. */
export interface End {
  readonly stream: number
  readonly connection: NetCryptoConnection
  /** Names of the node that has it and of its peer. A restarted node has the same name and another incarnation. */
  readonly node: string
  readonly peer: string
  readonly incarnation: number
  /** Sizes of the lossless packets that were accepted, by sequence number. */
  readonly accepted: Array<number>
  acceptedBytes: number
  /** Lossy packets sent, and those of the peer received. */
  lossySent: number
  readonly lossyReceived: Set<number>
  /** The end that receives what this one sends, once something has arrived there; and the other way round. */
  receiver: End | undefined
  sender: End | undefined
  received: number
  receivedBytes: number
  /** Packets that could not be accepted yet, and where the application has stopped or ended it. */
  backlog: Array<number>
  /** It is sending, and is to look again because it was told to meanwhile. */
  sending: boolean
  again: boolean
  isHeld: boolean
  isClosing: boolean
  ended: NetCryptoErrorReason["_tag"] | undefined
}

/** Bytes of one connection that may be under way between two applications. */
export interface StreamBudget {
  readonly sendBuffer: number
  readonly maxInFlight: number
  readonly receiveBuffer: number
}

/** What the streams must know of their world. */
export interface StreamsHost {
  readonly trace: Trace
  readonly budget: StreamBudget
  /** Whether that node has been running without interruption in this incarnation. */
  readonly isRunning: (node: string, incarnation: number) => boolean
  /** Whether the faults of this world may last so long that a peer counts as lost. */
  readonly mayTimeOut: boolean
  readonly violate: (what: string) => void
}

export class Streams {
  readonly #host: StreamsHost
  readonly #trace: Trace
  readonly #violate: (what: string) => void
  readonly ends: Array<End> = []

  constructor(host: StreamsHost) {
    this.#host = host
    this.#trace = host.trace
    this.#violate = host.violate
  }

  /** A node has got a connection. */
  open(node: string, peer: string, incarnation: number, connection: NetCryptoConnection): End {
    const end: End = {
      stream: this.ends.length,
      connection,
      node,
      peer,
      incarnation,
      accepted: [],
      acceptedBytes: 0,
      lossySent: 0,
      lossyReceived: new Set(),
      receiver: undefined,
      sender: undefined,
      received: 0,
      receivedBytes: 0,
      backlog: [],
      sending: false,
      again: false,
      isHeld: false,
      isClosing: false,
      ended: undefined
    }
    const isFirst = !this.ends.some((other) => other.node === node && other.peer === peer)
    this.ends.push(end)
    this.#trace.count(isFirst ? "established" : "established again", name(end))
    return end
  }

  /** Sends lossless packets of these sizes; what is not accepted waits for `writable`. */
  send(end: End, sizes: ReadonlyArray<number>): void {
    end.backlog.push(...sizes)
    this.writable(end)
  }

  /** Sends what waits, as far as it is accepted. A call within a call only looks again: numbers are given in one place at a time. */
  writable(end: End): void {
    end.again = end.sending
    if (end.sending) return
    end.sending = true
    do {
      end.again = false
      this.#sendBacklog(end)
    } while (end.again)
    end.sending = false
  }

  #sendBacklog(end: End): void {
    while (end.backlog.length > 0 && end.ended === undefined) {
      // Taken and recorded first: the call may bring answers, and more sends, before it returns.
      const size = Math.max(Payload.headerSize, end.backlog.shift()!)
      const sequence = end.accepted.length
      end.accepted.push(size)
      end.acceptedBytes += size
      // Earlier calls within calls are answered by this round.
      end.again = false
      if (!end.connection.trySend(Payload.make(Payload.losslessId, end.stream, sequence, size))) {
        end.accepted.pop()
        end.acceptedBytes -= size
        end.backlog.unshift(size)
        if (end.again) this.#violate(`I2 ${name(end)} was told of room before it knew that there was none`)
        return this.#trace.count("send buffer full", name(end))
      }
      this.#trace.tally("sent")
    }
  }

  sendLossy(end: End, size: number): void {
    const sequence = end.lossySent++
    if (end.connection.sendLossy(Payload.make(Payload.lossyId, end.stream, sequence, size))) {
      this.#trace.tally("lossy sent")
    }
  }

  /** I1: each packet once, in order, as it was sent, from the one end that this connection leads to. */
  onLossless(end: End, payload: Uint8Array): void {
    const packet = Payload.read(payload)
    if (packet === undefined || !packet.isIntact) return this.#violate(`I1 ${name(end)} received damaged bytes`)
    this.#trace.note(`received ${name(end)} ${packet.stream}:${packet.sequence}`)
    this.#trace.tally("received")
    const sender = this.#pair(end, packet.stream)
    if (sender === undefined) return
    if (packet.sequence !== end.received) {
      const what = packet.sequence < end.received ? "doubled" : "lost or reordered"
      this.#violate(
        `I1 ${name(end)} received ${packet.sequence} instead of ${end.received} of ${name(sender)}: ${what}`
      )
      return
    }
    const size = sender.accepted[packet.sequence]
    if (size !== payload.length) this.#violate(`I1 ${name(end)} received ${payload.length} bytes instead of ${size}`)
    if (end.isHeld) this.#violate(`I1 ${name(end)} received while it was held`)
    if (end.ended !== undefined) this.#violate(`I1 ${name(end)} received after its end`)
    end.received++
    end.receivedBytes += payload.length
  }

  /** I1 for lossy packets: at most once, never made up. */
  onLossy(end: End, payload: Uint8Array): void {
    const packet = Payload.read(payload)
    if (packet === undefined || !packet.isIntact) return this.#violate(`I1 ${name(end)} received damaged lossy bytes`)
    this.#trace.note(`lossy ${name(end)} ${packet.stream}:${packet.sequence}`)
    this.#trace.tally("lossy received")
    const sender = this.#pair(end, packet.stream)
    if (sender === undefined) return
    if (packet.sequence >= sender.lossySent) this.#violate(`I1 ${name(end)} received a lossy packet that was not sent`)
    if (end.lossyReceived.has(packet.sequence)) this.#violate(`I1 ${name(end)} received a lossy packet twice`)
    end.lossyReceived.add(packet.sequence)
  }

  onClosed(end: End, reason: NetCryptoErrorReason["_tag"]): void {
    if (end.ended !== undefined) this.#violate(`I2 ${name(end)} was told twice that it is over`)
    end.ended = reason
    this.#trace.count(`ended ${reason}`, name(end))
    if (!this.#hasReason(end, reason)) this.#violate(`I2 ${name(end)} ended with ${reason}, and both nodes were well`)
  }

  /** No fault of relays or of the way to them ends a connection: only an application, the end of a node, or a long silence does. */
  #hasReason(end: End, reason: NetCryptoErrorReason["_tag"]): boolean {
    const { isRunning, mayTimeOut } = this.#host
    if (end.isClosing || !isRunning(end.node, end.incarnation)) return true
    const other = end.receiver ?? end.sender
    // Nothing has ever come through: the peer may never have got so far.
    if (other === undefined) return true
    if (other.ended !== undefined || other.isClosing || !isRunning(other.node, other.incarnation)) return true
    return reason === "PeerTimedOut" && mayTimeOut
  }

  /** I3: what an application has handed over and the other has not got fits the buffers of both. */
  checkBudget(): void {
    const { maxInFlight, receiveBuffer, sendBuffer } = this.#host.budget
    const limit = sendBuffer + maxInFlight + receiveBuffer + 3 * Payload.maxSize
    for (const end of this.ends) {
      if (end.ended !== undefined) continue
      const kept = end.acceptedBytes - (end.receiver?.receivedBytes ?? 0)
      if (kept > limit) this.#violate(`I3 ${name(end)} keeps ${kept} bytes, and ${limit} are allowed`)
    }
  }

  /** I2, when the world has settled: whatever was accepted has arrived, or both ends know that it may not have. */
  checkDelivered(): void {
    for (const end of this.ends) {
      if (end.ended !== undefined || end.accepted.length === (end.receiver?.received ?? 0)) continue
      const got = end.receiver?.received ?? 0
      this.#violate(`I2 ${name(end)} accepted ${end.accepted.length} packets, ${got} arrived, and nobody was told`)
    }
  }

  /** The end that sends to this one, noting on the first packet that the two belong together. */
  #pair(end: End, stream: number): End | undefined {
    const sender = this.ends[stream]
    if (sender === undefined || sender.node !== end.peer || sender.peer !== end.node) {
      this.#violate(`I1 ${name(end)} received something of stream ${stream}, which is not its peer's`)
      return undefined
    }
    if (end.sender === undefined && sender.receiver === undefined) {
      end.sender = sender
      sender.receiver = end
    }
    if (end.sender === sender && sender.receiver === end) return sender
    this.#violate(`I1 ${name(end)} received something of stream ${stream}, which leads elsewhere`)
    return undefined
  }
}

export const name = (end: End): string => `${end.node}.${end.incarnation}->${end.peer}#${end.stream}`
