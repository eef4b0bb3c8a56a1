/** A short soak of sessions over relays in processes of their own; `npm run soak` is the long one. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Soak from "../../scripts/soak/soak.ts"

describe("sessions over a link that keeps breaking", () => {
  it.live(
    "I12, I13: 200 sessions arrive whole while relays are killed and the link is torn down",
    () =>
      Effect.gen(function*() {
        const report = yield* Soak.run(
          { seed: 7, sessions: 200, duration: 10_000, killInterval: 1_000, tears: 2, patience: 90_000 },
          () => undefined
        )
        assert.deepStrictEqual(report.wrong, [])
        // A busy machine starts relays more slowly than they are killed.
        assert.isAtLeast(report.kills, 3)
        assert.strictEqual(report.tears, 2)
        assert.isAtLeast(report.links, 3)
        assert.isAbove(report.bytes, 10e6)
      }),
    150_000
  )
})
