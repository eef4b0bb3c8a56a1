import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { PassThrough, Readable, Writable } from "node:stream"
import { pipe } from "../../src/cli/pipe.ts"
import { openSession } from "../utils/sessionPair.ts"

const text = (value: string): Uint8Array => new TextEncoder().encode(value)
const forkNow = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(effect, { startImmediately: true })
/** Lets node's streams and the fibers come to rest; no time passes. */
const rest = Effect.promise(async () => {
  for (let i = 0; i < 30; i++) await new Promise((resolve) => setImmediate(resolve))
})

/** A test in which virtual time passes by itself, a credit interval whenever node's streams have come to rest. */
const timed = <A, E>(name: string, body: () => Effect.Effect<A, E, Scope.Scope>) =>
  it.effect(name, () =>
    Effect.gen(function*() {
      yield* Effect.forkScoped(Effect.forever(Effect.andThen(rest, TestClock.adjust(20))))
      return yield* body()
    }))

/** Collects what is written; `gate` holds every write back until it is released. */
class Collector extends Writable {
  readonly chunks: Array<Buffer> = []
  gated: Array<() => void> | undefined = undefined
  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.chunks.push(chunk)
    if (this.gated === undefined) done()
    else this.gated.push(done)
  }
  get bytes(): Buffer {
    return Buffer.concat(this.chunks)
  }
}

const listeners = (stream: NodeJS.EventEmitter): ReadonlyArray<string> =>
  stream.eventNames().flatMap((name) => stream.listeners(name).map(() => String(name))).toSorted()

describe("pipe", () => {
  timed(
    "passes bytes both ways, half-closes with input's end, and ends when both directions have",
    () =>
      Effect.gen(function*() {
        const { a, b } = yield* openSession()
        const stdin = new PassThrough()
        const stdout = new Collector()
        const before = [listeners(stdin), listeners(stdout)]
        const piping = yield* forkNow(pipe(a.session, { stdin, stdout, emptyInput: "ends" }))
        stdin.write("to the peer")
        stdin.end()
        const got = yield* Stream.runCollect(b.session.stream)
        assert.strictEqual(Buffer.concat(got).toString(), "to the peer")
        yield* rest
        assert.isUndefined(piping.pollUnsafe())
        yield* b.session.write(text("and back"))
        yield* b.session.end
        assert.deepStrictEqual(yield* Fiber.join(piping), { bytesSent: 11, bytesReceived: 8 })
        assert.strictEqual(stdout.bytes.toString(), "and back")
        assert.isFalse(stdout.writableEnded)
        yield* b.session.closed
        assert.deepStrictEqual(listeners(stdout), before[1])
        assert.notInclude(listeners(stdin), "data")
      })
  )

  timed("a file arrives unchanged, and both ends end", () =>
    Effect.gen(function*() {
      const { a, b } = yield* openSession({ sendBuffer: 30_000 })
      const file = Buffer.from(Uint8Array.from({ length: 3_000_000 }, (_, i) => (i * 2_654_435_761) >>> 24))
      const stdin = Readable.from(
        function*() {
          for (let at = 0; at < file.length; at += 65_536) yield file.subarray(at, at + 65_536)
        }(),
        { objectMode: false }
      )
      const stdout = new Collector()
      const results = yield* Effect.all([
        pipe(a.session, { stdin, stdout: new Collector(), emptyInput: "ends" }),
        pipe(b.session, { stdin: Readable.from([]), stdout, emptyInput: "follows" })
      ], { concurrency: 2 })
      assert.deepStrictEqual(results.map((result) => [result.bytesSent, result.bytesReceived]), [
        [3_000_000, 0],
        [0, 3_000_000]
      ])
      assert.isTrue(stdout.bytes.equals(file))
    }))

  timed(
    "an empty input that follows does not half-close before the peer has; one that ends does",
    () =>
      Effect.gen(function*() {
        const { a, b } = yield* openSession()
        const follower = yield* forkNow(
          pipe(b.session, { stdin: Readable.from([]), stdout: new Collector(), emptyInput: "follows" })
        )
        const peersEnd = yield* forkNow(Effect.flip(a.session.read))
        yield* rest
        assert.isUndefined(peersEnd.pollUnsafe())
        yield* pipe(a.session, { stdin: Readable.from([]), stdout: new Collector(), emptyInput: "ends" })
        assert.deepStrictEqual(yield* Fiber.join(follower), { bytesSent: 0, bytesReceived: 0 })
      })
  )

  timed("input that had bytes half-closes although it could follow", () =>
    Effect.gen(function*() {
      const { a, b } = yield* openSession()
      const piping = yield* forkNow(
        pipe(b.session, { stdin: Readable.from([Buffer.from("x")]), stdout: new Collector(), emptyInput: "follows" })
      )
      assert.strictEqual(Buffer.concat(yield* Stream.runCollect(a.session.stream)).toString(), "x")
      yield* a.session.end
      yield* Fiber.join(piping)
    }))

  timed("a terminal counts as ended once the peer's direction has, and not before", () =>
    Effect.gen(function*() {
      const { a, b } = yield* openSession()
      const stdin = Object.assign(new PassThrough(), { isTTY: true })
      const stdout = new Collector()
      const piping = yield* forkNow(pipe(a.session, { stdin, stdout, emptyInput: "ends" }))
      stdin.write("typed")
      yield* rest
      assert.isUndefined(piping.pollUnsafe())
      yield* b.session.write(text("answer"))
      yield* b.session.end
      assert.deepStrictEqual(yield* Fiber.join(piping), { bytesSent: 5, bytesReceived: 6 })
      assert.isTrue(stdin.isPaused())
    }))

  timed("a pipe that may still bring bytes does not count as ended", () =>
    Effect.gen(function*() {
      const { a, b } = yield* openSession()
      const stdin = new PassThrough()
      const piping = yield* forkNow(pipe(a.session, { stdin, stdout: new Collector(), emptyInput: "follows" }))
      yield* b.session.end
      yield* rest
      assert.isUndefined(piping.pollUnsafe())
      stdin.end("late answer")
      assert.strictEqual(Buffer.concat(yield* Stream.runCollect(b.session.stream)).toString(), "late answer")
      yield* Fiber.join(piping)
    }))

  timed("slow output holds the peer back", () =>
    Effect.gen(function*() {
      const { a, b } = yield* openSession()
      const stdout = new Collector()
      stdout.gated = []
      const piping = yield* forkNow(pipe(a.session, { stdin: Readable.from([]), stdout, emptyInput: "ends" }))
      const writing = yield* forkNow(
        Effect.andThen(
          Effect.forEach(Array.from({ length: 200 }), () => b.session.write(new Uint8Array(65_536)), { discard: true }),
          b.session.end
        )
      )
      yield* rest
      assert.isUndefined(writing.pollUnsafe())
      // What one read took, a window that may have doubled, a send buffer, and what one write may exceed them by.
      assert.isAtMost(b.session.stats().bytesOut, 64 * 1024 + 128 * 1024 + 256 * 1024 + 64 * 1024)
      const release = () => {
        const waiting = stdout.gated ?? []
        stdout.gated = undefined
        for (const done of waiting) done()
      }
      release()
      yield* Fiber.join(writing)
      yield* Fiber.join(piping)
      assert.strictEqual(stdout.bytes.length, 200 * 65_536)
    }))

  timed("a slow peer holds input back", () =>
    Effect.gen(function*() {
      const { a } = yield* openSession()
      let produced = 0
      const stdin = Readable.from(
        function*() {
          for (; produced < 64 * 1024 * 1024; produced += 65_536) yield Buffer.alloc(65_536)
        }(),
        { objectMode: false }
      )
      const piping = yield* forkNow(pipe(a.session, { stdin, stdout: new Collector(), emptyInput: "ends" }))
      yield* rest
      yield* rest
      // The first window and a send buffer; beyond them, what one read took and what waits for the next write.
      assert.isAtLeast(produced, 64 * 1024 + 256 * 1024)
      assert.isBelow(produced, 1536 * 1024)
      yield* Fiber.interrupt(piping)
    }))

  timed(
    "output that nobody reads fails with PipeError EPIPE, and the peer is told when the scope closes",
    () =>
      Effect.gen(function*() {
        const { a, b } = yield* openSession()
        const stdout = new Writable({
          write: (_chunk, _encoding, done) => done(Object.assign(new Error("write EPIPE"), { code: "EPIPE" }))
        })
        const piping = yield* forkNow(
          Effect.flip(pipe(a.session, { stdin: new PassThrough(), stdout, emptyInput: "ends" }))
        )
        yield* b.session.write(text("x"))
        const error = yield* Fiber.join(piping)
        assert.deepInclude(error, { _tag: "PipeError", stream: "stdout", detail: "EPIPE" })
        assert.match(error.message, /nobody reads standard output/)
      })
  )

  timed("input that fails is PipeError; a session that breaks is its SessionError", () =>
    Effect.gen(function*() {
      const first = yield* openSession()
      const stdin = new Readable({
        read() {
          this.destroy(Object.assign(new Error("bad disk"), { code: "EIO" }))
        }
      })
      const error = yield* Effect.flip(pipe(first.a.session, { stdin, stdout: new Collector(), emptyInput: "ends" }))
      assert.deepInclude(error, { _tag: "PipeError", stream: "stdin", detail: "EIO" })

      const second = yield* openSession({ resumeTimeout: 1_000 })
      const stdout = new Collector()
      const piping = yield* forkNow(
        Effect.flip(pipe(second.a.session, { stdin: new PassThrough(), stdout, emptyInput: "ends" }))
      )
      yield* second.b.session.write(text("before the end"))
      yield* rest
      second.network.lose()
      const broken = yield* Fiber.join(piping)
      assert.strictEqual(broken._tag === "SessionError" ? broken.reason._tag : "", "LinkLost")
      assert.strictEqual(stdout.bytes.toString(), "before the end")
    }))

  timed("what had arrived is written although input fails first on a lost link", () =>
    Effect.gen(function*() {
      const { a, b, network } = yield* openSession({ resumeTimeout: 1_000 })
      const stdin = new PassThrough()
      const stdout = new Collector()
      stdout.gated = []
      const piping = yield* forkNow(Effect.flip(pipe(a.session, { stdin, stdout, emptyInput: "ends" })))
      yield* b.session.write(text("one "))
      yield* rest
      yield* b.session.write(text("two"))
      yield* rest
      network.lose()
      stdin.write("into the void")
      yield* a.peer.closed
      const waiting = stdout.gated
      stdout.gated = undefined
      for (const done of waiting) done()
      assert.strictEqual((yield* Fiber.join(piping))._tag, "SessionError")
      assert.strictEqual(stdout.bytes.toString(), "one two")
    }))

  timed("a lost link is noticed while both ends are idle, and after the peer's end", () =>
    Effect.gen(function*() {
      const { a, b, network } = yield* openSession({ resumeTimeout: 1_000 })
      const piping = yield* forkNow(
        Effect.flip(pipe(a.session, { stdin: new PassThrough(), stdout: new Collector(), emptyInput: "ends" }))
      )
      yield* b.session.end
      yield* rest
      network.lose()
      assert.strictEqual((yield* Fiber.join(piping))._tag, "SessionError")
    }))

  timed("interrupting it leaves no listener behind and input paused", () =>
    Effect.gen(function*() {
      const { a } = yield* openSession()
      const stdin = new PassThrough()
      const stdout = new Collector()
      const before = [listeners(stdin), listeners(stdout)]
      const piping = yield* forkNow(pipe(a.session, { stdin, stdout, emptyInput: "ends" }))
      yield* rest
      yield* Fiber.interrupt(piping)
      assert.deepStrictEqual([listeners(stdin), listeners(stdout)], before)
      assert.isTrue(stdin.isPaused())
    }))
})
