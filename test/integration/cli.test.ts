/** `listen`, `connect` and `packets` as processes, over real relays in processes of their own. */
import { createHash, randomBytes } from "node:crypto"
import { describe, expect, it } from "vitest"
import { Causeway, type Run } from "../utils/causeway.ts"

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")

/** Two relays and a listener's identity; `relays` are the flags that name them. */
const setUp = async (causeway: Causeway) => {
  const started = await Promise.all([causeway.relay(), causeway.relay()])
  const relays = started.flatMap(({ address }) => ["--relay", address])
  const keys = (await causeway.run("keygen", "--out", "a.json", "--json")).events()[0]!
  return { relays, started, keys, peer: `${keys["identityKey"] as string}:${keys["dhtKey"] as string}` }
}

/** A listener, and the ticket that it printed. */
const listen = async (causeway: Causeway, relays: ReadonlyArray<string>, ...more: ReadonlyArray<string>) => {
  const run = causeway.start(["listen", "--json", "--identity", "a.json", ...relays, ...more])
  const { ticket } = await run.event("ticket", "stderr")
  return { run, ticket: ticket as string }
}

const untilOutput = (run: Run, bytes: number) => run.until(`${bytes} bytes`, () => run.bytes.length >= bytes)

/** A hang is what these limits are for: a busy machine takes seconds to start one of the processes. */
const patient = { timeout: 90_000 }

describe("listen and connect", patient, () => {
  it("a file that is piped in arrives complete, and both sides end by themselves", async () => {
    using causeway = new Causeway()
    const { relays } = await setUp(causeway)
    const { run, ticket } = await listen(causeway, relays, "--once")
    run.child.stdin!.end()
    const file = randomBytes(3_000_000)
    const sender = causeway.start(["connect", ticket, "--json"])
    sender.child.stdin!.end(file)
    expect(await sender.ended).toEqual({ code: 0, signal: null })
    expect(await run.ended).toEqual({ code: 0, signal: null })
    expect(sha256(run.bytes)).toBe(sha256(file))
    expect(sender.bytes.length).toBe(0)
    expect(await sender.event("done", "stderr")).toMatchObject({ bytesSent: file.length, bytesReceived: 0 })
    expect(await run.event("done", "stderr")).toMatchObject({ bytesSent: 0, bytesReceived: file.length })
  })

  it("the end of one direction leaves the other open", async () => {
    using causeway = new Causeway()
    const { relays } = await setUp(causeway)
    const { run, ticket } = await listen(causeway, relays, "--once")
    const caller = causeway.start(["connect", ticket])
    caller.child.stdin!.end("question")
    await untilOutput(run, 8)
    expect(run.stdout).toBe("question")
    const answer = randomBytes(200_000)
    run.child.stdin!.end(answer)
    expect(await caller.ended).toEqual({ code: 0, signal: null })
    expect(await run.ended).toEqual({ code: 0, signal: null })
    expect(sha256(caller.bytes)).toBe(sha256(answer))
  })

  it("one peer after the other is served, and a second one at the same time is told that it is busy", async () => {
    using causeway = new Causeway()
    const { relays } = await setUp(causeway)
    const { run, ticket } = await listen(causeway, relays)
    run.child.stdin!.end()
    const first = causeway.start(["connect", ticket, "--json"])
    first.child.stdin!.write("one")
    await untilOutput(run, 3)
    const second = await causeway.run("connect", ticket, "--json")
    expect(second.code).toBe(1)
    expect(second.events("stderr").at(-1)).toEqual({ event: "failed", message: expect.stringContaining("busy") })
    first.child.stdin!.end()
    expect(await first.ended).toEqual({ code: 0, signal: null })
    const served = (peers: number) =>
      run.until(`done ${peers}`, () => run.events("stderr").filter(({ event }) => event === "done").length === peers)
    // A peer may learn of its end before the listener has finished with it.
    await served(1)
    const third = causeway.start(["connect", ticket])
    third.child.stdin!.end("three")
    expect(await third.ended).toEqual({ code: 0, signal: null })
    await served(2)
    run.child.kill("SIGTERM")
    expect(await run.ended).toEqual({ code: 0, signal: null })
    expect(run.stdout).toBe("onethree")
    expect(run.events("stderr").map(({ event }) => event)).toEqual(
      ["ticket", "connected", "refused", "done", "connected", "done"]
    )
  })

  it("T03: the transfer survives the death of a relay", async () => {
    using causeway = new Causeway()
    const { relays, started } = await setUp(causeway)
    const { run, ticket } = await listen(causeway, relays, "--once")
    run.child.stdin!.end()
    const file = randomBytes(40_000_000)
    const sender = causeway.start(["connect", ticket])
    sender.child.stdin!.end(file)
    await untilOutput(run, 8_000_000)
    started[0]!.run.child.kill("SIGKILL")
    expect(await sender.ended).toEqual({ code: 0, signal: null })
    expect(await run.ended).toEqual({ code: 0, signal: null })
    expect(sha256(run.bytes)).toBe(sha256(file))
  })

  it("only allowed peers get in", async () => {
    using causeway = new Causeway()
    const { relays } = await setUp(causeway)
    const { identityKey } = (await causeway.run("keygen", "--out", "friend.json", "--json")).events()[0]!
    const { run, ticket } = await listen(causeway, relays, "--once", "--allow", identityKey as string)
    run.child.stdin!.end()
    const stranger = causeway.run("connect", ticket)
    const friend = causeway.start(["connect", ticket, "--identity", "friend.json"])
    friend.child.stdin!.end("hello")
    expect(await friend.ended).toEqual({ code: 0, signal: null })
    expect(await run.ended).toEqual({ code: 0, signal: null })
    expect(run.stdout).toBe("hello")
    const { code, stderr } = await stranger
    expect(code).toBe(1)
    expect(stderr).toContain("did not answer")
  })
})

describe("relays that cannot be used", patient, () => {
  it("each is named with its reason after ten seconds", async () => {
    using causeway = new Causeway()
    const { relays } = await setUp(causeway)
    const wrongKey = relays[1]!.replace(/[0-9A-F]{64}$/, "AB".repeat(32))
    const nobody = `127.0.0.1:9:${"CD".repeat(32)}`
    const nowhere = `nosuch.invalid:33445:${"EF".repeat(32)}`
    const flags = [wrongKey, nobody, nowhere].flatMap((relay) => ["--relay", relay])
    const started = Date.now()
    const run = await causeway.run("packets", "--mode", "sink", "--identity", "a.json", ...flags)
    expect(run.code).toBe(1)
    expect(Date.now() - started).toBeGreaterThan(9_500)
    expect(run.stderr.trimEnd().split("\n")).toHaveLength(1)
    expect(run.stderr).toMatch(/no relay could be reached within 10 s/)
    expect(run.stderr).toMatch(/refused the handshake.*check the relay's public key/)
    expect(run.stderr).toMatch(/127\.0\.0\.1:9 cannot be reached \(.*ECONNREFUSED\)/)
    expect(run.stderr).toMatch(/nosuch\.invalid:33445 cannot be reached \(.*ENOTFOUND\)/)
  })

  it("one good relay is enough", async () => {
    using causeway = new Causeway()
    const { relays } = await setUp(causeway)
    const flags = ["--relay", `127.0.0.1:9:${"CD".repeat(32)}`, ...relays.slice(0, 2)]
    const sink = causeway.start(["packets", "--mode", "sink", "--json", "--identity", "a.json", ...flags])
    await sink.event("ready")
    const note = await sink.event("note", "stderr")
    expect(note["message"]).toMatch(/127\.0\.0\.1:9 cannot be reached/)
    sink.child.kill("SIGTERM")
    expect(await sink.ended).toEqual({ code: 0, signal: null })
  })
})

describe("packets", patient, () => {
  const packets = (mode: string, ...more: ReadonlyArray<string>) => ["packets", "--mode", mode, "--json", ...more]

  it("a flood is verified by a sink", async () => {
    using causeway = new Causeway()
    const { peer, relays, keys } = await setUp(causeway)
    await causeway.run("keygen", "--out", "b.json")
    const sink = causeway.start(packets("sink", "--identity", "a.json", "--once", ...relays))
    expect(await sink.event("ready")).toEqual({
      event: "ready",
      identityKey: keys["identityKey"],
      dhtKey: keys["dhtKey"]
    })
    const flood = await causeway.run(
      ...packets("flood", "--identity", "b.json", "--peer", peer, "--count", "5000", ...relays)
    )
    expect(flood.code).toBe(0)
    expect(await sink.ended).toEqual({ code: 0, signal: null })
    expect(flood.events().at(-1)).toEqual({
      event: "done",
      mode: "flood",
      packets: 5000,
      inOrder: true,
      MBps: expect.any(Number),
      p50Ms: null,
      p99Ms: null,
      longestGapMs: null
    })
    expect(sink.events().map(({ event }) => event)).toEqual(["ready", "connected", "done"])
    expect(sink.events().at(-1)).toMatchObject({
      mode: "sink",
      packets: 5000,
      inOrder: true,
      longestGapMs: expect.any(Number)
    })
  })

  it("a ping is answered by an echo, lossless and lossy", async () => {
    using causeway = new Causeway()
    const { peer, relays } = await setUp(causeway)
    await causeway.run("keygen", "--out", "b.json")
    const echo = causeway.start(packets("echo", "--identity", "a.json", ...relays))
    await echo.event("ready")
    for (const lossy of [[], ["--lossy"]]) {
      const args = ["--identity", "b.json", "--peer", peer, "--count", "50", "--size", "100", ...lossy, ...relays]
      const ping = await causeway.run(...packets("ping", ...args))
      expect(ping.code).toBe(0)
      const done = ping.events().at(-1)!
      expect(done).toMatchObject({ event: "done", mode: "ping", packets: 50, inOrder: true })
      expect(done["p50Ms"]).toBeGreaterThan(0)
      expect(done["p99Ms"]).toBeGreaterThanOrEqual(done["p50Ms"] as number)
    }
    echo.child.kill("SIGTERM")
    expect(await echo.ended).toEqual({ code: 0, signal: null })
  })

  it("a flood whose sink is killed and started again connects again and completes", async () => {
    using causeway = new Causeway()
    const { peer, relays } = await setUp(causeway)
    await causeway.run("keygen", "--out", "b.json")
    const sinkArgs = packets("sink", "--identity", "a.json", "--once", ...relays)
    const first = causeway.start(sinkArgs)
    await first.event("ready")
    // Seconds of it: the sink must be dead long before the flood could be over, also when this process reacts late.
    const count = 60_000
    const flood = causeway.start(
      packets("flood", "--identity", "b.json", "--peer", peer, "--count", String(count), ...relays)
    )
    await Promise.all([first.event("connected"), flood.event("connected")])
    first.child.kill("SIGKILL")
    await first.ended
    const second = causeway.start(sinkArgs)
    expect(await second.ended).toEqual({ code: 0, signal: null })
    expect(await flood.ended).toEqual({ code: 0, signal: null })
    expect(second.events().at(-1)).toMatchObject({ event: "done", packets: count, inOrder: true })
    expect(flood.events().map(({ event }) => event)).toEqual([
      "ready",
      "connected",
      "disconnected",
      "connected",
      "done"
    ])
  })
})
