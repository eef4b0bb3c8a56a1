/**
 * One end of a direct link with sessions, in a process of its own: a static group of two, so that no relay takes part.
 *
 *     node directNode.ts STREAMS
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Scope from "effect/Scope"
import * as IdentityFresh from "../../src/layers/IdentityFresh.ts"
import * as PeerConnectionBuilderNode from "../../src/layers/PeerConnectionBuilderNode.ts"
import { fromHex, PublicKey, toHex } from "../../src/schema/Bytes.ts"
import type { IpEndpoint } from "../../src/schema/IpEndpoint.ts"
import type { Peer } from "../../src/services/Causeway.ts"
import { DirectLinks } from "../../src/services/DirectLinks.ts"
import { DirectSettings } from "../../src/services/DirectSettings.ts"
import { Identity } from "../../src/services/Identity.ts"
import { PeerConnectionBuilder } from "../../src/services/PeerConnectionBuilder.ts"
import type { SessionOffer } from "../../src/services/Session.ts"
import { nowMs, serve, usage } from "./childSide.ts"
import { type DirectEchoes, letNagle } from "./directShared.ts"

export interface Member {
  readonly key: string
  readonly endpoints: ReadonlyArray<IpEndpoint>
}

const floodName = "flood"

const streams = Number(process.argv[2])
const node = PeerConnectionBuilderNode.layer(IdentityFresh.layer, {
  listen: { host: "127.0.0.1", port: 0 },
  sessions: streams
}).pipe(
  Layer.provide(
    Layer.effect(DirectSettings, Effect.map(DirectSettings, (numbers) => ({ ...numbers, parallelism: streams })))
  )
)
const runtime = ManagedRuntime.make(node)
const scope = Scope.makeUnsafe()
const run = <A, E>(effect: Effect.Effect<A, E, ManagedRuntime.ManagedRuntime.Services<typeof runtime> | Scope.Scope>) =>
  runtime.runPromise(Scope.provide(effect, scope))

/** Bytes that came in floods; of a request that is answered. */
let arrived = 0
let requestSize = 0
let peer: Peer | undefined
const current = (): Peer => {
  if (peer === undefined) throw new Error("there is no peer")
  return peer
}

/** Counts what comes, and answers each request when the whole of it is there. */
const serveSession = Effect.fnUntraced(function*(offer: SessionOffer) {
  const session = yield* offer.bytes
  let request = 0
  while (true) {
    for (const chunk of yield* session.read) {
      if (offer.name === floodName) arrived += chunk.length
      else request += chunk.length
    }
    if (requestSize === 0 || request < requestSize) continue
    request -= requestSize
    yield* session.write(new Uint8Array(requestSize).fill(7))
  }
})

const serveSessions = Effect.fnUntraced(function*(from: Peer) {
  while (true) {
    const served = Effect.scoped(serveSession(yield* from.accept))
    yield* Effect.forkScoped(Effect.ignore(served), { startImmediately: true })
  }
})

const listen = Effect.gen(function*() {
  const { identity } = yield* Identity
  const { endpoints } = yield* DirectLinks
  return { key: toHex(identity.publicKey), endpoints: yield* endpoints } satisfies Member
})

const meet = Effect.fnUntraced(function*({ endpoints, key }: Member) {
  const builder = yield* PeerConnectionBuilder
  yield* builder.includePeer(PublicKey.make(fromHex(key) ?? new Uint8Array(0)), endpoints)
  const { connections } = yield* builder.build
  peer = connections.get(key)
  yield* Effect.forkScoped(Effect.ignore(serveSessions(current())))
})

/** One session for each stream of the link: consecutive sessions lie on different streams. */
const flood = Effect.fnUntraced(function*(size: number) {
  const chunk = new Uint8Array(size).fill(7)
  for (let i = 0; i < streams; i++) {
    const session = yield* current().openBytes(floodName)
    yield* Effect.forkScoped(Effect.ignore(Effect.forever(session.write(chunk), { disableYield: true })))
  }
})

const turn = Effect.callback<void>((resume) => {
  setImmediate(() => resume(Effect.void))
})

const echoes = Effect.fnUntraced(function*({ count, size, warm, writes }: DirectEchoes) {
  const session = yield* current().openBytes("requests")
  const part = new Uint8Array(size / writes).fill(7)
  const times: Array<number> = []
  for (let round = 0; round < warm + count; round++) {
    const sent = nowMs()
    yield* session.write(part)
    for (let i = 1; i < writes; i++) yield* Effect.andThen(turn, session.write(part))
    for (let left = size; left > 0;) for (const chunk of yield* session.read) left -= chunk.length
    if (round >= warm) times.push(nowMs() - sent)
  }
  return times
})

serve({
  listen: () => run(listen),
  meet: (member: Member) => run(meet(member)),
  flood: ({ size }: { readonly size: number }) => run(flood(size)),
  echoes: (input: DirectEchoes) => run(echoes(input)),
  answer: (size: number) => {
    requestSize = size
  },
  letNagle,
  mark: () => ({ ...usage(), bytes: arrived })
})
