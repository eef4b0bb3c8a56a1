/**
 * Our own dials of one attempt: all endpoints of the peer with a short stagger until the first stream is decided, then the other streams at
 * once where the first one got through (design, "Direct links"). Each connection is a fiber that holds its scope open until the connection
 * has ended. Which connection wins is `Meeting`'s business.
 */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { DirectHello, DirectHelloAck } from "../schema/DirectPacket.ts"
import type { IpEndpoint } from "../schema/IpEndpoint.ts"
import { formatHostPort } from "../schema/RelayAddress.ts"
import type { DirectNumbers } from "../services/DirectSettings.ts"
import type { DirectSecret, DirectStream, DirectTransport } from "../services/DirectTransport.ts"
import type { Meeting, MeetingConnection } from "./directMeeting.ts"
import { OpeningStream } from "./directOpening.ts"

/** Milliseconds before the next endpoint is tried beside one that has not answered (RFC 8305 recommends 250). */
const stagger = 250

/**
 * Of the handshakes that a listener allows one address at a time, the share that one link takes: others may call from there, and one that
 * is turned away costs the whole link. The peer's limit is not told to us: ours, which both have unless one was set, stands for it.
 */
const shareOfPending = 1 / 2

export interface DialOptions {
  readonly transport: DirectTransport["Service"]
  readonly numbers: DirectNumbers
  readonly meeting: Meeting
  readonly secret: DirectSecret
  /** Our identity key, the attempt and who announced it. */
  readonly hello: Pick<DirectHello, "identityKey" | "attempt" | "role">
  readonly endpoints: ReadonlyArray<IpEndpoint>
  /** Milliseconds before the first dial. */
  readonly delay: number
  /** Told of every dial that came to nothing. */
  readonly onFailed: (what: string) => void
}

/** Dials until the streams are made or nothing is left to try. Connections live on in the scope. */
export const dial = (options: DialOptions): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function*() {
    const { delay, endpoints, meeting } = options
    if (delay > 0) yield* Effect.raceFirst(Effect.sleep(delay), decided(meeting, 0))
    const dials: Array<Latch.Latch> = []
    for (const endpoint of endpoints) {
      if (meeting.isDecided(0) || meeting.isEnded) break
      const over = Latch.makeUnsafe(false)
      dials.push(over)
      yield* Effect.forkScoped(dialOne(options, 0, endpoint, over))
      yield* Effect.raceAllFirst([Effect.sleep(stagger), over.await, decided(meeting, 0)])
    }
    for (const over of dials) yield* Effect.raceFirst(over.await, decided(meeting, 0))
    const { count, reached } = meeting
    if (meeting.dialler !== "dialled" || count === undefined || reached === undefined) return
    const most = Math.max(1, Math.floor(options.numbers.maxPendingPerAddress * shareOfPending))
    for (let streamId = 1; streamId < count; streamId++) {
      yield* meeting.options.waiters.until(() => {
        let underway = 0
        for (let earlier = 1; earlier < streamId; earlier++) if (!meeting.isDecided(earlier)) underway++
        return underway < most || meeting.isEnded ? Effect.void : undefined
      })
      if (meeting.isEnded) return
      yield* Effect.forkScoped(
        dialOne(options, streamId, reached, Latch.makeUnsafe(false)).pipe(
          // Without this stream there will be no link.
          Effect.ensuring(Effect.sync(() => meeting.isDecided(streamId) || meeting.end()))
        )
      )
    }
  })

/** Waits until it is known which connection is the stream, or that there will be none. */
const decided = (meeting: Meeting, streamId: number): Effect.Effect<void> =>
  meeting.options.waiters.until(() => meeting.isDecided(streamId) || meeting.isEnded ? Effect.void : undefined)

/** One connection, from the dial until it has ended. `over` opens when it can no longer win. */
const dialOne = (
  options: DialOptions,
  streamId: number,
  endpoint: IpEndpoint,
  over: Latch.Latch
): Effect.Effect<void> => {
  const { meeting, numbers, onFailed, secret, transport } = options
  const { waiters } = meeting.options
  const where = formatHostPort(endpoint)
  const failed = (what: string) =>
    Effect.sync(() => {
      onFailed(what)
      return undefined
    })
  return Effect.gen(function*() {
    const stream = yield* transport.connect(endpoint, secret).pipe(
      Effect.timeoutOrElse({
        duration: numbers.dialTimeout,
        orElse: () => failed(`${where} did not answer within ${numbers.dialTimeout} ms`)
      }),
      Effect.catchTag("TransportError", (error) => failed(`${where} ${error.message}`)),
      Effect.raceFirst(decided(meeting, streamId))
    )
    if (stream === undefined) return
    const connection = open(options, streamId, stream)
    const settled = waiters.until(() => connection.isAcknowledged || connection.isEnded ? Effect.void : undefined)
    // The greater identity may be waiting for a dial of its own before it acknowledges: the lower one has no deadline but the attempt's.
    if (meeting.options.greater) {
      yield* Effect.raceFirst(
        settled,
        Effect.andThen(Effect.sleep(numbers.handshakeTimeout), Effect.sync(() => connection.opening.destroy()))
      )
    }
    yield* settled
    if (!connection.isAcknowledged && !meeting.isDecided(streamId)) onFailed(`${where} did not acknowledge`)
    if (!connection.isAcknowledged) over.openUnsafe()
    yield* waiters.until(() => connection.isEnded ? Effect.void : undefined)
  }).pipe(Effect.scoped, Effect.ensuring(Effect.sync(() => over.openUnsafe())))
}

/** Says hello on a secured stream, and tells the meeting what becomes of it. */
const open = ({ hello, meeting }: DialOptions, streamId: number, stream: DirectStream): MeetingConnection => {
  const opening = new OpeningStream(stream, DirectHelloAck.maxSize, {
    onPacket: (packet) => {
      const ack = DirectHelloAck.decode(packet)
      if (Result.isSuccess(ack) && ack.success.streamId === streamId) {
        meeting.acknowledged(connection, ack.success.streams)
      } else opening.destroy()
    },
    onUsed: () => meeting.used(connection),
    onClosed: () => meeting.closed(connection)
  })
  const connection = meeting.dialled(streamId, opening)
  if (!connection.isEnded) {
    const streams = meeting.count ?? meeting.options.streams
    opening.write([DirectHello.encode(DirectHello.make({ ...hello, streamId, streams }))])
  }
  opening.begin()
  return connection
}
