/** The relay over real TCP: what a fake network cannot show, such as kernel buffers, resets and the rate of a real flood. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Scope } from "effect/Scope"
import * as Net from "node:net"
import * as EntropyLive from "../../src/layers/EntropyLive.ts"
import * as RelayServerLive from "../../src/layers/RelayServerLive.ts"
import * as RelayTransportNode from "../../src/layers/RelayTransportNode.ts"
import * as ToxCryptoAuto from "../../src/layers/ToxCryptoAuto.ts"
import type { RelayAddress } from "../../src/schema/RelayAddress.ts"
import { RelayServer } from "../../src/services/RelayServer.ts"
import { RelayServerSettings } from "../../src/services/RelayServerSettings.ts"
import { RelayTransport } from "../../src/services/RelayTransport.ts"
import * as LoopTime from "../utils/loopTime.ts"
import { keyPairFrom } from "../utils/plainCrypto.ts"
import * as Client from "../utils/RelayTestClient.ts"
import { packets } from "../utils/RelayTestSession.ts"

const pingId = [9, 8, 7, 6, 5, 4, 3, 2] as const
const wait = Effect.sleep("5 millis")

const testLayer = RelayServerLive.layer({ host: "127.0.0.1", port: 0, keyPair: keyPairFrom(0x01) }).pipe(
  Layer.provideMerge(Layer.mergeAll(RelayTransportNode.layer, ToxCryptoAuto.layer, EntropyLive.layer))
)
const stats = Effect.flatMap(RelayServer, (relay) => relay.stats)

/** This process's own time, and waiting by it. */
const clock = Effect.map(LoopTime.make, (now) => ({
  now,
  until: <R = never>(what: string, condition: Effect.Effect<boolean, never, R> | (() => boolean), limit: number) =>
    LoopTime.until(now, what, condition, limit)
}))

/** A bare socket that never reads and sends what it is told to. */
const bareSocket = (relay: RelayAddress, localAddress: string): Effect.Effect<Net.Socket, never, Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const socket = Net.connect({ host: relay.host, port: relay.port, localAddress })
      return socket.on("error", () => {})
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )

describe("relay server over TCP", () => {
  it.live(
    "B4: a burst of 10 MB and then a ping: the pong comes within 1 s of the last byte",
    () =>
      Effect.gen(function*() {
        const { address } = yield* RelayServer
        const { until } = yield* clock
        const a = yield* Client.login(address, wait)
        const b = yield* Client.login(address, wait)
        const { ab } = yield* Client.link(a, b, wait)
        b.onBatch = () => {
          b.session.received = []
        }
        const plain = packets.ofSize(ab, 1_401)
        for (let i = 0; i < 72; i++) a.send(...Array.from({ length: 100 }, () => plain))
        a.send(packets.ping(...pingId))
        yield* until("the burst has left", () => a.connection.pendingBytes() === 0, 10_000)
        yield* until("the pong", () => a.session.received.length > 0, 1_000)
        // The pong overtakes what still waits for the receiver's socket.
        const settled = Effect.map(stats, ({ droppedPackets, forwardedPackets }) => forwardedPackets + droppedPackets)
        yield* until("all of it is forwarded or dropped", Effect.map(settled, (count) => count >= 7_200), 10_000)
        assert.strictEqual(yield* settled, 7_200)
      }).pipe(Effect.provide(testLayer)),
    60_000
  )

  it.live(
    "D5: 20 clients that never read are closed and freed; the echo of others never stops",
    () =>
      Effect.gen(function*() {
        const { address } = yield* RelayServer
        const { now, until } = yield* clock
        const a = yield* Client.login(address, wait)
        const b = yield* Client.login(address, wait)
        const { ab } = yield* Client.link(a, b, wait)
        const flooder = yield* Client.login(address, wait)
        const deaf: Array<Client.RelayTestClient> = []
        const ids: Array<number> = []
        for (let i = 0; i < 20; i++) {
          const client = yield* Client.login(address, wait)
          ids.push((yield* Client.link(flooder, client, wait)).ab)
          client.reads = false
          deaf.push(client)
        }
        let done = false
        yield* Effect.gen(function*() {
          // Enough to fill the buffers of all of them, and then a trickle that keeps them full.
          while (!done) {
            for (const id of ids) flooder.send(...Array.from({ length: 30 }, () => packets.ofSize(id, 1_400)))
            yield* Effect.sleep("5 millis")
            if (flooder.connection.pendingBytes() > 4_000_000) yield* Effect.sleep("20 millis")
          }
        }).pipe(Effect.forkScoped)
        const started = now()
        let slowest = 0
        while (((yield* stats).closed["blocked"] ?? 0) < 20 && now() - started < 14_000) {
          b.session.received = []
          a.send(packets.data(ab, 1, 2, 3))
          slowest = Math.max(slowest, yield* until("the echo", () => b.session.received.length > 0, 1_000))
          yield* Effect.sleep("10 millis")
        }
        done = true
        const { clients, closed } = yield* stats
        assert.strictEqual(closed["blocked"], 20)
        assert.strictEqual(clients, 3)
        assert.isBelow(slowest, 500)
        for (const client of deaf) client.reads = true
        yield* until("all of them know", () => deaf.every((client) => client.ended !== undefined), 2_500)
        for (const client of [a, b, flooder]) assert.isUndefined(client.ended)
      }).pipe(Effect.provide(testLayer)),
    90_000
  )

  it.live("D3: half-open sockets from one address do not keep another out", () =>
    Effect.gen(function*() {
      const { address } = yield* RelayServer
      const { now, until } = yield* clock
      for (let i = 0; i < 300; i++) {
        const socket = yield* bareSocket(address, "127.0.0.1")
        socket.on("connect", () => socket.write(new Uint8Array(127)))
      }
      yield* until("the sockets are refused", Effect.map(stats, ({ refused }) => refused >= 280), 10_000)
      const start = now()
      const honest = yield* loginFrom(address, "127.0.0.2", until)
      assert.isBelow(now() - start, 1_000)
      assert.isTrue(honest.session.isOpen)
      assert.isAtMost((yield* stats).pending, 16)
    }).pipe(
      Effect.provide(testLayer.pipe(Layer.provide(
        Layer.effect(RelayServerSettings, Effect.map(RelayServerSettings, (all) => ({ ...all, limitLoopback: true })))
      )))
    ), 60_000)

  it.live(
    "sockets that are reset in the middle of a frame, or at once, leave nothing behind",
    () =>
      Effect.gen(function*() {
        const { address } = yield* RelayServer
        const { until } = yield* clock
        const a = yield* Client.login(address, wait)
        let gone = 0
        for (let i = 0; i < 200; i++) {
          const socket = yield* bareSocket(address, "127.0.0.1")
          socket.on("connect", () => {
            if (i % 2 === 0) socket.resetAndDestroy()
            else socket.write(new Uint8Array(i), () => socket.resetAndDestroy())
          })
          socket.on("close", () => gone++)
        }
        yield* until("all sockets are gone", () => gone === 200, 10_000)
        yield* until("the relay knows", Effect.map(stats, ({ pending }) => pending === 0), 10_000)
        a.send(packets.ping(...pingId))
        yield* until("the pong", () => a.session.received.length > 0, 5_000)
        assert.deepInclude(yield* stats, { pending: 0, clients: 1 })
        assert.deepStrictEqual(a.take(), [[5, ...pingId]])
      }).pipe(Effect.provide(testLayer)),
    60_000
  )

  it.live("closing the relay with never-readers takes 2 s at most", () =>
    Effect.gen(function*() {
      let started = 0
      const { now, until } = yield* clock
      yield* Effect.gen(function*() {
        const { address } = yield* RelayServer
        const a = yield* Client.login(address, wait)
        const deaf = yield* Client.login(address, wait)
        const { ab } = yield* Client.link(a, deaf, wait)
        deaf.reads = false
        for (let i = 0; i < 60; i++) a.send(...Array.from({ length: 100 }, () => packets.ofSize(ab, 1_400)))
        // What the relay could not pass on waits in its queue and the socket of the one who does not read.
        yield* until("the flood has left", () => a.connection.pendingBytes() === 0, 10_000)
        yield* LoopTime.pass(now, "300 millis")
        started = now()
      }).pipe(Effect.provide(testLayer))
      assert.isBelow(now() - started, 2_600)
    }), 60_000)
})

/** A confirmed client on a socket bound to another loopback address. */
const loginFrom = (
  relay: RelayAddress,
  localAddress: string,
  until: (what: string, condition: () => boolean, limit: number) => Effect.Effect<number>
) =>
  Effect.gen(function*() {
    const transport = yield* RelayTransport
    const bound: typeof transport = {
      ...transport,
      connect: () =>
        Effect.gen(function*() {
          const socket = yield* bareSocket(relay, localAddress)
          const arrived: Array<Uint8Array> = []
          socket.on("data", (chunk: Uint8Array) => arrived.push(chunk))
          return {
            remoteAddress: relay.host,
            write: (bytes: Uint8Array) => socket.write(bytes),
            pendingBytes: () => socket.writableLength,
            onDrain: () => {},
            pull: Effect.suspend(() =>
              arrived.length > 0 ? Effect.succeed(arrived.splice(0)) : Effect.as(Effect.sleep("2 millis"), [])
            )
          }
        })
    }
    const client = yield* Client.greet(relay, Effect.void).pipe(Effect.provideService(RelayTransport, bound))
    yield* until("the hello", () => client.session.isOpen, 1_000)
    client.send(packets.ping(...pingId))
    yield* until("the pong", () => client.session.received.length >= 2, 1_000)
    return client
  })
