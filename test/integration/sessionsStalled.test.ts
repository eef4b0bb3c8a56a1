/** A session whose reader has stopped, over real TCP: it holds up its own writer, and nobody else. `npm run bench` measures how little. */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Faults from "../../scripts/soak/faults.ts"
import * as Nodes from "../../scripts/soak/nodes.ts"
import { monotonicMillis } from "../../src/layers/monotonicMillis.ts"
import type { Peer } from "../../src/services/Causeway.ts"
import type { ByteSession } from "../../src/services/Session.ts"
import { Dice } from "../../src/testing/simulation/Dice.ts"

const chunk = 16 * 1024
/** What may wait at both ends and in between: the window, the send buffer, and one frame beyond each. */
const mostWaiting = 64 * 1024 + 256 * 1024 + 2 * chunk
/** How often the reader stops, and what the others do meanwhile. */
const rounds = 6
const echoes = { sessions: 8, each: 50, size: 64 }

/** Both ends of a new session. */
const openPair = Effect.fnUntraced(function*(a: Peer, b: Peer) {
  const [opener, acceptor] = yield* Effect.all(
    [a.openBytes("stalled"), Effect.flatMap(b.accept, (offer) => offer.bytes)],
    { concurrency: "unbounded" }
  )
  return { opener, acceptor }
})

const readExactly = Effect.fnUntraced(function*(session: ByteSession, size: number) {
  for (let left = size; left > 0;) for (const bytes of yield* session.read) left -= bytes.length
})

const percentile99 = (times: ReadonlyArray<number>): number =>
  times.toSorted((x, y) => x - y)[Math.ceil(times.length * 0.99) - 1] ?? Number.NaN

describe("a reader that stops", () => {
  it.live(
    "I24: slow session: the other sessions go on as before, the link stays up, and the stalled one continues where it was",
    () =>
      Effect.gen(function*() {
        const now = monotonicMillis(yield* Clock.Clock)
        const relays = yield* Faults.startRelays(1, new Dice(3))
        const { a, b } = yield* Nodes.join(relays.map(({ address }) => address))
        const others = yield* Effect.replicateEffect(openPair(a.peer, b.peer), echoes.sessions)
        for (const { acceptor } of others) {
          const echo = Effect.flatMap(acceptor.read, (bytes) => acceptor.write(bytes))
          yield* Effect.forkScoped(Effect.ignore(Effect.forever(echo)))
        }
        /** Milliseconds of the round trips of all others at once. */
        const roundTrips = Effect.gen(function*() {
          const times: Array<number> = []
          const one = Effect.fnUntraced(function*({ opener }: (typeof others)[number]) {
            for (let i = 0; i < echoes.each; i++) {
              const sent = now()
              yield* opener.write(new Uint8Array(echoes.size))
              yield* readExactly(opener, echoes.size)
              times.push(now() - sent)
            }
          })
          yield* Effect.forEach(others, one, { concurrency: "unbounded", discard: true })
          return times
        })
        yield* roundTrips
        const clear: Array<number> = []
        const stalled: Array<number> = []
        for (let round = 0; round < rounds; round++) {
          clear.push(...yield* roundTrips)
          const { acceptor, opener } = yield* openPair(a.peer, b.peer)
          let written = 0
          while (Option.isSome(yield* Effect.timeoutOption(opener.write(new Uint8Array(chunk)), "200 millis"))) {
            written += chunk
            assert.isAtMost(written, mostWaiting)
          }
          stalled.push(...yield* roundTrips)
          assert.strictEqual(opener.stats().bytesOut, written)
          assert.deepStrictEqual([a.peer.link()._tag, b.peer.link()._tag], ["Up", "Up"])
          yield* readExactly(acceptor, written)
          yield* Effect.all([opener.end, acceptor.end])
          yield* Effect.all([opener.closed, acceptor.closed], { concurrency: "unbounded" })
        }
        assert.deepStrictEqual([a.links(), b.links()], [1, 1])
        // The machine's own noise stays far below this; waiting for a reader that never reads does not.
        assert.isBelow(percentile99(stalled), 3 * percentile99(clear) + 50)
      }).pipe(Effect.scoped),
    60_000
  )
})
