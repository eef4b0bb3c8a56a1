/** Connections that rest because another way to the peer works: how they fall silent, and what does not wake them. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { forkNow, node, numbered, within } from "../utils/cryptoNode.ts"
import { asleep, connected, hour, parkAck, range, reasons, states, until, works } from "../utils/parkedNodes.ts"
import { withPauses } from "../utils/pausingClock.ts"

describe("a connection that is parked", () => {
  it.effect("T26, T27: no packet at all for an hour, the path sleeps after one second, and nobody is lost", () =>
    Effect.gen(function*() {
      const world = yield* connected({ relays: 3 })
      const { atA, atB, pathA, pathB, wire } = world
      atA.connection.trySend(numbered(1))
      yield* TestClock.adjust(20)
      const before = wire.count.sent
      assert.isTrue(atA.connection.park())
      assert.isTrue(atB.connection.park())
      assert.deepStrictEqual(states(world), ["parking", "parking"])
      yield* TestClock.adjust(999)
      assert.deepStrictEqual([pathA.isAsleep, pathB.isAsleep], [false, false])
      yield* TestClock.adjust(1)
      assert.deepStrictEqual([pathA.isAsleep, pathB.isAsleep], [true, true])
      assert.deepStrictEqual(states(world), ["parked", "parked"])
      yield* TestClock.adjust(hour)
      assert.strictEqual(wire.count.sent, before)
      assert.deepStrictEqual([atA.woken, atB.woken, reasons(atA), reasons(atB)], [[], [], [], []])
      assert.deepStrictEqual(states(world), ["parked", "parked"])
      yield* works(world, "after an hour")
    }))

  it.effect("T31: it does not park while something is on its way, nor after its end; twice is once", () =>
    Effect.gen(function*() {
      const { atA, atB } = yield* connected()
      atA.connection.trySend(numbered(1))
      assert.isFalse(atA.connection.park())
      assert.strictEqual(atA.connection.parked(), "awake")
      yield* TestClock.adjust(100)
      assert.deepStrictEqual([atA.connection.park(), atA.connection.park()], [true, true])
      yield* TestClock.adjust(5_000)
      assert.isTrue(atA.connection.park())
      yield* atB.connection.close
      assert.isFalse(atB.connection.park())
      assert.doesNotThrow(() => atB.connection.wake())
    }))

  it.effect("T31: nor while a handshake is under way", () =>
    Effect.gen(function*() {
      const { a, atA, b, wire } = yield* connected()
      yield* b.crash
      wire.fate = ({ bytes }) => bytes[0] === 27 ? "lose" : "deliver"
      const again = yield* node(wire, 33, 97, { seed: 2 })
      yield* forkNow(again.netCrypto.connect(a.address))
      yield* TestClock.adjust(100)
      assert.isFalse(atA.connection.park())
    }))

  it.effect("nextPacketNumber is the number that the next lossless packet gets", () =>
    Effect.gen(function*() {
      const { atA } = yield* connected()
      assert.strictEqual(atA.connection.nextPacketNumber(), 1)
      for (const number of range(3)) atA.connection.trySend(numbered(number))
      assert.strictEqual(atA.connection.nextPacketNumber(), 4)
    }))

  it.effect("T27: the last acknowledgements still cross; they and a repeated ParkAck wake nobody", () =>
    Effect.gen(function*() {
      for (const lost of range(4)) {
        yield* Effect.scoped(Effect.gen(function*() {
          const world = yield* connected()
          const { a, atA, atB, pathA, wire } = world
          // Nothing of a arrives for so many packets after it has parked, and the ParkAck is repeated.
          let dropped = 0
          wire.fate = ({ from }) =>
            from === a.at.id && atA.connection.parked() !== "awake" && dropped++ < lost ? "lose" : "deliver"
          atA.onControl(() => assert.isTrue(atA.connection.park()))
          assert.isTrue(atB.connection.trySend(parkAck))
          const parking = yield* forkNow(atB.connection.drained)
          yield* within(parking, 900)
          assert.isTrue(atB.connection.park())
          yield* TestClock.adjust(10_000)
          assert.deepStrictEqual([atA.woken, atB.woken], [[], []], `${lost} lost`)
          assert.deepStrictEqual([...states(world), pathA.isAsleep], ["parked", "parked", true])
          assert.strictEqual(wire.count.sent - (yield* Effect.as(TestClock.adjust(hour), wire.count.sent)), 0)
          yield* works(world, `${lost} lost`)
        }))
      }
    }))

  it.effect("a ParkAck that comes only in the grace is handed on and wakes nobody; other news do", () =>
    Effect.gen(function*() {
      const cases: ReadonlyArray<readonly [Uint8Array, Array<string>]> = [[parkAck, []], [numbered(1), ["peer"]]]
      for (const [packet, woken] of cases) {
        const { atA, atB } = yield* connected()
        assert.isTrue(atA.connection.park())
        yield* TestClock.adjust(400)
        atB.connection.trySend(packet)
        yield* TestClock.adjust(50)
        assert.deepStrictEqual(atA.woken, woken)
        assert.strictEqual(atB.connection.stats().inFlightPackets, 0)
      }
    }))

  it.effect("one parks and the other does not: it is woken by the next sign of life, and both go on", () =>
    Effect.gen(function*() {
      for (let after = 0; after < 1_100; after += 90) {
        yield* Effect.scoped(Effect.gen(function*() {
          const world = yield* connected()
          yield* TestClock.adjust(after)
          const heard = world.wire.log.findLast(({ from }) => from === world.b.at.id)!.at
          assert.isTrue(world.atA.connection.park())
          // Whoever keeps no relay can be found only by what is said during the grace, one second after what was said before.
          if (world.wire.now() - heard > 50) world.a.at.home.clear()
          yield* until(() => world.atA.woken.length > 0, 2_500, `parked at ${after}`)
          assert.deepStrictEqual([world.atA.woken, world.pathA.isAsleep], [["peer"], false])
          yield* TestClock.adjust(10_000)
          yield* works(world, `parked at ${after}`)
        }))
      }
    }))

  it.effect("lossy packets and probes are refused, a kill packet ends it", () =>
    Effect.gen(function*() {
      const { atA, atB, pathA, wire } = yield* asleep({ homeless: [] })
      assert.notStrictEqual(pathA.carrier(), 0)
      const before = wire.count.sent
      assert.isFalse(atA.connection.sendLossy(Uint8Array.of(200)))
      const ways = yield* atA.connection.probe
      assert.isTrue(ways.every(({ roundTrip }) => roundTrip === undefined))
      assert.deepStrictEqual([wire.count.sent - before, atA.connection.parked()], [0, "parked"])
      atA.connection.wake()
      yield* TestClock.adjust(1_000)
      assert.isTrue(atA.connection.park() && atB.connection.park())
      yield* TestClock.adjust(500)
      yield* atB.connection.close
      yield* TestClock.adjust(100)
      assert.deepStrictEqual([reasons(atA), reasons(atB)], [["PeerClosed"], ["ClosedHere"]])
    }))

  it.effect("T33: relays that stop working meanwhile are not blamed, and packets that relays have kept wake nobody", () =>
    Effect.gen(function*() {
      const world = yield* connected({ relays: 3 })
      const { a, atA, atB, b, pathA, pathB, wire } = world
      atA.connection.trySend(numbered(1))
      yield* TestClock.adjust(1_500)
      const old = wire.log.filter(({ bytes, from }) => from === b.at.id && [24, 27].includes(bytes[0]!))
      // The probes of the standbys have begun, and have had no answer when both park.
      wire.fate = ({ bytes }) => bytes[0] === 25 ? "lose" : "deliver"
      yield* TestClock.adjust(29_600)
      atA.connection.park()
      atB.connection.park()
      const verdicts = pathA.verdicts.length
      yield* TestClock.adjust(60_000)
      wire.frozen.add(0)
      for (const { bytes, relay } of old) wire.inject(b.keys.dht.publicKey, a.at, bytes, { relay, outOfBand: false })
      yield* TestClock.adjust(hour)
      assert.deepStrictEqual([states(world), atA.woken, atB.woken], [["parked", "parked"], [], []])
      assert.deepStrictEqual([pathA.verdicts.length, pathA.moves, pathB.moves], [verdicts, 0, 0])
      wire.frozen.clear()
      wire.fate = () => "deliver"
      yield* works(world, "afterwards")
      assert.strictEqual(pathA.verdicts.slice(verdicts).filter(({ delivered }) => !delivered).length, 0)
    }))

  it.effect("a request for a cookie is answered and wakes nobody", () =>
    Effect.gen(function*() {
      const { a, atA, b, wire } = yield* connected()
      yield* TestClock.adjust(1_500)
      const question = wire.log.find(({ bytes, from }) => from === b.at.id && bytes[0] === 24)!
      atA.connection.park()
      yield* b.crash
      yield* TestClock.adjust(5_000)
      const before = wire.log.length
      wire.inject(b.keys.dht.publicKey, a.at, question.bytes, { relay: question.relay })
      yield* TestClock.adjust(100)
      assert.deepStrictEqual(wire.log.slice(before).map(({ bytes }) => bytes[0]), [25])
      assert.strictEqual(atA.connection.parked(), "parked")
    }))

  it.effect("our event loop stands still during the grace: what arrived meanwhile wakes nobody", () =>
    withPauses((pause) =>
      Effect.gen(function*() {
        const world = yield* connected()
        const { atA, atB } = world
        atA.connection.trySend(numbered(1))
        yield* TestClock.adjust(50)
        assert.isTrue(atA.connection.park() && atB.connection.park())
        pause(1, 3_000)
        yield* TestClock.adjust(20_000)
        assert.deepStrictEqual([states(world), atA.woken, atB.woken], [["parked", "parked"], [], []])
        yield* works(world, "afterwards")
      })
    ))
})
