/**
 * `causeway listen --forward`: every session that a peer opens for a connection is joined with a connection of its own to one TCP
 * service. Many peers and many connections at once.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { SessionCode } from "../protocol/session/sessionFault.ts"
import { type PublicKey, toHex } from "../schema/Bytes.ts"
import { formatHostPort, type RelayAddress } from "../schema/RelayAddress.ts"
import type { TransportError } from "../services/RelayTransport.ts"
import type { SessionOffer } from "../services/Session.ts"
import { carry, forwardName, maxConnections, openTimeout } from "./forwarded.ts"
import * as NodeLayer from "./nodeLayer.ts"
import * as Output from "./output.ts"
import { announce, servePeers } from "./servePeers.ts"
import { CommandCode } from "./sessionCode.ts"
import * as Tcp from "./tcp.ts"

export interface Input {
  readonly identity: string
  readonly relays: ReadonlyArray<RelayAddress>
  readonly allow: ReadonlyArray<PublicKey>
  readonly paths: NodeLayer.Paths
  readonly forward: Tcp.Address
  readonly once: boolean
  readonly json: boolean
}

/** What the peer is told when the service cannot be reached. Where the service is remains ours. */
const explain = (error: TransportError | "timeout"): string => {
  if (error === "timeout") return "the service did not answer within 10 s"
  switch (error.kind) {
    case "Refused":
      return `the service refuses connections (${error.detail}); it may not be running`
    case "NotFound":
      return `the service's host name is not known (${error.detail})`
    default:
      return `the service cannot be reached (${error.detail})`
  }
}

/** Serves the forwarded sessions of one peer after the other until the scope closes. */
export const serveForward = Effect.fnUntraced(function*(
  output: Output.Output,
  service: Tcp.Address,
  onGone: Effect.Effect<void>
) {
  let connections = 0
  let open = 0
  const counted = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.acquireUseRelease(Effect.sync(() => open++), () => effect, () => Effect.sync(() => open--))
  const refuse = (offer: SessionOffer, from: string, number: number, code: number, message: string) =>
    Effect.andThen(
      offer.refuse(code, message),
      output.event(
        { event: "refused", connection: number, from, code, message },
        `${number} refused from ${from}: ${Output.oneLine(message)}`
      )
    )
  const handle = (from: string) => (offer: SessionOffer) =>
    Effect.gen(function*() {
      const number = ++connections
      const turnDown = (code: number, message: string) => refuse(offer, from, number, code, message)
      if (offer.name !== forwardName) {
        return yield* turnDown(CommandCode.unknownName, `only "${forwardName}" is offered here`)
      }
      if (open > maxConnections) return yield* turnDown(SessionCode.busy, "too many connections at a time")
      const dialled = yield* Tcp.dial(service).pipe(
        Effect.timeoutOrElse({ duration: openTimeout, orElse: () => Effect.fail("timeout" as const) }),
        Effect.result
      )
      if (dialled._tag === "Failure") return yield* turnDown(CommandCode.serviceUnreachable, explain(dialled.failure))
      // Whoever opened it may have given up meanwhile.
      const session = yield* Effect.option(offer.bytes)
      if (session._tag === "Some") yield* carry(output, { number, from, socket: dialled.success }, session.value)
    }).pipe(counted)
  return yield* servePeers(output, (peer) => ({ handle: handle(toHex(peer.identityKey)), gone: onGone }))
})

export const run = (input: Input) =>
  Effect.gen(function*() {
    const output = Output.make({ json: input.json, events: "stdout" })
    yield* announce(output, input)
    yield* output.note(`forwarding to ${formatHostPort(input.forward)}`)
    const gone = yield* Deferred.make<void>()
    yield* Effect.raceFirst(
      serveForward(output, input.forward, input.once ? Effect.asVoid(Deferred.succeed(gone, undefined)) : Effect.void),
      Deferred.await(gone)
    )
  }).pipe(Effect.scoped, Effect.provide(NodeLayer.layer(input.identity, input.paths)))
