/** Both ends of a forward: real sockets of this machine, peers and their sessions in memory. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import { randomBytes } from "node:crypto"
import { forward } from "../../src/cli/forward.ts"
import * as KeptPeer from "../../src/cli/keptPeer.ts"
import { serveForward } from "../../src/cli/listenForward.ts"
import { lesserKey } from "../utils/FakeNetCrypto.ts"
import * as Fake from "../utils/fakePeers.ts"
import { client, service, type TcpEnd, until } from "../utils/tcpEnds.ts"

const loopback = { host: "127.0.0.1", port: 0 }
const address = { identityKey: lesserKey, dhtKey: lesserKey, relays: [] }

/** Both commands, the service, and the first meeting of the peers. */
const setUp = Effect.fnUntraced(function*(options: {
  readonly onEnd?: (end: TcpEnd) => void
  readonly servicePort?: number
  readonly isServed?: boolean
} = {}) {
  const world = yield* Fake.world
  const first = yield* world.meet
  const [near, far] = [Fake.recorder(), Fake.recorder()]
  const port = options.servicePort ?? (yield* service(options.onEnd ?? ((end) => void end.socket.pipe(end.socket))))
  if (options.isServed !== false) {
    yield* Effect.forkScoped(
      Effect.provide(serveForward(far.output, { host: "127.0.0.1", port }, Effect.void), world.layer)
    )
  }
  const keep = KeptPeer.keep(address, {
    found: near.output.event({ event: "connected" }),
    present: () => Effect.void,
    lost: (error) => near.output.event({ event: "disconnected", reason: error.reason._tag })
  })
  const running = yield* Effect.forkScoped(
    Effect.scoped(Effect.provide(forward(near.output, loopback, keep), world.layer))
  )
  yield* until("it listens", () => near.events.some(({ event }) => event === "listening"))
  const listening = near.events.find(({ event }) => event === "listening")
  const names = (events: ReadonlyArray<{ readonly event: string }>) => events.map(({ event }) => event)
  return {
    meet: world.meet,
    first,
    running,
    port: listening?.["port"] as number,
    near: near.events,
    far: far.events,
    nearNames: () => names(near.events),
    farNames: () => names(far.events)
  }
})

const test = (name: string, body: () => Effect.Effect<void, unknown, Scope.Scope>) =>
  it.live(name, () => Effect.scoped(body()))

describe("a forwarded port", () => {
  test("leads to the peer's service; both ends tell of each connection and its bytes", () =>
    Effect.gen(function*() {
      const { far, near, port } = yield* setUp()
      const caller = (yield* client(port)).read()
      caller.socket.end("echo this")
      assert.strictEqual(yield* Effect.promise(() => caller.over), "end")
      assert.strictEqual(caller.text, "echo this")
      yield* until("both have told", () => near.length === 3 && far.length === 3)
      assert.deepStrictEqual(near, [
        { event: "listening", host: "127.0.0.1", port },
        { event: "opened", connection: 1, from: near[1]!["from"] },
        { event: "closed", connection: 1, bytesSent: 9, bytesReceived: 9, error: null }
      ])
      assert.match(String(near[1]!["from"]), /^127\.0\.0\.1:\d+$/)
      assert.deepStrictEqual(far, [
        { event: "connected", identityKey: "01".repeat(32) },
        { event: "opened", connection: 1, from: "01".repeat(32) },
        { event: "closed", connection: 1, bytesSent: 9, bytesReceived: 9, error: null }
      ])
    }))

  test("carries a hundred connections at once, each with its own bytes", () =>
    Effect.gen(function*() {
      const { nearNames, port } = yield* setUp()
      yield* Effect.forEach(Array.from({ length: 100 }), () =>
        Effect.scoped(Effect.gen(function*() {
          const caller = (yield* client(port)).read()
          const bytes = randomBytes(50_000)
          caller.socket.end(bytes)
          yield* Effect.promise(() => caller.over)
          assert.isTrue(caller.bytes.equals(bytes))
        })), { concurrency: "unbounded" })
      yield* until("all are closed", () => nearNames().filter((name) => name === "closed").length === 100)
    }))

  test("resets a connection whose service is not there, and both ends tell why", () =>
    Effect.gen(function*() {
      const closed = yield* Effect.scoped(service(() => undefined))
      const { far, near, port } = yield* setUp({ servicePort: closed })
      const caller = (yield* client(port)).read()
      assert.strictEqual(yield* Effect.promise(() => caller.over), "ECONNRESET")
      assert.deepInclude(near[1], { event: "refused", connection: 1, reason: "SessionRefused" })
      assert.include(String(near[1]!["message"]), "the service refuses connections (ECONNREFUSED)")
      // Where the service is remains the listener's secret.
      assert.notInclude(JSON.stringify(near), String(closed))
      assert.deepInclude(far[1], { event: "refused", code: 257 })
    }))

  test("refuses sessions of any other name", () =>
    Effect.gen(function*() {
      const { farNames, first } = yield* setUp()
      const error = yield* Effect.flip(Effect.scoped(first.near.openBytes("shell")))
      assert.deepInclude(error.reason, { _tag: "SessionRefused", code: 258 })
      yield* until("it is told", () => farNames().length === 2)
      assert.deepStrictEqual(farNames(), ["connected", "refused"])
    }))

  test("breaks what was open when the command is stopped, and frees its port", () =>
    Effect.gen(function*() {
      let server: TcpEnd | undefined
      const { far, port, running } = yield* setUp({
        onEnd: (end) => {
          server = end.read()
        }
      })
      const caller = (yield* client(port)).read()
      caller.socket.write("half")
      yield* until("the service has it", () => server?.text === "half")
      yield* Fiber.interrupt(running)
      assert.strictEqual(yield* Effect.promise(() => caller.over), "ECONNRESET")
      assert.strictEqual(yield* Effect.promise(() => server!.over), "ECONNRESET")
      yield* until("the other end has told", () => far.some(({ event }) => event === "closed"))
      assert.match(String(far.at(-1)!["error"]), /broke the session off/)
    }))
})

describe("a peer that is away", () => {
  test("is called again, and a connection that was made meanwhile is carried then", () =>
    Effect.gen(function*() {
      const { farNames, first, meet, near, nearNames, port } = yield* setUp()
      yield* first.end
      yield* until("its loss is told", () => nearNames().includes("disconnected"))
      const caller = (yield* client(port)).read()
      caller.socket.end("patience")
      yield* Effect.sleep("300 millis")
      assert.strictEqual(caller.text, "")
      yield* meet
      assert.strictEqual(yield* Effect.promise(() => caller.over), "end")
      assert.strictEqual(caller.text, "patience")
      yield* until("it is told", () => nearNames().includes("closed") && farNames().includes("closed"))
      assert.deepStrictEqual(nearNames(), ["listening", "disconnected", "connected", "opened", "closed"])
      assert.deepInclude(near[1], { reason: "LinkLost" })
      assert.deepStrictEqual(farNames(), ["connected", "disconnected", "connected", "opened", "closed"])
    }))

  test("a session that was asked for when it went is asked for again when it is back", () =>
    Effect.gen(function*() {
      const { first, meet, port } = yield* setUp({ isServed: false })
      const caller = (yield* client(port)).read()
      yield* until("it is asked for", () => first.pending() === 1)
      yield* first.end
      const second = yield* meet
      yield* until("it is asked for again", () => second.pending() === 1)
      assert.strictEqual(first.pending(), 0)
      assert.isFalse(caller.ended)
    }))

  test("a client that hangs up is waited for no longer", () =>
    Effect.gen(function*() {
      const { first, near, port } = yield* setUp({ isServed: false })
      const caller = yield* client(port)
      yield* until("it is asked for", () => first.pending() === 1)
      caller.socket.resetAndDestroy()
      yield* until("it is given up", () => first.pending() === 0)
      yield* until("it is told", () => near.length === 2)
      assert.deepInclude(near[1], { event: "refused", reason: "SocketBroken" })
    }))

  test("a connection that nobody accepts is reset after ten seconds", () =>
    Effect.gen(function*() {
      const { near, port } = yield* setUp({ isServed: false })
      const before = performance.now()
      const caller = (yield* client(port)).read()
      assert.strictEqual(yield* Effect.promise(() => caller.over), "ECONNRESET")
      assert.isAbove(performance.now() - before, 9_900)
      assert.deepInclude(near[1], { message: "the peer did not accept the connection within 10 s" })
    }))
})
