/**
 * Joins a TCP connection with a session: both directions, each held back by its slower side and ended on its own. What breaks on
 * one side breaks on the other, so that a broken stream is never taken for a complete one. It neither opens nor closes either.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Net from "node:net"
import type { ByteSession } from "../services/Session.ts"
import type { SessionError } from "../services/SessionError.ts"
import * as NodeStreams from "./nodeStreams.ts"
import { CommandCode } from "./sessionCode.ts"
import { SocketBroken } from "./SocketBroken.ts"
import { broken } from "./tcp.ts"

/** What a bridge needs of a session. */
export type BridgedSession = Pick<ByteSession, "read" | "write" | "end" | "delivered" | "reset" | "closed">

/** How long bytes that had arrived before a break may take to reach the other side. */
const lingerTimeout = "2 seconds"

/**
 * Succeeds when both directions have ended and everything has arrived on both sides. When the connection breaks, what it had sent
 * is delivered and the session is reset, with the reason; when the session fails, it fails: close the scope that owns the
 * socket then, which resets the connection. Either takes four seconds at most.
 */
export const bridge = Effect.fn("tcpBridge")(function*(
  socket: Net.Socket,
  session: BridgedSession
): Effect.fn.Return<void, SocketBroken | SessionError, Scope.Scope> {
  const fail = (detail: string) => new SocketBroken({ detail })
  const input = yield* NodeStreams.source(socket, { fail, closed: "fails" })
  const output = yield* NodeStreams.sink(socket, fail)
  const outgoingOver = yield* Deferred.make<void>()
  const incomingOver = yield* Deferred.make<void>()
  const within = <A, E>(effect: Effect.Effect<A, E>) => Effect.ignore(Effect.timeoutOption(effect, lingerTimeout))

  const outgoing = NodeStreams.copy(input, session.write).pipe(
    Effect.andThen(session.end),
    Effect.ensuring(Deferred.succeed(outgoingOver, undefined)),
    // The other direction fails with the same error, after everything that had arrived has been written.
    Effect.catchTag("SessionError", () => Effect.never)
  )
  const incoming = NodeStreams.copy(session.read, output.write).pipe(
    Effect.andThen(output.end),
    // A service may answer, close, and refuse the rest of the request with that: its answer is passed on first.
    Effect.tapErrorTag("SocketBroken", () => within(Deferred.await(outgoingOver))),
    Effect.ensuring(Deferred.succeed(incomingOver, undefined))
  )
  // Breaks are noticed also while both directions wait, and after one has ended; what had arrived goes first.
  const sessionLost = Effect.tapError(session.closed, () => within(Deferred.await(incomingOver)))
  const socketLost = Effect.tapError(broken(socket), () => Effect.sleep(lingerTimeout))

  yield* Effect.all([outgoing, incoming, sessionLost], { concurrency: "unbounded", discard: true }).pipe(
    Effect.raceFirst(socketLost),
    Effect.tapErrorTag(
      "SocketBroken",
      (error) => Effect.andThen(within(session.delivered), session.reset(CommandCode.socketBroken, error.message))
    )
  )
}, Effect.scoped)
