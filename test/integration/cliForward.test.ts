/** `forward` and `listen --forward` as processes, over real relays in processes of their own. */
import { randomBytes } from "node:crypto"
import { once } from "node:events"
import * as Net from "node:net"
import { describe, expect, it } from "vitest"
import { Causeway } from "../utils/causeway.ts"

/** A service on a free port of this process. */
const service = async (onSocket: (socket: Net.Socket) => void) => {
  const server = Net.createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => undefined)
    onSocket(socket)
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  return {
    port: (server.address() as Net.AddressInfo).port,
    [Symbol.dispose]: () => {
      server.close()
    }
  }
}

/** Sends everything, half-closes, and collects what comes back; `code` is the error's when it did not end in order. */
const exchange = (port: number, bytes: Uint8Array) =>
  new Promise<{ readonly answer: Buffer; readonly code: string | undefined }>((resolve) => {
    const socket = Net.connect({ port, host: "127.0.0.1", allowHalfOpen: true })
    const chunks: Array<Buffer> = []
    let code: string | undefined
    socket.on("data", (chunk) => chunks.push(chunk))
    socket.on("error", (error) => {
      code = "code" in error ? String(error.code) : error.message
    })
    socket.on("close", () => resolve({ answer: Buffer.concat(chunks), code }))
    socket.end(bytes)
  })

/** Two relays, a listener that forwards to `port`, and what starts a forward. */
const setUp = async (causeway: Causeway, port: number) => {
  const relays = await Promise.all([causeway.relay(), causeway.relay()])
  const flags = relays.flatMap(({ address }) => ["--relay", address])
  await causeway.run("keygen", "--out", "a.json")
  const listen = async () => {
    const run = causeway.start(
      ["listen", "--json", "--identity", "a.json", ...flags, "--forward", `127.0.0.1:${port}`],
      ["ignore", "pipe", "pipe"]
    )
    const { ticket } = await run.event("ticket")
    return { run, ticket: ticket as string }
  }
  const forward = async (ticket: string) => {
    const run = causeway.start(["forward", ticket, "--listen", "127.0.0.1:0", "--json"], ["ignore", "pipe", "pipe"])
    const listening = await run.event("listening")
    expect(run.events()[0]).toEqual({ event: "listening", host: "127.0.0.1", port: expect.any(Number) })
    return { run, port: listening["port"] as number }
  }
  return { relays, listen, forward }
}

describe("a forwarded port", () => {
  it("carries many connections of two peers at once, each in order and complete", async () => {
    using causeway = new Causeway()
    using echo = await service((socket) => void socket.pipe(socket))
    const { forward, listen } = await setUp(causeway, echo.port)
    const { run, ticket } = await listen()
    const forwards = await Promise.all([forward(ticket), forward(ticket)])
    await Promise.all(forwards.flatMap(({ port }) =>
      Array.from({ length: 20 }, async () => {
        const bytes = randomBytes(100_000)
        const { answer, code } = await exchange(port, bytes)
        expect(code).toBeUndefined()
        expect(answer.equals(bytes)).toBe(true)
      })
    ))
    for (const { run } of forwards) {
      run.child.kill("SIGTERM")
      expect(await run.ended).toEqual({ code: 0, signal: null })
      expect(run.stderr).toBe("")
      const closed = run.events().filter(({ event }) => event === "closed")
      expect(closed).toHaveLength(20)
      for (const record of closed) {
        expect(record).toMatchObject({ bytesSent: 100_000, bytesReceived: 100_000, error: null })
      }
    }
    run.child.kill("SIGTERM")
    expect(await run.ended).toEqual({ code: 0, signal: null })
    expect(run.events().filter(({ event }) => event === "connected")).toHaveLength(2)
  })

  it("T03: a connection survives the death of a relay", async () => {
    using causeway = new Causeway()
    using echo = await service((socket) => void socket.pipe(socket))
    const { forward, listen, relays } = await setUp(causeway, echo.port)
    const { port } = await forward((await listen()).ticket)
    const bytes = randomBytes(30_000_000)
    const running = exchange(port, bytes)
    await new Promise((next) => setTimeout(next, 300))
    relays[0]!.run.child.kill("SIGKILL")
    const { answer, code } = await running
    expect(code).toBeUndefined()
    expect(answer.equals(bytes)).toBe(true)
  }, 60_000)

  it("a service that is not there resets the client's connection, with the reason in the event", async () => {
    using causeway = new Causeway()
    let closedPort = 0
    {
      using closed = await service(() => undefined)
      closedPort = closed.port
    }
    const { forward, listen } = await setUp(causeway, closedPort)
    const { run, port } = await forward((await listen()).ticket)
    expect((await exchange(port, randomBytes(10))).code).toBe("ECONNRESET")
    expect(await run.event("refused")).toMatchObject({
      reason: "SessionRefused",
      message: expect.stringContaining("the service refuses connections (ECONNREFUSED)")
    })
  })

  it("a listener that was started anew is called again; what was open then is reset", async () => {
    using causeway = new Causeway()
    using echo = await service((socket) => void socket.pipe(socket))
    const { forward, listen } = await setUp(causeway, echo.port)
    const first = await listen()
    const { run, port } = await forward(first.ticket)
    const open = Net.connect({ port, host: "127.0.0.1" })
    const broken = once(open, "error") as Promise<[NodeJS.ErrnoException]>
    open.write("hello")
    const [chunk] = await once(open, "data") as [Buffer]
    expect(chunk.toString()).toBe("hello")
    first.run.child.kill("SIGKILL")
    await first.run.ended
    await listen()
    expect((await broken)[0].code).toBe("ECONNRESET")
    await run.event("connected")
    expect((await exchange(port, Buffer.from("again"))).answer.toString()).toBe("again")
  }, 60_000)

  it("a port that is taken, and a peer that does not answer, end it with 1 and one line", async () => {
    using causeway = new Causeway()
    using echo = await service(() => undefined)
    const { listen } = await setUp(causeway, echo.port)
    const { run, ticket } = await listen()
    const taken = await causeway.run("forward", ticket, "--listen", `127.0.0.1:${echo.port}`)
    expect([taken.code, taken.stderr]).toEqual([1, expect.stringMatching(/in use already.*--listen/)])
    run.child.kill("SIGKILL")
    await run.ended
    const away = await causeway.run("forward", ticket, "--listen", "127.0.0.1:0")
    expect(away.code).toBe(1)
    for (const { stderr } of [taken, away]) expect(stderr.trimEnd().split("\n")).toHaveLength(1)
    expect(away.stdout).toBe("")
  }, 60_000)
})
