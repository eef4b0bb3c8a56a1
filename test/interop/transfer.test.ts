/**
 * `causeway listen` and `causeway connect` move a file through three stock relays while two of the three fail, each of them the one that
 * carries the data at that moment.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { createHash, randomFillSync } from "node:crypto"
import { closeSync, createReadStream, fstatSync, openSync, writeFileSync } from "node:fs"
import * as Path from "node:path"
import { pipeline } from "node:stream/promises"
import * as Command from "./command.ts"
import * as Stock from "./stockRelays.ts"

const fileSize = 200_000_000
/** Megabytes that each of our processes may use. */
const memoryLimit = 200

const hashOf = (file: string) =>
  Effect.promise(async () => {
    const hash = createHash("sha256")
    await pipeline(createReadStream(file), hash)
    return hash.digest("hex")
  })

const descriptor = (file: string, flags: "r" | "w") =>
  Effect.acquireRelease(Effect.sync(() => openSync(file, flags)), (fd) => Effect.sync(() => closeSync(fd)))

/** Waits until so many bytes have been written. */
const reaches = (fd: number, bytes: number) =>
  Effect.sync(() => fstatSync(fd).size).pipe(
    Effect.repeat({ until: (size) => size >= bytes, schedule: Schedule.spaced("20 millis") }),
    Effect.timeoutOrElse({
      duration: "90 seconds",
      orElse: () => Effect.die(new Error(`only ${fstatSync(fd).size} of ${bytes} bytes arrived`))
    })
  )

describe("causeway listen and connect through three tox-bootstrapd", () => {
  it.live(
    "T01, T02, T03, T21: 200 MB arrive complete although the carrying relay is killed and the next one freezes",
    () =>
      Effect.gen(function*() {
        const relays = yield* Effect.forEach([21_501, 21_502, 21_503], Stock.start)
        const folder = yield* Command.folder
        const [original, copy] = [Path.join(folder, "original"), Path.join(folder, "copy")]
        const content = randomFillSync(Buffer.alloc(1_000_000))
        writeFileSync(original, Buffer.alloc(0))
        for (let at = 0; at < fileSize; at += content.length) {
          content.writeUInt32BE(at)
          writeFileSync(original, content, { flag: "a" })
        }
        const [source, target] = [yield* descriptor(original, "r"), yield* descriptor(copy, "w")]

        const me = yield* Command.identity("listener")
        const use = relays.flatMap(({ address }) => ["--relay", address])
        const listener = yield* Command.start(["listen", "--identity", me.file, ...use, "--once"], { stdout: target })
        const { ticket } = yield* listener.next("ticket")
        const connector = yield* Command.start(["connect", String(ticket)], { stdin: source })
        const peaks = [0, 0]
        const sample = Effect.sync(() => {
          for (const [i, { pid }] of [listener, connector].entries()) {
            peaks[i] = Math.max(peaks[i] ?? 0, Command.peakMemory(pid) ?? 0)
          }
        })
        yield* Effect.forkScoped(Effect.repeat(sample, Schedule.spaced("50 millis")))

        yield* reaches(target, fileSize / 4)
        const killed = yield* Stock.busiest(relays)
        yield* killed.kill
        const left = relays.filter((relay) => relay !== killed)
        yield* reaches(target, fileSize / 2)
        const frozen = yield* Stock.busiest(left)
        yield* frozen.freeze

        const ends = yield* Effect.all([connector.ended("120 seconds"), listener.ended("120 seconds")])
        assert.deepStrictEqual(ends, [{ code: 0, signal: null }, { code: 0, signal: null }])
        assert.strictEqual(fstatSync(target).size, fileSize)
        assert.strictEqual(yield* hashOf(copy), yield* hashOf(original))
        for (const [i, who] of ["listen", "connect"].entries()) {
          assert.isAbove(peaks[i] ?? 0, 0, `memory of ${who} was never seen`)
          assert.isBelow(peaks[i] ?? Infinity, memoryLimit, `megabytes used by ${who}`)
        }
      }),
    { timeout: 300_000 }
  )
})
