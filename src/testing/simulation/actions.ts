/**
 * What can go wrong in every simulated world, each with how often; what the programs do is their traffic's. An action chooses its victim by
 * the dice and also arranges its end. New features of the library get new rows here.
 */
import * as Effect from "effect/Effect"
import type { RelayFault } from "../RelayFaults.ts"
import type { Action } from "./Action.ts"
import type { SimulatedRelay } from "./SimulatedRelay.ts"
import * as Sleeping from "./sleeping.ts"
import type { World } from "./World.ts"

/** Mostly short, sometimes long, milliseconds. */
export const duration = ({ dice }: World): number =>
  dice.chance(0.7) ? dice.between(50, 1_500) : dice.between(1_500, 7_000)

/** The end of a fault, as an event of its own. */
export const over = (world: World, name: string, end: () => void): Effect.Effect<void> =>
  Effect.sync(() => {
    world.trace.count(name)
    end()
  })

const relayComesBack = (world: World, relay: SimulatedRelay): Effect.Effect<void> =>
  world.later(
    duration(world),
    Effect.suspend(() => {
      if (!relay.isUp()) world.trace.count("relay back", relay.name)
      return relay.start
    })
  )

const action = (name: string, weight: number, apply: Action["apply"]): Action => ({ name, weight, apply })

/** Something done to a relay that is up. */
const onRelay = (
  name: string,
  weight: number,
  apply: (world: World, relay: SimulatedRelay) => Effect.Effect<void>
): Action =>
  action(name, weight, (world) => {
    const relay = world.dice.pick(world.relays)!
    return relay.isUp() ? apply(world, relay) : undefined
  })

const lie = (
  name: string,
  weight: number,
  isAboutPeers: boolean,
  fault: (world: World) => Partial<RelayFault>
): Action =>
  onRelay(name, weight, (world, relay) =>
    Effect.suspend(() => {
      relay.lie(fault(world))
      if (isAboutPeers) world.liars.add(relay)
      return world.later(duration(world), over(world, "relay honest again", relay.beHonest))
    }))

/** A node goes down in one of its ways and comes back. */
const nodeGoes = (
  name: string,
  weight: number,
  how: "stop" | "crash" | "powerLoss",
  forHowLong: (world: World) => number | undefined
): Action =>
  action(name, weight, (world) => {
    const node = world.dice.pick(world.nodes)!
    const away = forHowLong(world)
    if (!node.isUp() || away === undefined) return undefined
    const back = Effect.suspend(() => {
      if (!node.isUp()) world.trace.count("node back")
      return node.start()
    })
    return Effect.andThen(node[how], world.later(away, back))
  })

export const faults: ReadonlyArray<Action> = [
  onRelay("relay stops", 2, (world, relay) => Effect.andThen(relay.stop, relayComesBack(world, relay))),
  onRelay("relay crashes", 3, (world, relay) => Effect.andThen(relay.crash, relayComesBack(world, relay))),
  action("connection reset", 4, (world) => {
    const connection = world.dice.pick(world.network.connections())
    return connection && Effect.sync(connection.reset)
  }),
  action("all connections reset", 1, (world) => Effect.sync(world.network.cutAll)),
  action("connection frozen", 5, (world) => {
    const connection = world.dice.pick(world.network.connections())
    if (connection === undefined) return undefined
    const direction = world.dice.pick(["toServer", "toClient", undefined] as const)
    return Effect.suspend(() => {
      connection.freeze(direction)
      return world.later(duration(world), over(world, "thawed", connection.thaw))
    })
  }),
  onRelay("relay frozen", 3, (world, { address }) => {
    const frozen = world.dice.pick([true, "toServer", "toClient"] as const)!
    return Effect.suspend(() => {
      world.network.conditions(address, { frozen })
      return world.later(
        duration(world),
        over(world, "thawed", () => world.network.conditions(address, { frozen: false }))
      )
    })
  }),
  action("partition", 3, (world) => {
    const { dice, network } = world
    const machines = dice.sample(world.nodes, dice.between(1, world.nodes.length)).map(({ name }) => name)
    const addresses = dice.sample(world.relays, dice.between(1, world.relays.length)).map(({ address }) => address)
    return Effect.suspend(() => {
      const heal = network.partition(machines, addresses)
      world.partitions.add(heal)
      return world.later(duration(world), over(world, "partition healed", heal))
    })
  }),
  onRelay("latency", 3, (world, { address }) => {
    const { dice, network } = world
    const change = {
      latency: dice.chance(0.8) ? dice.between(0, 80) : dice.between(80, 300),
      jitter: dice.between(0, 40)
    }
    const machine = dice.chance(0.5) ? dice.pick(world.nodes)!.name : undefined
    return Effect.sync(() => network.conditions(address, change, machine))
  }),
  lie("relay drops everything", 2, false, () => ({ drop: 1 })),
  lie("relay drops some", 3, false, ({ dice }) => ({ drop: dice.between(1, 30) / 100 })),
  lie("relay doubles", 2, false, ({ dice }) => ({ duplicate: dice.between(5, 100) / 100 })),
  lie(
    "relay reorders",
    2,
    false,
    ({ dice }) => ({ reorder: dice.between(5, 50) / 100, reorderBy: dice.between(1, 200) })
  ),
  lie("relay delays", 1, false, ({ dice }) => ({ delay: dice.between(5, 400) })),
  lie("relay claims peers", 1, true, () => ({ claimOnline: true })),
  lie("relay hides peers", 1, true, ({ dice }) => dice.chance(0.5) ? { hideOnline: true } : { hideOffline: true }),
  nodeGoes("node stops", 1, "stop", duration),
  nodeGoes("node crashes", 1, "crash", duration),
  nodeGoes("node loses power", 1, "powerLoss", duration),
  // Long enough for its peers to lose patience, which must not happen in a short world.
  nodeGoes("node stays away", 1, "powerLoss", ({ dice, isLong }) => isLong ? dice.between(33_000, 40_000) : undefined),
  action("sleep", 4, (world) => {
    const sleepers = Sleeping.chooseForSleep(world)
    return sleepers &&
      Effect.forEach(sleepers, (sleeper) => Sleeping.change(world, sleeper, "sleep"), { discard: true })
  }),
  // Whoever still sleeps when the faults end is woken then.
  action("wake", 4, (world) => {
    const sleeper = world.dice.pick(Sleeping.asleep(world))
    return sleeper && Sleeping.change(world, sleeper, "wake")
  }),
  action("node rotates its key", 1, (world) => {
    const node = world.dice.pick(world.nodes)!
    if (!node.isUp()) return undefined
    const keys = world.freshKeys()
    // Nobody knows its new key: it is the one who calls from now on.
    for (const { a, b } of world.pairs) {
      const other = a === node ? b : b === node ? a : undefined
      if (other === undefined) continue
      other.callees.delete(node)
      node.callees.add(other)
    }
    return Effect.andThen(node.crash, world.later(world.dice.between(50, 2_000), node.start(keys)))
  })
]
