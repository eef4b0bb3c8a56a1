/** Two registries and three relays over real TCP: what resets, FINs and silence of real sockets do to the way between two peers. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Net from "node:net"
import * as RelayTransportNode from "../../src/layers/RelayTransportNode.ts"
import type { RelayAddress } from "../../src/schema/RelayAddress.ts"
import { RelayTransport } from "../../src/services/RelayTransport.ts"
import * as LoopTime from "../utils/loopTime.ts"
import { carrierOf, onlineRelays, openPath, send, startNode, startRelay } from "../utils/registryNodes.ts"

const transport = Context.get(
  await Effect.runPromise(Effect.scoped(Layer.build(RelayTransportNode.layer))),
  RelayTransport
)

/** A plain TCP hop in front of a relay, which the test can break. */
class Hop {
  readonly #target: RelayAddress
  readonly #sockets = new Set<Net.Socket>()
  #server = Net.createServer()
  port = 0

  constructor(target: RelayAddress) {
    this.#target = target
  }

  /** Open sockets, both sides counted. */
  get open(): number {
    return this.#sockets.size
  }

  async listen(): Promise<void> {
    this.#server = Net.createServer((near) => {
      const far = Net.connect({ host: this.#target.host, port: this.#target.port, noDelay: true })
      near.setNoDelay(true)
      for (const socket of [near, far]) {
        this.#sockets.add(socket)
        socket.on("error", () => {}).on("close", () => this.#sockets.delete(socket))
      }
      near.pipe(far).pipe(near)
      near.on("close", () => far.destroy())
      far.on("close", () => near.destroy())
    })
    await new Promise<void>((resolve) => this.#server.listen(this.port, "127.0.0.1", resolve))
    this.port = (this.#server.address() as Net.AddressInfo).port
  }

  /** Ends all connections in the given way and refuses new ones. */
  break(how: "reset" | "fin"): void {
    this.#server.close()
    for (const socket of this.#sockets) {
      if (how === "reset") socket.resetAndDestroy()
      else socket.end()
    }
  }

  close(): void {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
  }
}

const startHop = Effect.fnUntraced(function*(target: RelayAddress) {
  const hop = yield* Effect.acquireRelease(
    Effect.sync(() => new Hop(target)),
    (hop) => Effect.sync(() => hop.close())
  )
  yield* Effect.promise(() => hop.listen())
  return hop
})

const world = Effect.gen(function*() {
  const now = yield* LoopTime.make
  const until = (condition: Effect.Effect<boolean>, limit: number) =>
    LoopTime.until(now, "what the test waits for", condition, limit)
  const relays = yield* Effect.forEach([1, 2, 3], (n) => startRelay(transport, n, "127.0.0.1", 0))
  const hops = yield* Effect.forEach(relays, ({ address }) => startHop(address))
  const addresses = hops.map((hop, i): RelayAddress => ({ ...relays[i]!.address, port: hop.port }))
  const [a, b] = [yield* startNode(transport, 1), yield* startNode(transport, 2)]
  const toB = openPath(a, b.key, addresses)
  const toA = openPath(b, a.key, addresses)
  const online = (count: number) =>
    Effect.map(Effect.all([onlineRelays(a), onlineRelays(b)]), ([x, y]) => x === count && y === count)
  yield* until(online(3), 5_000)
  // Events come through a stream, after what they report.
  yield* until(Effect.sync(() => carrierOf(a) !== undefined), 2_000)
  const hopOf = (relay: RelayAddress) => hops.find((hop) => hop.port === relay.port)!
  return { relays, hops, a, b, toA, toB, online, hopOf, now, until }
})

describe("the registry over TCP", () => {
  it.live.each(["reset", "fin"] as const)(
    "T01, T02, T03, T35, T36: a carrying relay that ends by %s interrupts the traffic for less than 500 ms and serves again",
    (how) =>
      Effect.gen(function*() {
        const { a, b, hopOf, now, online, toA, toB, until } = yield* world
        const carrier = carrierOf(a)!
        let gap = 0
        let lastAt = now()
        let seen = 0
        let stop = false
        const watching = yield* Effect.forkScoped(Effect.gen(function*() {
          for (let i = 0; !stop; i++) {
            send(toB, i & 255, i >> 8)
            yield* Effect.sleep("2 millis")
            if (toA.packets.length === seen) continue
            seen = toA.packets.length
            gap = Math.max(gap, now() - lastAt)
            lastAt = now()
          }
        }))
        yield* until(Effect.sync(() => toA.packets.length > 50), 2_000)
        assert.strictEqual(toA.packets.at(-1)!.relay.port, carrier.port)
        gap = 0
        hopOf(carrier).break(how)
        yield* until(Effect.sync(() => toA.packets.at(-1)!.relay.port !== carrier.port), 2_000)
        assert.isBelow(gap, 500)
        const after = toA.packets.length
        yield* until(Effect.sync(() => toA.packets.length > after + 50), 2_000)
        yield* until(Effect.sync(() => carrierOf(a)!.port !== carrier.port), 1_000)
        assert.isTrue(toA.packets.slice(after).every(({ relay }) => relay.port === carrierOf(a)!.port))
        yield* until(online(2), 1_000)
        // It stays away for a while, then it is back at the same address.
        yield* Effect.sleep("500 millis")
        yield* Effect.promise(() => hopOf(carrier).listen())
        yield* until(online(3), 5_000)
        assert.notStrictEqual(carrierOf(a)!.port, carrier.port)
        stop = true
        yield* Fiber.join(watching)
        // Nothing came twice, and nothing overtook what went by the same relay.
        for (const port of new Set(toA.packets.map(({ relay }) => relay.port))) {
          const numbers = toA.packets.filter(({ relay }) => relay.port === port).map(({ bytes }) =>
            bytes[0]! + 256 * bytes[1]!
          )
          assert.deepStrictEqual(numbers, [...new Set(numbers)].toSorted((x, y) => x - y))
        }
        assert.isAbove(b.events.length, 0)
      }).pipe(Effect.scoped),
    60_000
  )

  it.live(
    "T03: relays die one after the other; the last one still carries, and they all return",
    () =>
      Effect.gen(function*() {
        const { a, hopOf, hops, online, toA, toB, until } = yield* world
        for (let left = 3; left > 1; left--) {
          const broken = carrierOf(a)!
          hopOf(broken).break(left === 3 ? "reset" : "fin")
          yield* until(online(left - 1), 2_000)
          const before = toA.packets.length
          yield* until(Effect.sync(() => send(toB, left) === "sent" && toA.packets.length > before), 1_000)
          yield* until(Effect.sync(() => carrierOf(a)!.port !== broken.port), 1_000)
        }
        hopOf(carrierOf(a)!).break("reset")
        yield* until(online(0), 2_000)
        assert.strictEqual(send(toB, 1), "unreachable")
        for (const hop of hops) yield* Effect.promise(() => hop.listen())
        yield* until(online(3), 8_000)
        const before = toA.packets.length
        yield* until(Effect.sync(() => send(toB, 9) === "sent" && toA.packets.length > before), 1_000)
      }).pipe(Effect.scoped),
    60_000
  )

  it.live("closing the registries leaves no socket and no timer behind", () =>
    Effect.gen(function*() {
      const resources = () => process.getActiveResourcesInfo().filter((name) => /^(TCPSocketWrap|Timeout)$/.test(name))
      const baseline = resources().length
      const { a, b, hops, now, online, relays, toB, until } = yield* world
      for (let i = 0; i < 100; i++) send(toB, i)
      // One relay is away, so that a dial is always under way or waited for.
      hops[2]!.break("reset")
      yield* until(online(2), 2_000)
      const closing = now()
      yield* Effect.all([a.close, b.close], { concurrency: 2 })
      assert.isBelow(now() - closing, 2_500)
      yield* until(Effect.sync(() => hops.every((hop) => hop.open === 0)), 1_000)
      for (const { stats } of relays) yield* until(Effect.map(stats, ({ clients }) => clients === 0), 1_000)
      yield* Effect.forEach(relays, ({ stop }) => stop, { concurrency: 3 })
      for (const hop of hops) hop.close()
      // Looked at where no timer has just fired; the one of this test's own clock counts.
      const left = Effect.map(Effect.promise(() => new Promise(setImmediate)), () => resources().length)
      yield* until(Effect.map(left, (count) => count <= baseline + 1), 2_000)
    }).pipe(Effect.scoped), 60_000)
})
