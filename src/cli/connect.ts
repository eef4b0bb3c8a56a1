/** `causeway connect`: stdin and stdout joined with the peer of a ticket, like netcat. stdout carries the peer's bytes only. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as NodeLayer from "./nodeLayer.ts"
import * as Output from "./output.ts"
import { reportLinks } from "./pathReport.ts"
import { pipeSession, sessionName } from "./pipeSession.ts"
import { openBytes, reach } from "./reach.ts"
import * as Relays from "./relays.ts"
import * as Tickets from "./tickets.ts"

export interface Input {
  readonly ticket: string
  readonly identity: Option.Option<string>
  readonly paths: NodeLayer.Paths
  readonly json: boolean
}

export const run = (input: Input) =>
  Effect.gen(function*() {
    const output = Output.make({ json: input.json, events: "stderr" })
    const address = yield* Tickets.read(input.ticket)
    yield* Relays.hold(address.relays, output)
    const peer = yield* reach(address)
    const session = yield* openBytes(peer, sessionName, "causeway listen")
    yield* Effect.forkScoped(reportLinks(output, peer))
    yield* pipeSession(output, peer, session, { emptyInput: "ends" })
  }).pipe(Effect.scoped, Effect.provide(NodeLayer.layer(Option.getOrUndefined(input.identity), input.paths)))
