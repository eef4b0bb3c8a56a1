/** Opening sessions without waiting for the peer. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { peerPair } from "../utils/sessionPair.ts"

const text = (value: string): Uint8Array => new TextEncoder().encode(value)
const joined = (chunks: ReadonlyArray<Uint8Array>): string => Buffer.concat(chunks).toString()

describe("a session whose acceptance is assumed", () => {
  it.effect("is there at once, and what is written is at the peer before it has accepted", () =>
    Effect.gen(function*() {
      const { a, b, network } = yield* peerPair({ auto: true })
      const session = yield* a.peer.openBytes("early", { acceptance: "assumed" })
      yield* session.write(text("first"))
      const offer = yield* b.peer.accept
      const link = network.live!
      const packets = link.b.sentPackets
      const accepting = yield* Effect.forkChild(session.accepted, { startImmediately: true })
      assert.isUndefined(accepting.pollUnsafe())
      const theirs = yield* offer.bytes
      // It had come with the Open: nothing was asked for it.
      assert.strictEqual(joined(yield* theirs.read), "first")
      assert.isAtMost(link.b.sentPackets - packets, 1)
      yield* Fiber.join(accepting)
    }))

  it.effect("sends 64 KiB at most until then, and the rest afterwards", () =>
    Effect.gen(function*() {
      const { a, b } = yield* peerPair({ auto: true })
      const session = yield* a.peer.openBytes("early", { acceptance: "assumed" })
      yield* session.write(new Uint8Array(200_000))
      yield* session.end
      const offer = yield* b.peer.accept
      const theirs = yield* offer.bytes
      let received = 0
      while (received < 200_000) for (const chunk of yield* theirs.read) received += chunk.length
      assert.strictEqual(received, 200_000)
    }))

  it.effect("fails its first read, and `accepted`, when the peer refuses", () =>
    Effect.gen(function*() {
      const { a, b } = yield* peerPair({ auto: true })
      const session = yield* a.peer.openBytes("early", { acceptance: "assumed" })
      const offer = yield* b.peer.accept
      yield* offer.refuse(7, "not here")
      for (const effect of [Effect.asVoid(session.read), session.accepted]) {
        const error = yield* Effect.flip(effect)
        assert.strictEqual(error._tag, "SessionError")
        if (error._tag === "SessionError") assert.deepInclude(error.reason, { _tag: "SessionRefused", code: 7 })
      }
    }))
})
