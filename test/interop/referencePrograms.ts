/**
 * Starts the reference programs of `test/interop/reference` for a test: tox-bootstrapd as relay, `ctoxpeer` and `ctoxtcp` as peers.
 * Each belongs to the scope it was started in. It never builds them; `npm run test:interop` does.
 */
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import { execFileSync, spawn } from "node:child_process"
import * as Path from "node:path"
import * as Readline from "node:readline"

const root = Path.resolve(import.meta.dirname, "../..")
const script = Path.join(import.meta.dirname, "reference/relay.sh")
const relays = (command: string, ...args: ReadonlyArray<string>): string =>
  execFileSync("bash", [script, command, ...args], { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] })

/** A tox-bootstrapd on loopback. `address` is `HOST:PORT:PUBLICKEYHEX`. */
export interface ReferenceRelay {
  readonly address: string
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
      const { relay: address } = JSON.parse(relays("start", String(port), folder)) as { readonly relay: string }
      return {
        address,
        kill: Effect.sync(() => void relays("kill", folder)),
        restart: Effect.sync(() => void relays("restart", folder))
      }
    }),
    (started) => Effect.ignore(started.kill)
  )

/** One line of a peer's output. Fields: `test/interop/reference/README.md`. */
export type PeerEvent = { readonly event: string } & Readonly<Record<string, unknown>>

/** A running `ctoxpeer` or `ctoxtcp`. */
export interface ReferencePeer {
  /** The next event of that name; those before it are passed over. A defect after 20 s, naming what came instead. */
  readonly next: (event: string) => Effect.Effect<PeerEvent>
  /** Writes a control line; the peer must have been started with `--control`. */
  readonly control: (line: string) => void
}

/** Starts a peer. It is ended with SIGTERM, which sends the far side a kill packet, and with SIGKILL a second later. */
export const peer = Effect.fnUntraced(
  function*(program: "ctoxpeer" | "ctoxtcp", args: ReadonlyArray<string>) {
    const events = yield* Queue.unbounded<PeerEvent>()
    const seen: Array<string> = []
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(Path.join(root, ".tmp/reference", program), args, { stdio: ["pipe", "pipe", "inherit"] })
      ),
      (running) =>
        Effect.callback<void>((resume) => {
          if (running.exitCode !== null || running.signalCode !== null) return resume(Effect.void)
          running.once("exit", () => resume(Effect.void))
          running.kill("SIGTERM")
        }).pipe(
          Effect.timeoutOrElse({ duration: "1 second", orElse: () => Effect.sync(() => void running.kill("SIGKILL")) })
        )
    )
    Readline.createInterface({ input: child.stdout }).on("line", (line) => {
      const event = JSON.parse(line) as PeerEvent
      seen.push(event.event)
      Queue.offerUnsafe(events, event)
    })
    const next = (name: string) =>
      Queue.take(events).pipe(
        Effect.repeat({ until: ({ event }) => event === name }),
        Effect.timeoutOrElse({
          duration: "20 seconds",
          orElse: () => Effect.die(new Error(`no event ${name} from ${program}, only: ${seen.join(" ")}`))
        })
      )
    return { next, control: (line) => void child.stdin.write(`${line}\n`) } satisfies ReferencePeer
  }
)
