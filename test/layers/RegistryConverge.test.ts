/** Several registries on the same relays, all real, each deciding for itself which relays it needs: they must come to rest. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { MemoryNetwork } from "../../src/testing/MemoryNetwork.ts"
import * as RelayTransportMemory from "../../src/testing/RelayTransportMemory.ts"
import { openPath, send, startNode, startRelay, type TestNode } from "../utils/registryNodes.ts"

const port = 33_445
const hostOf = (n: number): string => `relay-${n}.test`

interface Plan {
  /** For each node the relays of its own, from 1. */
  readonly own: ReadonlyArray<ReadonlyArray<number>>
  /** To each relay, milliseconds. */
  readonly latency: number
}

/** Six relays, and nodes that all look for each other at once, on all relays. */
const world = Effect.fnUntraced(function*({ latency, own }: Plan) {
  const network = yield* MemoryNetwork
  const relays = yield* Effect.forEach(
    [1, 2, 3, 4, 5, 6],
    (n) => startRelay(network.transport(hostOf(n)), n, hostOf(n), port)
  )
  const addresses = relays.map(({ address }) => address)
  for (const address of addresses) network.conditions(address, { latency })
  const nodes = yield* Effect.forEach(own, (_, at) => startNode(network.transport(`node-${at}`), at + 1))
  for (const [at, node] of nodes.entries()) {
    for (const n of own[at]!) yield* node.registry.addRelay(addresses[n - 1]!)
  }
  const paths = nodes.flatMap((from) =>
    nodes.filter((to) => to !== from).map((to) => ({ from, to, opened: openPath(from, to.key, addresses) }))
  )
  yield* TestClock.adjust(2_000)
  return { nodes, paths }
})

/** How often relays have come and gone. */
const changes = ({ events }: TestNode): number =>
  events.filter(({ _tag }) => _tag === "RelayConnected" || _tag === "RelayLost").length

const test = (title: string, plan: Plan, most: number) =>
  it.effect(title, () =>
    Effect.gen(function*() {
      const { nodes, paths } = yield* world(plan)
      for (let passed = 0; passed < 90_000; passed += 500) {
        yield* TestClock.adjust(500)
        for (const { from, opened, to } of paths) {
          const name = `${nodes.indexOf(from)} to ${nodes.indexOf(to)} after ${passed} ms`
          assert.notStrictEqual(opened.path.carrier(), 0, name)
          assert.strictEqual(send(opened, 1), "sent", name)
        }
      }
      const before = nodes.map(changes)
      yield* TestClock.adjust("10 minutes")
      // A relay of one peer may be looked for once more, and that is all.
      for (const [at, node] of nodes.entries()) {
        assert.isAtMost(changes(node) - before[at]!, 4, `node ${at}`)
        const connected = (yield* node.registry.relays).filter(({ state }) => state._tag === "Confirmed")
        assert.isAtMost(connected.length, most, `node ${at}`)
      }
      for (const { opened } of paths) {
        assert.notStrictEqual(opened.path.carrier(), 0)
        // Each change of the carrier may cost packets: there is one for each relay that is left at most.
        assert.isAtMost(opened.carrierChanges, 4)
        // Packets on their way to a carrier that is left are lost; net_crypto sends them again.
        assert.isAtLeast(opened.packets.length, 175)
      }
    }).pipe(Effect.scoped, Effect.provide(RelayTransportMemory.layer)))

describe("registries that share relays", () => {
  for (const latency of [0, 60]) {
    test(`T10, T13: two nodes with the same three relays of their own, ${latency} ms away`, {
      latency,
      own: [[1, 2, 3], [1, 2, 3]]
    }, 3)
    test(`T10, T13: two nodes with three others of their own each, ${latency} ms away, do not leave each other`, {
      latency,
      own: [[1, 2, 3], [4, 5, 6]]
    }, 6)
  }
  test("T10, T13: five nodes, each a peer of all others, 60 ms away", {
    latency: 60,
    own: [[1, 2, 3], [2, 3, 4], [3, 4, 5], [4, 5, 6], [5, 6, 1]]
  }, 6)
})
