/** Two `Sessions` services joined by a fake connection, and sessions between them. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as SessionsLive from "../../src/layers/SessionsLive.ts"
import type { PublicKey } from "../../src/schema/Bytes.ts"
import { Identity } from "../../src/services/Identity.ts"
import { Sessions } from "../../src/services/Sessions.ts"
import { type SessionNumbers, SessionSettings } from "../../src/services/SessionSettings.ts"
import * as EntropySeeded from "../../src/testing/EntropySeeded.ts"
import { greaterKey, lesserKey, pair } from "./FakeNetCrypto.ts"

/** A `Sessions` service of the node with this identity key. */
export const sessionsOf = Effect.fnUntraced(function*(publicKey: PublicKey, settings: Partial<SessionNumbers> = {}) {
  const keys = { publicKey, secretKey: Redacted.make(new Uint8Array(32)) }
  const context = yield* Layer.build(
    Layer.fresh(SessionsLive.layer).pipe(
      Layer.provide(Layer.succeed(Identity, { identity: keys, dht: keys })),
      Layer.provide(EntropySeeded.layer(publicKey[0] ?? 0)),
      Layer.provide(Layer.succeed(SessionSettings, { ...(yield* SessionSettings), ...settings }))
    )
  )
  return Context.get(context, Sessions)
})

/** `a` is the lesser. Packets deliver themselves. */
export const sessionPair = Effect.fnUntraced(function*(
  options: Partial<SessionNumbers> & { readonly sendBuffer?: number; readonly auto?: boolean } = {}
) {
  const { auto, sendBuffer, ...settings } = options
  const ends = pair({ auto: auto ?? true, ...(sendBuffer === undefined ? undefined : { sendBuffer }) })
  const a = { sessions: yield* sessionsOf(lesserKey, settings), connection: ends.lesser }
  const b = { sessions: yield* sessionsOf(greaterKey, settings), connection: ends.greater }
  return { a, b }
})

/** A session that `a` has opened and `b` has accepted. */
export const openSession = Effect.fnUntraced(function*(options: Parameters<typeof sessionPair>[0] = {}) {
  const { a, b } = yield* sessionPair(options)
  const [atA, atB] = yield* Effect.all([a.sessions.open(a.connection, "test"), b.sessions.accept(b.connection)], {
    concurrency: "unbounded"
  })
  return { a: { ...a, session: atA }, b: { ...b, session: atB } }
})
