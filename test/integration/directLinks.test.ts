/** Direct links over real sockets and TLS. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as DirectTransportNode from "../../src/layers/DirectTransportNode.ts"
import type { DirectLink } from "../../src/services/DirectLinks.ts"
import type { DirectStream } from "../../src/services/DirectTransport.ts"
import {
  attemptOf,
  begin,
  helloOf,
  inNetwork,
  pair,
  secretOf,
  sharedKeys,
  tagsOf,
  watch
} from "../utils/directNodes.ts"
import * as FaultProxy from "../utils/FaultProxy.ts"

const real = { machine: "127.0.0.1", transport: DirectTransportNode.layer }
const realPair = (parallelism: number) => {
  const node = { ...real, numbers: { parallelism, lowerDialDelay: 0 } }
  return pair({ greater: node, lower: node })
}

const eventually = (condition: () => boolean) =>
  Effect.gen(function*() {
    for (let tried = 0; tried < 500 && !condition(); tried++) yield* Effect.sleep(5)
    assert.isTrue(condition())
  })

/** Waits for exactly these bytes, the first of a stream. */
const receive = (stream: DirectStream) => {
  const seen = watch(stream)
  return (expected: ReadonlyArray<number>) =>
    Effect.andThen(
      eventually(() => seen.bytes.length >= expected.length),
      Effect.sync(() => assert.deepStrictEqual(seen.bytes, [...expected]))
    )
}

const assertJoined = Effect.fnUntraced(function*(greater: DirectLink, lower: DirectLink) {
  for (const [index, stream] of greater.streams.entries()) {
    assert.match(stream.keyExchange, /X25519|P-256|ECDH/)
    const [atGreater, atLower] = [receive(stream), receive(lower.streams[index]!)]
    lower.streams[index]!.write([Uint8Array.of(index)])
    yield* atLower([0xb0 + index])
    yield* atGreater([index])
  }
})

describe("direct links over TLS", () => {
  it.live("I08: 64 streams on a path of 40 ms, from one address", () =>
    inNetwork(Effect.gen(function*() {
      const { greater, lower } = yield* realPair(64)
      const path = yield* FaultProxy.make({ target: lower.endpoint })
      path.set("both", { delay: 20 })
      const accepting = yield* lower.links.accept(greater.key).pipe(Effect.forkScoped({ startImmediately: true }))
      const dialled = yield* greater.links.dial(lower.key, [{ host: path.host, port: path.port }])
      begin(dialled)
      yield* assertJoined(dialled, yield* Fiber.join(accepting))
      assert.strictEqual(dialled.streams.length, 64)
    })), 30_000)

  it.live("I17 I18 I23: a group's link of four streams; a stranger and a wrong key get nothing", () =>
    inNetwork(Effect.gen(function*() {
      const { greater, lower } = yield* realPair(4)
      const accepting = yield* lower.links.accept(greater.key).pipe(Effect.forkScoped({ startImmediately: true }))
      const stranger = { pskIdentity: "A".repeat(43), psk: new Uint8Array(32) }
      assert.strictEqual((yield* Effect.flip(greater.transport.connect(lower.endpoint, stranger))).kind, "Denied")
      const secret = secretOf(yield* sharedKeys(greater, lower), attemptOf(1), greater.key)
      const wrong = { ...secret, psk: new Uint8Array(32) }
      assert.strictEqual((yield* Effect.flip(greater.transport.connect(lower.endpoint, wrong))).kind, "Denied")
      yield* eventually(() => tagsOf(lower).length === 2)
      assert.deepStrictEqual(tagsOf(lower), ["Unexpected", "HandshakeFailed"])
      const dialled = yield* greater.links.dial(lower.key, [lower.endpoint])
      begin(dialled)
      const accepted = yield* Fiber.join(accepting)
      assert.deepStrictEqual([dialled.streams.length, accepted.streams.length], [4, 4])
      yield* assertJoined(dialled, accepted)
    })))

  it.live("M14: right key with wrong proof: a hello with another identity is closed", () =>
    inNetwork(Effect.gen(function*() {
      const { greater, lower } = yield* realPair(1)
      yield* lower.links.expect({ identityKey: greater.key, attempt: attemptOf(1), announcedBy: "peer" })
      const secret = secretOf(yield* sharedKeys(greater, lower), attemptOf(1), greater.key)
      const stream = yield* greater.transport.connect(lower.endpoint, secret)
      const seen = watch(stream)
      stream.write([helloOf(lower, attemptOf(1))])
      yield* eventually(() => seen.closed !== undefined)
      assert.deepStrictEqual([tagsOf(lower), seen.bytes], [["HandshakeFailed"], []])
    })))

  it.live(
    "M15: both dial at once, many times: one connection a stream survives, the same on both sides",
    () =>
      inNetwork(Effect.gen(function*() {
        const { greater, lower } = yield* realPair(2)
        for (let round = 0; round < 20; round++) {
          yield* Effect.scoped(Effect.gen(function*() {
            const attempt = attemptOf(round)
            yield* greater.links.expect({ identityKey: lower.key, attempt, announcedBy: "us" })
            yield* lower.links.expect({ identityKey: greater.key, attempt, announcedBy: "peer" })
            const meetings = {
              greater: greater.links.meet({
                identityKey: lower.key,
                attempt,
                endpoints: [lower.endpoint],
                announcedBy: "us"
              }).pipe(Effect.tap((link) => Effect.sync(() => begin(link)))),
              lower: lower.links.meet({
                identityKey: greater.key,
                attempt,
                endpoints: [greater.endpoint],
                announcedBy: "peer"
              })
            }
            const links = yield* Effect.all(meetings, { concurrency: "unbounded" })
            assert.deepStrictEqual(links.greater.streams.length, 2)
            yield* assertJoined(links.greater, links.lower)
          }))
        }
      })),
    30_000
  )
})
