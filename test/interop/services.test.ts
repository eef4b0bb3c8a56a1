/**
 * Programs that know nothing of Causeway reach services that know nothing of it, through `causeway forward`, three relays and
 * `causeway listen --forward`: web, shell and database, with their own clients. The relays are tox-bootstrapd, except where many small
 * requests are made: it wakes 33 times a second, and would be all that is measured.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import { createHash, randomBytes, randomFillSync } from "node:crypto"
import { closeSync, openSync, readFileSync, writeFileSync, writeSync } from "node:fs"
import * as Http from "node:http"
import * as Path from "node:path"
import * as Processes from "../utils/processes.ts"
import * as ClientProgram from "./clientProgram.ts"
import * as Command from "./command.ts"
import { type ForwardedPort, forwardedPort } from "./forwardedPort.ts"
import * as Nginx from "./nginxService.ts"
import * as Postgres from "./postgresService.ts"
import * as Ssh from "./sshService.ts"
import * as Stock from "./stockRelays.ts"

const [httpPort, sshPort, databasePort] = [21_811, 21_812, 21_813] as const
const relayPorts = [21_821, 21_822, 21_823]

const requests = 10_000
const clients = 50
const downloadSize = Number(process.env["CAUSEWAY_DOWNLOAD_MB"] ?? 200) * 1_000_000

const sha256 = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex")

/**
 * Waits until both ends have told that so many connections ended in order. None may have ended otherwise, apart from those that
 * were opened beyond that number.
 */
const inOrder = Effect.fnUntraced(function*({ forwarder, listener }: ForwardedPort, connections: number, surplus = 0) {
  for (const end of [forwarder, listener]) {
    const broken: Array<Command.CommandEvent> = []
    for (let orderly = 0; orderly < connections;) {
      const event = yield* end.next("closed")
      if (event["error"] === null) orderly++
      else broken.push(event)
      assert.isAtMost(broken.length, surplus, JSON.stringify(broken))
    }
    assert.isAtMost(end.seen().filter((name) => name === "opened").length, connections + surplus)
    assert.notInclude(end.seen(), "refused")
    assert.notInclude(end.seen(), "disconnected")
  }
})

/** What `ab` reports under that name. */
const reported = (report: string, name: string): number =>
  Number(new RegExp(`^${name}:\\s+([0-9.]+)`, "m").exec(report)?.[1] ?? Number.NaN)

/** Many small requests by many clients. Returns ab's report. */
const bench = (port: number, ...options: ReadonlyArray<string>) =>
  ClientProgram.output(
    {
      command: "ab",
      args: ["-q", "-n", String(requests), "-c", String(clients), ...options, `http://127.0.0.1:${port}/page`]
    },
    "",
    "120 seconds"
  ).pipe(Effect.map((report) => report.toString("utf8")))

/** A file of that size, no two megabytes of which are alike; its SHA-256. */
const makeFile = (file: string, size: number): string => {
  const block = randomFillSync(Buffer.alloc(1_000_000))
  const hash = createHash("sha256")
  const fd = openSync(file, "w")
  for (let at = 0; at < size; at += block.length) {
    block.writeUInt32BE(at / block.length)
    hash.update(block)
    writeSync(fd, block)
  }
  closeSync(fd)
  return hash.digest("hex")
}

/** Downloads, and tells how much has arrived. Succeeds with the SHA-256 of a complete answer; a broken one is a defect. */
const download = (port: number, path: string, progress: (bytes: number) => void) =>
  Effect.callback<string>((resume) => {
    const fail = (cause: unknown) => resume(Effect.die(cause))
    const request = Http.get({ port, path, host: "127.0.0.1", agent: false }, (response) => {
      const hash = createHash("sha256")
      let bytes = 0
      response.on("error", fail)
      response.on("data", (chunk: Buffer) => {
        hash.update(chunk)
        progress(bytes += chunk.length)
      })
      response.on("end", () => {
        if (bytes === Number(response.headers["content-length"])) resume(Effect.succeed(hash.digest("hex")))
        else fail(new Error(`status ${response.statusCode}, ${bytes} bytes`))
      })
    })
    request.on("error", fail)
    return Effect.sync(() => void request.destroy())
  })

describe("nginx through a forwarded port", () => {
  it.live(
    "answers 10,000 requests of 50 clients at a time, with a connection for each and with connections kept open",
    () =>
      Effect.gen(function*() {
        const nginx = yield* Nginx.start(httpPort)
        const page = randomBytes(2_000)
        writeFileSync(Path.join(nginx.files, "page"), page)
        const relays = yield* Effect.forEach(relayPorts, (port) => Processes.relay("ours", port))
        const way = yield* forwardedPort(httpPort, relays)
        assert.strictEqual(yield* download(way.port, "/page", () => undefined), sha256(page))

        const kept = yield* bench(way.port, "-k")
        const fresh = yield* bench(way.port)
        for (const report of [kept, fresh]) {
          assert.strictEqual(reported(report, "Complete requests"), requests, report)
          assert.strictEqual(reported(report, "Failed requests"), 0, report)
          assert.notInclude(report, "Non-2xx")
          // ab opens a few more connections than it needs, and may have counted what they had brought.
          assert.isAtLeast(reported(report, "HTML transferred"), requests * page.length, report)
        }
        assert.strictEqual(reported(kept, "Keep-Alive requests"), requests, kept)
        yield* inOrder(way, 1 + clients + requests, clients)
      }),
    { timeout: 240_000 }
  )

  it.live(
    "T03: a download arrives complete although the relay that carries it is killed",
    () =>
      Effect.gen(function*() {
        const nginx = yield* Nginx.start(httpPort)
        const original = makeFile(Path.join(nginx.files, "large"), downloadSize)
        const relays = yield* Effect.forEach(relayPorts, Stock.start)
        const way = yield* forwardedPort(httpPort, relays)
        let arrived = 0
        const downloading = yield* Effect.forkScoped(download(way.port, "/large", (bytes) => {
          arrived = bytes
        }))
        yield* Effect.sync(() => arrived >= downloadSize / 4).pipe(
          Effect.repeat({ until: (isSo) => isSo, schedule: Schedule.spaced("5 millis") }),
          Effect.timeout("60 seconds")
        )
        const carrier = yield* Stock.busiest(relays)
        yield* carrier.kill
        assert.isBelow(arrived, downloadSize, "it was over before the relay was killed")
        assert.strictEqual(yield* Effect.timeout(Fiber.join(downloading), "120 seconds"), original)
        yield* inOrder(way, 1)
      }),
    { timeout: 300_000 }
  )
})

describe("OpenSSH through a forwarded port", () => {
  it.live("runs commands, copies files both ways and holds a terminal", () =>
    Effect.gen(function*() {
      const sshd = yield* Ssh.start(sshPort)
      const relays = yield* Effect.forEach(relayPorts, Stock.start)
      const way = yield* forwardedPort(sshPort, relays)
      const run = (...args: ReadonlyArray<string>) => sshd.ssh(way.port, sshd.host, ...args)

      const told = yield* ClientProgram.outcome(run("echo out; echo err >&2; exit 7"))
      assert.deepInclude({ ...told, stdout: told.stdout.toString("utf8") }, {
        code: 7,
        stdout: "out\n",
        stderr: "err\n"
      })

      // There and back through one program that ends when its input does.
      const bytes = randomBytes(5_000_000)
      assert.strictEqual(sha256(yield* ClientProgram.output(run("cat"), bytes)), sha256(bytes))

      const folder = yield* Command.folder
      const [here, there, back] = ["here", "there", "back"].map((name) => Path.join(folder, name)) as [
        string,
        string,
        string
      ]
      writeFileSync(here, bytes)
      yield* ClientProgram.output(sshd.scp(way.port, here, `${sshd.host}:${there}`))
      assert.strictEqual(sha256(readFileSync(there)), sha256(bytes))
      yield* ClientProgram.output(sshd.scp(way.port, `${sshd.host}:${there}`, back))
      assert.strictEqual(sha256(readFileSync(back)), sha256(bytes))

      const terminal = yield* ClientProgram.dialogue(sshd.ssh(way.port, "-tt", sshd.host, "PS1='ready> ' exec sh -i"))
      yield* terminal.hear("ready> ")
      // Echoed by the far terminal before the line has ended, and then its answer.
      yield* terminal.say("echo $((6 * 7)) from $(tty)")
      yield* terminal.hear("echo $((6 * 7)) from $(tty)")
      yield* terminal.say("\r")
      yield* terminal.hear("42 from /dev/pts/")
      yield* terminal.hear("ready> ")
      yield* terminal.say("sleep 600\r")
      yield* terminal.hear("sleep 600\r\n")
      yield* terminal.say("\u0003")
      yield* terminal.hear("ready> ")
      // A relay after the other dies under the open session, whichever of them carries it.
      for (const [at, relay] of relays.entries()) {
        yield* relay.kill
        yield* terminal.say(`echo $((${at} + 100)) relays\r`)
        yield* terminal.hear(`${at + 100} relays\r\n`)
        yield* relay.restart
      }
      yield* terminal.say("exit 3\r")
      assert.strictEqual(yield* terminal.ended(), 3)
      yield* inOrder(way, 5)
    }), { timeout: 120_000 })
})

const rows = 100_000
const textOf = (id: number): string => `row ${id} ${(id * 2_654_435_761 % 2 ** 32).toString(16)}`

describe("PostgreSQL through a forwarded port", () => {
  it.live("takes 100,000 rows, gives them back, and keeps transactions apart", () =>
    Effect.gen(function*() {
      const postgres = yield* Postgres.start(databasePort)
      const relays = yield* Effect.forEach(relayPorts, Stock.start)
      const way = yield* forwardedPort(databasePort, relays)
      const psql = postgres.psql(way.port)
      const ask = (...lines: ReadonlyArray<string>) =>
        Effect.map(ClientProgram.output(psql, `${lines.join("\n")}\n`), (printed) => printed.toString("utf8"))

      const table = Array.from({ length: rows }, (_, id) => `${id}\t${textOf(id)}`).join("\n")
      const sum = rows * (rows - 1) / 2
      const filled = yield* ask(
        "CREATE TABLE items (id integer PRIMARY KEY, body text NOT NULL);",
        "COPY items FROM STDIN;",
        table,
        "\\.",
        "SELECT count(*), sum(id) FROM items;"
      )
      assert.strictEqual(filled, `${rows}|${sum}\n`)
      assert.strictEqual(yield* ask("COPY (SELECT * FROM items ORDER BY id) TO STDOUT;"), `${table}\n`)

      const count = "SELECT count(*) FROM items;"
      const undone = yield* ask("BEGIN;", "DELETE FROM items WHERE id < 1000;", count, "ROLLBACK;", count)
      assert.strictEqual(undone, `${rows - 1_000}\n${rows}\n`)

      // What one session has changed is seen by another only once it is committed.
      const session = yield* ClientProgram.dialogue(psql)
      yield* session.say("BEGIN; DELETE FROM items WHERE id < 1000;\nSELECT 'deleted';\n")
      yield* session.hear("deleted\n")
      assert.strictEqual(yield* ask(count), `${rows}\n`)
      yield* session.say("COMMIT;\nSELECT 'committed';\n")
      yield* session.hear("committed\n")
      assert.strictEqual(yield* ask(count), `${rows - 1_000}\n`)
      yield* session.say("\\q\n")
      assert.strictEqual(yield* session.ended(), 0)

      const failed = yield* ClientProgram.outcome(psql, "INSERT INTO items VALUES (5000, 'twice');\n")
      assert.strictEqual(failed.code, 3)
      assert.include(failed.stderr, "duplicate key")
      yield* inOrder(way, 7)
    }), { timeout: 120_000 })
})
