/**
 * Network namespaces as machines: each has interfaces, addresses and routes of its own, and reaches another one over a cable, which is a
 * pair of `veth`. Root only. They belong to the scope they were made in, and are gone with it, also when the test is interrupted; a
 * name tells the process that made it, so that what a killed run left behind is found by the next one.
 */
import * as Effect from "effect/Effect"
import { spawnSync } from "node:child_process"
import { existsSync } from "node:fs"

/** `cw-PID-NAME`. */
const prefix = "cw"

/** One machine. */
export interface Machine {
  /** The namespace's name. */
  readonly namespace: string
  /** A command line that runs a program there. */
  readonly inside: (command: string, args: ReadonlyArray<string>) => readonly [string, ReadonlyArray<string>]
  /** What a program that ends at once prints there; one that fails is a defect. */
  readonly output: (command: string, args: ReadonlyArray<string>) => string
}

const missing =
  "these tests need network namespaces: install iproute2 (apt-get install --no-install-recommends iproute2), and " +
  "run as root, in a container with the capabilities NET_ADMIN and SYS_ADMIN"

const run = (command: string, args: ReadonlyArray<string>): string => {
  const { error, status, stderr, stdout } = spawnSync(command, args, { encoding: "utf8", timeout: 10_000 })
  if (error !== undefined) throw new Error(`${command} cannot be run (${error.message}); ${missing}`)
  if (status !== 0) {
    const advice = /not permitted|Permission denied/.test(stderr) ? `; ${missing}` : ""
    throw new Error(`${command} ${args.join(" ")} ended with ${status}: ${stderr.trim()}${advice}`)
  }
  return stdout
}

const ip = (...args: ReadonlyArray<string>): string => run("ip", args)

/** Removes namespaces of runs that were killed: their process is gone. */
const sweep = (): void => {
  for (const line of ip("netns", "list").split("\n")) {
    const [name = ""] = line.split(" ")
    const [, pid] = /^cw-(\d+)-/.exec(name) ?? []
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) ip("netns", "del", name)
  }
}

/** A machine with its loopback interface and nothing else. */
export const machine = Effect.fnUntraced(function*(name: string) {
  const namespace = `${prefix}-${process.pid}-${name}`
  yield* Effect.acquireRelease(
    Effect.sync(() => {
      sweep()
      ip("netns", "add", namespace)
    }),
    // Its ends of the cables go with it, and with them the other ends.
    () => Effect.sync(() => void ip("netns", "del", namespace))
  )
  const inside = (command: string, args: ReadonlyArray<string>) =>
    ["ip", ["netns", "exec", namespace, command, ...args]] as const
  ip("-n", namespace, "link", "set", "lo", "up")
  return { namespace, inside, output: (command, args) => run(...inside(command, args)) } satisfies Machine
})

/** One end of a cable: the interface's name there, and its address with the length of the network, `10.9.1.1/24`. */
export interface CableEnd {
  readonly at: Machine
  readonly name: string
  readonly address: string
}

/** Connects two machines. Each has a route to the network of its own address only; `/32` means none at all. */
export const cable = (one: CableEnd, other: CableEnd): Effect.Effect<void> =>
  Effect.sync(() => {
    const [a, b] = [one.at.namespace, other.at.namespace]
    ip("link", "add", "name", one.name, "netns", a, "type", "veth", "peer", "name", other.name, "netns", b)
    for (const { address, at, name } of [one, other]) {
      ip("-n", at.namespace, "addr", "add", address, "dev", name)
      ip("-n", at.namespace, "link", "set", name, "up")
    }
  })

/** Makes an address reachable through an interface, and unreachable again. */
export const addRoute = ({ at, name }: Pick<CableEnd, "at" | "name">, to: string): Effect.Effect<void> =>
  Effect.sync(() => void ip("-n", at.namespace, "route", "add", to, "dev", name))

export const removeRoute = ({ at, name }: Pick<CableEnd, "at" | "name">, to: string): Effect.Effect<void> =>
  Effect.sync(() => void ip("-n", at.namespace, "route", "del", to, "dev", name))

/** Gives a machine an address that belongs to no cable; others reach it through any of theirs. */
export const addAddress = (at: Machine, address: string): Effect.Effect<void> =>
  Effect.sync(() => void ip("-n", at.namespace, "addr", "add", `${address}/32`, "dev", "lo"))

/** How many TCP connections are established on that machine, seen from its own side with one of those local ports. */
export const connections = (at: Machine, ports: ReadonlyArray<number>): number =>
  at.output("ss", ["-tnH", "state", "established"]).split("\n").filter((line) => {
    const [, , local = ""] = line.trim().split(/\s+/)
    return ports.includes(Number(local.slice(local.lastIndexOf(":") + 1)))
  }).length
