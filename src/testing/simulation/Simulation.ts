/**
 * One simulated world from its first moment to its last: faults and sends, then peace and what must be true again within 30 s, then the end,
 * after which nothing may be left. Everything follows from the seed.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { monotonicMillis } from "../../layers/monotonicMillis.ts"
import { RelaySettings } from "../../services/RelaySettings.ts"
import type { ToxCrypto } from "../../services/ToxCrypto.ts"
import * as RelayTransportMemory from "../RelayTransportMemory.ts"
import { faults } from "./actions.ts"
import * as Resources from "./Resources.ts"
import * as Sleeping from "./sleeping.ts"
import type { Counts } from "./Trace.ts"
import type { Pair } from "./Traffic.ts"
import * as World from "./World.ts"

export interface WorldReport {
  readonly seed: number
  /** What did not hold, in order; empty is a success. */
  readonly violations: ReadonlyArray<string>
  /** The same for the same seed and the same program. */
  readonly hash: string
  readonly counts: Counts
  /** How long the world existed in its own time, and how long it took to be well again after the last fault, milliseconds. */
  readonly virtualMillis: number
  readonly settledAfter: number
}

/** How long everything may take to work again (reliability, B1), milliseconds. */
const settleTimeout = 30_000
/** How long applications that have closed everything may keep relays tied: a handshake may still be waiting for its tries. */
const untieTimeout = 12_000
const closeTimeout = 10_000
/** Bytes of one connection that a relay or a client may have written and its socket not yet taken, beyond the client's window. */
const socketSlack = 256 * 1024

/** Runs the world of one seed. `onLine` sees everything that happens. */
export const run = (
  seed: number,
  onLine?: (line: string) => void
): Effect.Effect<WorldReport, never, ToxCrypto> =>
  simulate(seed, onLine).pipe(
    Effect.provide(Layer.provideMerge(Resources.layer, TestClock.layer({ warningDelay: "1 hour" })), { local: true })
  )

/** The report of a world that did not get as far as one. */
export const failed = (seed: number, violation: string): WorldReport => ({
  seed,
  violations: [violation],
  hash: "",
  counts: {},
  virtualMillis: 0,
  settledAfter: 0
})

const simulate = Effect.fnUntraced(function*(seed: number, onLine: ((line: string) => void) | undefined) {
  const resources = yield* Resources.Resources
  const millis = monotonicMillis(yield* Clock.Clock)
  yield* TestClock.adjust(0)
  const fibers = resources.fibers()

  const outer = yield* Scope.make()
  const inner = yield* Scope.make()
  const network = RelayTransportMemory.network({ seed })
  const context = yield* Layer.buildWithScope(Layer.fresh(network), outer)
  const world = yield* World.make(seed, onLine).pipe(Effect.provide(context), Scope.provide(inner))

  yield* disturb(world)
  const settledAfter = yield* settle(world)
  world.traffic.checkSettled()
  for (const relay of world.relays) {
    const clients = yield* relay.clients
    if (clients > world.nodes.length) world.violations.push(`I4 ${relay.name} has ${clients} clients`)
  }
  yield* sayGoodbye(world)
  yield* close(world, inner)
  const { violations } = world
  const left = world.network.connections().length + world.network.listeners().length
  if (left > 0) violations.push(`I4 ${left} sockets are left`)
  yield* Scope.close(outer, Exit.void)
  yield* TestClock.adjust(0)
  if (resources.sleeps() !== 0) violations.push(`I4 ${resources.sleeps()} fibers still wait for the clock`)
  if (resources.fibers() !== fibers) violations.push(`I4 ${resources.fibers() - fibers} fibers are left`)
  for (const error of resources.errors) violations.push(`I5 ${error}`)
  for (const relay of world.relays) {
    for (const [name, count] of Object.entries(relay.struck())) world.trace.tally(`relay ${name}`, count)
  }

  const report: WorldReport = {
    seed,
    violations,
    hash: world.trace.hash,
    counts: world.trace.counts,
    virtualMillis: millis(),
    settledAfter
  }
  return report
})

/** Sends and faults at random moments. */
const disturb = Effect.fnUntraced(function*(world: World.World) {
  const { dice, faultTime, trace, traffic } = world
  const actions = [...traffic.actions, ...faults]
  // The first moments belong to the connections: a world that never connects proves little.
  let passed = dice.between(0, 3_000)
  yield* TestClock.adjust(passed)
  // A long world has no more faults than a short one, only longer peace between them.
  const pause = Math.max(400, faultTime / 60)
  while (passed < faultTime) {
    const next = dice.weighted(actions)
    const effect = next.apply(world)
    if (effect !== undefined) {
      trace.count(next.name)
      yield* effect
    }
    traffic.checkBudget()
    yield* checkSockets(world)
    const step = dice.chance(0.3) ? 0 : dice.between(1, 2 * pause)
    passed += step
    yield* TestClock.adjust(step)
  }
})

/** I3: what waits for sockets stays within the window of the relay client, and within the queue of the relay. */
const checkSockets = Effect.fnUntraced(function*({ network, violations }: World.World) {
  const { causewayMarkWindow } = yield* RelaySettings
  for (const { bytesUnderway, client, server } of network.connections()) {
    const { toClient, toServer } = bytesUnderway()
    if (toServer > causewayMarkWindow + socketSlack) {
      violations.push(`I3 ${client} keeps ${toServer} bytes for ${server.host}`)
    }
    if (toClient > socketSlack) violations.push(`I3 ${server.host} keeps ${toClient} bytes for ${client}`)
  }
})

/** Ends every fault, and then waits until all pairs are connected and everything sent has arrived. */
const settle = Effect.fnUntraced(function*(world: World.World) {
  const { network, nodes, pairs, relays, trace, traffic } = world
  trace.note("peace")
  for (const connection of network.connections()) connection.thaw()
  for (const heal of world.partitions) heal()
  for (const { address } of relays) network.conditions(address, { frozen: false, latency: 20, jitter: 0 })
  for (const relay of relays) {
    relay.beHonest()
    if (world.liars.has(relay)) yield* relay.crash
  }
  yield* TestClock.adjust(1)
  for (const relay of relays) yield* relay.start
  for (const node of nodes) yield* node.start()
  traffic.release()
  for (const sleeper of Sleeping.asleep(world)) {
    trace.count("wake")
    yield* Sleeping.change(world, sleeper, "wake")
  }

  const unwell = Effect.filter(pairs, (pair) => Effect.map(traffic.isWell(pair), (isWell) => !isWell))
  for (let passed = 0; passed < settleTimeout; passed += 250) {
    // All of them each time: a look also sends the probe.
    const ill = yield* unwell
    if (ill.length === 0) {
      trace.count("settled")
      return passed
    }
    yield* TestClock.adjust(250)
  }
  for (const pair of yield* unwell) {
    const { a, b } = pair
    const held = yield* Effect.forEach([a, b], relaysOf)
    world.violations.push(
      `liveness: ${a.name} and ${b.name} after 30 s of peace: ${traffic.describe(pair)}; ${held.join("; ")}`
    )
  }
  return settleTimeout
})

/** What a node's relays are doing, for whoever reads of a failure. */
const relaysOf = (node: Pair["a"]): Effect.Effect<string> =>
  Effect.map(node.relayStatus, (relays) => {
    const words = relays.map(({ online, relay, state, tied }) => `${relay.host} ${state._tag} ${online}/${tied}`)
    return `relays of ${node.name}, peers online/tied: ${words.join(", ")}`
  })

/** All applications close everything; then no relay may be tied to anybody any more. */
const sayGoodbye = Effect.fnUntraced(function*(world: World.World) {
  for (const node of world.nodes) yield* node.sayGoodbye
  let tied: ReadonlyArray<string> = []
  for (let passed = 0; passed < untieTimeout; passed += 500) {
    yield* TestClock.adjust(500)
    const statuses = yield* Effect.forEach(
      world.nodes,
      (node) =>
        Effect.map(
          node.relayStatus,
          (relays) =>
            relays.flatMap(({ online, relay, tied }) =>
              online + tied > 0 ? [`${relay.host} to ${tied} peers, ${online} online, of ${node.name}`] : []
            )
        )
    )
    tied = statuses.flat()
    if (tied.length === 0) break
  }
  for (const tie of tied) world.violations.push(`I4 without any connection a relay is tied: ${tie}`)
  world.traffic.checkEnded()
})

/** Ends all nodes and relays, while time passes. */
const close = Effect.fnUntraced(function*(world: World.World, scope: Scope.Closeable) {
  for (const node of world.nodes) yield* node.stop
  yield* TestClock.adjust(100)
  const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
  for (let passed = 0; passed < closeTimeout && closing.pollUnsafe() === undefined; passed += 100) {
    yield* TestClock.adjust(100)
  }
  if (closing.pollUnsafe() === undefined) world.violations.push("I4 nodes and relays do not end")
  yield* Fiber.interrupt(closing)
})
