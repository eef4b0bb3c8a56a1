/** Two relay clients that are linked on one relay, over real TCP. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as EntropyLive from "../../src/layers/EntropyLive.ts"
import * as IdentityFresh from "../../src/layers/IdentityFresh.ts"
import * as RelayClientLive from "../../src/layers/RelayClientLive.ts"
import * as RelayTransportNode from "../../src/layers/RelayTransportNode.ts"
import * as ToxCryptoAuto from "../../src/layers/ToxCryptoAuto.ts"
import type { RelayLink, RelayLinkEvents } from "../../src/protocol/relay/RelayLink.ts"
import type { PublicKey } from "../../src/schema/Bytes.ts"
import type { RelayAddress } from "../../src/schema/RelayAddress.ts"
import { Identity } from "../../src/services/Identity.ts"
import { RelayClient } from "../../src/services/RelayClient.ts"
import type { RelayError } from "../../src/services/RelayError.ts"

/** One client on one relay. `online` and `lost` complete when that happens; `id` is its connection id for the other. */
export interface Endpoint {
  readonly key: PublicKey
  readonly link: RelayLink
  readonly online: Deferred.Deferred<void>
  readonly lost: Deferred.Deferred<RelayError>
  id: number
  /** Data packets and their bytes, without the connection id. */
  packets: number
  bytes: number
  onData: (data: Uint8Array) => void
  onWritable: () => void
}

const clientLayer = RelayClientLive.layer.pipe(
  Layer.provideMerge(IdentityFresh.layer),
  Layer.provide([RelayTransportNode.layer, EntropyLive.layer, ToxCryptoAuto.layer]),
  Layer.provide([EntropyLive.layer, ToxCryptoAuto.layer])
)

const connect = Effect.fnUntraced(function*(relay: RelayAddress) {
  const context = yield* Layer.build(Layer.fresh(clientLayer))
  return yield* Effect.gen(function*() {
    const client = yield* RelayClient
    const { dht } = yield* Identity
    const confirmed = yield* Deferred.make<RelayLink>()
    const online = yield* Deferred.make<void>()
    const lost = yield* Deferred.make<RelayError>()
    const state: Omit<Endpoint, "key" | "link" | "online" | "lost"> = {
      id: 0,
      packets: 0,
      bytes: 0,
      onData: () => {},
      onWritable: () => {}
    }
    const events: RelayLinkEvents = {
      onConfirmed: (link) => Deferred.doneUnsafe(confirmed, Effect.succeed(link)),
      onRouteResponse: (_, id) => void (endpoint.id = id),
      onPeerOnline: () => Deferred.doneUnsafe(online, Effect.void),
      onPeerOffline: () => {},
      onData: (_, __, data) => {
        endpoint.packets++
        endpoint.bytes += data.length
        endpoint.onData(data)
      },
      onOob: () => {},
      onOnion: () => {},
      onForwarded: () => {},
      onWritable: () => endpoint.onWritable(),
      onBatchEnd: () => {},
      onLost: () => {}
    }
    const running = client.run(relay, events, () => {}).pipe(
      Effect.catch((error) => Effect.sync(() => Deferred.doneUnsafe(lost, Effect.succeed(error))))
    )
    yield* Effect.forkScoped(running)
    const link = yield* Deferred.await(confirmed)
    const endpoint: Endpoint = Object.assign(state, { key: dht.publicKey, link, online, lost })
    return endpoint
  }).pipe(Effect.provideContext(context))
})

/** Connects two clients and links them. */
export const relayPair = Effect.fnUntraced(function*(relay: RelayAddress) {
  const a = yield* connect(relay)
  const b = yield* connect(relay)
  a.link.requestRoute(b.key)
  b.link.requestRoute(a.key)
  yield* Deferred.await(a.online)
  yield* Deferred.await(b.online)
  return { a, b }
})

/** Sends `count` bulk packets of the largest net_crypto size as fast as the link takes them. */
export const flood = (from: Endpoint, count: number) =>
  Effect.callback<void>((resume) => {
    const frame = new Uint8Array(1401)
    let sent = 0
    const go = () => {
      while (sent < count && from.link.sendData(from.id, frame, frame.length, false)) sent++
      if (sent === count) resume(Effect.void)
    }
    from.onWritable = go
    go()
  })

/** The time from one urgent packet to its echo, milliseconds; the other side must echo one-byte packets. */
export const echo = Effect.fnUntraced(function*(from: Endpoint, to: Endpoint, now: () => number) {
  const back = yield* Deferred.make<void>()
  to.onData = (data) => data.length === 1 && to.link.sendData(to.id, Uint8Array.of(0, data[0]!), 2, true)
  from.onData = (data) => data.length === 1 && Deferred.doneUnsafe(back, Effect.void)
  const start = now()
  from.link.sendData(from.id, Uint8Array.of(0, 7), 2, true)
  yield* Deferred.await(back)
  return now() - start
})
