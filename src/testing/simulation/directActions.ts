/** What can happen to direct links in a world of sessions. */
import * as Effect from "effect/Effect"
import * as Base64Url from "effect/encoding/Base64Url"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import type { DirectSecret } from "../../services/DirectTransport.ts"
import { DirectTransport } from "../../services/DirectTransport.ts"
import * as DirectTransportMemory from "../DirectTransportMemory.ts"
import { type MemoryConnection, MemoryNetwork } from "../MemoryNetwork.ts"
import type { ActionOn } from "./Action.ts"
import { duration, over } from "./actions.ts"
import type { KnownPeer } from "./sessionProgram.ts"
import type { Sessions } from "./Sessions.ts"
import { isDirect, type UsedAttempt } from "./simulatedDirect.ts"
import type { World } from "./World.ts"

export interface DirectActors {
  /** Whether the nodes of this world make direct links. */
  readonly hasDirect: boolean
  readonly peers: ReadonlySet<KnownPeer>
  readonly sessions: Sessions
  readonly attempts: ReadonlyArray<UsedAttempt>
}

/** The machine of somebody who has no business here. */
const stranger = "10.9.9.9"

const someConnection = ({ dice, network }: World): MemoryConnection | undefined =>
  dice.pick(network.connections().filter(({ client, server }) => isDirect(server) && client !== stranger))

const action = (
  name: string,
  weight: number,
  apply: (actors: DirectActors, world: World) => Effect.Effect<void> | undefined
): ActionOn<DirectActors> => ({
  name,
  weight,
  apply: (actors, world) => actors.hasDirect ? apply(actors, world) : undefined
})

/**
 * Calls a node with such a key and says nothing more. It must be turned away, at once or, where the key is that of an attempt that is still
 * expected, after a while, and must not be told anything.
 */
const call = (world: World, name: string, secret: DirectSecret): Effect.Effect<void> | undefined => {
  const node = world.nodes.find((other) => other.name === name)
  if (node === undefined || !node.isUp()) return undefined
  const calling = Effect.gen(function*() {
    const transport = yield* DirectTransport
    const stream = yield* transport.connect(node.directAddress(), secret)
    yield* Effect.callback<void>((resume) => {
      const onBytes = () => void world.violations.push(`${name} told a stranger something`)
      stream.handle({ onBytes, onWritable: () => undefined, onClosed: () => resume(Effect.void) })
    })
  }).pipe(
    Effect.provide(DirectTransportMemory.transportOf(stranger)),
    Effect.provide(Layer.succeed(MemoryNetwork, world.network)),
    Effect.scoped,
    Effect.timeoutOption("10 seconds"),
    Effect.exit,
    Effect.map((exit) => {
      const hasEnded = Exit.isFailure(exit) || exit.value._tag === "Some"
      if (!hasEnded) world.violations.push(`${name} keeps a stranger for over 10 s`)
    })
  )
  return world.later(0, calling)
}

export const actions: ReadonlyArray<ActionOn<DirectActors>> = [
  action("direct way closed", 4, (_, world) => {
    const { dice, network, nodes } = world
    const [a, b] = dice.sample(nodes, 2)
    if (a === undefined || b === undefined) return undefined
    const [there, back] = [a.directAddress(), b.directAddress()]
    // Often only one of the two can dial.
    const both = dice.chance(0.5)
    return Effect.suspend(() => {
      const heals = [network.partition([there.host], [back])]
      if (both) heals.push(network.partition([back.host], [there]))
      const heal = () => heals.forEach((end) => end())
      world.partitions.add(heal)
      return world.later(duration(world), over(world, "direct way open again", heal))
    })
  }),
  action("direct stream reset", 4, (_, world) => {
    const connection = someConnection(world)
    return connection && Effect.sync(connection.reset)
  }),
  action("direct stream frozen", 4, (_, world) => {
    const connection = someConnection(world)
    if (connection === undefined) return undefined
    const direction = world.dice.pick(["toServer", "toClient", undefined] as const)
    return Effect.suspend(() => {
      connection.freeze(direction)
      return world.later(duration(world), over(world, "direct stream thawed", connection.thaw))
    })
  }),
  action("policy", 2, ({ peers, sessions }, { dice }) => {
    const peer = dice.pick(Array.from(peers).filter(({ relation }) => sessions.isRunning(relation)))
    return peer?.relation.handle.setPolicy(dice.pick(["auto", "auto", "relayed", "direct"] as const)!)
  }),
  action("stranger calls", 2, (_, world) => {
    const bytes = Uint8Array.from({ length: 32 }, () => world.dice.between(0, 255))
    const pskIdentity = Base64Url.encode(bytes)
    return call(world, world.dice.pick(world.nodes)!.name, { pskIdentity, psk: bytes })
  }),
  action("used attempt tried again", 3, ({ attempts }, world) => {
    const used = world.dice.pick(attempts)
    return used && call(world, used.peer, used.secret)
  })
]
