import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { begin, inNetwork, pair, tagsOf, watch } from "../utils/directNodes.ts"

const attempt = new Uint8Array(16).fill(7)

describe("DirectLinksLive", () => {
  it.effect("M09 M10 M11: both sides of an announced attempt meet on the connection that the greater dials", () =>
    inNetwork(Effect.gen(function*() {
      const { greater, lower } = yield* pair()
      yield* lower.links.expect({ identityKey: greater.key, attempt, announcedBy: "peer" })
      const theirs = yield* Effect.forkScoped(lower.links.meet({
        identityKey: greater.key,
        attempt,
        endpoints: [greater.endpoint],
        announcedBy: "peer"
      }))
      const link = yield* greater.links.meet({
        identityKey: lower.key,
        attempt,
        endpoints: [lower.endpoint],
        announcedBy: "us"
      })
      assert.deepStrictEqual(link.roles, ["dialled"])
      begin(link)
      const other = yield* Fiber.join(theirs)
      assert.deepStrictEqual(other.roles, ["accepted"])
      const seen = watch(other.streams[0]!)
      assert.deepStrictEqual(seen.bytes, [0xb0])
      other.streams[0]!.write([Uint8Array.of(1, 2, 3)])
      const back = watch(link.streams[0]!)
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(back.bytes, [1, 2, 3])
      assert.deepStrictEqual([tagsOf(greater), tagsOf(lower)], [[], []])
    })))
})
