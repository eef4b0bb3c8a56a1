/** `send` and `receive` as processes, over real relays in processes of their own. */
import { createHash, randomBytes } from "node:crypto"
import { once } from "node:events"
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { connect } from "node:net"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { Causeway, type Run } from "../utils/causeway.ts"

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex").toUpperCase()

/** A relay, an identity, and a folder for what is received. */
const setUp = async (causeway: Causeway) => {
  const { address } = await causeway.relay()
  await causeway.run("keygen", "--out", "a.json")
  mkdirSync(join(causeway.folder, "inbox"))
  const args = ["receive", "--json", "--identity", "a.json", "--relay", address, "--dir", "inbox"]
  const receive = async (...more: ReadonlyArray<string>) => {
    const run = causeway.start([...args, ...more])
    const { ticket } = await run.event("ticket")
    return { run, ticket: ticket as string }
  }
  return {
    receive,
    write: (name: string, bytes: Uint8Array) => writeFileSync(join(causeway.folder, name), bytes),
    stored: (name: string) => readFileSync(join(causeway.folder, "inbox", name)),
    inbox: () => readdirSync(join(causeway.folder, "inbox")).toSorted()
  }
}

/** Waits until the unfinished file has grown to that size. */
const untilPart = async (causeway: Causeway, bytes: number) => {
  for (;;) {
    const inbox = join(causeway.folder, "inbox")
    const part = readdirSync(inbox).find((name) => name.endsWith(".part"))
    if (part !== undefined && readFileSync(join(inbox, part)).length >= bytes) return
    await new Promise((next) => setTimeout(next, 5))
  }
}

const kill = async (run: Run, signal: NodeJS.Signals) => {
  run.child.kill(signal)
  return await run.ended
}

describe("send and receive", () => {
  it("files arrive complete, both sides say so, and both end by themselves", async () => {
    using causeway = new Causeway()
    const { inbox, receive, stored, write } = await setUp(causeway)
    const [one, two] = [randomBytes(10_000_000), randomBytes(0)]
    write("one.bin", one)
    write("two.txt", two)
    const { run, ticket } = await receive("--once")
    const sender = await causeway.run("send", ticket, "one.bin", "two.txt", "--json")
    expect(sender.stderr).toBe("")
    expect(sender.code).toBe(0)
    expect(await run.ended).toEqual({ code: 0, signal: null })
    expect(inbox()).toEqual(["one.bin", "two.txt"])
    expect(stored("one.bin").equals(one)).toBe(true)
    expect(sender.events().filter(({ event }) => event !== "progress")).toEqual([
      { event: "connected", identityKey: expect.stringMatching(/^[0-9A-F]{64}$/) },
      {
        event: "sent",
        file: "one.bin",
        storedAs: "one.bin",
        size: one.length,
        sha256: sha256(one),
        from: 0,
        already: false
      },
      { event: "sent", file: "two.txt", storedAs: "two.txt", size: 0, sha256: sha256(two), from: 0, already: false },
      { event: "done", files: 2, bytes: one.length }
    ])
    const names = run.events().map(({ event }) => event).filter((event) => event !== "progress")
    expect(names).toEqual(["ticket", "connected", "receiving", "received", "receiving", "received", "disconnected"])
  })

  for (const victim of ["sender", "receiver"] as const) {
    for (const signal of ["SIGKILL", "SIGTERM"] as const) {
      it(`the same command goes on after the ${victim} was ended by ${signal} in the middle`, async () => {
        using causeway = new Causeway()
        const { inbox, receive, stored, write } = await setUp(causeway)
        const bytes = randomBytes(60_000_000)
        write("big.bin", bytes)
        const first = await receive()
        const sending = causeway.start(["send", first.ticket, "big.bin", "--json"])
        await untilPart(causeway, 5_000_000)
        const ended = await kill(victim === "sender" ? sending : first.run, signal)
        expect(ended).toEqual(signal === "SIGKILL" ? { code: null, signal } : { code: 0, signal: null })
        expect(inbox()).toEqual([`big.bin.${sha256(bytes).slice(0, 16).toLowerCase()}.part`])
        const second = victim === "receiver" ? await receive("--once") : first
        if (victim === "receiver") {
          // Its peer is another process now, or said goodbye.
          expect((await sending.ended).code).toBe(1)
          expect(sending.stderr).toContain("the same command again goes on there")
        }
        const again = await causeway.run("send", second.ticket, "big.bin", "--json")
        expect(again.stderr).toBe("")
        expect(again.code).toBe(0)
        const sent = again.events().find(({ event }) => event === "sent")!
        expect(sent["from"]).toBeGreaterThanOrEqual(5_000_000)
        expect(sent["from"]).toBeLessThan(bytes.length)
        expect(inbox()).toEqual(["big.bin"])
        expect(stored("big.bin").equals(bytes)).toBe(true)
      }, 60_000)
    }
  }

  it("a file or a forwarded connection for somebody who only listens is refused, and nothing of it reaches stdout", async () => {
    using causeway = new Causeway()
    const { write } = await setUp(causeway)
    write("one.bin", randomBytes(1_000))
    const { address } = await causeway.relay()
    const listen = causeway.start(["listen", "--json", "--identity", "a.json", "--relay", address])
    const { ticket } = await listen.event("ticket", "stderr")
    const sender = await causeway.run("send", ticket as string, "one.bin")
    expect(sender.code).toBe(1)
    expect(sender.stderr).toContain("files are taken by causeway receive")
    expect(sender.stderr).toContain("check that it runs causeway receive")
    expect(sender.stderr).not.toContain("the same command again")
    const forward = causeway.start(["forward", "--json", ticket as string, "--listen", "127.0.0.1:0"])
    const { port } = await forward.event("listening")
    const socket = connect(port as number, "127.0.0.1").resume()
    await expect(once(socket, "close")).rejects.toMatchObject({ code: "ECONNRESET" })
    // As long as it stays it could open another session. The next one is served as ever.
    await kill(forward, "SIGINT")
    const next = causeway.start(["connect", ticket as string])
    next.child.stdin?.end("hello")
    await listen.until("the greeting", () => listen.stdout.includes("hello"))
    expect(listen.stdout).toBe("hello")
  })

  it("what cannot be sent or stored is said in one line", async () => {
    using causeway = new Causeway()
    const { receive, write } = await setUp(causeway)
    write("x", randomBytes(10))
    const { ticket } = await receive()
    const missing = await causeway.run("send", ticket, "x", "missing")
    expect([missing.code, missing.stderr]).toEqual([1, expect.stringMatching(/missing cannot be read \(ENOENT\)/)])
    const nowhere = await causeway.run(
      ...["receive", "--identity", "a.json", "--relay", `127.0.0.1:9:${"AB".repeat(32)}`, "--dir", "x"]
    )
    expect([nowhere.code, nowhere.stderr]).toEqual([1, expect.stringMatching(/cannot be stored in x.*--dir/)])
    for (const { stderr } of [missing, nowhere]) expect(stderr.trimEnd().split("\n")).toHaveLength(1)
  })
})
