/** Members of a static group in one process, each with a builder of its own; and values that tell where they come from. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as PeerConnectionBuilderLive from "../../src/layers/PeerConnectionBuilderLive.ts"
import { toHex } from "../../src/schema/Bytes.ts"
import type { SessionValue } from "../../src/schema/SessionValue.ts"
import type { Peer } from "../../src/services/Causeway.ts"
import { DirectLinks } from "../../src/services/DirectLinks.ts"
import { DirectSettings } from "../../src/services/DirectSettings.ts"
import { Identity } from "../../src/services/Identity.ts"
import { PeerConnectionBuilder, type PeerConnections } from "../../src/services/PeerConnectionBuilder.ts"
import type { ValueSession } from "../../src/services/Session.ts"
import { type SessionNumbers, SessionSettings } from "../../src/services/SessionSettings.ts"
import * as EntropySeeded from "../../src/testing/EntropySeeded.ts"
import { type FakeGroup, identityOf, keyOf } from "./FakeGroup.ts"

/** Where a member listens; the fake network does not mind. */
export const endpoints = [{ host: "192.0.2.1", port: 1 }]

export interface MemberOptions {
  /** Streams that it wants. */
  readonly parallelism?: number
  /** How many sessions it says there will be. */
  readonly sessions?: number
  /** Another one is another process of the same member. */
  readonly process?: number
  readonly settings?: Partial<SessionNumbers>
}

/** One process of a member. Its scope is the test's, but for `kill`, after which nothing of it says another word. */
export const member = Effect.fnUntraced(function*(network: FakeGroup, number: number, options: MemberOptions = {}) {
  const { parallelism = 1, process = 0, sessions, settings = {} } = options
  const scope = yield* Scope.make()
  yield* Effect.addFinalizer((exit) => Scope.close(scope, exit))
  const numbers = { ...(yield* SessionSettings), ...settings }
  const direct = { ...(yield* DirectSettings), parallelism }
  const layer = Layer.fresh(PeerConnectionBuilderLive.layer(sessions === undefined ? {} : { sessions })).pipe(
    Layer.provide(Layer.succeed(DirectLinks, network.of(number, parallelism))),
    Layer.provide(Layer.succeed(Identity, identityOf(number))),
    Layer.provide(EntropySeeded.layer(1_000 * process + number)),
    Layer.provide(Layer.succeed(SessionSettings, numbers)),
    Layer.provide(Layer.succeed(DirectSettings, direct))
  )
  const context = yield* Scope.provide(Layer.build(layer), scope)
  const builder = Context.get(context, PeerConnectionBuilder)
  return {
    number,
    builder,
    include: (...others: ReadonlyArray<number>) =>
      Effect.forEach(others, (other) => builder.includePeer(keyOf(other), endpoints), { discard: true }),
    close: Scope.close(scope, Exit.void),
    /** Streams break first, so that no goodbye gets through. */
    kill: Effect.suspend(() => {
      network.away.add(number)
      const id = toHex(keyOf(number))
      for (const { from, streams, to } of network.links) {
        if (from === id || to === id) { for (const stream of streams) stream.kill() }
      }
      return Scope.close(scope, Exit.void)
    })
  }
})

/** All of them in one group. */
export const mesh = Effect.fnUntraced(function*(
  network: FakeGroup,
  numbers: ReadonlyArray<number>,
  options: MemberOptions = {}
) {
  const members = yield* Effect.forEach(numbers, (number) => member(network, number, options))
  for (const { include, number } of members) yield* include(...numbers.filter((other) => other !== number))
  const groups = yield* Effect.all(members.map(({ builder }) => builder.build), { concurrency: "unbounded" })
  return members.map((one, index) => ({ ...one, group: groups[index]! }))
})

export const peerOf = (group: PeerConnections, number: number): Peer => {
  const peer = group.connections.get(toHex(keyOf(number)))
  if (peer === undefined) throw new Error(`there is no peer ${number}`)
  return peer
}

/** A value that is told from every other one of its session. */
export const numbered = (number: number): SessionValue => ({ _tag: "Ring32", value: number })

export const numbersOf = (values: ReadonlyArray<SessionValue>): ReadonlyArray<number> =>
  values.map((value) => value._tag === "Ring32" ? value.value : Number.NaN)

/** Receives so many values. */
export const receive = Effect.fnUntraced(function*(session: ValueSession, count: number) {
  const got: Array<SessionValue> = []
  while (got.length < count) got.push(...(yield* Effect.orDie(session.receive)))
  return numbersOf(got)
})
