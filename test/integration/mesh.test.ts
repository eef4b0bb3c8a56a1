/** A static group of three real processes; `npm run mesh` runs the same for as long as one likes. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as MeshRun from "../utils/meshRun.ts"

describe("a mesh of processes", () => {
  it.live(
    "I01, I08, I12, I13: 4 streams and 64 sessions a peer, streams broken and a process killed: all arrives once and in order",
    () =>
      Effect.gen(function*() {
        const result = yield* MeshRun.run({
          members: 3,
          parallelism: 4,
          sessions: 64,
          breakInterval: 400,
          kills: 1,
          killInterval: 1_200
        })
        assert.deepStrictEqual(result.problems, [])
        assert.isAbove(result.messages, 5_000)
        assert.isAbove(result.broken, 3)
      }),
    120_000
  )
})
