/**
 * The connections of one attempt, dialled by us and by the peer, on their way to one link: a race for each stream, and who may dial which.
 * The first stream decides who dials the others. Plain state, changed by the callbacks of its streams; fibers wait for it through `waiters`.
 * Time, dialling and who is expected are not known here.
 */
import { type RaceAction, StreamRace } from "../protocol/direct/StreamRace.ts"
import type { PublicKey } from "../schema/Bytes.ts"
import { DirectHelloAck, maxStreams } from "../schema/DirectPacket.ts"
import * as Reason from "../services/DirectError.ts"
import type { DirectLink, DirectRole } from "../services/DirectLinks.ts"
import type { OpeningStream } from "./directOpening.ts"
import type { Rejection } from "./directRejections.ts"
import type { Waiters } from "./waitUntil.ts"

/** One connection that may become a stream of the link. Whoever made it holds it open until `isEnded`. */
export interface MeetingConnection {
  readonly id: number
  readonly streamId: number
  readonly role: DirectRole
  readonly opening: OpeningStream
  /** How many streams the peer wants; known of dials once they are acknowledged. */
  streams: number
  isAcknowledged: boolean
  /** It is over, has lost, or the link was closed. */
  isEnded: boolean
}

export interface MeetingOptions {
  readonly peer: PublicKey
  /** Ours is the greater identity. */
  readonly greater: boolean
  /** How many streams we want, 1 to 64. */
  readonly streams: number
  readonly waiters: Waiters
}

export class Meeting {
  readonly options: MeetingOptions
  readonly #races = new Map<number, StreamRace>()
  readonly #connections = new Map<number, MeetingConnection>()
  #next = 0
  #ended = false
  #complete = false

  constructor(options: MeetingOptions) {
    this.options = options
  }

  /** It was ended, complete or not. */
  get isEnded(): boolean {
    return this.#ended
  }

  /** No connection is left. */
  get isEmpty(): boolean {
    return this.#connections.size === 0
  }

  /** How many streams the link has; known once the first one is decided. */
  get count(): number | undefined {
    const first = this.#winner(0)
    return first && Math.min(first.streams, this.options.streams)
  }

  /** Which connection is this stream. */
  isDecided(streamId: number): boolean {
    return this.#races.get(streamId)?.winner !== undefined
  }

  /** Who dialled the first stream, and so dials the others. */
  get dialler(): DirectRole | undefined {
    return this.#winner(0)?.role
  }

  /** The address that the first stream reached the peer at. */
  get reached(): OpeningStream["remote"] | undefined {
    return this.#winner(0)?.opening.remote
  }

  /**
   * The link, once both sides know of every stream: the lower identity waits until the greater one uses them. From then on the connections
   * end gracefully with their holders.
   */
  takeLink(): DirectLink | undefined {
    const { count } = this
    if (count === undefined || this.#ended) return undefined
    const winners = Array.from({ length: count }, (_, streamId) => this.#winner(streamId))
    const made = winners.filter((winner) => winner !== undefined)
    if (made.length < count) return undefined
    if (!this.options.greater && !made.every(({ opening }) => opening.isUsed)) return undefined
    this.#complete = true
    return {
      identityKey: this.options.peer,
      streams: made.map(({ opening }) => opening),
      roles: made.map(({ role }) => role)
    }
  }

  /** Takes a dial of ours that is past TLS and whose hello can be written now. */
  dialled(streamId: number, opening: OpeningStream): MeetingConnection {
    const connection = this.#add(streamId, "dialled", opening, maxStreams)
    this.#apply(
      streamId,
      this.#ended ? [{ _tag: "Close", connection: connection.id }] : this.#race(streamId).dialled(connection.id)
    )
    return connection
  }

  /** The peer has acknowledged a dial of ours. */
  acknowledged(connection: MeetingConnection, streams: number): void {
    connection.streams = streams
    connection.isAcknowledged = true
    this.#apply(connection.streamId, this.#race(connection.streamId).acknowledged(connection.id))
  }

  /** Takes a call of the peer whose hello was good, or says why it is turned away. */
  called(
    streamId: number,
    streams: number,
    opening: OpeningStream
  ): MeetingConnection | Rejection {
    const refusal = this.#judgeCall(streamId, streams)
    if (refusal !== undefined) return refusal
    const connection = this.#add(streamId, "accepted", opening, streams)
    this.#apply(streamId, this.#race(streamId).called(connection.id))
    return connection
  }

  /** The peer sends on this connection. */
  used(connection: MeetingConnection): void {
    this.#apply(connection.streamId, this.#race(connection.streamId).used(connection.id))
  }

  /** The connection is over. */
  closed(connection: MeetingConnection): void {
    connection.isEnded = true
    this.#connections.delete(connection.id)
    const race = this.#race(connection.streamId)
    this.#apply(connection.streamId, race.closed(connection.id))
    // There will be no link without it.
    if (race.isLost) this.expire()
  }

  /** Ends it, unless it has come to a link. */
  expire(): void {
    if (!this.#complete) this.end()
  }

  /** Ends every connection: those of a link gracefully, by their holders, the others at once. Idempotent. */
  end(): void {
    if (this.#ended) return
    this.#ended = true
    for (const connection of this.#connections.values()) {
      connection.isEnded = true
      if (!this.#complete) connection.opening.destroy()
    }
    this.options.waiters.wake()
  }

  #winner(streamId: number): MeetingConnection | undefined {
    const winner = this.#races.get(streamId)?.winner
    return winner === undefined ? undefined : this.#connections.get(winner)
  }

  #race(streamId: number): StreamRace {
    const found = this.#races.get(streamId) ?? new StreamRace(this.options.greater)
    this.#races.set(streamId, found)
    return found
  }

  #judgeCall(streamId: number, streams: number): Rejection | undefined {
    if (this.#ended) return new Reason.Expired()
    if (streamId >= Math.min(streams, this.options.streams)) {
      return new Reason.HandshakeFailed({ detail: `stream ${streamId} is more than was agreed upon` })
    }
    if (this.isDecided(streamId)) return new Reason.Replayed()
    if (streamId === 0) return undefined
    const first = this.#races.get(0)
    if (this.dialler === "dialled") return new Reason.WrongDirection()
    const isBegun = first !== undefined && (first.winner !== undefined || (!this.options.greater && first.isCalled))
    return isBegun ? undefined : new Reason.HandshakeFailed({ detail: `stream ${streamId} came before the first one` })
  }

  #add(streamId: number, role: DirectRole, opening: OpeningStream, streams: number): MeetingConnection {
    const connection = { id: this.#next++, streamId, role, opening, streams, isAcknowledged: false, isEnded: false }
    this.#connections.set(connection.id, connection)
    return connection
  }

  #apply(streamId: number, actions: ReadonlyArray<RaceAction>): void {
    for (const action of actions) {
      const connection = this.#connections.get(action.connection)
      if (connection === undefined) continue
      if (action._tag === "Acknowledge") {
        connection.opening.write([
          DirectHelloAck.encode(DirectHelloAck.make({ streamId, streams: this.options.streams }))
        ])
      }
      if (action._tag === "Close") {
        connection.isEnded = true
        connection.opening.destroy()
      }
    }
    this.options.waiters.wake()
  }
}
