/**
 * Peers of a simulated world that sleep and wake, as they do when a direct way to them comes and goes. There is no direct way here: while
 * a peer sleeps its connection may carry nothing, and once it is awake everything must flow again. What a call does at once to the
 * relays and to the other peers of the node is judged here (rows T27 to T32).
 */
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import type { PeerPath } from "../../protocol/registry/PeerPath.ts"
import { toHex } from "../../schema/Bytes.ts"
import { RegistrySettings } from "../../services/RegistrySettings.ts"
import type { SimulatedNode } from "./SimulatedNode.ts"
import type { World } from "./World.ts"

/** A path and the node whose it is. */
export interface Sleeper {
  readonly node: SimulatedNode
  readonly path: PeerPath
}

/** One or both ends of a connection that works; undefined when there is none, or it sleeps already. */
export const chooseForSleep = ({ dice, nodes, traffic }: World): ReadonlyArray<Sleeper> | undefined => {
  const end = dice.pick(traffic.connected())
  const isBoth = dice.chance(0.5)
  const node = nodes.find(({ name }) => name === end?.node)
  const peer = nodes.find(({ name }) => name === end?.peer)
  if (node === undefined || peer === undefined) return undefined
  const chosen = [{ node, peer }, ...(isBoth ? [{ node: peer, peer: node }] : [])].flatMap(({ node, peer }) => {
    const path = node.paths().get(toHex(peer.address().dhtKey))
    return path === undefined || path.isAsleep ? [] : [{ node, path }]
  })
  return chosen.length === 0 ? undefined : chosen
}

/** Everybody who sleeps now. */
export const asleep = ({ nodes }: World): ReadonlyArray<Sleeper> =>
  nodes.flatMap((node) =>
    Array.from(node.paths().values()).filter(({ isAsleep }) => isAsleep).map((path) => ({ node, path }))
  )

/** Lets a peer sleep or wakes it. To be run by whoever moves the clock: it lets the present moment pass. */
export const change = Effect.fnUntraced(function*(world: World, { node, path }: Sleeper, how: "sleep" | "wake") {
  const { desiredRelays } = yield* RegistrySettings
  // What is due has happened now; what follows comes of this call alone.
  yield* TestClock.adjust(0)
  const others = Array.from(node.paths().values())
    .filter((other) => other !== path && !other.isAsleep)
    .map((other) => ({ other, before: Math.min(desiredRelays, reach(other)) }))
  const stopped = yield* stoppedRelays(node)
  if (how === "wake") path.wake()
  else {
    const kept = world.dice.chance(1 / 4) ? 1 : 0
    if (kept > 0) world.trace.count("relay kept for a sleeper", node.name)
    path.sleep(kept)
  }
  yield* TestClock.adjust(0)
  const now = yield* stoppedRelays(node)
  if (how === "sleep") {
    const left = Array.from(now).filter((relay) => !stopped.has(relay))
    for (const relay of left) world.trace.count("relay stopped asleep", `${node.name} ${relay}`)
    world.leftAsleep.set(path, left)
  } else {
    const back = Array.from(stopped).filter((relay) => !now.has(relay))
    for (const relay of back) world.trace.count("relay started again", `${node.name} ${relay}`)
    // A tie may have been given up meanwhile, hence one of them is enough.
    const wanted = world.leftAsleep.get(path) ?? []
    // In the same moment net_crypto may have put it to sleep for a direct link.
    const isOurs = !world.hasDirect
    if (isOurs && path.isAsleep) world.violations.push(`T30 ${node.name} has woken a peer, and it sleeps`)
    if (isOurs && wanted.length > 0 && wanted.every((relay) => now.has(relay))) {
      world.violations.push(`T30 ${node.name} has woken a peer and dials none of ${wanted.join(", ")}`)
    }
  }
  for (const { before, other } of others) {
    if (reach(other) >= before) continue
    const what = `${node.name} reaches a peer over ${reach(other)} relays instead of ${before}`
    world.violations.push(`C03 ${what}: another peer's ${how} has disturbed it`)
  }
})

/** Relays over which the peer can be sent to now. */
const reach = (path: PeerPath): number => path.carrier() === 0 ? 0 : 1 + path.standbys().length

/** Hosts of the relays that the node knows and does not want to be connected to. */
const stoppedRelays = (node: SimulatedNode): Effect.Effect<ReadonlySet<string>> =>
  Effect.map(
    node.relayStatus,
    (relays) => new Set(relays.filter(({ state }) => state._tag === "Sleeping").map(({ relay }) => relay.host))
  )
