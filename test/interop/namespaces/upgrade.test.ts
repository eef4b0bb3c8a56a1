/**
 * Two nodes on two machines, network namespaces with relays in a third one: they talk over relays while they cannot reach each other,
 * directly once they can, and over relays again when they cannot any more, in the middle of a transfer.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import { createHash, randomBytes } from "node:crypto"
import { closeSync, fstatSync, openSync, readFileSync } from "node:fs"
import * as Path from "node:path"
import { monotonicMillis } from "../../../src/layers/monotonicMillis.ts"
import type { RunningProcess } from "../../utils/childProcess.ts"
import * as Command from "../command.ts"
import * as Namespaces from "./Namespaces.ts"
import * as World from "./world.ts"

const relayPorts = [21_601, 21_602, 21_603]
const directPort = 21_610
/** How long the move to the direct link may take, and the way back, milliseconds. */
const limit = { up: 5_000, down: 3_000 }
/** Tried again after two seconds at most; the relays sleep after one. */
const environment = [
  "CAUSEWAY_DIRECT_RETRY_MAX=2000",
  "CAUSEWAY_DIRECT_QUIET_PERIOD=1000"
]

/** Waits until something is so, and tells how many milliseconds that took. */
const until = Effect.fnUntraced(function*(what: string, within: number, isSo: () => boolean) {
  const now = monotonicMillis(yield* Clock.Clock)
  const begun = now()
  yield* Effect.sync(isSo).pipe(
    Effect.repeat({ until: (is) => is, schedule: Schedule.spaced("20 millis") }),
    Effect.timeoutOrElse({ duration: within, orElse: () => Effect.die(new Error(`not within ${within} ms: ${what}`)) })
  )
  return now() - begun
})

/** An identity file for each of the two, `one` the greater or the lower. */
const identities = Effect.fnUntraced(function*(oneIs: "greater" | "lower") {
  const [a, b] = [yield* Command.identity("a"), yield* Command.identity("b")]
  const [greater, lower] = a.identityKey > b.identityKey ? [a, b] : [b, a]
  return oneIs === "greater" ? { one: greater, other: lower } : { one: lower, other: greater }
})

/** Feeds a command one line after the other, about 3 MB/s, until it is stopped; hashes what it has fed. */
const feed = Effect.fnUntraced(function*(command: RunningProcess) {
  const hash = createHash("sha256")
  let bytes = 0
  const one = Effect.sync(() => {
    const line = randomBytes(48 * 1024).toString("base64")
    hash.update(`${line}\n`)
    bytes += line.length + 1
    command.write(line)
  })
  let isOver = false
  const feeding = yield* Effect.forkScoped(
    Effect.repeat(one, { while: () => !isOver, schedule: Schedule.spaced("20 millis") })
  )
  return {
    fed: () => bytes,
    end: Effect.gen(function*() {
      isOver = true
      yield* Fiber.await(feeding)
      command.endInput()
      return hash.digest("hex")
    })
  }
})

const world = Effect.fnUntraced(function*(oneIs: "greater" | "lower") {
  const world = yield* World.make
  const relays = yield* Effect.forEach(relayPorts, (port) => World.relay(world.middle, port), { concurrency: 3 })
  const keys = yield* identities(oneIs)
  const copy = Path.join(yield* Command.folder, "copy")
  const target = yield* Effect.acquireRelease(
    Effect.sync(() => openSync(copy, "w")),
    (fd) => Effect.sync(() => closeSync(fd))
  )
  // Relays of one's own are kept connected so that one can be reached; the caller gives up those of its peer.
  const [ofCaller = "", ...ofListener] = relays.map(({ address }) => address)
  const use = ofListener.flatMap((address) => ["--relay", address])
  const direct = ["--direct", `${World.addresses.other}:${directPort}`]
  const listener = yield* World.start(
    world.other,
    ["listen", "--identity", keys.other.file, ...use, ...direct, "--once"],
    { stdout: target, environment }
  )
  listener.endInput()
  const { ticket } = yield* listener.next("ticket")
  const connector = yield* World.caller(world.one, [keys.one.file, String(ticket), ofCaller], { environment })
  return {
    ...world,
    listener,
    connector,
    arrived: () => fstatSync(target).size,
    hash: () => createHash("sha256").update(readFileSync(copy)).digest("hex"),
    connections: () => Namespaces.connections(world.middle, relayPorts)
  }
})

describe("two machines without a route to each other", { timeout: 180_000 }, () => {
  for (const oneIs of ["greater", "lower"] as const) {
    it.live(`talk over relays, directly once there is a route, and over relays again without it; the dialler's key is the ${oneIs}`, () =>
      Effect.gen(function*() {
        const { arrived, connections, connector, hash, listener, meet, part } = yield* world(oneIs)
        const both = [connector, listener]
        const feeding = yield* feed(connector)
        yield* until("a megabyte has come over relays", 20_000, () => arrived() > 1_000_000)
        yield* Effect.sleep("3 seconds")
        const relayed = connections()
        assert.isAtLeast(relayed, 2)
        for (const { seen } of both) assert.notInclude(seen(), "path")

        yield* meet
        const up = yield* until(
          "both use the direct link",
          limit.up,
          () => both.every(({ seen }) => seen().includes("path"))
        )
        for (const command of both) assert.strictEqual((yield* command.next("path"))["path"], "direct")
        yield* until("the relays sleep", 15_000, () => connections() < relayed)
        const asleep = connections()

        const before = arrived()
        yield* until("it goes on", 5_000, () => arrived() > before + 1_000_000)
        yield* part
        const held = feeding.fed()
        const isRelayed = ({ seen }: RunningProcess) => seen().filter((event) => event === "path").length === 2
        const down = yield* until(
          "what is fed after the cut comes over relays",
          limit.down,
          () => both.every(isRelayed) && arrived() > held
        )
        for (const command of both) assert.strictEqual((yield* command.next("path"))["path"], "relayed")
        yield* until("the relays are awake", 10_000, () => connections() > asleep)
        const awake = connections()

        const fed = yield* feeding.end
        for (const command of both) {
          assert.deepStrictEqual(yield* command.ended("30 seconds"), { code: 0, signal: null })
        }
        assert.strictEqual(hash(), fed)
        const moves = `up after ${up.toFixed(0)} ms, back after ${down.toFixed(0)} ms`
        yield* Effect.logInfo(`${moves}; connections to relays: ${relayed}, ${asleep}, ${awake}`)
      }))
  }
})
