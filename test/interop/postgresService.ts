/** Debian's PostgreSQL on loopback: a fresh cluster with one user and a password, and psql's arguments for reaching it through any port. */
import * as Effect from "effect/Effect"
import { execFileSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import { existsSync, readdirSync, writeFileSync } from "node:fs"
import * as Path from "node:path"
import * as ClientProgram from "./clientProgram.ts"
import * as Command from "./command.ts"
import * as LocalService from "./localService.ts"

const installed = "/usr/lib/postgresql"

/** Where the newest version's programs are. */
const programs = (): string => {
  const versions = existsSync(installed) ? readdirSync(installed).toSorted((a, b) => Number(b) - Number(a)) : []
  return Path.join(installed, versions[0] ?? "none", "bin")
}

/** It refuses to run as root; Debian's package has made this user. */
const user = LocalService.isRoot ? "postgres" : undefined

/** Gives a file or folder to that user. */
const hand = (path: string): void => {
  if (user !== undefined) execFileSync("chown", [`${user}:`, path])
}

export interface Postgres {
  /** psql through that port of this machine: stops at the first error, prints bare rows. */
  readonly psql: (port: number) => ClientProgram.Program
}

export const start = Effect.fnUntraced(function*(port: number) {
  const folder = yield* Command.folder
  const [data, passwordFile] = [Path.join(folder, "data"), Path.join(folder, "password")]
  const password = randomBytes(16).toString("hex")
  writeFileSync(passwordFile, password, { mode: 0o600 })
  hand(folder)
  hand(passwordFile)
  const initdb = [
    Path.join(programs(), "initdb"),
    ...["--pgdata", data, "--username", "tester", "--pwfile", passwordFile],
    ...["--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync"]
  ]
  const [command = "", ...args] = user === undefined ? initdb : [...LocalService.asUser(user), ...initdb]
  yield* ClientProgram.output({ command, args })
  const settings = [
    `port=${port}`,
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "fsync=off"
  ]
  yield* LocalService.start({
    command: Path.join(programs(), "postgres"),
    args: ["-D", data, ...settings.flatMap((setting) => ["-c", setting])],
    port,
    ...(user === undefined ? {} : { user }),
    // With SIGTERM it would wait for its clients to go.
    farewell: "SIGINT"
  })
  const psql = (through: number): ClientProgram.Program => ({
    command: "psql",
    args: ["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set", "ON_ERROR_STOP=1"],
    env: {
      PGHOST: "127.0.0.1",
      PGPORT: String(through),
      PGUSER: "tester",
      PGPASSWORD: password,
      PGDATABASE: "postgres",
      PGPASSFILE: "/dev/null",
      PGCONNECT_TIMEOUT: "20"
    }
  })
  // It accepts connections before it answers queries.
  const asks = { ...psql(port), args: [...psql(port).args, "--command", "SELECT 1"] }
  yield* ClientProgram.outcome(asks).pipe(
    Effect.delay("20 millis"),
    Effect.repeat({ until: ({ code }) => code === 0, times: 500 })
  )
  return { psql } satisfies Postgres
})
