import { describe, it } from "@effect/vitest"
import * as FastCheck from "fast-check"
import { acts, MuxWorld, type Step } from "../../utils/muxWorld.ts"

/** How often each of them comes. */
const weights: Record<Step["act"], number> = {
  write: 8,
  read: 6,
  deliver: 12,
  exchange: 8,
  credit: 3,
  end: 1,
  reset: 1,
  open: 2,
  accept: 4,
  refuse: 1,
  make: 2,
  connect: 3,
  cut: 1,
  sever: 1,
  notice: 2,
  direct: 2,
  take: 4,
  move: 3,
  datagram: 1
}

const step: FastCheck.Arbitrary<Step> = FastCheck.record({
  act: FastCheck.oneof(...acts.map((act) => ({ weight: weights[act], arbitrary: FastCheck.constant(act) }))),
  side: FastCheck.constantFrom("a", "b"),
  index: FastCheck.nat(60),
  size: FastCheck.oneof(FastCheck.nat(3_000), FastCheck.nat(90_000))
})

const sizes = FastCheck.record({
  streams: FastCheck.integer({ min: 0, max: 3 }),
  sendBuffer: FastCheck.constantFrom(1_500, 20_000, 512 * 1024),
  maxFramePayload: FastCheck.constantFrom(100, 1_363, 16 * 1024),
  windowBudget: FastCheck.constantFrom(0, 50_000, 64 * 1024 * 1024),
  maxIncomingSessions: FastCheck.constantFrom(1, 4, 1_024)
})

/** Which of the links that are left is the one that stays. */
const which = FastCheck.nat(5)

describe("SessionMux over links that come and go", () => {
  it("I12 I13 I21 I24: nothing is lost, doubled or reordered, whatever happens to links of both kinds and when", () => {
    FastCheck.assert(
      FastCheck.property(
        sizes,
        FastCheck.array(step, { maxLength: 150, size: "max" }),
        which,
        (options, steps, which) => {
          const world = new MuxWorld(options)
          for (const step of steps) world.step(step)
          world.finish(which)
        }
      ),
      { numRuns: 600 }
    )
  }, 60_000)
})
