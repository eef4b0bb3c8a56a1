/**
 * The relays of the demonstration: child processes that run `causeway relay`, so that killing one is the real thing. They end with
 * the scope, and by themselves when this process is gone, because they watch the channel to it.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import { parseRelayAddress, type RelayAddress } from "../schema/RelayAddress.ts"
import { CommandFailed } from "./failure.ts"

/** A relay in a process of its own. */
export interface RelayProcess {
  readonly address: RelayAddress
  readonly pid: number
  /** SIGKILL: no goodbye, as when the machine loses power. Succeeds when the process is gone. */
  readonly kill: Effect.Effect<void>
}

/** How long a relay may take to listen: it starts a Node and loads the cryptography. */
const startTimeout = "10 seconds"

/** This program's entry point, as source or as built. */
const main = fileURLToPath(new URL(import.meta.url.endsWith(".ts") ? "../main.ts" : "../main.js", import.meta.url))

const hasExited = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null

const end = (child: ChildProcess): Effect.Effect<void> =>
  Effect.promise(async () => {
    if (child.pid === undefined || hasExited(child)) return
    const exited = once(child, "exit")
    child.kill("SIGKILL")
    await exited
  })

/** The first line on stdout. */
const firstLine = (child: ChildProcess): Effect.Effect<string, CommandFailed> =>
  Effect.callback<string, CommandFailed>((resume) => {
    let text = ""
    const failed = (detail: string) =>
      resume(Effect.fail(new CommandFailed({ detail: `a relay of the demonstration did not start: ${detail}` })))
    child.once("error", (error) => failed(error.message))
    child.once("exit", (code, signal) => failed(`it ended with ${signal ?? `exit code ${code}`}`))
    child.stdout?.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk
      const at = text.indexOf("\n")
      if (at >= 0) resume(Effect.succeed(text.slice(0, at)))
    })
  })

const readAddress = (line: string): Result.Result<RelayAddress, string> => {
  const event = Result.try((): unknown => JSON.parse(line))
  if (Result.isFailure(event)) return Result.fail(`it printed ${line}`)
  const { addresses } = event.success as { readonly addresses?: ReadonlyArray<string> }
  return parseRelayAddress(addresses?.[0] ?? "")
}

/** Starts a relay on a free port of the loopback interface. */
export const start: Effect.Effect<RelayProcess, CommandFailed, Scope.Scope> = Effect.gen(function*() {
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn(process.execPath, [main, "relay", "--json", "--host", "127.0.0.1", "--port", "0"], {
        // Its remarks would only disturb the picture; its failures are told by how it ends.
        stdio: ["ignore", "pipe", "ignore", "ipc"]
      })
    ),
    end
  )
  const line = yield* firstLine(child).pipe(
    Effect.timeoutOrElse({
      duration: startTimeout,
      orElse: () => Effect.fail(new CommandFailed({ detail: "a relay of the demonstration did not start in 10 s" }))
    })
  )
  const address = readAddress(line)
  if (Result.isFailure(address)) {
    return yield* new CommandFailed({ detail: `a relay of the demonstration did not start: ${address.failure}` })
  }
  return { address: address.success, pid: child.pid ?? 0, kill: end(child) }
})
