/** Stopping the command: signals at any moment, readers that never read, and nothing left behind. */
import { readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"
import { Causeway, type Run } from "../utils/causeway.ts"
import { timeToEnd } from "../utils/timeToEnd.ts"

const pause = (milliseconds: number) => new Promise((next) => setTimeout(next, milliseconds))

/** Whether a process of that id runs; a zombie does not. */
const isRunning = (pid: number): boolean => {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"))
  } catch {
    return false
  }
}

/** The processes that a process has started. */
const childrenOf = (pid: number): ReadonlyArray<number> =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter((text) => text !== "").map(Number)

/** Sends a signal. `took` is in milliseconds, without those in which other processes had the processor; `wall` is all of them. */
const stop = async (run: Run, signal: NodeJS.Signals) => {
  run.child.kill(signal)
  const { lived, wall } = await timeToEnd(run.child.pid!, run.ended)
  return { ...await run.ended, took: lived, wall }
}

/** A hang is what these limits are for: a busy machine takes seconds to start one of the processes. */
const patient = { timeout: 90_000 }

/** A listener and a sender that never runs dry. */
const transfer = async (causeway: Causeway) => {
  const relays = (await Promise.all([causeway.relay(), causeway.relay()])).flatMap((
    { address }
  ) => ["--relay", address])
  await causeway.run("keygen", "--out", "a.json")
  const listener = causeway.start(["listen", "--json", "--identity", "a.json", "--once", ...relays])
  const { ticket } = await listener.event("ticket", "stderr")
  listener.child.stdin!.end()
  const sender = causeway.start(["connect", ticket as string, "--json"])
  const chunk = new Uint8Array(64 * 1024)
  let drains = 0
  const feed = () => {
    drains++
    while (sender.child.stdin!.write(chunk)) continue
  }
  sender.child.stdin!.on("drain", feed)
  feed()
  /** Waits until the sender has taken nothing for a second: everything between the two processes is full. */
  const stuck = async () => {
    let before: number
    do {
      before = drains
      for (let i = 0; i < 50; i++) await pause(20)
    } while (drains !== before)
  }
  return { listener, sender, stuck }
}

describe("a signal in the middle of a transfer", patient, () => {
  for (const delay of [0, 300, 1_000]) {
    it(`ends the sender with 0 within 3 s, ${delay} ms after the connection`, async () => {
      using causeway = new Causeway()
      const { listener, sender } = await transfer(causeway)
      await sender.event("connected", "stderr")
      await pause(delay)
      const { code, signal, took } = await stop(sender, delay === 300 ? "SIGINT" : "SIGTERM")
      expect({ code, signal }).toEqual({ code: 0, signal: null })
      expect(took).toBeLessThan(3_000)
      // Half a stream is not a whole one: the receiver must not take it for complete.
      expect((await listener.ended).code).toBe(1)
    })
  }

  it("ends the receiver with 0 within 3 s, and the sender learns it", async () => {
    using causeway = new Causeway()
    const { listener, sender } = await transfer(causeway)
    await sender.event("connected", "stderr")
    await pause(300)
    const { code, signal, took } = await stop(listener, "SIGTERM")
    expect({ code, signal }).toEqual({ code: 0, signal: null })
    expect(took).toBeLessThan(3_000)
    expect((await sender.ended).code).toBe(1)
  })

  it("ends the sender within 3 s when the receiver never reads", async () => {
    using causeway = new Causeway()
    const { listener, sender, stuck } = await transfer(causeway)
    await sender.event("connected", "stderr")
    listener.child.stdout!.pause()
    await stuck()
    const { code, signal, took, wall } = await stop(sender, "SIGTERM")
    expect({ code, signal }).toEqual({ code: 0, signal: null })
    expect(wall).toBeGreaterThan(1_500)
    expect(took).toBeLessThan(3_200)
  })
})

describe("demo", patient, () => {
  it("T03: kills the relay that carries the data and loses nothing", async () => {
    using causeway = new Causeway()
    const run = await causeway.run("demo", "--json", "--size", "20000000")
    expect(run.code).toBe(0)
    const [done, ...others] = run.events()
    expect(others).toEqual([])
    expect(done).toEqual({
      event: "done",
      bytes: 20_000_000,
      bytesPerRelay: [expect.any(Number), expect.any(Number), expect.any(Number)],
      sha256Match: true,
      relaysKilled: 1,
      longestGapMs: expect.any(Number),
      throughputMBps: expect.any(Number)
    })
    const carried = done!["bytesPerRelay"] as ReadonlyArray<number>
    expect(carried.filter((bytes) => bytes > 1_000_000).length).toBeGreaterThanOrEqual(2)
    expect(run.stderr).toMatch(/killed relay \d/)
  })

  it("works for a few bytes as well, in words", async () => {
    using causeway = new Causeway()
    const run = await causeway.run("demo", "--size", "10")
    expect(run.code).toBe(0)
    expect(run.stdout).toMatch(/^10 B arrived complete \(SHA-256 equal at both ends\)/)
  })

  /** Moments in the life of a demonstration: its relays are starting, its nodes are connected, a relay has been killed. */
  const moments: ReadonlyArray<(run: Run) => boolean> = [
    (run) => childrenOf(run.child.pid!).length > 0,
    (run) => run.stderr.includes("sends"),
    (run) => run.stderr.includes("killed relay")
  ]
  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    it(`leaves no relay behind after ${signal}`, async () => {
      using causeway = new Causeway()
      for (const [at, isThere] of moments.entries()) {
        const run = causeway.start(["demo", "--json", "--size", "200000000"])
        while (!isThere(run)) {
          expect(run.child.exitCode, run.stderr).toBe(null)
          await pause(5)
        }
        const relays = childrenOf(run.child.pid!)
        if (at === 1) expect(relays).toHaveLength(3)
        const { code, took } = await stop(run, signal)
        if (signal === "SIGTERM") expect(code).toBe(0)
        expect(took).toBeLessThan(3_000)
        const deadline = Date.now() + 15_000
        while (relays.some(isRunning) && Date.now() < deadline) await pause(20)
        expect(relays.filter(isRunning)).toEqual([])
      }
    })
  }
})
