/**
 * `causeway forward`: a local TCP port, each connection to which is carried by a session of its own to the TCP service behind the
 * peer's `listen --forward`.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Net from "node:net"
import { toHex } from "../schema/Bytes.ts"
import { formatHostPort } from "../schema/RelayAddress.ts"
import type { SessionError } from "../services/SessionError.ts"
import { CommandFailed } from "./failure.ts"
import { carry, forwardName, maxConnections, openTimeout } from "./forwarded.ts"
import * as KeptPeer from "./keptPeer.ts"
import { listenFailure } from "./listenFailure.ts"
import * as NodeLayer from "./nodeLayer.ts"
import * as Output from "./output.ts"
import { reportPaths } from "./pathReport.ts"
import * as Relays from "./relays.ts"
import type { SocketBroken } from "./SocketBroken.ts"
import * as Tcp from "./tcp.ts"
import * as Tickets from "./tickets.ts"

export interface Input {
  readonly ticket: string
  readonly listen: Tcp.Address
  readonly identity: Option.Option<string>
  readonly paths: NodeLayer.Paths
  readonly json: boolean
}

/** Before a session is asked for again that ended together with everything else of the peer's. */
const retryPause = "100 millis"

/** A session for a connection. One that fails because the peer is gone as a whole is tried again with the next one. */
const open = (kept: KeptPeer.KeptPeer) =>
  Effect.gen(function*() {
    for (;;) {
      const peer = yield* kept.peer
      const opened = yield* peer.openBytes(forwardName).pipe(
        Effect.map(Option.some),
        Effect.catchTag("SessionError", (error) =>
          error.reason._tag === "SessionRefused" || error.reason._tag === "SessionReset"
            ? Effect.fail(error)
            : Effect.as(Effect.sleep(retryPause), Option.none()))
      )
      if (Option.isSome(opened)) {
        return opened.value
      }
    }
  }).pipe(
    Effect.timeoutOrElse({
      duration: openTimeout,
      orElse: () =>
        Effect.fail(new CommandFailed({ detail: "the peer did not accept the connection within 10 s" }))
    })
  )

/** Opens the port, and forwards every connection once `keep` has found the peer. Never ends by itself. */
export const forward = Effect.fnUntraced(function*<E, R>(
  output: Output.Output,
  listen: Tcp.Address,
  keep: Effect.Effect<KeptPeer.KeptPeer, E, R>
) {
  const ready = yield* Deferred.make<KeptPeer.KeptPeer>()
  let connections = 0
  const handle = (socket: Net.Socket) =>
    Effect.gen(function*() {
      const number = ++connections
      const from = Tcp.farSide(socket)
      const session = yield* Effect.flatMap(Deferred.await(ready), open).pipe(
        Effect.raceFirst(Tcp.broken(socket)),
        Effect.map(Option.some),
        Effect.catch((error) => Effect.as(refused(output, number, from, error), Option.none()))
      )
      if (Option.isSome(session)) yield* carry(output, { number, from, socket }, session.value)
    }).pipe(Effect.scoped)
  const bound = yield* Tcp.listen(listen, {
    maxConnections,
    handle,
    onRefused: (from) => {
      const error = new CommandFailed({ detail: `more than ${maxConnections} connections at a time` })
      return refused(output, ++connections, from, error)
    }
  }).pipe(Effect.catch((error) => Effect.fail(listenFailure(listen, { host: "--listen", port: "--listen" }, error))))

  yield* Deferred.succeed(ready, yield* keep)
  yield* output.event({ event: "listening", ...bound }, `listening on ${formatHostPort(bound)}`)
  return yield* Effect.never
})

/** A connection that nobody carries; it is reset. */
const refused = (
  output: Output.Output,
  number: number,
  from: string,
  error: SessionError | SocketBroken | CommandFailed
) => {
  const { message } = error
  const reason = error._tag === "SessionError" ? error.reason._tag : error._tag
  const record = { event: "refused", connection: number, from, reason, message: Output.oneLine(message) }
  return output.event(record, `${number} refused from ${from}: ${Output.oneLine(message)}`)
}

export const run = (input: Input) =>
  Effect.gen(function*() {
    const output = Output.make({ json: input.json, events: "stdout" })
    const address = yield* Tickets.read(input.ticket)
    const identityKey = toHex(address.identityKey)
    const keep = Effect.andThen(
      Relays.hold(address.relays, output),
      KeptPeer.keep(address, {
        found: output.event({ event: "connected", identityKey }, `connected to ${identityKey}`),
        present: (peer) => reportPaths(output, peer),
        lost: (error) =>
          output.event(
            { event: "disconnected", identityKey, reason: error.reason._tag },
            `disconnected: ${error.message}; calling again`
          )
      })
    )
    return yield* forward(output, input.listen, keep)
  }).pipe(Effect.scoped, Effect.provide(NodeLayer.layer(Option.getOrUndefined(input.identity), input.paths)))
