/**
 * A TCP service of this machine for one test: a foreground process with a configuration of its own in a folder of its own. It is gone
 * when the scope closes, and also when this process is killed.
 */
import * as Effect from "effect/Effect"
import { existsSync } from "node:fs"
import * as Net from "node:net"
import * as ChildProcess from "../utils/childProcess.ts"

export interface ServiceOptions {
  /** Absolute: services live in folders that are on root's path only. */
  readonly command: string
  readonly args: ReadonlyArray<string>
  /** On loopback. Below 32768, so that no outgoing connection can have taken it. */
  readonly port: number
  /** Runs it as this user, which only root can. */
  readonly user?: string
  /** The signal that ends it at once. */
  readonly farewell?: "SIGTERM" | "SIGINT"
}

export const isRoot = process.getuid?.() === 0

/** What runs a command as another user: the command line to put before it. */
export const asUser = (user: string): ReadonlyArray<string> => [
  ...["setpriv", "--reuid", user, "--regid", user, "--clear-groups", "--"]
]

/** Whether something accepts connections on that port. */
const accepts = (port: number) =>
  Effect.callback<boolean>((resume) => {
    const socket = Net.connect({ port, host: "127.0.0.1" })
    const tell = (isOpen: boolean) => () => {
      socket.destroy()
      resume(Effect.succeed(isOpen))
    }
    socket.once("connect", tell(true)).once("error", tell(false))
    return Effect.sync(() => void socket.destroy())
  })

/** Starts a service and waits until it accepts connections. */
export const start = Effect.fnUntraced(function*(options: ServiceOptions) {
  const { command, farewell = "SIGTERM", port, user } = options
  if (!existsSync(command)) return yield* Effect.die(new Error(`${command} is not installed`))
  if (yield* accepts(port)) return yield* Effect.die(new Error(`port ${port} is taken, by whatever was left behind`))
  const wrapped = [
    ...["--pdeathsig", farewell],
    ...(user === undefined ? ["--"] : asUser(user).slice(1)),
    command,
    ...options.args
  ]
  const running = yield* ChildProcess.start({
    name: command,
    command: "setpriv",
    args: wrapped,
    stdio: ["ignore", "pipe", "pipe"],
    farewell
  })
  const died = Effect.flatMap(
    running.ended("1 hour"),
    ({ code, signal }) =>
      Effect.die(new Error(`${command} ended with ${code ?? signal}:\n${running.printed().join("\n")}`))
  )
  const isUp = accepts(port).pipe(
    Effect.tap((isOpen) => isOpen ? Effect.void : Effect.sleep("20 millis")),
    Effect.repeat({ until: (isOpen) => isOpen }),
    Effect.timeoutOrElse({
      duration: "20 seconds",
      orElse: () => Effect.die(new Error(`${command} does not accept connections:\n${running.printed().join("\n")}`))
    })
  )
  yield* Effect.raceFirst(isUp, died)
  return running
})
