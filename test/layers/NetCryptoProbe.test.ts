/** What a connection tells about the relays between it and its peer: who carries, who is online, and how long each takes. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import * as ConnectionRegistryLive from "../../src/layers/ConnectionRegistryLive.ts"
import * as NetCryptoBridgeLive from "../../src/layers/NetCryptoBridgeLive.ts"
import * as NetCryptoLive from "../../src/layers/NetCryptoLive.ts"
import * as RelayClientLive from "../../src/layers/RelayClientLive.ts"
import type { RelayAddress } from "../../src/schema/RelayAddress.ts"
import { ConnectionRegistry } from "../../src/services/ConnectionRegistry.ts"
import { Identity } from "../../src/services/Identity.ts"
import { NetCrypto, type NetCryptoPath } from "../../src/services/NetCrypto.ts"
import { RelayServer } from "../../src/services/RelayServer.ts"
import { ToxCrypto } from "../../src/services/ToxCrypto.ts"
import * as EntropySeeded from "../../src/testing/EntropySeeded.ts"
import { MemoryNetwork } from "../../src/testing/MemoryNetwork.ts"
import { RelayFaults } from "../../src/testing/RelayFaults.ts"
import * as RelayServerFaulty from "../../src/testing/RelayServerFaulty.ts"
import * as RelayTransportMemory from "../../src/testing/RelayTransportMemory.ts"
import { forkNow, join, node, type NodeOptions, within } from "../utils/cryptoNode.ts"
import * as FakeWire from "../utils/FakeWire.ts"
import { keyPairFrom, plainCrypto } from "../utils/plainCrypto.ts"

/** Two nodes over four relays that take 5, 25, 45 and 65 ms one way. */
const connected = Effect.fnUntraced(function*(
  adjust: (wire: FakeWire.FakeWire) => void = () => {},
  options: NodeOptions = {}
) {
  const wire = yield* FakeWire.make({ relays: 4 })
  for (const relay of wire.relays.keys()) wire.detours.set(relay, 20 * relay)
  adjust(wire)
  const a = yield* node(wire, 1, 65, options)
  const b = yield* node(wire, 33, 97, options)
  const ends = yield* join(a, b, 2_000)
  yield* TestClock.adjust(100)
  const [path] = [...a.at.paths.values()]
  return { wire, a, b, connection: ends.a.connection, atPeer: ends.b.connection, path: path! }
})

const hosts = (paths: ReadonlyArray<NetCryptoPath>) => paths.map(({ relay }) => relay.host)
const times = (paths: ReadonlyArray<NetCryptoPath>) => paths.map(({ roundTrip }) => roundTrip)

/** Whether each is as long as expected, within two milliseconds; undefined must be undefined. */
const areNear = (measured: ReadonlyArray<number | undefined>, expected: ReadonlyArray<number | undefined>) => {
  const isNear = expected.every((time, n) => {
    const found = measured[n]
    return time === undefined || found === undefined ? time === found : Math.abs(found - time) <= 2
  })
  assert.isTrue(isNear && measured.length === expected.length, `${measured.join()} instead of ${expected.join()}`)
}

describe("NetCryptoConnection.probe", () => {
  it.effect("measures the round trip over each relay at once, the one that carries too", () =>
    Effect.gen(function*() {
      const { connection, path, wire } = yield* connected()
      assert.deepStrictEqual(times(connection.paths()), [undefined, undefined, undefined, undefined])
      const before = wire.log.length
      const probing = yield* forkNow(connection.probe)
      const sent = wire.log.slice(before)
      assert.deepStrictEqual(sent.map(({ bytes, relay }) => [bytes[0], relay]), [[24, 0], [24, 1], [24, 2], [24, 3]])
      const paths = yield* within(probing, 140, 1)
      areNear(times(paths), [10, 50, 90, 130])
      assert.deepStrictEqual(hosts(paths), wire.relays.map(({ host }) => host))
      assert.deepStrictEqual(paths.map(({ carries }) => carries), [0, 1, 2, 3].map((relay) => relay === path.active))
      assert.isTrue(paths.every(({ online }) => online))
      assert.deepStrictEqual(connection.paths(), paths)
    }))

  it.effect("a relay that delivers nothing has no round trip after two seconds; the others have theirs", () =>
    Effect.gen(function*() {
      const { connection, wire } = yield* connected()
      yield* within(yield* forkNow(connection.probe), 200)
      wire.frozen.add(2)
      const probing = yield* forkNow(connection.probe)
      yield* TestClock.adjust(1_999)
      assert.isUndefined(probing.pollUnsafe())
      areNear(times(yield* within(probing, 20, 1)), [10, 50, undefined, 130])
      areNear(times(connection.paths()), [10, 50, undefined, 130])
      // Once more it works: nothing was concluded from it.
      wire.frozen.clear()
      areNear(times(yield* within(yield* forkNow(connection.probe), 200)), [10, 50, 90, 130])
    }))

  it.effect("judges no relay and moves nothing, however fast or dead another one is", () =>
    Effect.gen(function*() {
      const { connection, path, wire } = yield* connected()
      // The probes of the session have come and gone: what is said from now on is said by the survey.
      yield* TestClock.adjust(8_000)
      const { active, moves } = path
      wire.detours.set(active!, 300)
      wire.frozen.add((active! + 1) % 4)
      const verdicts = path.verdicts.length
      for (let i = 0; i < 3; i++) yield* within(yield* forkNow(connection.probe), 2_100)
      assert.deepStrictEqual([path.active, path.moves, path.verdicts.length], [active, moves, verdicts])
    }))

  it.effect("a relay on which the peer is not online is told, not asked; paths follows at once", () =>
    Effect.gen(function*() {
      const { connection, path, wire } = yield* connected()
      yield* within(yield* forkNow(connection.probe), 200)
      const carrier = path.active!
      wire.setRelay(carrier, false)
      yield* TestClock.adjust(10)
      const online = [0, 1, 2, 3].map((relay) => relay !== carrier)
      assert.deepStrictEqual(connection.paths().map(({ online }) => online), online)
      assert.notStrictEqual(path.active, carrier)
      assert.strictEqual(connection.paths().findIndex(({ carries }) => carries), path.active)
      assert.isUndefined(connection.paths()[carrier]!.roundTrip)
      const paths = yield* within(yield* forkNow(connection.probe), 200)
      areNear(times(paths), [10, 50, 90, 130].map((time, relay) => relay === carrier ? undefined : time))
      assert.deepStrictEqual(paths.map(({ online }) => online), online)
    }))

  it.effect("several at a time do not disturb each other, nor one that is given up", () =>
    Effect.gen(function*() {
      const { connection, wire } = yield* connected()
      const first = yield* forkNow(connection.probe)
      const second = yield* forkNow(connection.probe)
      yield* TestClock.adjust(20)
      yield* Fiber.interrupt(second)
      wire.frozen.add(3)
      const third = yield* forkNow(connection.probe)
      areNear(times(yield* within(first, 2_000)), [10, 50, 90, undefined])
      areNear(times(yield* within(third, 2_100)), [10, 50, 90, undefined])
    }))

  it.effect("what is given up leaves nothing behind", () =>
    Effect.gen(function*() {
      const { connection } = yield* connected()
      const probing = yield* forkNow(connection.probe)
      yield* TestClock.adjust(100)
      yield* Fiber.interrupt(probing)
      yield* TestClock.adjust(3_000)
      assert.deepStrictEqual(times(connection.paths()), [undefined, undefined, undefined, undefined])
    }))

  it.effect("the two seconds are kept, whatever else the peer's timer waits for at that moment", () =>
    Effect.gen(function*() {
      for (let after = 1_000; after < 7_000; after += 60) {
        const late = Effect.gen(function*() {
          const { connection, wire } = yield* connected(() => {}, { requestInterval: 30_000 })
          yield* TestClock.adjust(after)
          // No answer at all: whatever arrives has the timer look again.
          for (const relay of wire.relays.keys()) wire.frozen.add(relay)
          const probing = yield* forkNow(connection.probe)
          yield* TestClock.adjust(1_999)
          assert.isUndefined(probing.pollUnsafe())
          yield* within(probing, 2, 1)
        })
        yield* Effect.scoped(late)
      }
    }))

  it.effect("a connection that was replaced tells nothing of the relays of its successor", () =>
    Effect.gen(function*() {
      const { a, b, connection, wire } = yield* connected()
      wire.frozen.add(3)
      yield* b.crash
      const again = yield* node(wire, 33, 97, { seed: 2 })
      const ends = yield* join(again, a)
      assert.deepStrictEqual(connection.paths(), [])
      assert.strictEqual((yield* Effect.flip(connection.probe)).reason._tag, "PeerRestarted")
      areNear(times(yield* within(yield* forkNow(ends.b.connection.probe), 2_100)), [10, 50, 90, undefined])
    }))

  it.effect("fails when the connection ends, and at once after the end; then there are no paths", () =>
    Effect.gen(function*() {
      const { atPeer, connection, wire } = yield* connected()
      wire.frozen.add(3)
      const probing = yield* forkNow(connection.probe)
      yield* TestClock.adjust(500)
      assert.isUndefined(probing.pollUnsafe())
      yield* atPeer.close
      const ended = yield* within(yield* forkNow(Effect.flip(Fiber.join(probing))), 200)
      assert.strictEqual(ended.reason._tag, "PeerClosed")
      const before = wire.log.length
      assert.isTrue(Exit.isFailure(yield* Effect.exit(connection.probe)))
      assert.deepStrictEqual([connection.paths(), wire.log.length], [[], before])
    }))

  it.effect("with the peer online nowhere there is nothing to wait for", () =>
    Effect.gen(function*() {
      const { connection, wire } = yield* connected((wire) => {
        wire.outOfBandOnly = true
      })
      const before = wire.log.length
      const paths = yield* connection.probe
      assert.deepStrictEqual(paths.map(({ carries, online, roundTrip }) => [carries, online, roundTrip]), [
        [false, false, undefined],
        [false, false, undefined],
        [false, false, undefined],
        [false, false, undefined]
      ])
      assert.strictEqual(wire.log.length, before)
    }))
})

const startRelay = Effect.fnUntraced(function*(n: number, host: string) {
  const context = yield* RelayServerFaulty.layer({ host, port: 443, keyPair: keyPairFrom(0x10 * n) }).pipe(
    Layer.provide(RelayTransportMemory.transportOf(host)),
    Layer.provide(EntropySeeded.layer(n)),
    Layer.fresh,
    Layer.build
  )
  return { address: Context.get(context, RelayServer).address, faults: Context.get(context, RelayFaults) }
})

const startNode = Effect.fnUntraced(function*(n: number, machine: string, relays: ReadonlyArray<RelayAddress>) {
  const keys = { identity: keyPairFrom(0x81 + 0x10 * n), dht: keyPairFrom(0x88 + 0x10 * n) }
  const context = yield* NetCryptoLive.layer.pipe(
    Layer.provide(NetCryptoBridgeLive.layer),
    Layer.provideMerge(ConnectionRegistryLive.layer),
    Layer.provide(RelayClientLive.layer),
    Layer.provide(Layer.succeed(Identity, keys)),
    Layer.provide(RelayTransportMemory.transportOf(machine)),
    Layer.provide(EntropySeeded.layer(100 + n)),
    Layer.fresh,
    Layer.build
  )
  for (const relay of relays) yield* Context.get(context, ConnectionRegistry).addRelay(relay)
  const address = { identityKey: keys.identity.publicKey, dhtKey: keys.dht.publicKey, relays }
  return { netCrypto: Context.get(context, NetCrypto), address }
})

it.effect("through real relays of different latency, one of which delivers nothing: each within two milliseconds", () =>
  Effect.gen(function*() {
    const network = yield* MemoryNetwork
    const relays = yield* Effect.all([
      startRelay(1, "near.test"),
      startRelay(2, "far.test"),
      startRelay(3, "hole.test")
    ])
    // Each packet takes two of these ways, its answer two more.
    for (const [n, latency] of [10, 40, 5].entries()) network.conditions(relays[n]!.address, { latency })
    const addresses = relays.map(({ address }) => address)
    const a = yield* startNode(1, "a", addresses)
    const b = yield* startNode(2, "b", addresses)
    yield* b.netCrypto.setAcceptPolicy(() => true)
    yield* forkNow(b.netCrypto.accept)
    const connection = yield* within(yield* forkNow(a.netCrypto.connect(b.address)), 3_000)
    yield* TestClock.adjust(500)
    const byRelay = (paths: ReadonlyArray<NetCryptoPath>) =>
      addresses.map(({ host }) => paths.find(({ relay }) => relay.host === host)?.roundTrip)
    areNear(byRelay(yield* within(yield* forkNow(connection.probe), 200, 1)), [40, 160, 20])
    relays[2]!.faults.set({}, { drop: 1 })
    const paths = yield* within(yield* forkNow(connection.probe), 2_100)
    areNear(byRelay(paths), [40, 160, undefined])
    assert.isTrue(paths.every(({ online }) => online))
    assert.strictEqual(paths.filter(({ carries }) => carries).length, 1)
  }).pipe(
    Effect.scoped,
    Effect.provide(Layer.merge(RelayTransportMemory.network({ seed: 7 }), Layer.succeed(ToxCrypto, plainCrypto)))
  ))
