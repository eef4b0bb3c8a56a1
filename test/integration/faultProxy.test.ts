/** The fault proxy itself: each fault does what it says, and without faults nothing is lost, changed or reordered. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { once } from "node:events"
import * as Net from "node:net"
import * as EntropySeeded from "../../src/testing/EntropySeeded.ts"
import * as FaultProxy from "../utils/FaultProxy.ts"
import * as LoopTime from "../utils/loopTime.ts"

/** One end of a connection, and everything it has read. */
class End {
  readonly socket: Net.Socket
  readonly chunks: Array<Buffer> = []
  size = 0
  ended = false
  error: string | undefined

  constructor(socket: Net.Socket) {
    this.socket = socket
    socket.on("data", (chunk: Buffer) => {
      this.chunks.push(chunk)
      this.size += chunk.length
    })
    socket.on("end", () => {
      this.ended = true
    })
    socket.on("error", (error: NodeJS.ErrnoException) => {
      this.error = error.code
    })
  }

  get bytes(): Buffer {
    return Buffer.concat(this.chunks)
  }
}

/** A listener that keeps what connects. */
const listener = Effect.gen(function*() {
  const accepted: Array<End> = []
  const server = Net.createServer({ noDelay: true, allowHalfOpen: true }, (socket) => accepted.push(new End(socket)))
  server.listen({ host: "127.0.0.1", port: 0 })
  yield* Effect.promise(() => once(server, "listening"))
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      server.close()
      for (const { socket } of accepted) socket.destroy()
    })
  )
  return { accepted, address: { host: "127.0.0.1", port: (server.address() as Net.AddressInfo).port } }
})

const dial = (proxy: FaultProxy.FaultProxy) =>
  Effect.acquireRelease(
    Effect.sync(() => new End(Net.connect({ host: proxy.host, port: proxy.port, noDelay: true, allowHalfOpen: true }))),
    ({ socket }) => Effect.sync(() => socket.destroy())
  )

/** A proxy with one connection through it; all times are those that this process has lived. */
const pair = Effect.gen(function*() {
  const { accepted, address } = yield* listener
  const now = yield* LoopTime.make
  const until = (what: string, condition: () => boolean) => LoopTime.until(now, what, condition)
  const pass = (millis: number) => LoopTime.pass(now, millis)
  const proxy = yield* FaultProxy.make({ target: address, now })
  const client = yield* dial(proxy)
  yield* until("a connection", () => accepted.length === 1)
  return { proxy, client, server: accepted[0]!, accepted, now, until, pass }
})

const random = (size: number) => Buffer.from(EntropySeeded.make(size).bytes(size))

describe("the fault proxy", { timeout: 60_000 }, () => {
  it.live("without faults passes every byte, both ways at once, and both ends", () =>
    Effect.gen(function*() {
      const { client, proxy, server, until } = yield* pair
      const [up, down] = [random(9_000_000), random(7_000_001)]
      client.socket.end(up)
      server.socket.end(down)
      yield* until("all of it", () => server.size === up.length && client.size === down.length)
      yield* until("the ends", () => server.ended && client.ended)
      assert.isTrue(server.bytes.equals(up) && client.bytes.equals(down))
      yield* until("no connection left", () => proxy.connections().length === 0)
      assert.deepStrictEqual([client.error, server.error], [undefined, undefined])
    }))

  it.live("delays and jitters without reordering", () =>
    Effect.gen(function*() {
      const { client, now, proxy, server, until } = yield* pair
      proxy.set("toTarget", { delay: 200, jitter: 40 })
      const sent = random(20_000)
      const start = now()
      for (let at = 0; at < sent.length; at += 1_000) {
        client.socket.write(sent.subarray(at, at + 1_000))
        yield* Effect.sleep("1 millis")
      }
      yield* until("the first bytes", () => server.size > 0)
      assert.isAtLeast(now() - start, 199)
      yield* until("all of it", () => server.size === sent.length)
      assert.isTrue(server.bytes.equals(sent))
      // The other direction is not affected.
      server.socket.write("x")
      assert.isBelow(yield* until("the answer", () => client.size === 1), 150)
    }))

  it.live("delays what is in full flow by the delay and not by more", () =>
    Effect.gen(function*() {
      const { client, proxy, server, until } = yield* pair
      proxy.set("both", { delay: 100 })
      client.socket.write(random(3_000_000))
      assert.isBelow(yield* until("all of it", () => server.size === 3_000_000), 1_000)
    }))

  it.live("limits the rate", () =>
    Effect.gen(function*() {
      const { client, proxy, server, until } = yield* pair
      proxy.set("toTarget", { rate: 200_000 })
      client.socket.write(random(100_000))
      const took = yield* until("all of it", () => server.size === 100_000)
      assert.isAbove(took, 400)
      assert.isBelow(took, 800)
    }))

  it.live("freezes and thaws: nothing arrives, nothing is lost, the sender blocks", () =>
    Effect.gen(function*() {
      const { client, pass, proxy, server, until } = yield* pair
      proxy.set("toTarget", { frozen: true })
      const sent = random(30_000_000)
      client.socket.write(sent)
      yield* pass(200)
      assert.strictEqual(server.size, 0)
      assert.isAbove(client.socket.writableLength, 0)
      proxy.set("toTarget", { frozen: false })
      yield* until("all of it", () => server.size === sent.length)
      assert.isTrue(server.bytes.equals(sent))
    }))

  it.live("a black hole swallows bytes and the end, and only those", () =>
    Effect.gen(function*() {
      const { client, pass, proxy, server, until } = yield* pair
      client.socket.write("before")
      yield* until("what came before", () => server.size === 6)
      proxy.set("toTarget", { blackHole: true })
      client.socket.write(random(2_000_000))
      yield* until("the sender is never blocked", () => client.socket.writableLength === 0)
      yield* pass(50)
      proxy.set("toTarget", { blackHole: false })
      client.socket.write("after")
      yield* until("what came after", () => server.size === 11)
      assert.strictEqual(server.bytes.toString(), "beforeafter")
      proxy.set("toTarget", { blackHole: true })
      client.socket.end()
      yield* pass(50)
      assert.isFalse(server.ended)
    }))

  it.live("resets both sides", () =>
    Effect.gen(function*() {
      const { client, proxy, server, until } = yield* pair
      proxy.reset()
      yield* until("both resets", () => client.error === "ECONNRESET" && server.error === "ECONNRESET")
      yield* until("no connection left", () => proxy.connections().length === 0)
    }))

  it.live("passes on a reset of either side", () =>
    Effect.gen(function*() {
      const { accepted, client, proxy, server, until } = yield* pair
      client.socket.resetAndDestroy()
      yield* until("the reset at the target", () => server.error === "ECONNRESET")
      const second = yield* dial(proxy)
      yield* until("a second connection", () => accepted.length === 2)
      accepted[1]!.socket.resetAndDestroy()
      yield* until("the reset at the client", () => second.error === "ECONNRESET")
    }))

  it.live("half-closes one direction; the other goes on", () =>
    Effect.gen(function*() {
      const { client, proxy, server, until } = yield* pair
      client.socket.write("last words")
      yield* until("them", () => server.size === 10)
      proxy.fin("toTarget")
      yield* until("the end", () => server.ended)
      server.socket.write("still here")
      yield* until("the answer", () => client.size === 10)
      assert.isFalse(client.ended)
    }))

  it.live("splits into small writes", () =>
    Effect.gen(function*() {
      const { client, proxy, server, until } = yield* pair
      proxy.set("toTarget", { split: 3 })
      const sent = random(2_000)
      client.socket.write(sent)
      yield* until("all of it", () => server.size === sent.length)
      assert.isTrue(server.bytes.equals(sent))
      // The kernel may join some, but 2,000 bytes in pieces of at most 3 are far from one chunk.
      assert.isAbove(server.chunks.length, 20)
    }))

  it.live("flips one bit, once", () =>
    Effect.gen(function*() {
      const { client, proxy, server, until } = yield* pair
      proxy.corrupt("toTarget")
      const sent = random(5_000)
      client.socket.write(sent)
      yield* until("all of it", () => server.size === sent.length)
      client.socket.write(sent)
      yield* until("all of it again", () => server.size === 2 * sent.length)
      const both = Buffer.concat([sent, sent])
      const changed = [...server.bytes].flatMap((byte, i) => byte === both[i] ? [] : [byte ^ both[i]!])
      assert.lengthOf(changed, 1)
      assert.include([1, 2, 4, 8, 16, 32, 64, 128], changed[0])
    }))

  it.live("disturbs one connection and leaves the other alone", () =>
    Effect.gen(function*() {
      const { accepted, client, proxy, server, until } = yield* pair
      const other = yield* dial(proxy)
      yield* until("two connections", () => accepted.length === 2)
      const [first] = proxy.connections()
      first!.set("toTarget", { frozen: true })
      client.socket.write("held")
      other.socket.write("free")
      yield* until("the free one", () => accepted[1]!.size === 4)
      assert.strictEqual(server.size, 0)
      first!.reset()
      yield* until("the reset", () => client.error === "ECONNRESET")
      assert.isUndefined(other.error)
      assert.strictEqual(proxy.connections()[0]!.delivered("toTarget"), 4)
    }))

  it.live("refuses and hangs new connections, and forwards again on the same port", () =>
    Effect.gen(function*() {
      const { accepted, client, pass, proxy, server, until } = yield* pair
      yield* proxy.admit("refuse")
      const refused = yield* dial(proxy)
      yield* until("the refusal", () => refused.error === "ECONNREFUSED")
      client.socket.write("open ones go on")
      yield* until("that", () => server.size === 15)
      yield* proxy.admit("hang")
      const hanging = yield* dial(proxy)
      yield* Effect.promise(() => once(hanging.socket, "connect"))
      hanging.socket.write("nobody hears")
      yield* pass(50)
      assert.lengthOf(accepted, 1)
      yield* proxy.admit("forward")
      const served = yield* dial(proxy)
      served.socket.write("somebody hears")
      yield* until("that", () => accepted[1]?.size === 14)
    }))
})
