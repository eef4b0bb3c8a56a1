/** The modes of `causeway packets` over a connection in memory that can drop, change and delay. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import * as Modes from "../../src/cli/packetModes.ts"
import * as Payload from "../../src/cli/testPayload.ts"
import { type Meddle, pair } from "./fakeConnection.ts"

const traffic = (count: number, lossy = false): Modes.Traffic => ({ count, size: 100, lossy })

/** A flood from one end, received at the other; virtual time runs while they do. */
const floodInto = (options: {
  readonly count: number
  readonly lossy?: boolean
  readonly echo?: boolean
  readonly sendBuffer?: number
  readonly meddle?: Meddle
}) =>
  Effect.gen(function*() {
    const [sender, receiver] = pair(options)
    const lossy = options.lossy ?? false
    const sink = yield* Modes.receive(receiver, { lossy, echo: options.echo ?? false })
    const result = yield* Effect.forkChild(sink.next)
    const flood = yield* Effect.forkChild(Modes.flood(sender, traffic(options.count, lossy)))
    yield* TestClock.adjust("5 seconds")
    return { flood: yield* Fiber.join(flood), sink: yield* Fiber.join(result) }
  })

/** Drops or changes the packet of one sequence number. */
const at = (sequence: number, change: Meddle): Meddle => (packet) =>
  packet[0] !== Payload.finalId && Payload.sequenceOf(packet) === sequence ? change(packet) : packet

describe("packetModes", () => {
  it.effect("a flood arrives complete and in order", () =>
    Effect.gen(function*() {
      const { flood, sink } = yield* floodInto({ count: 200 })
      expect(flood).toMatchObject({ packets: 200, inOrder: true, fine: true })
      expect(sink).toMatchObject({ packets: 200, inOrder: true, fine: true })
    }))

  it.effect("a sink notices a packet that is missing", () =>
    Effect.gen(function*() {
      const { sink } = yield* floodInto({ count: 200, meddle: at(70, () => undefined) })
      expect(sink).toMatchObject({ packets: 199, inOrder: false, fine: false })
    }))

  it.effect("a sink notices that the last packet is missing", () =>
    Effect.gen(function*() {
      const { sink } = yield* floodInto({ count: 200, meddle: at(199, () => undefined) })
      expect(sink).toMatchObject({ packets: 199, inOrder: false, fine: false })
    }))

  it.effect("a sink notices a changed byte", () =>
    Effect.gen(function*() {
      const damage: Meddle = (packet) => packet.with(50, packet[50]! ^ 1)
      const { sink } = yield* floodInto({ count: 200, meddle: at(3, damage) })
      expect(sink).toMatchObject({ packets: 200, inOrder: false, fine: false })
    }))

  it.effect("a lossy flood may lose packets", () =>
    Effect.gen(function*() {
      const { sink } = yield* floodInto({ count: 200, lossy: true, meddle: at(3, () => undefined) })
      expect(sink).toMatchObject({ packets: 199, inOrder: false, fine: true })
    }))

  it.effect("a sink still gives its result when the sender closes at once", () =>
    Effect.gen(function*() {
      const [sender, receiver] = pair()
      const sink = yield* Modes.receive(receiver, { lossy: false, echo: false })
      sender.trySend(Payload.encode(160, 0, 50, 0n))
      sender.trySend(Payload.encodeFinal(1))
      yield* sender.close
      expect(yield* sink.next).toMatchObject({ packets: 1, inOrder: true, fine: true })
      expect((yield* Effect.flip(sink.next)).reason._tag).toBe("PeerClosed")
    }))

  it.effect("two floods on one connection are counted apart, even when they follow each other at once", () =>
    Effect.gen(function*() {
      const [sender, receiver] = pair()
      const sink = yield* Modes.receive(receiver, { lossy: false, echo: false })
      for (const count of [2, 3]) {
        for (let sequence = 0; sequence < count; sequence++) sender.trySend(Payload.encode(160, sequence, 50, 0n))
        sender.trySend(Payload.encodeFinal(count))
      }
      expect(yield* sink.next).toMatchObject({ packets: 2, fine: true })
      expect(yield* sink.next).toMatchObject({ packets: 3, fine: true })
    }))

  it.effect("a flood that is cut off fails with the reason", () =>
    Effect.gen(function*() {
      const [sender, receiver] = pair({ sendBuffer: 10 })
      receiver.hold(true)
      const flood = yield* Effect.forkChild(Effect.flip(Modes.flood(sender, traffic(100))))
      yield* TestClock.adjust("1 second")
      yield* receiver.close
      expect((yield* Fiber.join(flood)).reason._tag).toBe("PeerClosed")
    }))

  it.effect("an echo sends everything back", () =>
    Effect.gen(function*() {
      const [sender, receiver] = pair()
      yield* Modes.receive(receiver, { lossy: false, echo: true })
      const back: Array<Uint8Array> = []
      sender.handle({
        onLossless: (packet) => back.push(packet),
        onLossy: (packet) => back.push(packet),
        onWritable: () => undefined,
        onClosed: () => undefined
      })
      const packets = [
        Payload.encode(160, 0, 40, 1n),
        Payload.encode(200, 1, 41, 2n),
        Uint8Array.of(17),
        Payload.encodeFinal(1)
      ]
      for (const packet of packets) sender.trySend(packet)
      expect(back).toEqual(packets)
    }))

  it.effect("an echo takes nothing while the way back is full, and loses nothing", () =>
    Effect.gen(function*() {
      const [sender, receiver] = pair({ sendBuffer: 8 })
      yield* Modes.receive(receiver, { lossy: false, echo: true })
      const back: Array<number | undefined> = []
      sender.hold(true)
      sender.handle({
        onLossless: (packet) => back.push(Payload.sequenceOf(packet)),
        onLossy: () => undefined,
        onWritable: () => undefined,
        onClosed: () => undefined
      })
      let sent = 0
      while (sent < 100 && sender.trySend(Payload.encode(160, sent, 30, 0n))) sent++
      // Eight on the way back, one in the echo's hands, eight that it does not take.
      expect(sent).toBe(17)
      sender.hold(false)
      yield* TestClock.adjust("1 second")
      expect(back).toEqual(Array.from({ length: 17 }, (_, sequence) => sequence))
    }))

  it.effect("a ping measures every round trip", () =>
    Effect.gen(function*() {
      const [sender, receiver] = pair()
      const arrived: Array<Uint8Array> = []
      receiver.handle({
        onLossless: (packet) => arrived.push(packet),
        onLossy: () => undefined,
        onWritable: () => undefined,
        onClosed: () => undefined
      })
      const ping = yield* Effect.forkChild(Modes.ping(sender, traffic(10)))
      for (let sequence = 0; sequence < 10; sequence++) {
        while (arrived.length === sequence) yield* Effect.yieldNow
        // The last one takes ten times as long.
        yield* TestClock.adjust(sequence === 9 ? "100 millis" : "10 millis")
        receiver.trySend(arrived[sequence]!)
      }
      expect(yield* Fiber.join(ping)).toMatchObject({
        packets: 10,
        inOrder: true,
        fine: true,
        p50: 10,
        p99: 100,
        longestGap: 100
      })
    }))

  it.effect("a lossy ping that is not answered within two seconds counts as lost", () =>
    Effect.gen(function*() {
      const [sender, receiver] = pair({ meddle: at(1, () => undefined) })
      yield* Modes.receive(receiver, { lossy: true, echo: true })
      const ping = yield* Effect.forkChild(Modes.ping(sender, traffic(3, true)))
      yield* TestClock.adjust("1900 millis")
      expect(ping.pollUnsafe()).toBeUndefined()
      yield* TestClock.adjust("200 millis")
      expect(yield* Fiber.join(ping)).toMatchObject({ packets: 2, inOrder: false, fine: true })
    }))
})
