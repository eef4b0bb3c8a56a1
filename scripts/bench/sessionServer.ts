/** What the called node of the session rows does with each session, which its name says. */
import * as Effect from "effect/Effect"
import type { Peer } from "../../src/services/Causeway.ts"
import type { SessionOffer } from "../../src/services/Session.ts"
import { nowMs } from "./childSide.ts"

/** `bytes` and `values` are counted, `echo` is sent back, `first` is answered with the time; the rest is accepted and not read. */
export const names = {
  bytes: "bytes",
  values: "values",
  echo: "echo",
  first: "first",
  unread: "unread"
} as const

/** Payload bytes that have come, and values that did not follow the one before them. */
export interface Arrived {
  bytes: number
  displaced: number
}

const countBytes = Effect.fnUntraced(function*(offer: SessionOffer, arrived: Arrived) {
  const session = yield* offer.bytes
  while (true) {
    for (const chunk of yield* session.read) arrived.bytes += chunk.length
  }
})

const countValues = Effect.fnUntraced(function*(offer: SessionOffer, arrived: Arrived) {
  const session = yield* offer.values()
  let expected = 0
  while (true) {
    for (const value of yield* session.receive) {
      if (value._tag !== "Bytes") continue
      arrived.bytes += value.bytes.length
      if (value.bytes[0] !== expected) arrived.displaced++
      expected = (expected + 1) & 0xff
    }
  }
})

const echo = Effect.fnUntraced(function*(offer: SessionOffer) {
  const session = yield* offer.bytes
  while (true) yield* session.write(yield* session.read)
})

/** Answers the first bytes with the time at which they came: a little-endian float64 of `nowMs`. */
const tellTime = Effect.fnUntraced(function*(offer: SessionOffer) {
  const session = yield* offer.bytes
  yield* session.read
  yield* session.write(new Uint8Array(Float64Array.of(nowMs()).buffer))
  yield* session.closed
})

/** Serves every session of the peer, until the peer is gone. */
export const serveSessions = Effect.fnUntraced(function*(peer: Peer, arrived: Arrived) {
  while (true) {
    const offer = yield* peer.accept
    if (offer.name === names.unread) {
      // No fiber: what an idle session costs is measured with these.
      yield* Effect.ignore(offer.bytes)
      continue
    }
    const served = {
      [names.bytes]: countBytes(offer, arrived),
      [names.values]: countValues(offer, arrived),
      [names.echo]: echo(offer),
      [names.first]: tellTime(offer)
    }[offer.name]
    // A session that breaks off, or has another name, is no reason to stop.
    if (served !== undefined) yield* Effect.forkScoped(Effect.ignore(Effect.scoped(served)), { startImmediately: true })
  }
})
