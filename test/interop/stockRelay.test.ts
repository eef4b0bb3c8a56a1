/**
 * Our relay client and connection registry against a stock tox-bootstrapd, with c-toxcore's own TCP_Connections at the other end:
 * handshake, pings, routing, data and out-of-band packets, without net_crypto above them.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as ConnectionRegistryLive from "../../src/layers/ConnectionRegistryLive.ts"
import * as EntropyLive from "../../src/layers/EntropyLive.ts"
import * as IdentityFresh from "../../src/layers/IdentityFresh.ts"
import * as RelayClientLive from "../../src/layers/RelayClientLive.ts"
import * as RelayTransportNode from "../../src/layers/RelayTransportNode.ts"
import * as ToxCryptoAuto from "../../src/layers/ToxCryptoAuto.ts"
import type { RelayLink, RelayLinkEvents } from "../../src/protocol/relay/RelayLink.ts"
import { fromHex, PublicKey, toHex } from "../../src/schema/Bytes.ts"
import { parseRelayAddress } from "../../src/schema/RelayAddress.ts"
import { ConnectionRegistry } from "../../src/services/ConnectionRegistry.ts"
import { Identity } from "../../src/services/Identity.ts"
import { RelayClient } from "../../src/services/RelayClient.ts"
import * as Reference from "./referencePrograms.ts"

const node = ConnectionRegistryLive.layer.pipe(
  Layer.provideMerge(RelayClientLive.layer),
  Layer.provideMerge(IdentityFresh.layer),
  Layer.provideMerge(Layer.mergeAll(EntropyLive.layer, ToxCryptoAuto.layer, RelayTransportNode.layer))
)

const relayAddress = (text: string) => Result.getOrThrow(parseRelayAddress(text))
const key = (text: unknown) => PublicKey.make(fromHex(String(text)) ?? new Uint8Array(0))
const frame = (...payload: ReadonlyArray<number>) => Uint8Array.of(0, ...payload)
/** Polls until `done`, for twenty seconds at most. */
const until = (what: string, done: () => boolean) =>
  Effect.sync(done).pipe(
    Effect.repeat({ until: (isDone) => isDone, schedule: Schedule.spaced("5 millis") }),
    Effect.timeoutOrElse({ duration: "20 seconds", orElse: () => Effect.die(new Error(`not within 20 s: ${what}`)) })
  )

/** Everything a relay link reports, as text, oldest first; `next` passes over what does not begin with the given word. */
const recorder = Effect.gen(function*() {
  const reports = yield* Queue.unbounded<string>()
  let link: RelayLink | undefined
  const tell = (text: string) => void Queue.offerUnsafe(reports, text)
  const events: RelayLinkEvents = {
    onConfirmed: (confirmed) => {
      link = confirmed
      tell("confirmed")
    },
    onRouteResponse: (_, id, peer) => tell(`route ${id} ${toHex(peer)}`),
    onPeerOnline: (_, id) => tell(`online ${id}`),
    onPeerOffline: (_, id) => tell(`offline ${id}`),
    onData: (_, id, bytes) => tell(`data ${id} ${toHex(bytes)}`),
    onOob: (_, sender, bytes) => tell(`oob ${toHex(sender)} ${toHex(bytes)}`),
    onOnion: () => undefined,
    onForwarded: () => undefined,
    onWritable: () => undefined,
    onBatchEnd: () => undefined,
    onLost: () => tell("lost")
  }
  const next = (word: string) =>
    Queue.take(reports).pipe(
      Effect.repeat({ until: (report) => report.startsWith(word) }),
      Effect.timeoutOrElse({ duration: "20 seconds", orElse: () => Effect.die(new Error(`no report ${word}`)) })
    )
  const current = (): RelayLink => {
    if (link === undefined) throw new Error("there is no link yet")
    return link
  }
  return { events, next, current }
})

describe("our relay client and tox-bootstrapd", () => {
  it.live("C09: handshake, ping, routing, data both ways, and the peer's leave", () =>
    Effect.gen(function*() {
      const { address } = yield* Reference.relay(21_601)
      const { dht } = yield* Identity
      const client = yield* RelayClient
      const { current, events, next } = yield* recorder
      yield* Effect.forkScoped(client.run(relayAddress(address), events, () => undefined))
      yield* next("confirmed")
      assert.isFalse(current().isCauseway)

      // What confirmed the connection was its answer to a ping.
      assert.isDefined(current().roundTrip())

      const log = ["log", "--relay", address, "--peer", toHex(dht.publicKey), "--control"]
      const them = yield* Reference.peer("ctoxtcp", log)
      const peer = key((yield* them.next("ready"))["pk"])
      current().requestRoute(peer)
      const [, id = ""] = (yield* next("route")).split(" ")
      assert.isAtLeast(Number(id), 16)
      assert.strictEqual(yield* next("online"), `online ${id}`)

      assert.isTrue(current().sendData(Number(id), frame(160, 1, 2, 3), 5, false))
      assert.deepInclude(yield* them.next("data"), { hex: "A0010203" })
      them.control("data a0ff")
      assert.strictEqual(yield* next("data"), `data ${id} A0FF`)
      them.control("drop")
      assert.strictEqual(yield* next("offline"), `offline ${id}`)
    }).pipe(Effect.scoped, Effect.provide(node)))

  it.live("C09: a wrong relay key fails the handshake, a relay that dies is reported lost", () =>
    Effect.gen(function*() {
      const relay = yield* Reference.relay(21_602)
      const client = yield* RelayClient
      const { events, next } = yield* recorder
      const { dht } = yield* Identity
      const wrong = { ...relayAddress(relay.address), publicKey: dht.publicKey }
      const refused = yield* Effect.flip(Effect.timeout(client.run(wrong, events, () => undefined), "12 seconds"))
      assert.deepInclude(refused, { _tag: "RelayError", wasConfirmed: false })

      const running = yield* Effect.forkScoped(
        Effect.flip(client.run(relayAddress(relay.address), events, () => undefined))
      )
      yield* next("confirmed")
      yield* relay.kill
      yield* next("lost")
      assert.deepInclude(yield* Fiber.join(running), { _tag: "RelayError", wasConfirmed: true })
    }).pipe(Effect.scoped, Effect.provide(node)))

  it.live("T38, T37: a tied peer gets packets out of band until it is online, and as data from then on", () =>
    Effect.gen(function*() {
      const { address } = yield* Reference.relay(21_603)
      const { dht } = yield* Identity
      const registry = yield* ConnectionRegistry
      const them = yield* Reference.peer("ctoxtcp", ["log", "--relay", address, "--control"])
      const peer = key((yield* them.next("ready"))["pk"])
      yield* them.next("relays")
      yield* registry.addRelay(relayAddress(address))
      const path = registry.openPeer(peer, {
        onPacket: () => undefined,
        onCarrierChange: () => undefined,
        onWritable: () => undefined
      })
      path.tie(relayAddress(address))
      yield* registry.awaitRelay
      yield* until("the first packet is taken", () => path.send(frame(160, 1), 3, true) === "sent")
      assert.strictEqual(path.carrier(), 0)
      assert.deepInclude(yield* them.next("oob"), { from: toHex(dht.publicKey), hex: "A001" })

      them.control(`connect ${toHex(dht.publicKey)}`)
      yield* until("the peer is online", () => path.carrier() !== 0)
      assert.strictEqual(path.send(frame(160, 2), 3, false), "sent")
      assert.deepInclude(yield* them.next("data"), { hex: "A002" })
    }).pipe(Effect.scoped, Effect.provide(node)))
})
