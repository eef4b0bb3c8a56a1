/**
 * The relay that carries the data fails, and it is a real one: three tox-bootstrapd with the operating system's own socket buffers, two
 * nodes of ours, one flow of verified packets. Nothing may be lost, doubled or reordered, and the receiver may not wait long. Many
 * more trials, and full speed, are the benchmark's business (docs/benchmarks.md).
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { parseRelayAddress } from "../../src/schema/RelayAddress.ts"
import * as World from "../utils/faultWorld.ts"
import * as LoopTime from "../utils/loopTime.ts"
import * as Flow from "../utils/verifiedFlow.ts"
import * as Stock from "./stockRelays.ts"

/** A stock relay, and both nodes' ways to it. */
interface Relay extends World.WorldWays {
  readonly signal: (signal: NodeJS.Signals) => Effect.Effect<void>
}

interface Trial {
  readonly fault: (carrier: Relay) => Effect.Effect<void>
  /** How long nothing may arrive, milliseconds in which this process could run. */
  readonly limit: number
  /** What is done about it later. */
  readonly repair?: (carrier: Relay) => Effect.Effect<void>
}

/** Below 32768, so that no outgoing connection can have taken them. */
const ports = [21_704, 21_705, 21_706]

const startRelay = Effect.fnUntraced(function*(port: number, now: () => number) {
  const { address, pid } = yield* Stock.start(port)
  return {
    ...(yield* World.waysTo(Result.getOrThrow(parseRelayAddress(address)), now)),
    signal: (signal) => Effect.sync(() => void process.kill(pid(), signal))
  } satisfies Relay
})

/** Waits until so many packets more than now have arrived. */
const more = (flow: Flow.VerifiedFlow, packets: number) =>
  Effect.suspend(() => {
    const enough = flow.received().packets + packets
    return Effect.sync(() => flow.received().packets > enough).pipe(
      Effect.delay("5 millis"),
      Effect.repeat({ until: (flows) => flows }),
      Effect.timeout("10 seconds")
    )
  })

/** A flow, the fault on the relay that carries it, and what must hold afterwards. */
const trial = Effect.fnUntraced(function*(options: Trial) {
  const now = yield* LoopTime.make
  const relays = yield* Effect.forEach(ports, (port) => startRelay(port, now))
  const { callee, caller, carrier } = yield* World.connect(relays, now)
  const flow = yield* Flow.start({ from: caller.connection, to: callee.connection, now, interval: 4, burst: 2 })
  yield* more(flow, 200)
  const broken = yield* carrier
  const number = relays.indexOf(broken)
  const movesBefore = caller.events.length
  flow.mark()
  yield* options.fault(broken)
  // Far more than can have been under way.
  yield* more(flow, 500)
  assert.isBelow(flow.longestGap(), options.limit)
  yield* options.repair?.(broken) ?? Effect.void
  yield* more(flow, 100)
  yield* flow.finish
  assert.deepInclude(flow.received(), { packets: flow.sent(), wrong: [], closed: undefined })
  const moved = caller.events.slice(movesBefore).filter((event) => event.startsWith("CarrierChanged"))
  assert.isAtLeast(moved.length, 1, "the fault struck a relay that carried nothing")
  assert.isFalse(moved[0]?.startsWith(`CarrierChanged ${number} `), moved.join(", "))
})

const set = (frozen: boolean) => (carrier: Relay) => Effect.sync(() => carrier.callee.set("both", { frozen }))

describe("the tox-bootstrapd that carries the data", () => {
  for (const round of [1, 2, 3]) {
    it.live(`T03: is killed, trial ${round}`, () => trial({ limit: 500, fault: ({ signal }) => signal("SIGKILL") }))
  }

  for (const round of [1, 2]) {
    it.live(`T33: freezes towards the receiver, byte by byte, and thaws, trial ${round}`, () =>
      trial({ limit: 1_000, fault: set(true), repair: set(false) }))
  }

  it.live("T33: is stopped, and goes on", () =>
    trial({
      limit: 1_000,
      fault: ({ signal }) => signal("SIGSTOP"),
      repair: ({ signal }) => signal("SIGCONT")
    }))
})
