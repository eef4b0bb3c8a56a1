import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Schema from "effect/Schema"

/** What a node takes part as. */
export type NodeRole =
  /** Calls peers, and takes the calls of those that its accept policy lets in. */
  | "full"
  /** Calls peers only: it listens nowhere, and a stranger who calls gets no answer at all (row M03). */
  | "client"

/** Settings of the node as a whole. */
export interface NodeNumbers {
  readonly role: NodeRole
  /** How long the goodbyes of a node that is being terminated may take, milliseconds; then they are cut short. */
  readonly goodbyeTimeout: number
}

const defaults: NodeNumbers = { role: "full", goodbyeTimeout: 3_000 }

/** Settings of the node as a whole: a full node, unless it says otherwise. */
export const NodeSettings = Context.Reference<NodeNumbers>("causeway/services/NodeSettings", {
  defaultValue: () => defaults
})

/** The same out of `CAUSEWAY_ROLE` (`full` or `client`) and `CAUSEWAY_GOODBYE_TIMEOUT` (milliseconds), for those that are set. */
export const nodeSettingsConfig: Config.Config<NodeNumbers> = Config.all({
  role: Config.Literals(["full", "client"], "CAUSEWAY_ROLE").pipe(Config.withDefault(defaults.role)),
  goodbyeTimeout: Config.schema(
    Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 2_147_483_647 })),
    "CAUSEWAY_GOODBYE_TIMEOUT"
  ).pipe(Config.withDefault(defaults.goodbyeTimeout))
})

/** This node takes no calls, because its settings make it a client. */
export class NodeIsClient extends Schema.TaggedError<NodeIsClient>()("NodeIsClient", {}) {
  override get message(): string {
    return "this node is a client, which takes no calls from others: call the peer from here, or make it a full node " +
      "(role \"full\" in NodeSettings)"
  }
}
