/**
 * Two machines that both reach a third one, where the relays are, and not each other: a cable lies between them, but no route leads over
 * it until `meet` adds one. `part` takes it away again.
 */
import * as Effect from "effect/Effect"
import * as Path from "node:path"
import * as ChildProcess from "../../utils/childProcess.ts"
import type { Streams } from "../command.ts"
import * as Namespaces from "./Namespaces.ts"

const main = Path.resolve(import.meta.dirname, "../../../src/main.ts")

/** Where the relays are for both, and where the two machines find each other. */
const relayAddress = "10.88.0.1"
export const addresses = { one: "10.88.3.1", other: "10.88.3.2" } as const

export const make = Effect.gen(function*() {
  const middle = yield* Namespaces.machine("relays")
  const one = yield* Namespaces.machine("one")
  const other = yield* Namespaces.machine("other")
  yield* Namespaces.addAddress(middle, relayAddress)
  for (const [at, network] of [[one, "10.88.1"], [other, "10.88.2"]] as const) {
    const near = { at, name: "uplink", address: `${network}.2/24` }
    yield* Namespaces.cable(near, { at: middle, name: `to${network.slice(-1)}`, address: `${network}.1/24` })
    yield* Namespaces.addRoute(near, `${relayAddress}/32`)
  }
  const direct = {
    one: { at: one, name: "across", address: `${addresses.one}/32` },
    other: { at: other, name: "across", address: `${addresses.other}/32` }
  }
  yield* Namespaces.cable(direct.one, direct.other)
  return {
    middle,
    one,
    other,
    /** From now on the two can reach each other. */
    meet: Effect.andThen(
      Namespaces.addRoute(direct.one, `${addresses.other}/32`),
      Namespaces.addRoute(direct.other, `${addresses.one}/32`)
    ),
    /** What they send each other goes nowhere from now on; no connection is told of its end. */
    part: Effect.andThen(
      Namespaces.removeRoute(direct.one, `${addresses.other}/32`),
      Namespaces.removeRoute(direct.other, `${addresses.one}/32`)
    )
  }
})

export interface StartOptions extends Pick<Streams, "stdout"> {
  /** `NAME=VALUE` */
  readonly environment?: ReadonlyArray<string>
}

/** Starts a program of this repository on that machine. stdin is a pipe. */
const run = (
  at: Namespaces.Machine,
  args: ReadonlyArray<string>,
  options: StartOptions
) => {
  const { environment = [], stdout } = options
  const [command, all] = at.inside("env", [...environment, process.execPath, ...args])
  return ChildProcess.start({
    name: `${args[1] ?? ""} on ${at.namespace}`,
    command,
    args: all,
    stdio: ["pipe", stdout ?? "pipe", "pipe"],
    farewell: "SIGKILL"
  })
}

/** Starts `causeway ARGS --json`. */
export const start = (at: Namespaces.Machine, args: ReadonlyArray<string>, options: StartOptions = {}) =>
  run(at, [main, ...args, "--json"], options)

/** Starts `caller.ts`: `causeway connect` with relays of its own. */
export const caller = (at: Namespaces.Machine, args: ReadonlyArray<string>, options: StartOptions = {}) =>
  run(at, [Path.join(import.meta.dirname, "caller.ts"), ...args], options)

/** A `causeway relay` in the middle. `address` is what `--relay` takes, on both machines. */
export const relay = Effect.fnUntraced(function*(middle: Namespaces.Machine, port: number) {
  const running = yield* start(middle, ["relay", "--host", relayAddress, "--port", String(port)])
  const { publicKey } = yield* running.next("listening")
  return { port, address: `${relayAddress}:${port}:${String(publicKey)}` }
})
