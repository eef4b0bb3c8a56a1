/** Two net_crypto nodes on a `FakeWire` whose connection is parked and woken, and what must hold afterwards. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { type End, join, type Node, node, numbered, numberOf } from "./cryptoNode.ts"
import * as FakeWire from "./FakeWire.ts"

export const hour = 3_600_000
export const range = (count: number, from = 0) => Array.from({ length: count }, (_, i) => from + i)
export const reasons = ({ errors }: End) => errors.map(({ reason }) => reason._tag)
export const parkAck = Uint8Array.of(177, 3)

/** An end that remembers how it was woken, and what it does with link control. */
export const watched = (end: End) => {
  const woken: Array<string> = []
  let onControl: (packet: Uint8Array) => void = () => undefined
  end.connection.handle({
    onLossless: (payload) => {
      if (payload[0] === 177) onControl(payload)
      else end.lossless.push(payload)
    },
    onLossy: (payload) => end.lossy.push(payload),
    onWritable: () => end.writable++,
    onClosed: (error) => end.errors.push(error),
    onWoken: (by) => woken.push(by)
  })
  return { ...end, woken, onControl: (act: (packet: Uint8Array) => void) => (onControl = act) }
}

export const pathOf = (end: Node) => [...end.at.paths.values()][0]!

export const connected = Effect.fnUntraced(
  function*(options: { readonly relays?: number; readonly seed?: number } = {}) {
    const wire = yield* FakeWire.make({ relays: options.relays ?? 2, seed: options.seed ?? 1 })
    const a = yield* node(wire, 1, 65)
    const b = yield* node(wire, 33, 97)
    const ends = yield* join(a, b, 2_000)
    const [atA, atB] = [watched(ends.a), watched(ends.b)]
    // A greeting, as between two of our kind: from then on both know the round trip.
    for (const { connection } of [atA, atB]) connection.trySend(Uint8Array.of(177, 1))
    yield* TestClock.adjust(100)
    return { wire, a, b, atA, atB, pathA: pathOf(a), pathB: pathOf(b) }
  }
)
export type World = Effect.Success<ReturnType<typeof connected>>

export const states = ({ atA, atB }: World) => [atA.connection.parked(), atB.connection.parked()]

/** Both have parked long ago. `homeless` nodes are connected to no relay then. */
export const asleep = Effect.fnUntraced(function*(
  options: { readonly relays?: number; readonly homeless?: ReadonlyArray<"a" | "b">; readonly rest?: number } = {}
) {
  const world = yield* connected(options)
  for (const which of options.homeless ?? ["a"]) world[which].at.home.clear()
  assert.deepStrictEqual([world.atA.connection.park(), world.atB.connection.park()], [true, true])
  yield* TestClock.adjust(options.rest ?? 60_000)
  assert.deepStrictEqual(states(world), ["parked", "parked"])
  assert.deepStrictEqual([world.pathA.isAsleep, world.pathB.isAsleep], [true, true])
  return world
})

/** Data goes both ways, nothing was lost, and both connections are what they were. */
export const works = Effect.fnUntraced(function*(world: World, what: string) {
  const { atA, atB } = world
  for (const end of [atA, atB]) end.lossless.length = 0
  for (const number of range(20)) {
    assert.isTrue(atA.connection.trySend(numbered(number, 500)))
    assert.isTrue(atB.connection.trySend(numbered(number, 500)))
  }
  yield* TestClock.adjust(3_000)
  assert.deepStrictEqual([atA.lossless.map(numberOf), atB.lossless.map(numberOf)], [range(20), range(20)], what)
  assert.deepStrictEqual([reasons(atA), reasons(atB)], [[], []], what)
  assert.deepStrictEqual(states(world), ["awake", "awake"], what)
})

export const until = Effect.fnUntraced(function*(condition: () => boolean, limit: number, what: string) {
  let waited = 0
  for (; !condition(); waited += 5) {
    if (waited >= limit) return yield* Effect.die(new Error(`${what}: not after ${limit} ms`))
    yield* TestClock.adjust(5)
  }
  return waited
})
