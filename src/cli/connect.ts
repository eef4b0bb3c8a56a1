/** `causeway connect`: stdin and stdout joined with the peer of a ticket, like netcat. stdout carries the peer's bytes only. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { toHex } from "../schema/Bytes.ts"
import { CommandFailed } from "./failure.ts"
import * as NodeLayer from "./nodeLayer.ts"
import * as Output from "./output.ts"
import { pipeSession, reportLinks, sessionName } from "./pipeSession.ts"
import { reach } from "./reach.ts"
import * as Relays from "./relays.ts"
import * as Tickets from "./tickets.ts"

export interface Input {
  readonly ticket: string
  readonly identity: Option.Option<string>
  readonly json: boolean
}

/** How long a connected peer may take to accept the session. */
const acceptTimeout = "15 seconds"

export const run = (input: Input) =>
  Effect.gen(function*() {
    const output = Output.make({ json: input.json, events: "stderr" })
    const address = yield* Tickets.read(input.ticket)
    yield* Relays.hold(address.relays, output)
    const peer = yield* reach(address)
    const detail = `peer ${
      toHex(peer.identityKey).slice(0, 16)
    } did not accept the session within 15 s; check what it is running`
    const session = yield* peer.openBytes(sessionName).pipe(
      Effect.timeoutOrElse({ duration: acceptTimeout, orElse: () => Effect.fail(new CommandFailed({ detail })) })
    )
    yield* Effect.forkScoped(reportLinks(output, peer))
    yield* pipeSession(output, peer, session, { emptyInput: "ends" })
  }).pipe(Effect.scoped, Effect.provide(NodeLayer.layer(Option.getOrUndefined(input.identity))))
