/** Very many sessions on one link, in memory: they all work, and afterwards nothing of them is left. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as V8 from "node:v8"
import { runInNewContext } from "node:vm"
import { FakeNetwork } from "../utils/FakeNetwork.ts"
import { nodePair } from "../utils/sessionPair.ts"

const count = 10_000
/** Bytes for an idle session, both ends together: at either end it may take 2 KiB. */
const idleLimit = 2 * 2_048

V8.setFlagsFromString("--expose-gc")
const collectGarbage = runInNewContext("gc") as () => void

/** Bytes of the heap and of buffers outside it, after everything that nobody holds has gone. */
const memory = Effect.gen(function*() {
  yield* Effect.sleep("100 millis")
  collectGarbage()
  collectGarbage()
  const { arrayBuffers, heapUsed } = process.memoryUsage()
  return heapUsed + arrayBuffers
})

const numbers = Array.from({ length: count }, (_, i) => i)
const encode = (number: number): Uint8Array => new TextEncoder().encode(String(number))
const decode = (bytes: Uint8Array): number => Number(new TextDecoder().decode(bytes))

/** Two peers that are connected; what they send arrives by itself. */
const connected = Effect.gen(function*() {
  const { a, b } = yield* nodePair({ maxIncomingSessions: count })
  const [atA, atB] = yield* Effect.all([a.connect(FakeNetwork.addressOf("b")), b.accept], { concurrency: "unbounded" })
  return { a: atA, b: atB }
})

/** Opens that many sessions from `a`; both ends of each, in the order of their numbers. */
const openAll = Effect.fnUntraced(function*({ a, b }: Effect.Success<typeof connected>, many: ReadonlyArray<number>) {
  const accepting = Effect.forEach(many, () =>
    Effect.gen(function*() {
      const offer = yield* b.accept
      return [Number(offer.name), yield* offer.bytes] as const
    }))
  const [opened, accepted] = yield* Effect.all(
    [Effect.forEach(many, (number) => a.openBytes(String(number)), { concurrency: 512 }), accepting],
    { concurrency: "unbounded" }
  )
  const byNumber = new Map(accepted)
  assert.strictEqual(byNumber.size, many.length)
  return many.map((number, i) => ({ number, opener: opened[i]!, acceptor: byNumber.get(number)! }))
})

describe("many sessions on one link", () => {
  it.live("I24: ten thousand carry a message each way and are forgotten at both ends", () =>
    Effect.gen(function*() {
      const peers = yield* connected
      const { a, b } = peers
      yield* Effect.gen(function*() {
        const sessions = yield* openAll(peers, numbers)
        assert.deepStrictEqual([a.counts().sessions, b.counts().sessions], [count, count])

        yield* Effect.forEach(sessions, ({ number, opener }) => opener.write(encode(number)), { discard: true })
        yield* Effect.forEach(sessions, ({ acceptor, number }) =>
          Effect.gen(function*() {
            const [message] = yield* acceptor.read
            assert.strictEqual(decode(message), number)
            yield* acceptor.write(encode(count + number))
            yield* acceptor.end
          }), { concurrency: "unbounded", discard: true })
        yield* Effect.forEach(sessions, ({ number, opener }) =>
          Effect.gen(function*() {
            const chunks = yield* Stream.runCollect(opener.stream)
            assert.deepStrictEqual(chunks.map(decode), [count + number])
            yield* opener.end
          }), { concurrency: "unbounded", discard: true })
        yield* Effect.forEach(sessions, ({ acceptor, opener }) => Effect.all([opener.closed, acceptor.closed]), {
          concurrency: "unbounded",
          discard: true
        })
      }).pipe(Effect.scoped)
      for (const peer of [a, b]) {
        const { ignoredFrames: _, fullBatches: __, roundBatches: ___, ...left } = peer.counts()
        assert.deepStrictEqual(left, {
          sessions: 0,
          unknownSession: 0,
          ignoredPackets: 0,
          refusedSessions: 0,
          droppedDatagrams: 0
        })
      }
    }).pipe(Effect.scoped), 120_000)

  it.live(
    "an idle session takes less than 2 KiB at either end, and nothing once it is over",
    () =>
      Effect.gen(function*() {
        const peers = yield* connected
        // Compiled code and whatever else is made once is not what a session costs.
        yield* Effect.scoped(openAll(peers, numbers.slice(0, 500)))
        const before = yield* memory
        yield* Effect.gen(function*() {
          const sessions = yield* openAll(peers, numbers)
          assert.isBelow(((yield* memory) - before) / sessions.length, idleLimit)
        }).pipe(Effect.scoped)
        assert.isBelow(((yield* memory) - before) / count, idleLimit / 10)
      }).pipe(Effect.scoped),
    120_000
  )
})
