import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Schema from "effect/Schema"
import { checked, valid } from "./settingsConfig.ts"
import { duration, settingsProblem } from "./settingsProblem.ts"

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

/** A setting of the node is out of its range. The message says which, and what to use instead. */
export class NodeSettingsInvalid extends Schema.TaggedError<NodeSettingsInvalid>()("NodeSettingsInvalid", {
  message: Schema.String
}) {}

const roles: ReadonlyArray<NodeRole> = ["full", "client"]

/** What is wrong with these settings and what to do about it; undefined when they are in order. */
export const problemOf = ({ goodbyeTimeout, role }: NodeNumbers): string | undefined =>
  roles.includes(role)
    ? settingsProblem({ goodbyeTimeout }, { goodbyeTimeout: duration })
    : `role is ${String(role)}: use one of ${roles.join(", ")}`

/** The settings of the node, unless they cannot work. */
export const validNodeSettings = valid(NodeSettings, problemOf, NodeSettingsInvalid)

/**
 * The same out of `CAUSEWAY_ROLE` (`full` or `client`) and `CAUSEWAY_GOODBYE_TIMEOUT` (milliseconds), for those that are set. What the layers
 * would refuse is a `ConfigError`.
 */
export const nodeSettingsConfig: Config.Config<NodeNumbers> = Config.all({
  role: Config.Literals(roles, "CAUSEWAY_ROLE").pipe(Config.withDefault(defaults.role)),
  goodbyeTimeout: Config.Number("CAUSEWAY_GOODBYE_TIMEOUT").pipe(Config.withDefault(defaults.goodbyeTimeout))
}).pipe(checked(problemOf))

/** This node takes no calls, because its settings make it a client. */
export class NodeIsClient extends Schema.TaggedError<NodeIsClient>()("NodeIsClient", {}) {
  override get message(): string {
    return "this node is a client, which takes no calls from others: call the peer from here, or make it a full node " +
      "(role \"full\" in NodeSettings)"
  }
}
