/**
 * What `causeway connect` does, by a node that has relays of its own: those of the ticket are then only for this peer.
 *
 *     node caller.ts IDENTITYFILE TICKET RELAY...
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as NodeLayer from "../../../src/cli/nodeLayer.ts"
import * as Output from "../../../src/cli/output.ts"
import { reportLinks } from "../../../src/cli/pathReport.ts"
import { pipeSession, sessionName } from "../../../src/cli/pipeSession.ts"
import { openBytes, reach } from "../../../src/cli/reach.ts"
import * as Relays from "../../../src/cli/relays.ts"
import * as Tickets from "../../../src/cli/tickets.ts"
import { parseRelayAddress } from "../../../src/schema/RelayAddress.ts"

const [, , identityFile, ticket = "", ...relays] = process.argv

Effect.gen(function*() {
  const output = Output.make({ json: true, events: "stderr" })
  const address = yield* Tickets.read(ticket)
  yield* Relays.hold(relays.map((text) => Result.getOrThrow(parseRelayAddress(text))), output)
  const peer = yield* reach(address)
  const session = yield* openBytes(peer, sessionName, "causeway listen")
  yield* Effect.forkScoped(reportLinks(output, peer))
  yield* pipeSession(output, peer, session, { emptyInput: "ends" })
}).pipe(
  Effect.scoped,
  Effect.provide(NodeLayer.layer(identityFile, { direct: Option.none(), policy: Option.none() })),
  // stdin keeps the process otherwise.
  NodeRuntime.runMain({ teardown: (exit, onExit) => onExit(exit._tag === "Success" ? 0 : 1) })
)
