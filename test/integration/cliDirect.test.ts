/** `--direct` and `--policy` as a user meets them: two commands and a relay on one machine. */
import { createHash, randomBytes } from "node:crypto"
import { createServer } from "node:net"
import { describe, expect, it } from "vitest"
import { Causeway, type Event } from "../utils/causeway.ts"

/** A hang is what these limits are for: a busy machine takes seconds to start one of the processes. */
const patient = { timeout: 90_000 }

/** A relay and a listener with those flags; `ticket` is the listener's. */
const setUp = async (causeway: Causeway, ...flags: ReadonlyArray<string>) => {
  const { address } = await causeway.relay()
  await causeway.run("keygen", "--out", "me.json")
  const listener = causeway.start(["listen", "--json", "--identity", "me.json", "--relay", address, ...flags])
  const { ticket } = await listener.event("ticket", "stderr")
  listener.child.stdin!.end()
  return { address, listener, ticket: ticket as string }
}

const named = (events: ReadonlyArray<Event>, name: string) => events.filter(({ event }) => event === name)

describe("a command that listens for direct links", patient, () => {
  it("is reached directly, a ping tells so, and no relay carries anything", async () => {
    using causeway = new Causeway()
    const { ticket } = await setUp(causeway, "--direct", "127.0.0.1:0")
    const ping = await causeway.run("ping", ticket, "--policy", "direct", "--count", "3", "--json")
    expect(ping.code).toBe(0)
    expect(named(ping.events(), "ping").map(({ path }) => path)).toEqual(["direct", "direct", "direct"])
    expect(named(ping.events(), "relay").map(({ carries }) => carries)).toEqual([false])
    expect(ping.events().at(-1)).toMatchObject({ event: "done", path: "direct", count: 3 })
  })

  it("is reached over relays by those who want that", async () => {
    using causeway = new Causeway()
    const { address, ticket } = await setUp(causeway, "--direct", "127.0.0.1:0")
    const ping = await causeway.run("ping", ticket, "--policy", "relayed", "--count", "8", "--json")
    expect(ping.code).toBe(0)
    expect(new Set(named(ping.events(), "ping").map(({ path }) => path))).toEqual(new Set(["relayed"]))
    const [relay] = named(ping.events(), "relay")
    expect(relay).toMatchObject({ relay: address.split(":").slice(0, 2).join(":"), carries: true })
    expect(ping.events().at(-1)).toMatchObject({ event: "done", path: "relayed" })
  })

  it("takes a transfer that begins over the relay, and both sides say when it moves", async () => {
    using causeway = new Causeway()
    const { listener, ticket } = await setUp(causeway, "--direct", "127.0.0.1:0", "--once")
    const caller = causeway.start(["connect", ticket, "--json"])
    const [first, second] = [randomBytes(2_000_000), randomBytes(2_000_000)]
    caller.child.stdin!.write(first)
    for (const run of [caller, listener]) expect(await run.event("path", "stderr")).toMatchObject({ path: "direct" })
    caller.child.stdin!.end(second)
    expect(await caller.ended).toEqual({ code: 0, signal: null })
    expect(await listener.ended).toEqual({ code: 0, signal: null })
    const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex")
    expect(sha256(listener.bytes)).toBe(sha256(Buffer.concat([first, second])))
  })

  it("says which address it cannot listen at", async () => {
    using causeway = new Causeway()
    await causeway.run("keygen", "--out", "me.json")
    const other = createServer().listen(0, "127.0.0.1")
    try {
      await new Promise((resolve) => other.once("listening", resolve))
      const { port } = other.address() as { readonly port: number }
      const relay = `127.0.0.1:9:${"AB".repeat(32)}`
      const args = ["receive", "--identity", "me.json", "--relay", relay, "--direct", `127.0.0.1:${port}`]
      const run = await causeway.run(...args)
      expect(run.code).toBe(1)
      expect(run.stderr).toMatch(/^causeway: 127\.0\.0\.1:\d+ is in use already.*--direct\n$/)
    } finally {
      other.close()
    }
  })
})

describe("a command that does not", patient, () => {
  it("cannot be called with --policy direct, and the line says what would help", async () => {
    using causeway = new Causeway()
    const { ticket } = await setUp(causeway)
    const ping = await causeway.run("ping", ticket, "--policy", "direct")
    expect(ping.code).toBe(1)
    expect(ping.stderr).toMatch(/not reached within 30 s.*--direct.*--policy auto/)
  })
})
