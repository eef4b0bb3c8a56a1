import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { once } from "node:events"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Tls from "node:tls"
import * as DirectTransportNode from "../../src/layers/DirectTransportNode.ts"
import * as nodeDirectTls from "../../src/layers/nodeDirectTls.ts"
import { DirectSettings } from "../../src/services/DirectSettings.ts"
import { type DirectStream, DirectTransport, type RefusedCaller } from "../../src/services/DirectTransport.ts"
import * as EntropySeeded from "../../src/testing/EntropySeeded.ts"
import { directConformance } from "../layers/directTransportConformance.ts"
import { assertBytes, Receiver } from "../layers/directUse.ts"
import { type Address, anyPort, pattern } from "../layers/transportUse.ts"
import * as FaultProxy from "../utils/FaultProxy.ts"
import * as LoopTime from "../utils/loopTime.ts"
import { tlsPskHello } from "../utils/tlsPskHello.ts"
import { certificate, certificateKey } from "./fixtures/selfSigned.ts"

const rawDial = (address: Address, from?: string) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const local = from === undefined ? {} : { localAddress: from }
      const socket = Net.connect({ ...address, ...local }).on("error", () => {})
      // One that is turned away at once may be gone before it is connected.
      await once(socket, "connect").catch(() => {})
      return socket
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )

/** A plain server whose connections nobody answers. */
const plainServer = (onSocket: (socket: Net.Socket) => void) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const server = Net.createServer((socket) => onSocket(socket.on("error", () => {})))
      await once(server.listen(0, "127.0.0.1"), "listening")
      return server
    }),
    (server) => Effect.sync(() => server.close())
  ).pipe(Effect.map((server): Address => ({ host: "127.0.0.1", port: (server.address() as Net.AddressInfo).port })))

const psk = Uint8Array.from({ length: 32 }, (_, i) => i * 3 + 1)
const secret = { pskIdentity: "known", psk }

/** The first flight of a real client. */
const clientHello = tlsPskHello({ ...secret, mode: "psk_dhe_ke" })

directConformance<never>({
  name: "DirectTransportNode",
  test: it.live,
  layer: DirectTransportNode.layer,
  elapse: (millis) => Effect.sleep(millis),
  call: (address, bytes, from) =>
    Effect.map(rawDial(address, from), (socket) => {
      socket.resume()
      if (bytes.length > 0) socket.write(bytes)
      return { isClosed: () => socket.closed }
    }),
  half: clientHello.subarray(0, clientHello.length - 40),
  silent: plainServer(() => {}),
  connectFrom: (from, address, secret) =>
    Effect.gen(function*() {
      const raw = yield* rawDial(address, from)
      return yield* Effect.match(nodeDirectTls.asClient(raw, secret).secured, {
        onSuccess: () => "secured" as const,
        onFailure: () => "refused" as const
      })
    })
})

const run = <A, E>(body: Effect.Effect<A, E, DirectTransport | Scope.Scope>) =>
  Effect.provide(Effect.scoped(body), DirectTransportNode.layer)

/** What is written after it is no longer joined with what was written before. */
const turn = Effect.callback<void>((resume) => {
  setImmediate(() => resume(Effect.void))
})

const descriptors = (): number => Fs.readdirSync("/proc/self/fd").length

/** A listener that echoes, for those whose key is known now. */
const echoServer = Effect.fnUntraced(function*(address: Address = anyPort) {
  const transport = yield* DirectTransport
  const known = new Map([[secret.pskIdentity, psk]])
  const asked: Array<string> = []
  const { serve, ...bound } = yield* transport.listen(address, (pskIdentity) => {
    asked.push(pskIdentity)
    return known.get(pskIdentity)
  })
  const streams: Array<DirectStream> = []
  const refused: Array<RefusedCaller> = []
  yield* Effect.forkScoped(serve(
    (stream) =>
      Effect.andThen(
        Effect.sync(() => {
          streams.push(stream)
          Receiver.echo(stream)
        }),
        Effect.never
      ),
    (caller) => refused.push(caller)
  ))
  return { transport, known, asked, streams, refused, address: bound as Address }
})

/** A client of `node:tls` itself, with whatever options; what became of it, and the session that it was given. */
const tlsClient = (address: Address, options: Tls.ConnectionOptions) =>
  Effect.promise(() =>
    new Promise<{ readonly secured: boolean; readonly session?: Buffer; readonly reused?: boolean }>((done) => {
      const socket = Tls.connect({ ...address, rejectUnauthorized: false, ...options })
      let session: Buffer | undefined
      socket.on("session", (ticket) => {
        session = ticket
      })
      socket.on("error", () => done({ secured: false }))
      socket.on("close", () => done({ secured: false }))
      socket.on("secureConnect", () => socket.write("x"))
      // The echo shows that the listener took it, and the tickets came before that.
      socket.on("data", () => {
        done({ secured: true, reused: socket.isSessionReused(), ...session === undefined ? {} : { session } })
        socket.destroy()
      })
    })
  )

const pskClient: Tls.ConnectionOptions = {
  minVersion: "TLSv1.3",
  ciphers: "TLS_AES_128_GCM_SHA256",
  checkServerIdentity: () => undefined,
  pskCallback: () => ({ identity: secret.pskIdentity, psk })
}

describe("DirectTransportNode, what only TLS and TCP have", () => {
  it.live("I23: both ends have negotiated an ephemeral key exchange, and name the same", () =>
    run(Effect.gen(function*() {
      const { address, streams, transport } = yield* echoServer()
      const receiver = new Receiver(yield* transport.connect(address, secret))
      receiver.stream.write([Uint8Array.of(1)])
      yield* receiver.read(1)
      assert.match(receiver.stream.keyExchange, /^X25519/)
      assert.strictEqual(streams[0]!.keyExchange, receiver.stream.keyExchange)
    })))

  it.live("I23: whatever group a client of its own choice insists on, the listener knows it", () =>
    run(Effect.gen(function*() {
      const { address, streams } = yield* echoServer()
      for (const group of ["X25519", "prime256v1", "secp384r1"]) {
        assert.isTrue((yield* tlsClient(address, { ...pskClient, ecdhCurve: group })).secured)
        assert.strictEqual(streams.at(-1)!.keyExchange, group)
      }
    })))

  it.live("I23: a client that offers the key without forward secrecy (psk_ke) is refused", () =>
    run(Effect.gen(function*() {
      const { address, refused, streams } = yield* echoServer()
      const firstAnswer = Effect.fnUntraced(function*(mode: "psk_ke" | "psk_dhe_ke") {
        const socket = yield* rawDial(address)
        socket.write(tlsPskHello({ ...secret, mode }))
        const [answer] = yield* Effect.promise(() => once(socket, "data") as Promise<[Buffer]>)
        return [...answer.subarray(0, 1), ...answer.subarray(5, 6)]
      })
      // A handshake record with a ServerHello: the client was right in everything but the mode.
      assert.deepStrictEqual(yield* firstAnswer("psk_dhe_ke"), [22, 2])
      // A fatal alert.
      assert.deepStrictEqual(yield* firstAnswer("psk_ke"), [21, 2])
      yield* Effect.sleep(20)
      assert.deepStrictEqual(refused.map(({ error }) => error.kind), ["Denied"])
      assert.strictEqual(streams.length, 0)
    })))

  it.live("M15: a saved session does not open what the key no longer opens", () =>
    run(Effect.gen(function*() {
      const { address, asked, known } = yield* echoServer()
      const { pskCallback: _, ...withoutKey } = pskClient
      const first = yield* tlsClient(address, pskClient)
      assert.isTrue(first.secured)
      const session = first.session
      assert.isDefined(session, "a session to try with")
      assert.isFalse((yield* tlsClient(address, { ...withoutKey, session: session! })).secured, "while it is expected")
      known.clear()
      assert.isFalse((yield* tlsClient(address, { ...withoutKey, session: session! })).secured)
      assert.isFalse((yield* tlsClient(address, { ...pskClient, session: session! })).secured)
      known.set(secret.pskIdentity, psk)
      const before = asked.length
      assert.isTrue((yield* tlsClient(address, { ...pskClient, session: session! })).secured)
      assert.include(asked.slice(before), secret.pskIdentity, "the key was asked for")
    })))

  it.live("TLS 1.2 and other suites are refused", () =>
    run(Effect.gen(function*() {
      const { address } = yield* echoServer()
      const old: Tls.ConnectionOptions = {
        ...pskClient,
        minVersion: "TLSv1.2",
        maxVersion: "TLSv1.2",
        ciphers: "ECDHE-PSK-CHACHA20-POLY1305:PSK-AES128-GCM-SHA256"
      }
      assert.isFalse((yield* tlsClient(address, old)).secured)
      assert.isFalse((yield* tlsClient(address, { ...pskClient, ciphers: "TLS_AES_256_GCM_SHA384" })).secured)
      assert.isTrue((yield* tlsClient(address, pskClient)).secured)
    })))

  it.live("I23: a listener that shows a certificate instead of the key is refused, whoever has signed it", () =>
    run(Effect.gen(function*() {
      const transport = yield* DirectTransport
      const server = Tls.createServer({ cert: certificate, key: certificateKey })
      server.on("tlsClientError", () => {})
      yield* Effect.addFinalizer(() => Effect.sync(() => server.close()))
      yield* Effect.promise(() => once(server.listen(0, "127.0.0.1"), "listening"))
      const address = { host: "127.0.0.1", port: (server.address() as Net.AddressInfo).port }
      const error = yield* Effect.flip(transport.connect(address, secret))
      assert.deepStrictEqual([error.kind, error.detail], ["Denied", "NO_PSK"])
    })))

  it.live("a listener that speaks something else is refused, typed", () =>
    run(Effect.gen(function*() {
      const transport = yield* DirectTransport
      const web = yield* plainServer((socket) => socket.write("HTTP/1.1 400 Bad Request\r\n\r\n"))
      assert.strictEqual((yield* Effect.flip(transport.connect(web, secret))).kind, "Denied")
      const hangsUp = yield* plainServer((socket) => socket.end())
      assert.include(["Reset", "Ended"], (yield* Effect.flip(transport.connect(hangsUp, secret))).kind)
      const resets = yield* plainServer((socket) => socket.resetAndDestroy())
      assert.strictEqual((yield* Effect.flip(transport.connect(resets, secret))).kind, "Reset")
      const badPort = yield* Effect.flip(transport.connect({ host: "127.0.0.1", port: 70_000 }, secret))
      assert.strictEqual(badPort.kind, "Unreachable")
    })))

  it.live("I19: answers two small writes of each side without waiting for acknowledgements", () =>
    run(Effect.gen(function*() {
      const transport = yield* DirectTransport
      const { serve, ...address } = yield* transport.listen(anyPort, () => psk)
      yield* Effect.forkScoped(serve((stream) =>
        Effect.gen(function*() {
          const receiver = new Receiver(stream)
          for (let size = 2;; size += 2) {
            yield* receiver.read(size)
            stream.write([Uint8Array.of(1)])
            yield* turn
            stream.write([Uint8Array.of(2)])
            if (receiver.error !== undefined) return
          }
        })
      ))
      const receiver = new Receiver(yield* transport.connect(address, secret))
      const now = yield* LoopTime.make
      const started = now()
      for (let round = 1; round <= 40; round++) {
        receiver.stream.write([Uint8Array.of(1)])
        yield* turn
        receiver.stream.write([Uint8Array.of(2)])
        yield* receiver.read(2 * round)
      }
      // With Nagle's algorithm each round waits 40 ms for a delayed acknowledgement.
      assert.isBelow(now() - started, 800)
    })))

  it.live("both ends ask the system for keepalive after 30 s", () =>
    run(Effect.gen(function*() {
      const { address, transport } = yield* echoServer()
      const receiver = new Receiver(yield* transport.connect(address, secret))
      receiver.stream.write([Uint8Array.of(1)])
      yield* receiver.read(1)
      // What is acknowledged leaves the keepalive timer as the only one.
      yield* Effect.sleep(200)
      const port = address.port.toString(16).toUpperCase().padStart(4, "0")
      const timers = Fs.readFileSync("/proc/net/tcp", "utf8").split("\n")
        .map((line) => line.trim().split(/\s+/))
        // Established, from or to the listener's port.
        .filter(([, local, remote, state]) => state === "01" && `${local} ${remote}`.includes(`:${port}`))
        .map(([, , , , , timer = ""]) => timer.split(":"))
      assert.strictEqual(timers.length, 2)
      for (const [kind, ticks = ""] of timers) {
        assert.strictEqual(kind, "02")
        // Hundredths of a second.
        assert.isAtMost(Number.parseInt(ticks, 16), 3_000)
        assert.isAbove(Number.parseInt(ticks, 16), 2_000)
      }
    })))

  it.live("I20: all batches of one turn go out as one record, of small pieces as well", () =>
    run(Effect.gen(function*() {
      const { address, transport } = yield* echoServer()
      const proxy = yield* FaultProxy.make({ target: address })
      const receiver = new Receiver(yield* transport.connect(proxy, secret))
      receiver.stream.write([Uint8Array.of(1)])
      yield* receiver.read(1)
      const [connection] = proxy.connections()
      const before = connection!.delivered("toTarget")
      receiver.stream.write(Array.from({ length: 150 }, (_, i) => pattern(10, i)))
      for (let i = 150; i < 200; i++) receiver.stream.write([pattern(10, i)])
      yield* receiver.read(2_001)
      // 22 bytes a record: two of them would be 44.
      assert.isBelow(connection!.delivered("toTarget") - before, 2_000 + 30)
    })))

  it.live("what was written last arrives although the stream is destroyed in the same turn", () =>
    run(Effect.gen(function*() {
      const { accepted, address } = yield* sink
      const transport = yield* DirectTransport
      const atClient = new Receiver(yield* transport.connect(address, secret))
      const atServer = yield* accepted
      atClient.stream.write([pattern(500)])
      atClient.stream.destroy()
      assertBytes(yield* atServer.read(500), pattern(500))
    })))

  for (
    const [what, spoil, kinds] of [
      ["reset", (proxy: FaultProxy.FaultProxy) => proxy.reset(), ["Reset"]],
      ["FIN", (proxy: FaultProxy.FaultProxy) => proxy.fin("both"), ["Ended"]],
      ["flipped bit", (proxy: FaultProxy.FaultProxy) => proxy.corrupt("toTarget"), ["Reset", "Ended"]]
    ] as const
  ) {
    it.live(`a ${what} on the way, in the middle of a transfer, ends both sides and delivers no wrong byte`, () =>
      run(Effect.gen(function*() {
        const { accepted, address } = yield* sink
        const proxy = yield* FaultProxy.make({ target: address })
        const transport = yield* DirectTransport
        const atClient = new Receiver(yield* transport.connect(proxy, secret))
        const atServer = yield* accepted
        const bytes = pattern(4_000_000, 2)
        const writing = yield* Effect.forkScoped(atClient.writeAll(bytes, 50_000))
        yield* atServer.until(() => atServer.size > 200_000)
        spoil(proxy)
        const errors = [yield* atServer.closed, yield* atClient.closed]
        for (const { kind } of errors) assert.include(kinds, kind)
        if (what === "flipped bit") assert.strictEqual(errors[0]!.kind, "Reset")
        assertBytes(atServer.bytes, bytes.subarray(0, atServer.size))
        assert.isBelow(atServer.size, bytes.length)
        assert.deepStrictEqual([atServer.closings, atClient.closings], [1, 1])
        assert.isUndefined(writing.pollUnsafe()?._tag === "Failure" ? "failed" : undefined)
      })))
  }

  it.live("a handshake and a transfer in pieces of a byte or two arrive whole", () =>
    run(Effect.gen(function*() {
      const { address, transport } = yield* echoServer()
      const proxy = yield* FaultProxy.make({ target: address })
      proxy.set("both", { split: 2 })
      const receiver = new Receiver(yield* transport.connect(proxy, secret))
      receiver.stream.write([pattern(700)])
      assertBytes(yield* receiver.read(700), pattern(700))
    })))

  it.live("counts IPv4 peers of a listener on both families by their IPv4 address, and serves IPv6", () =>
    run(Effect.gen(function*() {
      const { address, streams, transport } = yield* echoServer({ host: "::", port: 0 })
      for (const host of ["127.0.0.1", "::1"]) {
        const receiver = new Receiver(yield* transport.connect({ host, port: address.port }, secret))
        receiver.stream.write([Uint8Array.of(1)])
        yield* receiver.read(1)
      }
      assert.deepStrictEqual(streams.map(({ remote }) => remote.host), ["127.0.0.1", "::1"])
    })))

  it.live("I4: every descriptor comes back: refused, silent, hung up, never read, destroyed, closed", () =>
    Effect.gen(function*() {
      const now = yield* LoopTime.make
      const before = descriptors()
      yield* Effect.scoped(Effect.gen(function*() {
        const { address, streams, transport } = yield* echoServer()
        for (let i = 0; i < 5; i++) {
          yield* Effect.flip(Effect.scoped(transport.connect(address, { ...secret, psk: new Uint8Array(32) })))
          yield* Effect.flip(Effect.scoped(transport.connect(address, { ...secret, pskIdentity: "nobody" })))
          yield* rawDial(address)
          yield* Effect.scoped(rawDial(address))
          const never = yield* transport.connect(address, secret)
          never.hold(true)
          while (never.write([pattern(1 << 16)]));
          const destroyed = yield* transport.connect(address, secret)
          destroyed.destroy()
          yield* Effect.scoped(transport.connect(address, secret))
        }
        assert.isAbove(streams.length, 0)
      }))
      yield* LoopTime.until(now, "no descriptor more than before", () => descriptors() <= before, 5_000)
    }).pipe(
      Effect.scoped,
      Effect.provide(DirectTransportNode.layer.pipe(
        Layer.provide(Layer.effect(
          DirectSettings,
          Effect.map(DirectSettings, (numbers) => ({ ...numbers, handshakeTimeout: 500 }))
        ))
      ))
    ))

  it.live(
    "I5: streams that end on either side at any moment, in any way, crash nothing and leave nothing",
    () =>
      run(Effect.gen(function*() {
        const transport = yield* DirectTransport
        const entropy = EntropySeeded.make(20_26)
        const pick = (below: number) => Math.floor(entropy.fraction() * below)
        const now = yield* LoopTime.make
        const before = descriptors()
        let wrong = 0

        /** What one side does with its stream, a few steps of it. */
        const live = Effect.fnUntraced(function*(stream: DirectStream) {
          let closings = 0
          stream.handle({
            onBytes: (bytes) => {
              if (pick(10) === 0) stream.write([bytes])
              if (pick(40) === 0) stream.destroy()
            },
            onWritable: () => {
              if (pick(3) === 0) stream.write([pattern(100)])
            },
            onClosed: () => {
              if (++closings > 1) wrong++
              stream.write([pattern(10)])
            }
          })
          for (let steps = pick(6); steps > 0; steps--) {
            const step = pick(7)
            if (step === 0) stream.hold(true)
            else if (step === 1) stream.hold(false)
            else if (step === 2) stream.write([pattern(3_000_000)])
            else if (step < 5) stream.write([pattern(100), pattern(pick(70_000))])
            else yield* Effect.sleep(pick(4))
          }
          if (pick(2) === 0) stream.destroy()
          if (pick(3) === 0) stream.write([pattern(100)])
          if (pick(3) === 0) yield* Effect.sleep(pick(4))
        })

        const churn = Effect.fnUntraced(function*(disturbed: boolean) {
          const { serve, ...bound } = yield* transport.listen(anyPort, () => psk)
          yield* Effect.forkScoped(serve(live))
          const proxy = disturbed ? yield* FaultProxy.make({ target: bound }) : undefined
          yield* Effect.forkScoped(Effect.forever(Effect.andThen(
            Effect.sleep(30),
            Effect.sync(() => pick(2) === 0 ? proxy?.reset() : proxy?.corrupt("toClient"))
          )))
          yield* Effect.forEach(
            Array.from({ length: 150 }),
            () =>
              transport.connect(proxy ?? bound, secret).pipe(
                Effect.flatMap(live),
                Effect.timeoutOption(pick(5) === 0 ? pick(8) : 5_000),
                Effect.scoped,
                Effect.ignore
              ),
            { concurrency: 8 }
          )
        }, Effect.scoped)

        yield* churn(false)
        yield* LoopTime.until(now, "no descriptor more than before", () => descriptors() <= before, 8_000)
        yield* churn(true)
        assert.strictEqual(wrong, 0)
      })),
    60_000
  )

  it.live(
    "two thousand callers that hang up at once leave nothing, and a peer connects right after them",
    () =>
      run(Effect.gen(function*() {
        const { address, transport } = yield* echoServer()
        const now = yield* LoopTime.make
        const before = descriptors()
        for (let round = 0; round < 40; round++) {
          yield* Effect.forEach(Array.from({ length: 50 }), (_, i) =>
            Effect.scoped(Effect.map(rawDial(address), (socket) => {
              if (i % 2 === 0) {
                socket.write(clientHello)
              }
              if (i % 3 === 0) {
                socket.resetAndDestroy()
              }
            })), { concurrency: 10 })
        }
        yield* LoopTime.until(now, "no descriptor more than before", () =>
          descriptors() <= before, 8_000)
        const receiver = new Receiver(yield* transport.connect(address, secret))
        receiver.stream.write([Uint8Array.of(1)])
        assertBytes(yield* receiver.read(1), Uint8Array.of(1))
      })),
    30_000
  )
})

/** A listener whose first caller is received and not answered. */
const sink = Effect.gen(function*() {
  const transport = yield* DirectTransport
  const { serve, ...bound } = yield* transport.listen(anyPort, () => psk)
  const first = yield* Deferred.make<Receiver>()
  yield* Effect.forkScoped(
    serve((stream) => Effect.andThen(Effect.suspend(() => Deferred.succeed(first, new Receiver(stream))), Effect.never))
  )
  return { address: bound as Address, accepted: Deferred.await(first) }
})
