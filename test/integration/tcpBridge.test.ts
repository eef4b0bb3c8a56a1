/** TCP connections carried by sessions: real sockets of this machine, sessions in memory. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { createHash, randomBytes } from "node:crypto"
import type * as Net from "node:net"
import type { SocketBroken } from "../../src/cli/SocketBroken.ts"
import * as Tcp from "../../src/cli/tcp.ts"
import { bridge } from "../../src/cli/tcpBridge.ts"
import type { SessionError } from "../../src/services/SessionError.ts"
import { openSession } from "../utils/sessionPair.ts"
import { client, service, type TcpEnd, until } from "../utils/tcpEnds.ts"

const loopback = { host: "127.0.0.1", port: 0 }
const hash = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")
type Result = Exit.Exit<void, SocketBroken | SessionError>

/** A client and a service, joined through a session: client, socket and bridge, session, bridge and socket, service. */
const setUp = Effect.fnUntraced(function*(options: Parameters<typeof openSession>[0] = {}) {
  const { a, b, network } = yield* openSession({ resumeTimeout: 100, ...options })
  const nearResult = yield* Deferred.make<Result>()
  const farResult = yield* Deferred.make<Result>()
  const sockets: Array<Net.Socket> = []
  const { port } = yield* Tcp.listen(loopback, {
    maxConnections: 1,
    handle: (socket) => {
      sockets.push(socket)
      return Effect.scoped(bridge(socket, a.session)).pipe(
        Effect.exit,
        Effect.flatMap((exit) => Deferred.succeed(nearResult, exit))
      )
    },
    onRefused: () => Effect.void
  })
  let accepted: TcpEnd | undefined
  const servicePort = yield* service((end) => {
    accepted = end
  })
  const caller = yield* client(port)
  const far = yield* Effect.forkScoped(
    Effect.gen(function*() {
      const socket = yield* Tcp.dial({ host: "127.0.0.1", port: servicePort })
      sockets.push(socket)
      yield* Deferred.succeed(farResult, yield* Effect.exit(Effect.scoped(bridge(socket, b.session))))
    }).pipe(Effect.scoped)
  )
  yield* until("both sockets are there", () => sockets.length === 2 && accepted !== undefined)
  return {
    a,
    b,
    network,
    caller,
    server: accepted!,
    sockets,
    far,
    near: Deferred.await(nearResult),
    distant: Deferred.await(farResult)
  }
})

/** What a failed bridge reports: the tag, and of a session's failure the reason's. */
const tagOf = (result: Result): string => {
  const error = Exit.isFailure(result)
    ? result.cause.reasons.find((reason) => reason._tag === "Fail")?.error
    : undefined
  if (error === undefined) return Exit.isSuccess(result) ? "success" : "none"
  return error._tag === "SessionError" ? error.reason._tag : error._tag
}

/** Writes without looking at back-pressure, and counts what the system has taken. */
const flood = (end: TcpEnd, total: number) => {
  const taken = { bytes: 0 }
  const chunk = randomBytes(64 * 1024)
  for (let sent = 0; sent < total; sent += chunk.length) {
    end.socket.write(chunk, (error) => {
      if (error === null || error === undefined) taken.bytes += chunk.length
    })
  }
  return taken
}

/** The count once it has not changed for a while. */
const settled = (count: () => number) =>
  Effect.gen(function*() {
    for (let before = -1; before !== count();) {
      before = count()
      yield* Effect.sleep("400 millis")
    }
    return count()
  })

describe("a TCP connection over a session", () => {
  it.live("carries megabytes both ways at once, unchanged, and ends in order", () =>
    Effect.gen(function*() {
      const { caller, distant, near, server, sockets } = yield* setUp()
      const [request, answer] = [randomBytes(3_000_000), randomBytes(4_000_001)]
      caller.read().socket.end(request)
      server.read().socket.end(answer)
      assert.deepStrictEqual(yield* Effect.promise(() => Promise.all([caller.over, server.over])), ["end", "end"])
      assert.strictEqual(hash(server.bytes), hash(request))
      assert.strictEqual(hash(caller.bytes), hash(answer))
      assert.deepStrictEqual([tagOf(yield* near), tagOf(yield* distant)], ["success", "success"])
      yield* until("both sockets are closed", () => sockets.every((socket) => socket.destroyed))
    }).pipe(Effect.scoped))

  it.live("the client's end leaves the answer's direction open", () =>
    Effect.gen(function*() {
      const { caller, near, server } = yield* setUp()
      caller.read().socket.end("question")
      server.read()
      assert.strictEqual(yield* Effect.promise(() => server.over), "end")
      assert.strictEqual(server.text, "question")
      assert.isFalse(caller.ended)
      server.socket.write("ans")
      yield* until("the first part is there", () => caller.text === "ans")
      server.socket.end("wer")
      assert.strictEqual(yield* Effect.promise(() => caller.over), "end")
      assert.strictEqual(caller.text, "answer")
      assert.strictEqual(tagOf(yield* near), "success")
    }).pipe(Effect.scoped))

  it.live("the service's end leaves the request's direction open", () =>
    Effect.gen(function*() {
      const { caller, distant, server } = yield* setUp()
      server.read().socket.end("greeting")
      caller.read()
      assert.strictEqual(yield* Effect.promise(() => caller.over), "end")
      assert.isFalse(server.ended)
      caller.socket.end("still here")
      assert.strictEqual(yield* Effect.promise(() => server.over), "end")
      assert.strictEqual(server.text, "still here")
      assert.strictEqual(tagOf(yield* distant), "success")
    }).pipe(Effect.scoped))

  it.live("a client that breaks off resets the session, with the reason, and the service's connection", () =>
    Effect.gen(function*() {
      const { caller, distant, near, server } = yield* setUp()
      server.read()
      caller.socket.write("half a req")
      yield* until("the bytes are there", () => server.text !== "")
      caller.socket.resetAndDestroy()
      assert.strictEqual(yield* Effect.promise(() => server.over), "ECONNRESET")
      assert.strictEqual(tagOf(yield* near), "SocketBroken")
      const result = yield* distant
      assert.include(JSON.stringify(result), `"code":256`)
      assert.include(JSON.stringify(result), "the TCP connection broke (ECONNRESET)")
    }).pipe(Effect.scoped))

  it.live("a service that breaks off resets the client's connection", () =>
    Effect.gen(function*() {
      const { caller, server } = yield* setUp()
      caller.read()
      server.socket.resetAndDestroy()
      assert.strictEqual(yield* Effect.promise(() => caller.over), "ECONNRESET")
    }).pipe(Effect.scoped))

  it.live("a session that fails is an error to both ends, never a clean end, also after one direction has ended", () =>
    Effect.gen(function*() {
      const { caller, distant, near, network, server } = yield* setUp()
      caller.read().socket.end("all of it")
      server.read()
      yield* Effect.promise(() => server.over)
      server.socket.write("a part")
      yield* until("the part is there", () => caller.text === "a part")
      network.lose()
      assert.strictEqual(yield* Effect.promise(() => caller.over), "ECONNRESET")
      assert.strictEqual(caller.text, "a part")
      assert.deepStrictEqual([tagOf(yield* near), tagOf(yield* distant)], ["LinkLost", "LinkLost"])
    }).pipe(Effect.scoped))

  it.live("what a service had answered before it broke off arrives, then the break", () =>
    Effect.gen(function*() {
      // The link takes a part of the answer only; the rest waits in the session.
      const { a, caller, distant, server } = yield* setUp({ sendBuffer: 30_000 })
      caller.read()
      const answer = randomBytes(100_000)
      a.connection.hold(true)
      server.socket.write(answer)
      yield* Effect.sleep("200 millis")
      server.socket.resetAndDestroy()
      yield* Effect.sleep("200 millis")
      assert.strictEqual(caller.bytes.length, 0)
      a.connection.hold(false)
      assert.strictEqual(yield* Effect.promise(() => caller.over), "ECONNRESET")
      assert.strictEqual(hash(caller.bytes), hash(answer))
      assert.strictEqual(tagOf(yield* distant), "SocketBroken")
    }).pipe(Effect.scoped))

  it.live("a client that does not read holds the service back", () =>
    Effect.gen(function*() {
      const { caller, server } = yield* setUp()
      const total = 64 * 1024 * 1024
      const taken = flood(server, total)
      const held = yield* settled(() => taken.bytes)
      // Buffers of two sockets on each side, and of the session.
      assert.isBelow(held, 24 * 1024 * 1024)
      caller.read()
      yield* until("all of it is taken", () => taken.bytes === total)
      assert.isAbove(held, 1024 * 1024)
    }).pipe(Effect.scoped))

  it.live("a service that does not read holds the client back, and a session lost meanwhile frees both sockets", () =>
    Effect.gen(function*() {
      const { caller, near, network, server, sockets } = yield* setUp()
      const taken = flood(caller, 64 * 1024 * 1024)
      assert.isBelow(yield* settled(() => taken.bytes), 24 * 1024 * 1024)
      network.lose()
      assert.strictEqual(tagOf(yield* near), "LinkLost")
      yield* until("both sockets are closed", () => sockets.every((socket) => socket.destroyed))
      server.read()
      assert.strictEqual(yield* Effect.promise(() => server.over), "ECONNRESET")
    }).pipe(Effect.scoped))

  it.live("a connection that broke while its bytes waited is no clean end once they flow again", () =>
    Effect.gen(function*() {
      const { caller, near, server } = yield* setUp()
      const taken = flood(caller, 64 * 1024 * 1024)
      yield* settled(() => taken.bytes)
      caller.socket.resetAndDestroy()
      server.read()
      assert.strictEqual(yield* Effect.promise(() => server.over), "ECONNRESET")
      assert.strictEqual(tagOf(yield* near), "SocketBroken")
    }).pipe(Effect.scoped))

  it.live("a socket that is closed from this side before its end is no clean end either", () =>
    Effect.gen(function*() {
      const { caller, distant, near, server, sockets } = yield* setUp()
      caller.read()
      server.read()
      sockets[0]!.destroy()
      assert.strictEqual(yield* Effect.promise(() => server.over), "ECONNRESET")
      assert.deepStrictEqual([tagOf(yield* near), tagOf(yield* distant)], ["SocketBroken", "SessionReset"])
    }).pipe(Effect.scoped))

  it.live("leaves no listener behind, and the scope resets what has not ended", () =>
    Effect.gen(function*() {
      const { a } = yield* openSession()
      let server: TcpEnd | undefined
      const port = yield* service((end) => {
        server = end
      })
      const scope = yield* Scope.make()
      const socket = yield* Scope.provide(Tcp.dial({ host: "127.0.0.1", port }), scope)
      const count = () => socket.eventNames().map((name) => `${String(name)} ${socket.listenerCount(name)}`).toSorted()
      const before = count()
      const running = yield* Effect.forkChild(Effect.scoped(bridge(socket, a.session)), { startImmediately: true })
      yield* until("the service has it", () => server !== undefined)
      assert.notDeepEqual(count(), before)
      yield* Fiber.interrupt(running)
      assert.deepStrictEqual(count(), before)
      assert.isFalse(socket.destroyed)
      yield* Scope.close(scope, Exit.void)
      assert.isTrue(socket.destroyed)
      assert.strictEqual(yield* Effect.promise(() => server!.read().over), "ECONNRESET")
    }).pipe(Effect.scoped))
})

describe("listening and dialling", () => {
  it.live("a connection beyond the limit is reset at once, and one more is served when another has ended", () =>
    Effect.gen(function*() {
      const refused: Array<string> = []
      const gate = yield* Deferred.make<void>()
      let served = 0
      const { port } = yield* Tcp.listen(loopback, {
        maxConnections: 2,
        handle: () => Effect.andThen(Effect.sync(() => void served++), Deferred.await(gate)),
        onRefused: (from) => Effect.sync(() => void refused.push(from))
      })
      const first = yield* client(port)
      const second = yield* client(port)
      yield* until("two are served", () => served === 2)
      const third = yield* client(port)
      assert.strictEqual(yield* Effect.promise(() => third.read().over), "ECONNRESET")
      assert.match(refused.join(), /^127\.0\.0\.1:\d+$/)
      yield* Deferred.succeed(gate, undefined)
      yield* Effect.promise(() => Promise.all([first.read().over, second.read().over]))
      yield* client(port)
      yield* until("another is served", () => served === 3)
    }).pipe(Effect.scoped))

  it.live("ports that are taken and services that are not there are told apart", () =>
    Effect.gen(function*() {
      const bound = yield* Tcp.listen(loopback, {
        maxConnections: 1,
        handle: () => Effect.void,
        onRefused: () => Effect.void
      })
      const taken = yield* Effect.flip(
        Tcp.listen(bound, { maxConnections: 1, handle: () => Effect.void, onRefused: () => Effect.void })
      )
      assert.strictEqual(taken.message, "InUse: EADDRINUSE")
      const closed = yield* Effect.scoped(Effect.map(service(() => undefined), (port) => port))
      const error = yield* Effect.flip(Tcp.dial({ host: "127.0.0.1", port: closed }))
      assert.strictEqual(error.message, "Refused: ECONNREFUSED")
      const name = yield* Effect.flip(Tcp.dial({ host: "nosuch.invalid", port: 1 }))
      assert.strictEqual(name.kind, "NotFound")
    }).pipe(Effect.scoped))

  it.live("the port is free again, and its connections are reset, when the scope closes", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const service = { maxConnections: 1, handle: () => Effect.never, onRefused: () => Effect.void }
      const bound = yield* Scope.provide(Tcp.listen(loopback, service), scope)
      const caller = yield* client(bound.port)
      caller.read()
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(yield* Effect.promise(() => caller.over), "ECONNRESET")
      assert.strictEqual((yield* Tcp.listen(bound, service)).port, bound.port)
    }).pipe(Effect.scoped))
})
