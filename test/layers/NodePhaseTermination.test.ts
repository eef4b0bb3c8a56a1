/**
 * Nothing goes out of a node that is terminated, in whatever it was interrupted: random histories of calls, data, new relays, lost
 * connections and stopped relays, which go on after the end. The bytes and dials are counted below the node's gate.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import type { RelayAddress } from "../../src/schema/RelayAddress.ts"
import { MemoryNetwork } from "../../src/testing/MemoryNetwork.ts"
import * as RelayTransportMemory from "../../src/testing/RelayTransportMemory.ts"
import { Dice } from "../../src/testing/simulation/Dice.ts"
import { type Outgoing, type PhaseNode, phaseNode } from "../utils/phaseNode.ts"
import { startRelay, type TestRelay } from "../utils/registryNodes.ts"

const port = 33_445
const provide = (seed: number) => Effect.provide(RelayTransportMemory.network({ seed, socketBuffer: 4_096 }))

const relayNamed = Effect.fnUntraced(function*(n: number) {
  const network = yield* MemoryNetwork
  return yield* startRelay(network.transport(`relay-${n}`), n, `relay-${n}`, port)
})

/** Somebody who uses the node in every way, with no regard to whether it still is one. */
const user = Effect.fnUntraced(function*(a: PhaseNode, b: PhaseNode, relays: ReadonlyArray<TestRelay>, dice: Dice) {
  const network = yield* MemoryNetwork
  const scope = yield* Effect.scope
  const addresses = relays.map(({ address }) => address)
  const fork = (effect: Effect.Effect<unknown, unknown, Scope.Scope>) =>
    Effect.forkIn(Effect.exit(Scope.provide(effect, scope)), scope, { startImmediately: true })
  const talk = (from: PhaseNode, to: PhaseNode) =>
    Effect.gen(function*() {
      const peer = yield* from.causeway.connect(to.address(addresses))
      const session = yield* peer.openBytes("talk")
      yield* Effect.forever(Effect.andThen(session.write(new Uint8Array(dice.between(1, 9_000))), Effect.sleep(70)))
    })
  const answer = (node: PhaseNode) =>
    Effect.gen(function*() {
      const peer = yield* node.causeway.accept
      const session = yield* Effect.flatMap(peer.accept, (offer) => offer.bytes)
      yield* Effect.forever(Effect.andThen(session.read, session.write(new Uint8Array(100))))
    })
  const raw = (address: RelayAddress) =>
    Effect.gen(function*() {
      const connection = yield* a.transport.connect(address)
      yield* Effect.forever(Effect.andThen(Effect.sync(() => connection.write(new Uint8Array(50))), Effect.sleep(30)))
    })
  const actions: ReadonlyArray<() => Effect.Effect<unknown, never, never>> = [
    () => fork(talk(a, b)),
    () => fork(talk(b, a)),
    () => fork(Effect.timeoutOption(talk(a, b), dice.between(0, 500))),
    () => fork(answer(a)),
    () => fork(answer(b)),
    () => Effect.sync(network.cutAll),
    () => Effect.sync(() => dice.pick(network.connections())?.reset()),
    () => Effect.sync(() => dice.pick(network.connections())?.freeze()),
    () => dice.chance(0.3) ? fork(dice.pick(relays)!.stop) : Effect.void,
    () => a.registry.addRelay(dice.pick(addresses)!),
    () => b.registry.addRelay(dice.pick(addresses)!),
    () => a.registry.addRelay({ ...dice.pick(addresses)!, port: dice.between(1, 3) }),
    () => fork(raw(dice.pick(addresses)!)),
    () => fork(a.transport.listen({ host: "node-1", port: 0 })),
    () =>
      Effect.sync(() =>
        network.conditions({ host: `relay-${dice.between(1, 3)}`, port }, { latency: dice.between(0, 50) })
      )
  ]
  const step = Effect.gen(function*() {
    for (let n = dice.between(0, 3); n > 0; n--) yield* dice.pick(actions)!()
    if (dice.chance(0.3)) yield* Effect.yieldNow
    else yield* TestClock.adjust(dice.pick([0, 1, 5, 20, 100, 1_000])!)
  })
  return step
})

/** Lets time pass until it is done. */
const finish = Effect.fnUntraced(function*(fiber: Fiber.Fiber<unknown>, limit: number) {
  for (let passed = 0; fiber.pollUnsafe() === undefined; passed += 10) {
    if (passed > limit) return yield* Effect.die(new Error(`the node has not ended after ${limit} ms`))
    yield* TestClock.adjust(10)
  }
})

const history = Effect.fnUntraced(function*(seed: number) {
  const network = yield* MemoryNetwork
  const dice = new Dice(seed)
  const relays = yield* Effect.forEach([1, 2, 3], relayNamed)
  const a = yield* phaseNode(network.transport("node-1"), 1, dice.pick([50, 3_000])!)
  const b = yield* phaseNode(network.transport("node-2"), 2)
  const scope = yield* Scope.make()
  const step = yield* Scope.provide(user(a, b, relays, dice), scope)
  // A frozen connection would keep the end of the history waiting for the clock.
  yield* Effect.addFinalizer(() => Effect.sync(network.cutAll))
  for (let steps = dice.between(0, 40); steps > 0; steps--) yield* step
  let atEnd: Outgoing | undefined
  const terminate = dice.chance(0.5) ? a.node.terminate : a.close
  const before = { ...a.out }
  const ending = yield* Effect.forkDetach(
    Effect.andThen(terminate, Effect.sync(() => atEnd = { ...a.out })),
    { startImmediately: true }
  )
  const atBegin = { ...a.out }
  for (let steps = dice.between(0, 20); steps > 0; steps--) yield* step
  assert.deepStrictEqual([a.out.dials, a.out.admitted], [atBegin.dials, atBegin.admitted])
  yield* finish(ending, 10_000)
  for (let steps = 10; steps > 0; steps--) yield* step
  yield* TestClock.adjust(20_000)
  assert.deepStrictEqual(a.out, { ...atEnd!, open: 0 })
  assert.strictEqual(yield* a.node.phase, "Terminated")
  yield* finish(yield* Effect.forkDetach(Scope.close(scope, Exit.void)), 60_000)
  assert.deepStrictEqual(a.out, { ...atEnd!, open: 0 })
  return before
})

describe("a terminated node", () => {
  for (const from of [0, 25, 50, 75]) {
    it.effect(
      `M05: dials nobody and sends nothing, in random histories from seed ${from}`,
      () =>
        Effect.gen(function*() {
          let [bytes, open] = [0, 0]
          for (let seed = from; seed < from + 25; seed++) {
            const end = yield* Effect.scoped(history(seed)).pipe(
              provide(seed),
              Effect.tapCause(() => Effect.logError(`seed ${seed}`))
            )
            bytes += end.bytes
            open += end.open
          }
          // The histories have something to end.
          assert.isAbove(bytes, 100_000)
          assert.isAbove(open, 30)
        }),
      60_000
    )
  }

  it.effect("M05: gives up a dial that is under way, whoever made it, and lets nobody in while goodbyes are said", () =>
    Effect.gen(function*() {
      const network = yield* MemoryNetwork
      const relay = yield* relayNamed(1)
      network.conditions({ host: "relay-1", port }, { latency: "1 second" })
      const a = yield* phaseNode(network.transport("node-1"), 1, 5_000)
      const listener = yield* a.transport.listen({ host: "node-1", port: 7 })
      let served = 0
      const serving = listener.serve(() => Effect.andThen(Effect.sync(() => served++), Effect.never), () => true)
      yield* Effect.forkScoped(serving, { startImmediately: true })
      const other = network.transport("node-2")
      const first = yield* other.connect({ host: "node-1", port: 7 })
      yield* TestClock.adjust(0)
      assert.deepStrictEqual([served, a.out.admitted], [1, 1])
      yield* a.registry.addRelay(relay.address)
      yield* TestClock.adjust(6_000)
      assert.strictEqual(yield* a.node.phase, "Connected")
      // What cannot be delivered keeps the goodbyes waiting.
      for (const connection of network.connections()) if (connection.client === "node-1") connection.freeze()
      const raw = yield* a.transport.connect(relay.address).pipe(
        Effect.tap((connection) => Effect.sync(() => connection.write(new Uint8Array(200_000)))),
        Effect.andThen(Effect.never),
        Effect.scoped,
        Effect.flip,
        Effect.forkScoped({ startImmediately: true })
      )
      const ending = yield* Effect.forkDetach(a.node.terminate, { startImmediately: true })
      yield* TestClock.adjust(0)
      assert.isDefined(raw.pollUnsafe())
      yield* Effect.exit(other.connect({ host: "node-1", port: 7 }))
      yield* TestClock.adjust(0)
      assert.deepStrictEqual([served, a.out.admitted], [1, 1])
      yield* finish(ending, 10_000)
      assert.strictEqual((yield* Effect.flip(first.pull))._tag, "TransportError")
      assert.deepStrictEqual(network.listeners().filter(({ host }) => host === "node-1"), [])
    }).pipe(Effect.provide(RelayTransportMemory.network({ socketBuffer: 4_096 }))))

  it.effect("M05: says goodbye to its peers before it falls silent", () =>
    Effect.gen(function*() {
      const network = yield* MemoryNetwork
      const relays = yield* Effect.forEach([1, 2, 3], relayNamed)
      const addresses = relays.map(({ address }) => address)
      const [a, b] = [
        yield* phaseNode(network.transport("node-1"), 1),
        yield* phaseNode(network.transport("node-2"), 2)
      ]
      const meeting = yield* Effect.forkScoped(
        Effect.all([a.causeway.connect(b.address(addresses)), b.causeway.accept], { concurrency: 2 })
      )
      for (const address of addresses) yield* b.registry.addRelay(address)
      yield* TestClock.adjust(2_000)
      const [atA, atB] = yield* Fiber.join(meeting)
      assert.strictEqual(atB.link()._tag, "Up")
      yield* a.node.terminate
      yield* TestClock.adjust(10)
      assert.strictEqual(atB.link()._tag, "Down")
      assert.strictEqual((yield* atA.closed).reason._tag, "LinkLost")
      const error = yield* Effect.flip(a.causeway.connect(b.address(addresses)))
      assert.include(error.message, "this node has been terminated")
      const refused = yield* Effect.flip(a.transport.connect(addresses[0]!))
      assert.include(refused.message, "this node has been terminated")
    }).pipe(Effect.provide(RelayTransportMemory.network())))
})
