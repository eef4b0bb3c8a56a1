/**
 * What the listener does with callers: gives out the key of those that are expected, reads the hello of those that have proven it, and turns
 * everybody else away with a typed reason (rows M07, M12, M13, M14). A caller is handed to the meeting of its attempt; there are no
 * connections whose peer is not known.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { parsePskIdentity } from "../protocol/direct/directKeys.ts"
import type { Expected, ExpectedConnections } from "../protocol/direct/ExpectedConnections.ts"
import { equalBytes, type PublicKey, toHex } from "../schema/Bytes.ts"
import { DirectHello, directRoles } from "../schema/DirectPacket.ts"
import type { IpEndpoint } from "../schema/IpEndpoint.ts"
import { formatHostPort } from "../schema/RelayAddress.ts"
import * as Reason from "../services/DirectError.ts"
import type { DirectNumbers } from "../services/DirectSettings.ts"
import type { DirectStream, RefusedCaller } from "../services/DirectTransport.ts"
import type { DirectGroup, GroupMember } from "./directGroup.ts"
import type { Meeting, MeetingConnection } from "./directMeeting.ts"
import { OpeningStream } from "./directOpening.ts"
import type { Rejection } from "./directRejections.ts"
import * as Waiters from "./waitUntil.ts"

/** What is kept with an announced connection. */
export interface Appointment {
  readonly meeting: Meeting
  readonly psk: Uint8Array
}

export interface DirectCallsOptions {
  readonly numbers: DirectNumbers
  readonly expected: ExpectedConnections<Appointment>
  readonly group: DirectGroup
  readonly now: () => number
  readonly onRejected: (peer: string, reason: Rejection) => void
}

/** Where a caller belongs, or why it belongs nowhere. */
type Verdict =
  | {
    readonly _tag: "Announced"
    readonly peer: PublicKey
    readonly attempt: Uint8Array
    /** By each role in which the attempt is expected; at least one. */
    readonly entries: NonEmptyReadonlyArray<Expected<Appointment>>
  }
  | { readonly _tag: "Member"; readonly peer: PublicKey; readonly attempt: Uint8Array; readonly member: GroupMember }
  | { readonly _tag: "Refused"; readonly peer: PublicKey | undefined; readonly reason: Rejection }

/** A caller that has its place. */
interface Call {
  readonly meeting: Meeting
  readonly connection: MeetingConnection
  readonly endAttempt: () => void
}

const reasons = {
  Unexpected: () => new Reason.Unexpected(),
  Expired: () => new Reason.Expired(),
  Replayed: () => new Reason.Replayed(),
  WrongDirection: () => new Reason.WrongDirection()
}

const refused = (reason: Rejection, peer?: PublicKey): Verdict => ({ _tag: "Refused", peer, reason })
const failed = (detail: string) => new Reason.HandshakeFailed({ detail })

export class DirectCalls {
  readonly #options: DirectCallsOptions
  /** Secured streams that have not said hello yet. */
  #silent = 0

  constructor(options: DirectCallsOptions) {
    this.#options = options
  }

  /** The key of an expected caller; anybody else has none. */
  readonly pskOf = (pskIdentity: string): Uint8Array | undefined => {
    const verdict = this.#judge(pskIdentity)
    if (verdict._tag === "Announced") return verdict.entries[0].value.psk
    return verdict._tag === "Member" ? verdict.member.psk(verdict.attempt) : undefined
  }

  /** Tells of a caller that has proven nothing. */
  readonly onRefused = ({ error, pskIdentity, remote }: RefusedCaller): void => {
    // It has left by itself, as those do whose other connection was faster.
    if (error.kind === "Ended" || error.kind === "Reset") return
    const verdict = pskIdentity === undefined ? undefined : this.#judge(pskIdentity)
    if (error.detail === "UNKNOWN_IDENTITY") {
      const reason = verdict?._tag === "Refused" ? verdict.reason : new Reason.Unexpected()
      return this.#reject(remote, verdict?._tag === "Refused" ? verdict.peer : undefined, reason)
    }
    // Whoever has not proven to be a peer is told by its address alone.
    return this.#reject(remote, undefined, failed(error.message))
  }

  /** Serves one secured stream until it has ended. Its scope is the connection. */
  readonly serve = (stream: DirectStream): Effect.Effect<void> => {
    const { attemptTimeout, handshakeTimeout, maxPendingHandshakes } = this.#options.numbers
    return Effect.gen({ self: this }, function*() {
      // They have proven to be expected, but a peer must not fill the memory with streams that say nothing.
      if (this.#silent >= maxPendingHandshakes) {
        return this.#turnAway(stream, failed("too many callers that have not said hello"))
      }
      const waiters = Waiters.make()
      let call: Call | undefined = undefined
      let isOver = false
      const opening = new OpeningStream(stream, DirectHello.maxSize, {
        onPacket: (packet) => {
          call = this.#answer(opening, packet)
          isOver = call === undefined
          waiters.wake()
        },
        onUsed: () => call?.meeting.used(call.connection),
        onClosed: () => {
          call?.meeting.closed(call.connection)
          isOver = true
          waiters.wake()
        }
      })
      opening.begin()
      const answered = waiters.until(() => call === undefined && !isOver ? undefined : Effect.succeed(call))
      const greeted = Effect.timeoutOrElse(answered, {
        duration: handshakeTimeout,
        orElse: () => Effect.sync(() => this.#turnAway(opening, failed(`no hello within ${handshakeTimeout} ms`)))
      })
      const found = yield* Effect.acquireUseRelease(
        Effect.sync(() => this.#silent++),
        () => greeted,
        () => Effect.sync(() => this.#silent--)
      )
      if (found === undefined) return
      const { connection, endAttempt, meeting } = found
      const ended = meeting.options.waiters.until(() => connection.isEnded ? Effect.void : undefined)
      yield* Effect.raceFirst(ended, Effect.andThen(Effect.sleep(attemptTimeout), Effect.sync(endAttempt)))
      yield* ended
      if (meeting.isEmpty) endAttempt()
    })
  }

  /** Hands a caller that has said hello to the meeting of its attempt, or turns it away. */
  #answer(opening: OpeningStream, packet: Uint8Array): Call | undefined {
    const decoded = DirectHello.decode(packet)
    if (Result.isFailure(decoded)) return this.#turnAway(opening, failed(decoded.failure.message))
    const hello = decoded.success
    // The key fits what was expected a moment ago: that may have changed.
    const verdict = this.#judge(opening.pskIdentity)
    if (verdict._tag === "Refused") return this.#turnAway(opening, verdict.reason, verdict.peer)
    const { attempt, peer } = verdict
    if (!equalBytes(hello.identityKey, peer)) {
      return this.#turnAway(opening, failed("it named another identity than its key proves"), peer)
    }
    if (!equalBytes(hello.attempt, attempt)) {
      return this.#turnAway(opening, failed("it named another attempt than its key is for"), peer)
    }
    const meeting = meetingOf(verdict, hello.role)
    if (meeting === undefined) return this.#turnAway(opening, new Reason.WrongDirection(), peer)
    const connection = meeting.called(hello.streamId, hello.streams, opening)
    if ("_tag" in connection) return this.#turnAway(opening, connection, peer)
    return {
      meeting,
      connection,
      // What is announced ends with its announcement.
      endAttempt: verdict._tag === "Member" ? () => verdict.member.end(attempt) : () => undefined
    }
  }

  #turnAway(stream: DirectStream, reason: Rejection, peer?: PublicKey): undefined {
    stream.destroy()
    this.#reject(stream.remote, peer, reason)
  }

  #judge(pskIdentity: string): Verdict {
    const { expected, group, now } = this.#options
    const identity = parsePskIdentity(pskIdentity)
    if (identity === undefined) return refused(new Reason.Unexpected())
    const verdict = expected.judge(pskIdentity, now())
    if (verdict._tag === "Expected") {
      const { entries } = verdict
      // The tag covers both: all entries have the same.
      return { _tag: "Announced", peer: entries[0].peer, attempt: identity.attempt, entries }
    }
    if (verdict._tag !== "Unexpected") return refused(reasons[verdict._tag](), verdict.peer)
    const found = group.judge(identity)
    if (found === undefined) return refused(new Reason.Unexpected())
    if (found._tag !== "Expected") return refused(reasons[found._tag](), found.member.key)
    return { _tag: "Member", peer: found.member.key, attempt: identity.attempt, member: found.member }
  }

  #reject(remote: IpEndpoint, peer: PublicKey | undefined, reason: Rejection): void {
    this.#options.onRejected(peer === undefined ? formatHostPort(remote) : toHex(peer), reason)
  }
}
/** The meeting that a caller in this role belongs to. */
const meetingOf = (verdict: Exclude<Verdict, { readonly _tag: "Refused" }>, role: number): Meeting | undefined => {
  if (verdict._tag === "Member") {
    return role === directRoles.nobody ? verdict.member.meeting(verdict.attempt) : undefined
  }
  const announcedBy = role === directRoles.dialler ? "peer" : role === directRoles.listener ? "us" : undefined
  return verdict.entries.find((entry) => entry.announcedBy === announcedBy)?.value.meeting
}
