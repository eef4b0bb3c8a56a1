/** What tests of the relay client share: its layer over scripted relays, and a record of everything a connection reports. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import * as RelayClientLive from "../../src/layers/RelayClientLive.ts"
import type { Crypto } from "../../src/protocol/crypto/Crypto.ts"
import type { RelayLink, RelayLinkEvents } from "../../src/protocol/relay/RelayLink.ts"
import type { PublicKey } from "../../src/schema/Bytes.ts"
import { Identity } from "../../src/services/Identity.ts"
import { RelayClient, type RelayState } from "../../src/services/RelayClient.ts"
import type { RelayError } from "../../src/services/RelayError.ts"
import { ToxCrypto } from "../../src/services/ToxCrypto.ts"
import * as EntropySeeded from "../../src/testing/EntropySeeded.ts"
import { hex, keyPairFrom, plainCrypto } from "./plainCrypto.ts"
import { relayKeys, type ScriptedRelay, ScriptedRelays } from "./ScriptedRelays.ts"

export const keys = keyPairFrom(0x21)
export const address = { host: "relay.test", port: 33_445, publicKey: relayKeys.publicKey }
export const key = (n: number) => new Uint8Array(32).fill(n) as PublicKey
export const bytes = (...parts: Array<number | Uint8Array>) =>
  Uint8Array.from(parts.flatMap((part) => typeof part === "number" ? [part] : [...part]))

const layerWith = (crypto: Crypto) =>
  RelayClientLive.layer.pipe(
    Layer.provide(Layer.succeed(ToxCrypto, ToxCrypto.of(crypto))),
    Layer.provide(Layer.succeed(Identity, { identity: keyPairFrom(0x61), dht: keys })),
    Layer.provide(EntropySeeded.layer(5)),
    Layer.provideMerge(ScriptedRelays.layer)
  )
export const provide = Effect.provide(layerWith(plainCrypto))
/** With other cryptography, such as one that is watched. */
export const provideWith = (crypto: Crypto) => Effect.provide(layerWith(crypto))
export const settle = TestClock.adjust(0)

/** Records everything that a connection reports. */
export const recorder = () => {
  const log: Array<string> = []
  const links: Array<RelayLink> = []
  const events: RelayLinkEvents = {
    onConfirmed: (link) => {
      links.push(link)
      log.push("confirmed")
    },
    onRouteResponse: (_, id, peer) => log.push(`response ${id} ${peer[0]}`),
    onPeerOnline: (_, id) => log.push(`online ${id}`),
    onPeerOffline: (_, id) => log.push(`offline ${id}`),
    onData: (_, id, data) => log.push(`data ${id} ${hex(data)}`),
    onOob: (_, sender, data) => log.push(`oob ${sender[0]} ${hex(data)}`),
    onOnion: (_, data) => log.push(`onion ${hex(data)}`),
    onForwarded: (_, data) => log.push(`forwarded ${hex(data)}`),
    onWritable: () => log.push("writable"),
    onBatchEnd: () => {},
    onLost: () => log.push("lost")
  }
  const states: Array<RelayState["_tag"]> = []
  return { log, links, events, states, onState: (state: RelayState) => void states.push(state._tag) }
}

/** Starts one connection; `end` is its error once there is one. */
export const start = Effect.fnUntraced(function*(relay = address) {
  const client = yield* RelayClient
  const script = yield* ScriptedRelays
  const record = recorder()
  const fiber = yield* Effect.forkChild(Effect.flip(client.run(relay, record.events, record.onState)))
  yield* settle
  const end = () => fiber.pollUnsafe()
  const reason = Effect.map(Fiber.join(fiber), (error: RelayError) => error.reason)
  return { ...record, script, fiber, end, reason, relay: script.relays[0]! }
})
export const pingsOf = (relay: ScriptedRelay) => relay.packets.filter((packet) => packet[0] === 4).length
