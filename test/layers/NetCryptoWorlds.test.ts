/**
 * Random worlds: seeded loss, reordering, duplication, slow wires and failing relays. Whatever happens on the way, every lossless payload
 * arrives exactly once and in order, no lossy one twice, and once the wire is well again everything comes to rest.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import * as EntropySeeded from "../../src/testing/EntropySeeded.ts"
import { type End, join, node, numbered, numberOf } from "../utils/cryptoNode.ts"
import * as FakeWire from "../utils/FakeWire.ts"

const range = (count: number) => Array.from({ length: count }, (_, i) => i)

/** One world. Returns everything that was sent, as a trace. */
const world = Effect.fnUntraced(function*(seed: number, records = false) {
  const { fraction } = EntropySeeded.make(seed)
  const below = (limit: number): number => Math.floor(fraction() * limit)
  const wire = yield* FakeWire.make({ relays: 1 + below(3), seed })
  wire.records = records
  const relays = wire.relays.length
  Object.assign(wire.conditions, {
    latency: 1 + below(60),
    jitter: below(2) * below(40),
    rate: below(3) === 0 ? 100 + below(2_000) : Infinity,
    buffer: 10_000 + below(200_000)
  })
  const a = yield* node(wire, 1, 65, { seed })
  const b = yield* node(wire, 33, 97, { seed: seed + 1 })
  const ends = yield* join(a, b, 8_000)
  for (const [from, to] of [[a, b], [b, a]] as const) {
    Object.assign(wire.direction(from.at, to.at), {
      loss: below(2) * fraction() * 0.15,
      duplicate: below(2) * fraction() * 0.2,
      reorder: below(2) * fraction() * 0.3,
      reorderBy: 1 + below(100)
    })
  }
  const counts = [0, 0]
  const lossy = [0, 0]
  for (let step = 0; step < 30; step++) {
    for (const [side, end] of [ends.a, ends.b].entries()) {
      for (let burst = below(3) * below(40); burst > 0; burst--) {
        if (end.connection.trySend(numbered(counts[side]!, below(1_373)))) counts[side]!++
      }
      if (below(4) === 0) {
        end.connection.sendLossy(Uint8Array.of(200, ...numbered(lossy[side]!).subarray(1)))
        lossy[side]!++
      }
      if (below(12) === 0) end.connection.hold(true)
      else if (below(3) === 0) end.connection.hold(false)
    }
    const relay = below(relays)
    switch (below(8)) {
      case 0:
        wire.setRelay(relay, false, below(2) === 0 ? a.at : undefined)
        break
      case 1:
        wire.frozen.add(relay)
        break
      case 2:
      case 3:
        wire.setRelay(relay, true)
        wire.frozen.delete(relay)
    }
    yield* TestClock.adjust(below(60))
  }
  wire.frozen.clear()
  for (const relay of range(relays)) wire.setRelay(relay, true)
  for (const [from, to] of [[a, b], [b, a]] as const) Object.assign(wire.direction(from.at, to.at), { loss: 0.01 })
  for (const { connection } of [ends.a, ends.b]) connection.hold(false)
  const isDone = (): boolean => ends.a.lossless.length === counts[1] && ends.b.lossless.length === counts[0]
  for (let waited = 0; waited < 30_000 && !isDone(); waited += 100) yield* TestClock.adjust(100)
  const check = (end: End, count: number, what: string): void => {
    assert.deepStrictEqual(end.errors.map(({ reason }) => reason._tag), [], `seed ${seed}, ${what}`)
    assert.deepStrictEqual(end.lossless.map(numberOf), range(count), `seed ${seed}, ${what}`)
    const numbers = end.lossy.map(numberOf)
    assert.strictEqual(new Set(numbers).size, numbers.length, `seed ${seed}, ${what}: a lossy packet twice`)
  }
  check(ends.a, counts[1]!, "at the caller")
  check(ends.b, counts[0]!, "at the callee")
  yield* TestClock.adjust(2_500)
  for (const { connection } of [ends.a, ends.b]) {
    const { inFlightPackets, queuedPackets } = connection.stats()
    assert.deepStrictEqual([inFlightPackets, queuedPackets], [0, 0], `seed ${seed}: acknowledged in the end`)
  }
  yield* Effect.all([a.stop, b.stop])
  return wire.log.map(({ at, bytes, from, relay }) =>
    `${at} ${from.slice(0, 4)} ${relay} ${Buffer.from(bytes).toString("hex")}`
  )
})

describe("NetCryptoLive in random worlds", () => {
  it.effect("every lossless payload arrives exactly once and in order, both ways", () =>
    Effect.gen(function*() {
      for (let seed = 1; seed <= 25; seed++) yield* Effect.scoped(world(seed))
    }), 60_000)

  it.effect("B2: the same seed gives the same packets", () =>
    Effect.gen(function*() {
      // Each in a clock of its own, because cookies name the time.
      const run = Effect.scoped(world(17, true)).pipe(Effect.provide(Layer.fresh(TestClock.layer())))
      const first = yield* run
      assert.isAbove(first.length, 500)
      assert.deepStrictEqual(yield* run, first)
    }))
})
