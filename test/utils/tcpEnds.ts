/** Plain TCP ends for tests of what moves bytes between sockets and sessions: a client, a server, and what becomes of them. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { once } from "node:events"
import * as Net from "node:net"

/** A socket of the test, and what it has seen. */
export class TcpEnd {
  readonly socket: Net.Socket
  readonly chunks: Array<Buffer> = []
  /** How it ended: `end` in order, else the error's code. */
  readonly over: Promise<string>
  ended = false

  constructor(socket: Net.Socket) {
    this.socket = socket
    this.over = new Promise((resolve) => {
      socket.on("end", () => {
        this.ended = true
        resolve("end")
      })
      socket.on("error", (error) => resolve("code" in error ? String(error.code) : error.message))
      socket.on("close", () => resolve("close"))
    })
  }

  /** Takes everything that comes. */
  read(): this {
    this.socket.on("data", (chunk: Buffer) => this.chunks.push(chunk)).resume()
    return this
  }

  get bytes(): Buffer {
    return Buffer.concat(this.chunks)
  }

  get text(): string {
    return this.bytes.toString("utf8")
  }
}

const owned = (open: () => Net.Socket) =>
  Effect.acquireRelease(Effect.sync(open), (socket) => Effect.sync(() => void socket.destroy()))

/** A client that has connected to that port. It does not read yet. */
export const client = Effect.fnUntraced(function*(port: number): Effect.fn.Return<TcpEnd, never, Scope.Scope> {
  const socket = yield* owned(() => Net.connect({ port, host: "127.0.0.1", allowHalfOpen: true }))
  const end = new TcpEnd(socket)
  // A connection that is refused says so in `over`.
  yield* Effect.promise(() => once(socket, "connect").catch(() => undefined))
  return end
})

/** A service on a free port; `onEnd` gets each of its connections, which do not read yet. */
export const service = Effect.fnUntraced(function*(
  onEnd: (end: TcpEnd) => void
): Effect.fn.Return<number, never, Scope.Scope> {
  const ends: Array<TcpEnd> = []
  const server = yield* Effect.acquireRelease(
    Effect.sync(() =>
      Net.createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
        const end = new TcpEnd(socket)
        ends.push(end)
        onEnd(end)
      })
    ),
    (server) =>
      Effect.sync(() => {
        server.close()
        for (const { socket } of ends) socket.destroy()
      })
  )
  server.listen(0, "127.0.0.1")
  yield* Effect.promise(() => once(server, "listening"))
  return (server.address() as Net.AddressInfo).port
})

/** Waits on the real clock until it is so; a defect after ten seconds. */
export const until = (what: string, isSo: () => boolean): Effect.Effect<void> =>
  Effect.promise(async () => {
    const deadline = performance.now() + 10_000
    while (!isSo()) {
      if (performance.now() > deadline) throw new Error(`not within 10 s: ${what}`)
      await new Promise((next) => setTimeout(next, 2))
    }
  })
