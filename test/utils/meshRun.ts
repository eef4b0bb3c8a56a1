/**
 * A static group of real processes on loopback: full mesh, messages over every session, streams broken by the members themselves, and members
 * that are killed and started again. It judges what the survivors have sent and received, and asserts nothing.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { createServer } from "node:net"
import * as Path from "node:path"
import * as ToxCryptoWasm from "../../src/layers/ToxCryptoWasm.ts"
import { toHex } from "../../src/schema/Bytes.ts"
import { Entropy } from "../../src/services/Entropy.ts"
import { generate } from "../../src/services/Identity.ts"
import * as EntropySeeded from "../../src/testing/EntropySeeded.ts"
import * as ChildProcess from "./childProcess.ts"

/** What one process is told. */
export interface MemberPlan {
  readonly me: number
  /** Counts the processes of this member. */
  readonly generation: number
  readonly members: ReadonlyArray<{ readonly key: string; readonly seed: number; readonly port: number }>
  readonly parallelism: number
  readonly sessions: number
  /** Milliseconds, on average, after which a process breaks one of its streams. */
  readonly breakInterval: number
}

/** All sessions between two processes, as one of them reports them. */
export interface Relation {
  readonly peer: number
  /** Which process of the peer, once it has said something. */
  generation: number | undefined
  /** Messages by session: accepted for sending, and received in order. */
  readonly sent: Array<number>
  readonly received: Array<number>
  /** What was doubled, missing, out of order or damaged. */
  readonly wrong: Array<string>
  /** Why it ended early. */
  ended: string | undefined
}

export interface MeshOptions {
  readonly members: number
  readonly parallelism: number
  readonly sessions: number
  readonly breakInterval: number
  /** How often a member is killed, and milliseconds between the kills, before the first and after the last. */
  readonly kills: number
  readonly killInterval: number
  /** Called with progress, for long runs. */
  readonly log?: (line: string) => void
}

export interface MeshResult {
  /** Empty when everything arrived once and in order, or was reported as failed. */
  readonly problems: ReadonlyArray<string>
  /** Messages that both sides agree on. */
  readonly messages: number
  readonly broken: number
  readonly restarted: number
}

const program = Path.resolve(import.meta.dirname, "../integration/meshMember.ts")

/** A free port that no outgoing connection takes meanwhile: those begin at 32768. */
const freePort = Effect.callback<number>((resume) => {
  const attempt = (): void => {
    const port = 20_000 + Math.floor(Math.random() * 12_000)
    const server = createServer()
    server.once("error", attempt)
    server.listen(port, "127.0.0.1", () => server.close(() => resume(Effect.succeed(port))))
  }
  attempt()
})

export const run = Effect.fnUntraced(function*(options: MeshOptions): Effect.fn.Return<MeshResult, never, Scope.Scope> {
  const { breakInterval, kills, killInterval, log = () => undefined, parallelism, sessions } = options
  const members = yield* Effect.forEach(
    Array.from({ length: options.members }, (_, index) => 1 + index + Math.floor(Math.random() * 1e6) * 10),
    Effect.fnUntraced(function*(seed) {
      const { identity } = yield* Effect.provideService(generate, Entropy, EntropySeeded.make(seed))
      return { key: toHex(identity.publicKey), seed, port: yield* freePort }
    })
  ).pipe(Effect.provide(ToxCryptoWasm.layer), Effect.scoped, Effect.orDie)

  const start = Effect.fnUntraced(function*(me: number, generation: number) {
    const plan: MemberPlan = { me, generation, members, parallelism, sessions, breakInterval }
    const running = yield* ChildProcess.start({
      name: `member ${me}.${generation}`,
      command: process.execPath,
      args: [program, JSON.stringify(plan)],
      stdio: ["pipe", "pipe", "pipe"],
      farewell: "SIGKILL"
    })
    return { me, generation, running, broken: () => running.seen().filter((event) => event === "broken").length }
  })

  const alive = yield* Effect.forEach(members.keys(), (me) => start(me, 0))
  let broken = 0
  yield* Effect.forEach(alive, ({ running }) => running.next("built"))
  log("built")
  yield* Effect.sleep(killInterval)
  for (let kill = 1; kill <= kills; kill++) {
    const at = Math.floor(Math.random() * alive.length)
    const victim = alive[at]!
    broken += victim.broken()
    yield* victim.running.signal("SIGKILL")
    yield* victim.running.ended()
    alive[at] = yield* start(at, kill)
    yield* alive[at].running.next("built")
    log(`member ${at} was killed and is back`)
    yield* Effect.sleep(killInterval)
  }

  log("finish")
  for (const { running } of alive) running.write("finish")
  const reports = yield* Effect.forEach(
    alive,
    ({ generation, me, running }) =>
      Effect.map(running.next("done"), (done) => ({
        me,
        generation,
        relations: done["relations"] as ReadonlyArray<Relation>
      }))
  )
  for (const one of alive) {
    broken += one.broken()
    one.running.write("leave")
  }
  log("everything has arrived")
  const problems: Array<string> = []
  for (const { generation, me, running } of alive) {
    const { code, signal } = yield* running.ended()
    if (code !== 0) {
      problems.push(
        `member ${me}.${generation} ended with ${code ?? signal}: ${running.printed().slice(-5).join(" / ")}`
      )
    }
  }
  log("everybody has left")
  let messages = 0
  for (const near of reports) {
    const name = `${near.me}.${near.generation}`
    for (const { ended, peer, wrong } of near.relations) {
      problems.push(...wrong.map((what) => `${name} from ${peer}: ${what}`))
      if (ended !== undefined && ended !== "PeerRestarted") problems.push(`${name} with ${peer} ended: ${ended}`)
    }
    for (const far of reports) {
      if (far === near) continue
      const [sent] = near.relations.filter(({ ended, peer }) => ended === undefined && peer === far.me).map((
        { sent }
      ) => sent)
      const [received] = far.relations.filter(({ ended, peer }) => ended === undefined && peer === near.me)
        .map(({ received }) => received)
      if (sent === undefined || received === undefined) {
        problems.push(`${name} and ${far.me}.${far.generation} have no sessions`)
        continue
      }
      for (const [index, count] of sent.entries()) {
        messages += count
        if (count === received[index]) continue
        problems.push(
          `${name} to ${far.me}.${far.generation}, session ${index}: ${count} sent, ${received[index]} received`
        )
      }
    }
  }
  return { problems, messages, broken, restarted: kills }
})
