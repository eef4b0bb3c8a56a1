/**
 * Starts the reference programs of `test/interop/reference` for a test: tox-bootstrapd as relay, `ctoxpeer` and `ctoxtcp` as peers.
 * Each belongs to the scope it was started in. It never builds them; `npm run test:interop` does.
 */
import * as Effect from "effect/Effect"
import { execFileSync } from "node:child_process"
import * as Path from "node:path"
import * as ChildProcess from "../utils/childProcess.ts"

const root = Path.resolve(import.meta.dirname, "../..")
const script = Path.join(import.meta.dirname, "reference/relay.sh")
const relays = (command: string, ...args: ReadonlyArray<string>): string =>
  execFileSync("bash", [script, command, ...args], { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] })

/** A tox-bootstrapd on loopback. `address` is `HOST:PORT:PUBLICKEYHEX`. */
export interface ReferenceRelay {
  readonly address: string
  /** Of the process that runs now, or ran last. */
  readonly pid: () => number
  /** SIGKILL: no FIN from the program, the kernel resets its connections. */
  readonly kill: Effect.Effect<void>
  /** Starts again with the same port and key. */
  readonly restart: Effect.Effect<void>
}

/** Starts tox-bootstrapd on a port below 32768, so that no outgoing connection can have taken it. */
export const relay = (port: number) =>
  Effect.acquireRelease(
    Effect.sync((): ReferenceRelay => {
      const folder = Path.join(root, ".tmp/relays", String(port))
      const read = (printed: string) => JSON.parse(printed) as { readonly relay: string; readonly pid: number }
      let started = read(relays("start", String(port), folder))
      return {
        address: started.relay,
        pid: () => started.pid,
        kill: Effect.sync(() => void relays("kill", folder)),
        restart: Effect.sync(() => {
          started = read(relays("restart", folder))
        })
      }
    }),
    (started) => Effect.ignore(started.kill)
  )

/** One line of a peer's output. Fields: `test/interop/reference/README.md`. */
export type PeerEvent = ChildProcess.ProcessEvent

/** A running `ctoxpeer` or `ctoxtcp`. */
export interface ReferencePeer extends ChildProcess.RunningProcess {
  /** Writes a control line; the peer must have been started with `--control`. */
  readonly control: (line: string) => void
}

/** Starts a peer. It is ended with SIGTERM, which sends the far side a kill packet, and with SIGKILL five seconds later. */
export const peer = (program: "ctoxpeer" | "ctoxtcp", args: ReadonlyArray<string>) =>
  Effect.map(
    ChildProcess.start({
      name: program,
      command: Path.join(root, ".tmp/reference", program),
      args,
      stdio: ["pipe", "pipe", "inherit"],
      farewell: "SIGTERM"
    }),
    (running): ReferencePeer => ({ ...running, control: running.write })
  )
