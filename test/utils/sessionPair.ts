/** Two `Causeway` services joined by a fake network, and sessions between them. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as CausewayLive from "../../src/layers/CausewayLive.ts"
import { Causeway } from "../../src/services/Causeway.ts"
import { DirectLinks } from "../../src/services/DirectLinks.ts"
import { type DirectNumbers, DirectSettings } from "../../src/services/DirectSettings.ts"
import { Identity } from "../../src/services/Identity.ts"
import { NetCrypto } from "../../src/services/NetCrypto.ts"
import { type SessionNumbers, SessionSettings } from "../../src/services/SessionSettings.ts"
import * as EntropySeeded from "../../src/testing/EntropySeeded.ts"
import type { FakeDirectLinks } from "./FakeDirectLinks.ts"
import { greaterKey, lesserKey } from "./FakeNetCrypto.ts"
import { FakeNetwork } from "./FakeNetwork.ts"

/** A `Causeway` service of one node, which takes every caller. `process`: another one is another process of the same node. */
export const causewayOf = Effect.fnUntraced(function*(
  network: FakeNetwork,
  side: "a" | "b",
  settings: Partial<SessionNumbers> = {},
  process = 0,
  direct?: { readonly fake: FakeDirectLinks; readonly numbers: Partial<DirectNumbers> }
) {
  const publicKey = side === "a" ? lesserKey : greaterKey
  const keys = { publicKey, secretKey: Redacted.make(new Uint8Array(32)) }
  const context = yield* Layer.build(
    Layer.fresh(CausewayLive.layer).pipe(
      Layer.provide(Layer.succeed(NetCrypto, network.netCrypto(side))),
      Layer.provide(Layer.succeed(Identity, { identity: keys, dht: keys })),
      Layer.provide(EntropySeeded.layer((publicKey[0] ?? 0) + 10 * process)),
      Layer.provide(Layer.succeed(SessionSettings, { ...(yield* SessionSettings), ...settings })),
      Layer.provide(Layer.succeed(DirectSettings, { ...(yield* DirectSettings), ...direct?.numbers })),
      Layer.provide(direct === undefined ? Layer.empty : Layer.succeed(DirectLinks, direct.fake.service(side)))
    )
  )
  const causeway = Context.get(context, Causeway)
  yield* Effect.orDie(causeway.setAcceptPolicy(() => true))
  return causeway
})

/** The same as a process that can be killed: without a goodbye, and before anybody knows that the connection is gone. */
export const processOf = Effect.fnUntraced(function*(
  network: FakeNetwork,
  side: "a" | "b",
  settings: Partial<SessionNumbers> = {},
  process = 0
) {
  const scope = yield* Scope.make()
  yield* Effect.addFinalizer((exit) => Scope.close(scope, exit))
  const causeway = yield* Scope.provide(causewayOf(network, side, settings, process), scope)
  return { causeway, kill: Scope.close(scope, Exit.void) }
})

export interface PairOptions extends Partial<SessionNumbers> {
  readonly sendBuffer?: number
  readonly auto?: boolean
}

/** Two nodes that do not know each other yet. `a` is the lesser. */
export const nodePair = Effect.fnUntraced(function*(options: PairOptions = {}) {
  const { auto, sendBuffer, ...settings } = options
  const network = yield* FakeNetwork.make
  network.auto = auto ?? true
  network.sendBuffer = sendBuffer ?? network.sendBuffer
  return {
    network,
    a: yield* causewayOf(network, "a", settings),
    b: yield* causewayOf(network, "b", settings)
  }
})

/** Two nodes that are connected: `a` has called. */
export const peerPair = Effect.fnUntraced(function*(options: PairOptions = {}) {
  const { a, b, network } = yield* nodePair(options)
  const [atA, atB] = yield* Effect.all([a.connect(FakeNetwork.addressOf("b")), Effect.orDie(b.accept)], {
    concurrency: "unbounded"
  })
  return { network, a: { causeway: a, peer: atA }, b: { causeway: b, peer: atB } }
})

/** A session of bytes that `a` has opened and `b` has accepted. */
export const openSession = Effect.fnUntraced(function*(options: PairOptions = {}) {
  const { a, b, network } = yield* peerPair(options)
  const [atA, atB] = yield* Effect.all(
    [a.peer.openBytes("test"), Effect.flatMap(b.peer.accept, (offer) => offer.bytes)],
    { concurrency: "unbounded" }
  )
  const { live } = network
  if (live === undefined) return yield* Effect.die(new Error("there is no connection"))
  return {
    network,
    a: { ...a, session: atA, connection: live.a },
    b: { ...b, session: atB, connection: live.b }
  }
})
