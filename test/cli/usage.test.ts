/** The command from outside: exit codes, one clear line for each bad input, and the shape of what is printed. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  statSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { join } from "node:path"
import { text } from "node:stream/consumers"
import { describe, expect, it, onTestFinished, vi } from "vitest"
import { Causeway, main } from "../utils/causeway.ts"

/** A hang is what this limit is for: a busy machine takes seconds to start a process, and some tests start three. */
const patient = { timeout: 60_000 }

const key = "AB".repeat(32)
const relay = `127.0.0.1:33445:${key}`

describe("wrong usage ends with 2 and one line", patient, () => {
  const cases: ReadonlyArray<readonly [what: string, args: ReadonlyArray<string>, said: RegExp]> = [
    ["an unknown command", ["frobnicate"], /Unknown subcommand "frobnicate"/],
    ["an unknown flag", ["relay", "--prot", "1"], /Unrecognized flag: --prot/],
    ["a port that is none", ["relay", "--port", "99999"], /whole number from 0 to 65535/],
    ["no identity", ["listen", "--relay", relay], /Missing required flag: --identity/],
    ["no relay", ["listen", "--identity", "me.json"], /relay/],
    [
      "a relay without key",
      ["listen", "--identity", "me.json", "--relay", "127.0.0.1:33445"],
      /HOST:PORT:PUBLICKEYHEX/
    ],
    [
      "a relay with half a key",
      ["ticket", "--identity", "me.json", "--relay", relay.slice(0, -2)],
      /64 hexadecimal digits/
    ],
    ["a relay with port 0", ["ticket", "--identity", "me.json", "--relay", `a:0:${key}`], /1 to 65535/],
    [
      "an --allow that is no key",
      ["listen", "--identity", "a", "--relay", relay, "--allow", "x"],
      /64 hexadecimal digits/
    ],
    ["no ticket", ["connect"], /Missing required argument: TICKET/],
    ["a ticket that is none", ["connect", "hello"], /not a ticket/],
    ["a damaged ticket", ["connect", "causeway:AVbq"], /copy the whole line/],
    [
      "a peer with one key",
      ["packets", "--mode", "ping", "--identity", "a", "--relay", relay, "--peer", key],
      /IDENTITYKEY:DHTKEY/
    ],
    ["an unknown mode", ["packets", "--mode", "burn", "--identity", "a", "--relay", relay], /flood/],
    ["a packet that is too large", [
      "packets",
      "--mode",
      "flood",
      "--identity",
      "a",
      "--relay",
      relay,
      "--size",
      "1374"
    ], /from 5 to 1373/],
    ["a ping without room for the time", [
      "packets",
      "--mode",
      "ping",
      "--identity",
      "a",
      "--relay",
      relay,
      "--size",
      "12"
    ], /--size 13/],
    ["a forward that does not listen", ["forward", "causeway:AVbq"], /Missing required flag: --listen/],
    ["a port to listen on that is none", ["forward", "x", "--listen", "127.0.0.1:65536"], /from 0 to 65535/],
    [
      "a service without port",
      ["listen", "--identity", "a", "--relay", relay, "--forward", "127.0.0.1"],
      /HOST:PORT/
    ],
    [
      "a service on port 0",
      ["listen", "--identity", "a", "--relay", relay, "--forward", "127.0.0.1:0"],
      /from 1 to 65535/
    ],
    [
      "direct links without port",
      ["receive", "--identity", "a", "--relay", relay, "--direct", "0.0.0.0"],
      /--direct.*HOST:PORT/
    ],
    ["an unknown policy", ["connect", "causeway:AVbq", "--policy", "fast"], /auto/],
    [
      "a direct listener that must not be used",
      ["ping", "causeway:AVbq", "--policy", "relayed", "--direct", "127.0.0.1:0"],
      /--direct is of no use with the policy relayed/
    ],
    ["nothing to send", ["send", "causeway:AVbq"], /Missing required argument: FILE/],
    ["a send with a damaged ticket", ["send", "causeway:AVbq", "x"], /copy the whole line/],
    ["a receive without relay", ["receive", "--identity", "a"], /relay/],
    ["a size with a unit", ["demo", "--size", "10MB"], /whole number/],
    ["a surplus argument", ["keygen", "extra"], /extra/]
  ]
  for (const [what, args, said] of cases) {
    it(what, async () => {
      using causeway = new Causeway()
      const run = await causeway.run(...args)
      expect(run.code).toBe(2)
      expect(run.stderr).toMatch(said)
      expect(run.stderr.trimEnd().split("\n")).toHaveLength(1)
      expect(run.stdout).toBe("")
      expect(readdirSync(causeway.folder)).toEqual([])
    })
  }

  it("no command at all shows the help on stderr", async () => {
    using causeway = new Causeway()
    const run = await causeway.run()
    expect(run.code).toBe(2)
    expect(run.stderr).toContain("SUBCOMMANDS")
    expect(run.stdout).toBe("")
  })
})

describe("a failure ends with 1 and one line", patient, () => {
  const listen = ["listen", "--identity", "me.json", "--relay", relay]
  const cases: ReadonlyArray<
    readonly [what: string, prepare: (file: string) => void, args: ReadonlyArray<string>, said: RegExp]
  > = [
    [
      "an identity that is not there",
      () => undefined,
      listen,
      /no identity file me.json.*causeway keygen --out me.json/
    ],
    [
      "an identity that others can read",
      (file) => {
        writeFileSync(file, "{}")
        chmodSync(file, 0o644)
      },
      listen,
      /Others can read.*chmod 600 me.json/
    ],
    [
      "an identity that is something else",
      (file) => writeFileSync(file, "hello", { mode: 0o600 }),
      listen,
      /not an identity file/
    ],
    ["an identity that is a directory", (file) => mkdirSync(file, { mode: 0o700 }), listen, /not a regular file/],
    ["an identity that is a link", (file) => symlinkSync("elsewhere", file), listen, /symbolic link/],
    [
      "a keygen over something",
      (file) => writeFileSync(file, "precious"),
      ["keygen", "--out", "me.json"],
      /never overwritten/
    ],
    ["a keygen into nowhere", () => undefined, ["keygen", "--out", "no/such/me.json"], /cannot be written/],
    [
      "a relay on a foreign address",
      () => undefined,
      ["relay", "--host", "203.0.113.9", "--port", "0"],
      /cannot listen.*--host/
    ],
    [
      "a relay on a name that does not exist",
      () => undefined,
      ["relay", "--host", "nosuch.invalid"],
      /cannot listen.*--host/
    ]
  ]
  for (const [what, prepare, args, said] of cases) {
    it(what, async () => {
      using causeway = new Causeway()
      prepare(join(causeway.folder, "me.json"))
      const before = readdirSync(causeway.folder)
      const run = await causeway.run(...args)
      expect(run.code).toBe(1)
      expect(run.stderr).toMatch(said)
      expect(run.stderr.trimEnd().split("\n")).toHaveLength(1)
      expect(run.stdout).toBe("")
      expect(readdirSync(causeway.folder)).toEqual(before)
    })
  }

  it("a relay whose port is taken", async () => {
    using causeway = new Causeway()
    const { address } = await causeway.relay()
    const [host = "", port = ""] = address.split(":")
    const run = await causeway.run("relay", "--host", host, "--port", port)
    expect(run.code).toBe(1)
    expect(run.stderr).toMatch(/in use already.*--port/)
  })

  it("with --json the line is an object", async () => {
    using causeway = new Causeway()
    const run = await causeway.run("ticket", "--identity", "me.json", "--relay", relay, "--json")
    expect(run.code).toBe(1)
    expect(run.events("stderr")).toEqual([{ event: "failed", message: expect.stringContaining("no identity file") }])
  })
})

describe("output", patient, () => {
  it("--version is one line, --help goes to stdout", async () => {
    using causeway = new Causeway()
    const version = await causeway.run("--version")
    expect([version.code, version.stderr]).toEqual([0, ""])
    expect(version.stdout).toMatch(/^causeway v\d+\.\d+\.\d+\n$/)
    const help = await causeway.run("listen", "--help")
    expect([help.code, help.stderr]).toEqual([0, ""])
    expect(help.stdout).toContain("--allow KEY")
  })

  it("keygen makes a private file and prints public keys only", async () => {
    using causeway = new Causeway()
    const run = await causeway.run("keygen", "--out", "me.json", "--json")
    expect(run.code).toBe(0)
    expect(run.events()).toEqual([{
      event: "identity",
      file: "me.json",
      identityKey: expect.stringMatching(/^[0-9A-F]{64}$/),
      dhtKey: expect.stringMatching(/^[0-9A-F]{64}$/)
    }])
    expect(statSync(join(causeway.folder, "me.json")).mode & 0o777).toBe(0o600)
    expect(readdirSync(causeway.folder)).toEqual(["me.json"])
    const human = await causeway.run("keygen")
    expect(human.stdout).toMatch(
      /^wrote causeway-identity\.json\nidentity key [0-9A-F]{64}\nDHT key {6}[0-9A-F]{64}\n$/
    )
    expect(existsSync(join(causeway.folder, "causeway-identity.json"))).toBe(true)
  })

  it("ticket prints the ticket, as text and as JSON, and no QR code into a pipe", async () => {
    using causeway = new Causeway()
    await causeway.run("keygen", "--out", "me.json")
    const args = ["ticket", "--identity", "me.json", "--relay", relay, "--relay", `relay.example:443:${key}`]
    const human = await causeway.run(...args)
    expect(human.stdout).toMatch(/^causeway:[-_A-Za-z0-9]+\n$/)
    const json = await causeway.run(...args, "--json")
    expect(json.events()).toEqual([{ event: "ticket", ticket: human.stdout.trim() }])
  })

  it.each([
    ["CAUSEWAY_CRYPTO", "fast", "Expected \"auto\" | \"native\" | \"wasm\" at [\"CAUSEWAY_CRYPTO\"]"],
    ["CAUSEWAY_DIRECT_RETRY_MAX", "9", "directRetryMax is 9: use a number from 1000"]
  ])("a setting that cannot be meant is wrong usage, in one line: %s=%s", async (name, value, said) => {
    using causeway = new Causeway()
    await causeway.run("keygen", "--out", "me.json")
    vi.stubEnv(name, value)
    onTestFinished(() => void vi.unstubAllEnvs())
    const run = await causeway.run("listen", "--identity", "me.json", "--relay", relay)
    expect([run.code, run.stdout]).toEqual([2, ""])
    expect(run.stderr).toContain(`causeway: a setting is wrong: ${said}`)
    expect(run.stderr.trim().split("\n")).toHaveLength(1)
  })

  it("what could not be printed is a failure, in one line", async () => {
    using causeway = new Causeway()
    const full = openSync("/dev/full", "w")
    onTestFinished(() => closeSync(full))
    for (const args of [["--help"], ["keygen", "--out", "me.json"]]) {
      const run = causeway.start(args, ["ignore", full, "pipe"])
      expect(await run.ended).toEqual({ code: 1, signal: null })
      expect(run.stderr).toMatch(/^causeway: what was to be printed could not be written: ENOSPC[^\n]*\n$/)
    }
  })

  it("relay prints an address to copy, warns about its fresh key, and a signal ends it with 0", async () => {
    using causeway = new Causeway()
    const run = causeway.start(["relay", "--host", "127.0.0.1", "--port", "0"])
    while (!run.stdout.includes("\n") || !run.stderr.includes("\n")) await new Promise((next) => setTimeout(next, 10))
    expect(run.stdout).toMatch(/^127\.0\.0\.1:\d+:[0-9A-F]{64}\n$/)
    expect(run.stderr).toMatch(/key is gone when the relay stops/)
    run.child.kill("SIGINT")
    expect(await run.ended).toEqual({ code: 0, signal: null })
  })

  it("relay keeps the key of its identity file and says nothing about it", async () => {
    using causeway = new Causeway()
    const { dhtKey } = (await causeway.run("keygen", "--out", "relay.json", "--json")).events()[0]!
    const run = causeway.start(["relay", "--host", "127.0.0.1", "--port", "0", "--identity", "relay.json", "--json"])
    const listening = await run.event("listening")
    expect(listening).toMatchObject({ host: "127.0.0.1", publicKey: dhtKey })
    run.child.kill("SIGTERM")
    expect(await run.ended).toEqual({ code: 0, signal: null })
    expect(run.stderr).toBe("")
  })

  it("a relay that was started with a channel ends when its parent is gone", async () => {
    using causeway = new Causeway()
    const run = causeway.start(["relay", "--json", "--host", "127.0.0.1", "--port", "0"], [
      "ignore",
      "pipe",
      "pipe",
      "ipc"
    ])
    await run.event("listening")
    run.child.disconnect()
    expect(await run.ended).toEqual({ code: 0, signal: null })
  })

  for (const module of ["cli/program.ts", "./commands.ts", "./relay.ts"]) {
    it(`a signal while ${module} is loading ends the command with 0`, async () => {
      const ended = await preloaded(`import { registerHooks } from "node:module"
        registerHooks({ resolve(name, context, next) {
          if (name.endsWith("${module}")) process.kill(process.pid, "SIGTERM")
          return next(name, context)
        } })`)
      expect(ended).toMatchObject({ code: 0, signal: null })
    })
  }
})

/** Runs a relay in a process in which `source` has run before it, to show how the command meets a strange environment. */
const preloaded = async (source: string) => {
  const child = spawn(process.execPath, [
    `--import=data:text/javascript,${encodeURIComponent(source)}`,
    main,
    ...["relay", "--json", "--host", "127.0.0.1", "--port", "0"]
  ], { stdio: ["ignore", "ignore", "pipe"] })
  try {
    const [stderr, [code, signal]] = await Promise.all([text(child.stderr), once(child, "exit")])
    return { code, signal, stderr }
  } finally {
    child.kill("SIGKILL")
  }
}

describe("what the command needs", patient, () => {
  it("an old Node is named, with the one that is wanted", async () => {
    const { code, stderr } = await preloaded(
      "Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '22.18.9' } })"
    )
    expect(code).toBe(1)
    expect(stderr).toMatch(/^causeway: needs Node 22\.\d+\.\d+ or newer, this is 22\.18\.9; .*\n$/)
  })

  it("a missing @effect/platform-node is named, with the way to install it", async () => {
    const { code, stderr } = await preloaded(`import { registerHooks } from "node:module"
      registerHooks({ resolve(name, context, next) {
        return next(name.replace("@effect/platform-node", "@effect/platform-gone"), context)
      } })`)
    expect(code).toBe(1)
    expect(stderr).toMatch(/^causeway: the package @effect\/platform-gone is not installed; run: npm install .*\n$/)
  })
})
