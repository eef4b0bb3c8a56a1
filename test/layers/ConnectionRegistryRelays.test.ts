/** Two registries and three relays, all real, on the network inside the process: relays fail, return, hang and shut down. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Scope } from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import type { ReplyRoute } from "../../src/protocol/registry/PeerPath.ts"
import { MemoryNetwork } from "../../src/testing/MemoryNetwork.ts"
import * as RelayTransportMemory from "../../src/testing/RelayTransportMemory.ts"
import {
  carrierOf,
  onlineRelays,
  openPath,
  send,
  startNode,
  startRelay,
  type TestNode
} from "../utils/registryNodes.ts"

const settle = TestClock.adjust(0)
const port = 33_445
const hostOf = (n: number): string => `relay-${n}.test`
const relayNamed = Effect.fnUntraced(function*(n: number) {
  const network = yield* MemoryNetwork
  return yield* startRelay(network.transport(hostOf(n)), n, hostOf(n), port)
})
const nodeNamed = Effect.fnUntraced(function*(n: number) {
  const network = yield* MemoryNetwork
  return yield* startNode(network.transport(`node-${n}`), n)
})

/** Three relays, two nodes, and paths between them tied to all relays. */
const world = Effect.gen(function*() {
  const network = yield* MemoryNetwork
  const relays = yield* Effect.forEach([1, 2, 3], relayNamed)
  const addresses = relays.map((relay) => relay.address)
  const [a, b] = [yield* nodeNamed(1), yield* nodeNamed(2)]
  const toB = openPath(a, b.key, addresses)
  const toA = openPath(b, a.key, addresses)
  yield* settle
  const connection = (node: 1 | 2, host: string) =>
    network.connections().find(({ client, server }) => client === `node-${node}` && server.host === host)!
  return { network, relays, a, b, toB, toA, connection }
})
const provide = Effect.provide(RelayTransportMemory.layer)
const test = (title: string, body: Effect.Effect<void, unknown, MemoryNetwork | Scope>) =>
  it.effect(title, () => body.pipe(Effect.scoped, provide))

const tags = (node: TestNode, from = 0) =>
  node.events.slice(from).flatMap((event) => "relay" in event ? [`${event._tag} ${event.relay?.host}`] : [])

describe("ConnectionRegistryLive over real relays", () => {
  test(
    "T01, T02, T05: two keys find each other over three relays, and one of the relays carries the data",
    Effect.gen(function*() {
      const { a, b, relays, toA, toB } = yield* world
      assert.deepStrictEqual([yield* onlineRelays(a), yield* onlineRelays(b)], [3, 3])
      for (let i = 0; i < 20; i++) assert.strictEqual(send(toB, i), "sent")
      yield* settle
      assert.deepStrictEqual(toA.packets.map(({ bytes }) => bytes[0]), Array.from({ length: 20 }, (_, i) => i))
      assert.deepStrictEqual(new Set(toA.packets.map(({ relay }) => relay.host)), new Set([carrierOf(a)!.host]))
      const forwarded = yield* Effect.forEach(relays, (relay) => relay.stats)
      assert.deepStrictEqual(forwarded.map((stats) => stats.forwardedPackets).toSorted(), [0, 0, 20])
      const sentBytes = (yield* a.registry.relays).map((status) => status.sentBytes)
      assert.deepStrictEqual(sentBytes.toSorted(), [0, 0, 20])
    })
  )

  test(
    "T03, T35: a relay reset under traffic: the next packet goes another way at once, and the receiver follows",
    Effect.gen(function*() {
      const { a, b, connection, toA, toB } = yield* world
      send(toA, 1)
      send(toB, 1)
      yield* settle
      const carrier = carrierOf(a)!
      assert.strictEqual(carrierOf(b)!.host, carrier.host)
      const [before, beforeB] = [a.events.length, b.events.length]
      connection(1, carrier.host).reset()
      yield* settle
      assert.strictEqual(send(toB, 2), "sent")
      assert.strictEqual(send(toA, 2), "sent")
      yield* settle
      const next = carrierOf(a)!
      assert.notStrictEqual(next.host, carrier.host)
      // Without the clock moving.
      assert.deepStrictEqual([toA.packets.at(-1)!.bytes, toA.packets.at(-1)!.relay.host], [[2], next.host])
      assert.deepStrictEqual(toB.packets.at(-1)!.bytes, [2])
      assert.notStrictEqual(toB.packets.at(-1)!.relay.host, carrier.host)
      assert.deepStrictEqual(tags(a, before), [
        `RelayLost ${carrier.host}`,
        `PeerOffline ${carrier.host}`,
        `CarrierChanged ${next.host}`
      ])
      // The receiver has not lost the relay, it has lost the peer there.
      assert.deepStrictEqual(tags(b, beforeB), [`PeerOffline ${carrier.host}`, `CarrierChanged ${carrierOf(b)!.host}`])
      assert.deepStrictEqual([yield* onlineRelays(a), yield* onlineRelays(b)], [2, 2])
    })
  )

  test(
    "T35, T36: the relay comes back: its slots are asked for again and online again, and nothing moves that works",
    Effect.gen(function*() {
      const { a, b, connection, relays, toA, toB } = yield* world
      const carrier = carrierOf(a)!
      connection(1, carrier.host).reset()
      yield* settle
      const next = carrierOf(a)!
      const changes = toB.carrierChanges
      yield* TestClock.adjust("250 millis")
      assert.deepStrictEqual([yield* onlineRelays(a), yield* onlineRelays(b)], [3, 3])
      assert.strictEqual(carrierOf(a)!.host, next.host)
      assert.strictEqual(toB.carrierChanges, changes)
      // It can carry again.
      connection(1, next.host).reset()
      connection(1, relays.map(({ address }) => address.host).find((h) => h !== next.host && h !== carrier.host)!)
        .reset()
      yield* settle
      assert.strictEqual(carrierOf(a)!.host, carrier.host)
      assert.strictEqual(send(toB, 9), "sent")
      yield* settle
      assert.deepStrictEqual([toA.packets.at(-1)!.bytes, toA.packets.at(-1)!.relay.host], [[9], carrier.host])
    })
  )

  test(
    "T03, T35, T36: a relay shut down with FIN loses both nodes; started again, it serves both again",
    Effect.gen(function*() {
      const { a, b, relays, toA, toB } = yield* world
      const carrier = carrierOf(a)!
      const at = relays.findIndex(({ address }) => address.host === carrier.host)
      yield* Effect.forkChild(relays[at]!.stop)
      yield* settle
      assert.strictEqual(send(toB, 3), "sent")
      yield* settle
      assert.deepStrictEqual(toA.packets.at(-1)!.bytes, [3])
      for (const node of [a, b]) {
        assert.include(tags(node), `RelayLost ${carrier.host}`)
        const status = (yield* node.registry.relays)[at]!
        assert.deepStrictEqual([status.state._tag, status.tied, status.online], ["Failed", 1, 0])
      }
      // Away for a minute: it is asked again and again, and never forgotten.
      yield* TestClock.adjust("60 seconds")
      assert.deepStrictEqual([yield* onlineRelays(a), yield* onlineRelays(b)], [2, 2])
      const again = yield* relayNamed(at + 1)
      yield* TestClock.adjust("3 seconds")
      assert.deepStrictEqual([yield* onlineRelays(a), yield* onlineRelays(b)], [3, 3])
      assert.strictEqual((yield* again.stats).clients, 2)
    })
  )

  test(
    "T25: a relay that hangs is dropped when its pong times out, not before, and its return is noticed",
    Effect.gen(function*() {
      const { a, b, network, toA, toB } = yield* world
      const carrier = carrierOf(a)!
      network.conditions({ host: carrier.host, port }, { frozen: true })
      yield* TestClock.adjust("29 seconds")
      assert.strictEqual(carrierOf(a)!.host, carrier.host)
      yield* TestClock.adjust("11 seconds")
      assert.notStrictEqual(carrierOf(a)!.host, carrier.host)
      assert.include(tags(a), `RelayLost ${carrier.host}`)
      assert.strictEqual(send(toB, 4), "sent")
      yield* settle
      assert.deepStrictEqual(toA.packets.at(-1)!.bytes, [4])
      network.conditions({ host: carrier.host, port }, { frozen: false })
      yield* TestClock.adjust("20 seconds")
      assert.deepStrictEqual([yield* onlineRelays(a), yield* onlineRelays(b)], [3, 3])
    })
  )

  test(
    "T24: a relay whose line is full and slow is not dropped, and delivers everything it took",
    Effect.gen(function*() {
      const { a, network, toA, toB } = yield* world
      const carrier = carrierOf(a)!
      network.conditions({ host: carrier.host, port }, { latency: "100 millis" })
      const frame = new Uint8Array(1_401)
      let sent = 0
      while (toB.path.send(frame, frame.length, false) === "sent") sent++
      assert.isAbove(sent, 10)
      assert.strictEqual(toB.path.send(frame, frame.length, false), "blocked")
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(toA.packets.length, sent)
      assert.strictEqual(carrierOf(a)!.host, carrier.host)
      assert.notInclude(tags(a), `RelayLost ${carrier.host}`)
    })
  )

  test(
    "T38, C06: a caller whom nobody has tied yet reaches the peer out of band, and both are online once it ties the relay",
    Effect.gen(function*() {
      const relay = yield* relayNamed(1)
      const [a, b] = [yield* nodeNamed(1), yield* nodeNamed(2)]
      const unbound: Array<{ sender: ReadonlyArray<number>; bytes: ReadonlyArray<number>; route: ReplyRoute }> = []
      b.registry.attach(
        (sender, bytes, route) => unbound.push({ sender: [...sender], bytes: [...bytes], route }),
        () => {}
      )
      yield* b.registry.addRelay(relay.address)
      const toB = openPath(a, b.key, [relay.address])
      assert.strictEqual(send(toB, 1), "unreachable")
      yield* settle
      assert.strictEqual(send(toB, 2), "sent")
      yield* settle
      assert.deepStrictEqual(unbound.map(({ bytes, sender }) => [sender, bytes]), [[[...a.key], [2]]])
      // The stateless answer goes back the same way and is A's data.
      unbound[0]!.route.reply(Uint8Array.of(3))
      yield* settle
      assert.deepStrictEqual(toB.packets.map(({ bytes }) => bytes), [[3]])
      assert.deepStrictEqual([yield* onlineRelays(a), yield* onlineRelays(b)], [0, 0])
      const toA = openPath(b, a.key, [unbound[0]!.route.relay])
      yield* settle
      assert.deepStrictEqual([yield* onlineRelays(a), yield* onlineRelays(b)], [1, 1])
      send(toB, 4)
      send(toA, 5)
      yield* settle
      assert.deepStrictEqual([toA.packets.at(-1)!.bytes, toB.packets.at(-1)!.bytes], [[4], [5]])
      assert.lengthOf(unbound, 1)
      assert.strictEqual((yield* relay.stats).forwardedPackets, 2)
    })
  )

  test(
    "C11: a path to our own key is refused by every relay, which frees the ties and costs nobody the connection",
    Effect.gen(function*() {
      const { a, relays } = yield* world
      const self = openPath(a, a.key, relays.map(({ address }) => address))
      yield* settle
      assert.deepStrictEqual((yield* a.registry.relays).map(({ online, tied }) => [tied, online]), [[1, 1], [1, 1], [
        1,
        1
      ]])
      assert.strictEqual(send(self, 1), "unreachable")
      self.path.close()
      yield* settle
      assert.strictEqual(yield* onlineRelays(a), 3)
    })
  )

  test(
    "A, E: paths opened and closed in every state leave other peers, the relays' links and their connections alone",
    Effect.gen(function*() {
      const { a, b, network, relays, toA, toB } = yield* world
      const c = yield* nodeNamed(3)
      const addresses = relays.map(({ address }) => address)
      const connections = network.connections().length
      for (let round = 0; round < 20; round++) {
        const toC = openPath(a, c.key, addresses)
        // Closed before the request is sent, before the answer, after it, and online.
        if (round % 4 > 0) yield* Effect.yieldNow
        if (round % 4 > 1) yield* settle
        if (round % 4 > 2) {
          const fromC = openPath(c, a.key, addresses)
          yield* settle
          assert.strictEqual(send(toC, 1), "sent")
          fromC.path.close()
        }
        toC.path.close()
      }
      yield* settle
      assert.strictEqual(send(toB, 7), "sent")
      assert.strictEqual(send(toA, 8), "sent")
      yield* settle
      assert.deepStrictEqual([toA.packets.at(-1)!.bytes, toB.packets.at(-1)!.bytes], [[7], [8]])
      assert.notInclude(tags(a).join(), "RelayLost")
      for (const { stats } of relays) assert.deepStrictEqual((yield* stats).violations, {})
      assert.deepStrictEqual((yield* a.registry.relays).map(({ online, tied }) => [tied, online]), [[1, 1], [1, 1], [
        1,
        1
      ]])
      assert.strictEqual(network.connections().length, connections + 3)
      assert.strictEqual(yield* onlineRelays(b), 3)
    })
  )

  test(
    "closing a registry ends its connections and no more is dialled; the peer sees it go",
    Effect.gen(function*() {
      const { a, b, network, relays, toA, toB } = yield* world
      yield* a.close
      yield* settle
      assert.deepStrictEqual(network.connections().map(({ client }) => client), ["node-2", "node-2", "node-2"])
      assert.strictEqual(send(toB, 1), "unreachable")
      toB.path.tie({ ...relays[0]!.address, publicKey: b.key })
      assert.strictEqual(yield* onlineRelays(b), 0)
      assert.strictEqual(toA.path.carrier(), 0)
      yield* TestClock.adjust("5 minutes")
      assert.lengthOf(network.connections(), 3)
      for (const { stats } of relays) assert.strictEqual((yield* stats).clients, 1)
    })
  )
})
