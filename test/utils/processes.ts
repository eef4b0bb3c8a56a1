/**
 * Relays and peers of both kinds as processes, behind one face: `causeway relay` and tox-bootstrapd, `causeway packets` and `ctoxpeer`.
 * For tests in which it should not matter whose program is at the other end, or in which it dies for real. The stock ones need what
 * `npm run test:interop` builds.
 */
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import * as Command from "../interop/command.ts"
import * as Reference from "../interop/referencePrograms.ts"
import { type RunningProcess, type Usage, usageOf } from "./childProcess.ts"

/** `ours`: this repository's program. `stock`: c-toxcore's. */
export type Kind = "ours" | "stock"

export interface RelayProcess {
  readonly kind: Kind
  /** `HOST:PORT:PUBLICKEYHEX`, the same after a restart. */
  readonly address: string
  /** SIGKILL: the kernel resets its connections. Succeeds when the process is gone. */
  readonly kill: Effect.Effect<void>
  /** Starts it again with the same port and key. */
  readonly restart: Effect.Effect<void>
  /** SIGSTOP: its connections stay open and nothing is answered any more; and SIGCONT. */
  readonly freeze: Effect.Effect<void>
  readonly thaw: Effect.Effect<void>
  /** Undefined while it is dead. */
  readonly usage: () => Usage | undefined
}

const ourRelay = Effect.fnUntraced(function*(port: number) {
  const scope = yield* Effect.scope
  const { file } = yield* Command.identity("relay")
  const start = Effect.fnUntraced(function*(at: number) {
    const running = yield* Command.start(["relay", "--host", "127.0.0.1", "--port", String(at), "--identity", file])
    const { host, port, publicKey } = yield* running.next("listening")
    return { running, port: Number(port), address: `${String(host)}:${String(port)}:${String(publicKey)}` }
  }, Scope.provide(scope))
  let { running, ...first } = yield* start(port)
  const signal = (name: NodeJS.Signals) => Effect.suspend(() => running.signal(name))
  return {
    kind: "ours",
    address: first.address,
    kill: Effect.andThen(signal("SIGKILL"), Effect.suspend(() => Effect.asVoid(running.ended()))),
    restart: Effect.map(start(first.port), (again) => {
      running = again.running
    }),
    freeze: signal("SIGSTOP"),
    thaw: signal("SIGCONT"),
    usage: () => running.usage()
  } satisfies RelayProcess
})

const stockRelay = Effect.fnUntraced(function*(port: number) {
  const { address, kill, pid, restart } = yield* Reference.relay(port)
  const signal = (name: NodeJS.Signals) => Effect.sync(() => void process.kill(pid(), name))
  return {
    kind: "stock",
    address,
    kill,
    restart,
    freeze: signal("SIGSTOP"),
    thaw: signal("SIGCONT"),
    usage: () => usageOf(pid())
  } satisfies RelayProcess
})

/** Starts a relay on loopback. A port below 32768 cannot have been taken by an outgoing connection; ours also takes 0, a free one. */
export const relay = (kind: Kind, port: number): Effect.Effect<RelayProcess, never, Scope.Scope> =>
  kind === "ours" ? ourRelay(port) : stockRelay(port)

export interface PeerOptions {
  /** Addresses of the relays to use. */
  readonly relays: ReadonlyArray<string>
  readonly mode: "sink" | "echo" | "flood" | "ping"
  /** Whom to call, `IDENTITYKEY:DHTKEY`; without it the peer waits to be called, by anybody. */
  readonly peer?: string
  /** For flood and ping: how many packets, and bytes of each. */
  readonly count?: number
  readonly size?: number
  readonly lossy?: boolean
}

/** What a peer says at the end of its work. */
export interface PeerResult {
  /** Sent by a flood, received by a sink, answered for a ping. */
  readonly packets: number
  /** As far as this peer can tell: nothing missing, doubled, damaged or out of order. */
  readonly inOrder: boolean
}

export interface PeerProcess extends RunningProcess {
  readonly kind: Kind
  /** `IDENTITYKEY:DHTKEY`, what another peer calls it by. */
  readonly address: string
  /** Waits for the end of its work. An echo has none. */
  readonly result: Effect.Effect<PeerResult>
}

/** How long a peer may work: a hang is what this limit is for, a busy machine moves a few megabytes a second. */
const resultTimeout = "90 seconds"

const trafficOf = ({ count = 100, mode, size = mode === "flood" ? 1_300 : 64 }: PeerOptions) =>
  mode === "flood" || mode === "ping" ? { count: String(count), size: String(size) } : undefined

const ourPeer = Effect.fnUntraced(function*(options: PeerOptions) {
  const { lossy, mode, peer, relays } = options
  const me = yield* Command.identity(mode)
  const traffic = trafficOf(options)
  const running = yield* Command.start([
    ...["packets", "--identity", me.file, "--mode", mode],
    ...relays.flatMap((address) => ["--relay", address]),
    ...(peer === undefined ? [] : ["--peer", peer]),
    ...(traffic === undefined ? [] : ["--count", traffic.count, "--size", traffic.size]),
    ...(lossy === true ? ["--lossy"] : [])
  ])
  yield* running.next("ready")
  const result = Effect.map(running.next("done", resultTimeout), (done) => ({
    packets: Number(done["packets"]),
    inOrder: done["inOrder"] === true
  }))
  return { ...running, kind: "ours", address: me.peer, result } satisfies PeerProcess
})

const stockPeer = Effect.fnUntraced(function*(options: PeerOptions) {
  const { lossy, mode, peer, relays } = options
  const traffic = trafficOf(options)
  const running = yield* Reference.peer("ctoxpeer", [
    ...(peer === undefined ? ["accept"] : ["initiate", "--peer", peer]),
    ...relays.flatMap((address) => ["--relay", address]),
    ...["--app", mode],
    ...(traffic === undefined ? [] : ["-n", traffic.count, "-s", traffic.size]),
    ...(lossy === true ? ["--lossy"] : [])
  ])
  const ready = yield* running.next("ready")
  const result = Effect.gen(function*() {
    switch (mode) {
      case "flood": {
        const done = yield* running.next("flood_done", resultTimeout)
        return { packets: Number(done["packets"]), inOrder: true }
      }
      case "ping": {
        const done = yield* running.next("ping_done", resultTimeout)
        const lost = Number(done["lost"])
        return { packets: Number(done["n"]) - lost, inOrder: lost === 0 }
      }
      case "sink":
      case "echo": {
        const done = yield* running.next("sink_fin", resultTimeout)
        return { packets: Number(done["received"]), inOrder: done["ok"] === true }
      }
    }
  })
  // Whoever calls it would be too early before.
  yield* running.next("relays")
  const address = `${String(ready["real_pk"])}:${String(ready["dht_pk"])}`
  return { ...running, kind: "stock", address, result } satisfies PeerProcess
})

/** Starts a peer; succeeds when it can be called. */
export const peer = (kind: Kind, options: PeerOptions): Effect.Effect<PeerProcess, never, Scope.Scope> =>
  kind === "ours" ? ourPeer(options) : stockPeer(options)
