import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as ChildProcess from "node:child_process"
import * as DiagnosticsChannel from "node:diagnostics_channel"
import { once } from "node:events"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Readline from "node:readline"
import { setTimeout as delay } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { Worker } from "node:worker_threads"
import * as RelayTransportNode from "../../src/layers/RelayTransportNode.ts"
import { RelayTransport } from "../../src/services/RelayTransport.ts"
import { conformance } from "../layers/relayTransportConformance.ts"
import { type Address, anyPort, echo, pattern, readExactly, readToEnd } from "../layers/transportUse.ts"
import * as LoopTime from "../utils/loopTime.ts"

const rawDial = async (address: Address): Promise<Net.Socket> => {
  const socket = Net.connect(address.port, address.host).on("error", () => {})
  await once(socket, "connect")
  return socket
}

const silent = Effect.gen(function*() {
  const worker = yield* Effect.acquireRelease(
    Effect.sync(() =>
      new Worker(new URL("fixtures/silentListener.mjs", import.meta.url), { workerData: new SharedArrayBuffer(4) })
    ),
    (worker) => Effect.promise(() => worker.terminate())
  )
  const [port] = yield* Effect.promise(() => once(worker, "message"))
  const address = { host: "127.0.0.1", port: Number(port) }
  // Two fit a backlog of one.
  for (let i = 0; i < 2; i++) {
    yield* Effect.acquireRelease(
      Effect.promise(() => rawDial(address)),
      (socket) => Effect.sync(() => socket.destroy())
    )
  }
  return address
})

const sendAndReset = (address: Address, bytes: Uint8Array) =>
  Effect.promise(async () => {
    const socket = await rawDial(address)
    socket.write(bytes)
    await delay(100)
    socket.resetAndDestroy()
  })

conformance({
  name: "RelayTransportNode",
  test: it.live,
  layer: RelayTransportNode.layer,
  elapse: (millis) => Effect.sleep(millis),
  silent,
  sendAndReset
})

/** This process's own time, and waiting by it. */
const clock = Effect.map(LoopTime.make, (now) => ({
  now,
  until: (what: string, condition: () => boolean) => LoopTime.until(now, what, condition, 5_000)
}))

const descriptors = (): number => Fs.readdirSync("/proc/self/fd").length

const serveEcho = Effect.fnUntraced(function*(address: Address) {
  const transport = yield* RelayTransport
  const { serve, ...bound } = yield* transport.listen(address)
  yield* Effect.forkScoped(serve(echo, () => true))
  return bound
})

const run = <A, E>(body: Effect.Effect<A, E, RelayTransport | Scope.Scope>) =>
  Effect.provide(Effect.scoped(body), RelayTransportNode.layer)

const logged: Array<unknown> = []

describe("RelayTransportNode, what only TCP has", () => {
  it.live("I19: answers two small writes of each side without waiting for acknowledgements", () =>
    run(Effect.gen(function*() {
      const transport = yield* RelayTransport
      const { serve, ...address } = yield* transport.listen(anyPort)
      yield* Effect.forkScoped(serve((connection) =>
        Effect.gen(function*() {
          while (true) {
            yield* readExactly(connection, 2)
            connection.write(Uint8Array.of(1))
            connection.write(Uint8Array.of(2))
          }
        }).pipe(Effect.ignore), () => true))
      const client = yield* transport.connect(address)
      const { now } = yield* clock
      const started = now()
      for (let round = 0; round < 40; round++) {
        client.write(Uint8Array.of(1))
        client.write(Uint8Array.of(2))
        yield* readExactly(client, 2)
      }
      // With Nagle's algorithm each round waits 40 ms for a delayed acknowledgement.
      assert.isBelow(now() - started, 800)
    })))

  it.live("counts IPv4 peers of a listener on both families by their IPv4 address", () =>
    run(Effect.gen(function*() {
      const transport = yield* RelayTransport
      const { port, serve } = yield* transport.listen({ host: "::", port: 0 })
      const seen: Array<string> = []
      yield* Effect.forkScoped(serve(echo, (address) => seen.push(address) > 0))
      for (const host of ["127.0.0.1", "::1"]) {
        const client = yield* transport.connect({ host, port })
        client.write(Uint8Array.of(1))
        yield* readExactly(client, 1)
      }
      assert.deepStrictEqual(seen, ["127.0.0.1", "::1"])
    })))

  it.live("fails typed for ports and addresses that cannot be used", () =>
    run(Effect.gen(function*() {
      const transport = yield* RelayTransport
      const badPort = yield* Effect.flip(transport.connect({ host: "127.0.0.1", port: 70_000 }))
      assert.strictEqual(badPort.kind, "Unreachable")
      const badListen = yield* Effect.flip(transport.listen({ host: "127.0.0.1", port: 70_000 }))
      assert.strictEqual(badListen.kind, "Unreachable")
      // 192.0.2.0/24 is for documentation; it is nobody's own address.
      const foreign = yield* Effect.flip(transport.listen({ host: "192.0.2.1", port: 0 }))
      assert.strictEqual(foreign.detail, "EADDRNOTAVAIL")
      assert.strictEqual(foreign.kind, "Unreachable")
    })))

  it.live("delivers what had arrived before a reset that comes while nobody pulls", () =>
    run(Effect.gen(function*() {
      const transport = yield* RelayTransport
      const { serve, ...address } = yield* transport.listen(anyPort)
      const bytes = pattern(100_000)
      const reset = yield* Deferred.make<void>()
      const result = yield* Deferred.make<{ readonly bytes: Uint8Array; readonly kind: string }>()
      yield* Effect.forkScoped(serve((connection) =>
        Deferred.await(reset).pipe(
          Effect.andThen(readToEnd(connection)),
          Effect.flatMap((end) => Deferred.succeed(result, { bytes: end.bytes, kind: end.error.kind }))
        ), () => true))
      const socket = yield* Effect.promise(() => rawDial(address))
      for (let at = 0; at < bytes.length; at += 10_000) {
        socket.write(bytes.subarray(at, at + 10_000))
        yield* Effect.sleep(5)
      }
      const { now } = yield* clock
      // The transport has the bytes, and then the reset as well.
      yield* LoopTime.pass(now, 100)
      socket.resetAndDestroy()
      yield* LoopTime.pass(now, 100)
      yield* Deferred.succeed(reset, undefined)
      const end = yield* Deferred.await(result)
      assert.deepStrictEqual(end.bytes, bytes)
      assert.strictEqual(end.kind, "Reset")
    })))

  it.live("I4: gives every descriptor back, also those of peers that never read", () =>
    Effect.gen(function*() {
      const { until } = yield* clock
      const before = descriptors()
      yield* run(Effect.gen(function*() {
        const transport = yield* RelayTransport
        const { serve, ...address } = yield* transport.listen(anyPort)
        yield* Effect.forkScoped(serve((connection) =>
          Effect.andThen(
            Effect.sync(() => {
              while (connection.write(pattern(1 << 16)));
            }),
            Effect.never
          ), () => true))
        const raw: Array<Net.Socket> = []
        for (let i = 0; i < 20; i++) raw.push((yield* Effect.promise(() => rawDial(address))).pause())
        yield* Effect.addFinalizer(() => Effect.sync(() => raw.forEach((socket) => socket.destroy())))
        yield* until("both ends of all connections", () => descriptors() >= before + 40)
      }))
      yield* until("no descriptor more than before", () => descriptors() <= before)
    }).pipe(Effect.scoped))

  it.live("I4: gives the descriptor of an interrupted dial back", () =>
    run(Effect.gen(function*() {
      const transport = yield* RelayTransport
      const address = yield* silent
      const before = descriptors()
      const scope = yield* Scope.Scope
      const dialling = yield* Effect.forkScoped(Scope.provide(transport.connect(address), scope))
      const { until } = yield* clock
      yield* until("a socket that dials", () => descriptors() === before + 1)
      yield* Fiber.interrupt(dialling)
      yield* until("no socket more than before", () => descriptors() === before)
    })))

  it.live("F6: frees the descriptor of a peer that never reads while the peer still holds its own", () =>
    run(Effect.gen(function*() {
      const transport = yield* RelayTransport
      const scope = yield* Scope.make()
      const { serve, ...address } = yield* Scope.provide(transport.listen(anyPort), scope)
      const filled = yield* Deferred.make<void>()
      yield* Effect.forkScoped(serve((connection) =>
        Effect.sync(() => {
          while (connection.write(pattern(1 << 16)));
        }).pipe(Effect.andThen(Deferred.succeed(filled, undefined)), Effect.andThen(Effect.never)), () => true))
      const socket = (yield* Effect.promise(() => rawDial(address))).pause()
      yield* Effect.addFinalizer(() => Effect.sync(() => socket.destroy()))
      const { now, until } = yield* clock
      yield* Deferred.await(filled)
      const open = descriptors()
      const started = now()
      yield* Scope.close(scope, Exit.void)
      assert.isBelow(now() - started, 2_500)
      // The listener and the one connection.
      yield* until("two descriptors less", () => descriptors() <= open - 2)
    })))

  it.live(
    "F4: without descriptors it keeps listening, dials fail with Exhausted, and both recover",
    () =>
      run(Effect.gen(function*() {
        const script = fileURLToPath(new URL("fixtures/fewDescriptors.ts", import.meta.url))
        const child = yield* Effect.acquireRelease(
          Effect.sync(() =>
            ChildProcess.spawn("sh", ["-c", `ulimit -n 64 && exec "$0" "$1"`, process.execPath, script], {
              stdio: ["pipe", "pipe", "inherit"]
            })
          ),
          (child) => Effect.sync(() => child.kill("SIGKILL"))
        )
        const lines = Readline.createInterface({ input: child.stdout })[Symbol.asyncIterator]()
        const nextEvent = Effect.promise(async () => {
          while (true) {
            const { value } = await lines.next()
            if (String(value).startsWith("{")) return JSON.parse(String(value)) as Record<string, unknown>
          }
        })
        const address = { host: "127.0.0.1", port: Number((yield* nextEvent)["port"]) }
        const transport = yield* RelayTransport
        const answer = Effect.gen(function*() {
          const client = yield* transport.connect(address)
          client.write(Uint8Array.of(1))
          return yield* readExactly(client, 1)
        }).pipe(Effect.scoped, Effect.timeout("2 seconds"))
        // While descriptors are short, connections may be accepted only to be closed.
        const recovers = Effect.retry(answer, { times: 60, schedule: Schedule.spaced("100 millis") })
        yield* answer

        const flood = yield* Scope.make()
        for (let i = 0; i < 100; i++) yield* Effect.ignore(Scope.provide(transport.connect(address), flood))
        yield* Effect.sleep(100)
        yield* Scope.close(flood, Exit.void)
        yield* recovers

        child.stdin.write("dial\n")
        assert.deepStrictEqual(yield* nextEvent, { error: "Exhausted", detail: "EMFILE" })
        yield* recovers
      })),
    60_000
  )

  it.live("F4: an accept error is logged once in a while, never fatal", () =>
    run(
      Effect.gen(function*() {
        const transport = yield* RelayTransport
        const servers: Array<Net.Server> = []
        const onListen = (message: unknown) => void servers.push((message as { readonly server: Net.Server }).server)
        DiagnosticsChannel.subscribe("tracing:net.server.listen:asyncStart", onListen)
        const { serve, ...address } = yield* transport.listen(anyPort)
        DiagnosticsChannel.unsubscribe("tracing:net.server.listen:asyncStart", onListen)
        yield* Effect.forkScoped(serve(echo, () => true))
        // What `node:net` does when accept(2) fails.
        for (let i = 0; i < 3; i++) {
          servers[0]!.emit("error", Object.assign(new Error("accept EMFILE"), { code: "EMFILE" }))
        }
        const client = yield* transport.connect(address)
        client.write(Uint8Array.of(1))
        assert.deepStrictEqual([...yield* readExactly(client, 1)], [1])
        assert.deepStrictEqual(logged, [["Could not accept connections", { errors: 1, reason: "Exhausted: EMFILE" }]])
      }).pipe(Effect.provide(Logger.layer([Logger.make(({ message }) => logged.push(message))])))
    ))

  it.live("closes without waiting for a peer that keeps its half open", () =>
    run(Effect.gen(function*() {
      const transport = yield* RelayTransport
      const server = yield* Effect.acquireRelease(
        Effect.promise(async () => {
          const server = Net.createServer({ allowHalfOpen: true }, (socket) => socket.on("error", () => {}).resume())
          await once(server.listen(0, "127.0.0.1"), "listening")
          return server
        }),
        (server) => Effect.sync(() => server.close())
      )
      const { port } = server.address() as Net.AddressInfo
      const { now, until } = yield* clock
      const open = descriptors()
      const started = now()
      yield* Effect.scoped(Effect.map(transport.connect({ host: "127.0.0.1", port }), (connection) => {
        connection.write(pattern(1_000))
      }))
      assert.isBelow(now() - started, 500)
      yield* until("at most the server's end", () => descriptors() <= open + 1)
    })))

  it.live("serves an echo to a listener address given by name", () =>
    run(Effect.gen(function*() {
      const address = yield* serveEcho({ host: "localhost", port: 0 })
      const transport = yield* RelayTransport
      const client = yield* transport.connect({ host: "localhost", port: address.port })
      client.write(Uint8Array.of(9))
      assert.deepStrictEqual([...yield* readExactly(client, 1)], [9])
    })))
})
