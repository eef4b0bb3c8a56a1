/**
 * One member of a static group as a process (row I09): makes sessions with every other member, sends numbered messages over all of
 * them, checks what comes, and breaks its own streams at random. A peer that comes back as another process gets new sessions. Its argument is
 * `MemberPlan` as JSON; it obeys the line `finish` and prints JSON lines.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Readline from "node:readline"
import * as DirectLinksLive from "../../src/layers/DirectLinksLive.ts"
import * as DirectTransportNode from "../../src/layers/DirectTransportNode.ts"
import * as EntropyLive from "../../src/layers/EntropyLive.ts"
import * as PeerConnectionBuilderLive from "../../src/layers/PeerConnectionBuilderLive.ts"
import * as ToxCryptoAuto from "../../src/layers/ToxCryptoAuto.ts"
import { fromHex, type PublicKey } from "../../src/schema/Bytes.ts"
import { type DirectLink, DirectLinks } from "../../src/services/DirectLinks.ts"
import { DirectSettings } from "../../src/services/DirectSettings.ts"
import type { DirectStream } from "../../src/services/DirectTransport.ts"
import { Entropy } from "../../src/services/Entropy.ts"
import { generate, Identity } from "../../src/services/Identity.ts"
import { PeerConnectionBuilder, type PeerConnections } from "../../src/services/PeerConnectionBuilder.ts"
import type { ValueSession } from "../../src/services/Session.ts"
import type { SessionError } from "../../src/services/SessionError.ts"
import * as EntropySeeded from "../../src/testing/EntropySeeded.ts"
import type { MemberPlan, Relation } from "../utils/meshRun.ts"

const plan = JSON.parse(process.argv[2] ?? "{}") as MemberPlan
const print = (event: string, more: object = {}): void =>
  void process.stdout.write(`${JSON.stringify({ event, ...more })}\n`)

const headerSize = 8
/** A message: which process of ours sent it, its number, and a filler. */
const messageOf = (number: number): Uint8Array => {
  const bytes = new Uint8Array(headerSize + (number * 37) % 200).fill(number)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, plan.generation)
  view.setUint32(4, number)
  return bytes
}

/** Streams of links that are in use. */
const streams = new Set<DirectStream>()
const note = (link: DirectLink): DirectLink => {
  for (const stream of link.streams) streams.add(stream)
  return link
}

const talk = Effect.fnUntraced(function*(
  group: PeerConnections,
  at: number,
  key: PublicKey,
  finish: Deferred.Deferred<void>,
  relations: Array<Relation>
) {
  const use = Effect.fnUntraced(function*(session: ValueSession, index: number, relation: Relation) {
    const wrong = (what: string): void => void relation.wrong.push(`session ${index}: ${what}`)
    const reading = session.receive.pipe(
      Effect.tap((values) =>
        Effect.sync(() => {
          for (const value of values) {
            if (value._tag !== "Bytes") return wrong(`a ${value._tag}`)
            const view = new DataView(value.bytes.buffer, value.bytes.byteOffset, value.bytes.byteLength)
            relation.generation ??= view.getUint32(0)
            const number = view.getUint32(4)
            if (relation.generation !== view.getUint32(0)) wrong(`from process ${view.getUint32(0)}`)
            if (number !== relation.received[index]) wrong(`${number} instead of ${relation.received[index]}`)
            if (value.bytes.length !== messageOf(number).length) wrong(`${number} with ${value.bytes.length} bytes`)
            relation.received[index] = number + 1
          }
        })
      ),
      Effect.forever,
      Effect.catchTag("Done", () => Effect.void)
    )
    const writing: Effect.Effect<void, SessionError> = Effect.gen(function*() {
      while (!Deferred.isDoneUnsafe(finish)) {
        const next = relation.sent[index] ?? 0
        const values = [next, next + 1, next + 2].map((
          number
        ) => ({ _tag: "Bytes", bytes: messageOf(number) } as const))
        yield* session.sendAll(values)
        relation.sent[index] = next + values.length
        yield* Effect.sleep(20 + Math.random() * 60)
      }
      yield* session.end
    })
    yield* Effect.all([reading, writing], { concurrency: "unbounded" })
    yield* session.closed
  })
  while (!Deferred.isDoneUnsafe(finish)) {
    const peer = yield* group.reconnector.reconnect(key)
    const relation: Relation = {
      peer: at,
      generation: undefined,
      sent: new Array<number>(plan.sessions).fill(0),
      received: new Array<number>(plan.sessions).fill(0),
      wrong: [],
      ended: undefined
    }
    relations.push(relation)
    print("related", { peer: at })
    const sessions = Effect.flatMap(
      peer.makeSessions(plan.sessions),
      (made) =>
        Effect.all(made.map((one, index) => use(one, index, relation)), { concurrency: "unbounded", discard: true })
    )
    const ended = yield* Effect.scoped(sessions).pipe(
      Effect.as(undefined),
      Effect.catch((error) => Effect.succeed(error.reason._tag))
    )
    relation.ended = ended
    if (ended === undefined) return
    print("ended", { peer: at, reason: ended })
    yield* peer.closed
  }
})

const program = Effect.gen(function*() {
  const builder = yield* PeerConnectionBuilder
  const finish = yield* Deferred.make<void>()
  const leave = yield* Deferred.make<void>()
  const lines = Readline.createInterface({ input: process.stdin })
  lines.on("line", (line) => {
    Deferred.doneUnsafe(line === "finish" ? finish : leave, Effect.void)
  })
  // An open standard input would keep the process alive.
  yield* Effect.addFinalizer(() => Effect.sync(() => void process.stdin.destroy()))
  const others = plan.members.map((member, at) => ({ ...member, at, key: fromHex(member.key) as PublicKey }))
    .filter(({ at }) => at !== plan.me)
  for (const { key, port } of others) yield* builder.includePeer(key, [{ host: "127.0.0.1", port }])
  print("started")
  const group = yield* builder.build
  print("built")
  const breaking = Effect.gen(function*() {
    yield* Effect.sleep(plan.breakInterval * (0.5 + Math.random()))
    if (Deferred.isDoneUnsafe(finish)) return
    const open = Array.from(streams)
    const stream = open[Math.floor(Math.random() * open.length)]
    if (stream === undefined) return
    stream.destroy()
    print("broken")
  })
  yield* Effect.forkScoped(Effect.forever(breaking))
  const relations: Array<Relation> = []
  yield* Effect.all(others.map(({ at, key }) => talk(group, at, key, finish, relations)), { concurrency: "unbounded" })
  print("done", { relations })
  yield* Deferred.await(leave)
}).pipe(Effect.scoped)

const breakable = Layer.effect(
  DirectLinks,
  Effect.map(DirectLinks, (links) =>
    DirectLinks.of({
      ...links,
      dial: (...args) => Effect.tap(Effect.map(links.dial(...args), note), forget),
      accept: (...args) => Effect.tap(Effect.map(links.accept(...args), note), forget)
    }))
)
const forget = (link: DirectLink) =>
  Effect.addFinalizer(() => Effect.sync(() => link.streams.forEach((stream) => streams.delete(stream))))

const identity = Layer.effect(
  Identity,
  Effect.provideService(generate, Entropy, EntropySeeded.make(plan.members[plan.me]!.seed))
)
const node = PeerConnectionBuilderLive.layer({ sessions: plan.sessions }).pipe(
  Layer.provide(breakable),
  Layer.provide(DirectLinksLive.layer({ listen: { host: "127.0.0.1", port: plan.members[plan.me]!.port } })),
  Layer.provide(identity),
  Layer.provide(Layer.mergeAll(EntropyLive.layer, ToxCryptoAuto.layer, DirectTransportNode.layer)),
  Layer.provide(Layer.succeed(DirectSettings, { ...DirectSettings.defaultValue(), parallelism: plan.parallelism }))
)

NodeRuntime.runMain(Effect.provide(program, node))
