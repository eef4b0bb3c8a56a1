/** What every command does that peers call: it announces itself by a ticket and serves all who may come, each on its own. */
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import type * as Scope from "effect/Scope"
import { equalBytes, type PublicKey, toHex } from "../schema/Bytes.ts"
import type { RelayAddress } from "../schema/RelayAddress.ts"
import { Causeway, type Peer } from "../services/Causeway.ts"
import { DirectLinks } from "../services/DirectLinks.ts"
import { Identity } from "../services/Identity.ts"
import type { SessionOffer } from "../services/Session.ts"
import type { Output } from "./output.ts"
import { reportPaths } from "./pathReport.ts"
import * as Peers from "./peers.ts"
import * as PingSession from "./pingSession.ts"
import * as Relays from "./relays.ts"
import * as Tickets from "./tickets.ts"

/** How long what a lost peer leaves may take to end. */
const farewellTimeout = "5 seconds"

/** Lets the allowed peers call, everybody when none is named, and prints the ticket once a relay is reached. */
export const announce = Effect.fnUntraced(function*(
  output: Output,
  input: { readonly relays: ReadonlyArray<RelayAddress>; readonly allow: ReadonlyArray<PublicKey> }
) {
  const causeway = yield* Causeway
  const endpoints = yield* (yield* DirectLinks).endpoints
  const ticket = yield* Tickets.write(yield* Identity, input.relays, endpoints)
  yield* Relays.hold(input.relays, output)
  yield* causeway.setAcceptPolicy((key) =>
    input.allow.length === 0 || input.allow.some((allowed) => equalBytes(allowed, key))
  )
  yield* output.event({ event: "ticket", ticket }, ticket)
})

/** One peer's visit. Pings are answered; every other offered session is handled at once, in a fiber and a scope of its own. */
const visit = Effect.fnUntraced(function*(
  output: Output,
  peer: Peer,
  handle: (offer: SessionOffer) => Effect.Effect<void, never, Scope.Scope>
): Effect.fn.Return<void, never, Scope.Scope> {
  const identityKey = toHex(peer.identityKey)
  yield* output.event({ event: "connected", identityKey }, `connected to ${identityKey}`)
  yield* Effect.forkScoped(reportPaths(output, peer))
  const handlers = yield* FiberSet.make<void>()
  const next = Effect.flatMap(peer.accept, (offer) => {
    const isPing = offer.name === PingSession.sessionName
    return FiberSet.run(handlers, isPing ? Effect.ignore(PingSession.echo(offer)) : Effect.scoped(handle(offer)))
  })
  const error = yield* Effect.flip(Effect.forever(next))
  yield* Effect.timeoutOption(FiberSet.awaitEmpty(handlers), farewellTimeout)
  yield* output.event(
    { event: "disconnected", identityKey, reason: error.reason._tag },
    `disconnected: ${error.message}`
  )
})

/**
 * Serves every peer that calls, and never ends by itself. `serve` is asked once a visit; `gone` is run when everything of that visit
 * has ended.
 */
export const servePeers = Effect.fnUntraced(function*(
  output: Output,
  serve: (peer: Peer) => {
    readonly handle: (offer: SessionOffer) => Effect.Effect<void, never, Scope.Scope>
    readonly gone: Effect.Effect<void>
  }
) {
  const causeway = yield* Causeway
  return yield* Peers.forEach(causeway, (peer) => {
    const { gone, handle } = serve(peer)
    return Effect.andThen(Effect.scoped(visit(output, peer, handle)), gone)
  })
})
