/**
 * A node of ours in a process of its own, from the transport up to net_crypto, driven over IPC. `open` makes a node with a fresh
 * identity; it may be called again after `close`, so that a warm process can be measured with fresh nodes.
 *
 *     node nodeProcess.ts native|wasm
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Result from "effect/Result"
import * as ConnectionRegistryLive from "../../src/layers/ConnectionRegistryLive.ts"
import * as EntropyLive from "../../src/layers/EntropyLive.ts"
import * as IdentityFresh from "../../src/layers/IdentityFresh.ts"
import * as NetCryptoBridgeLive from "../../src/layers/NetCryptoBridgeLive.ts"
import * as NetCryptoLive from "../../src/layers/NetCryptoLive.ts"
import * as RelayClientLive from "../../src/layers/RelayClientLive.ts"
import * as RelayTransportNode from "../../src/layers/RelayTransportNode.ts"
import { fromHex, PublicKey, toHex } from "../../src/schema/Bytes.ts"
import { formatRelayAddress, parseRelayAddress } from "../../src/schema/RelayAddress.ts"
import { ConnectionRegistry } from "../../src/services/ConnectionRegistry.ts"
import { Identity } from "../../src/services/Identity.ts"
import { NetCrypto, type NetCryptoConnection } from "../../src/services/NetCrypto.ts"
import { nowMs, serve, usage } from "./childSide.ts"
import { cryptoLayer } from "./cryptoLayer.ts"
import * as Traffic from "./traffic.ts"

/** A peer's two public keys, in hexadecimal. */
export interface Keys {
  readonly identityKey: string
  readonly dhtKey: string
}

const platform = Layer.mergeAll(EntropyLive.layer, cryptoLayer(process.argv[2]), RelayTransportNode.layer)
const node = NetCryptoLive.layer.pipe(
  Layer.provideMerge(NetCryptoBridgeLive.layer),
  Layer.provideMerge(ConnectionRegistryLive.layer),
  Layer.provideMerge(RelayClientLive.layer),
  Layer.provideMerge(IdentityFresh.layer),
  Layer.provideMerge(platform)
)
const makeRuntime = () => ManagedRuntime.make(node)

let runtime = makeRuntime()
let accepted: Promise<NetCryptoConnection> | undefined
let connection: NetCryptoConnection | undefined
let sink: Traffic.Sink | undefined

const relay = (text: string) => Result.getOrThrow(parseRelayAddress(text))
const key = (hex: string) => PublicKey.make(fromHex(hex) ?? new Uint8Array(0))
const current = (): NetCryptoConnection => {
  if (connection === undefined) throw new Error("there is no connection")
  return connection
}

const hold = (relays: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const registry = yield* ConnectionRegistry
    for (const address of relays) yield* registry.addRelay(relay(address))
  })

/** Makes the node, connects it to the relays, accepts everybody; succeeds once every relay is confirmed. */
const listen = Effect.fnUntraced(function*(relays: ReadonlyArray<string>) {
  const registry = yield* ConnectionRegistry
  const netCrypto = yield* NetCrypto
  yield* netCrypto.setAcceptPolicy(() => true)
  yield* hold(relays)
  const allConfirmed = Effect.map(
    registry.relays,
    (statuses) => statuses.every(({ state }) => state._tag === "Confirmed") && statuses.length === relays.length
  )
  yield* Effect.repeat(Effect.delay(allConfirmed, "1 millis"), { until: (done) => done })
  const { identity, dht } = yield* Identity
  return { identityKey: toHex(identity.publicKey), dhtKey: toHex(dht.publicKey) } satisfies Keys
})

const accept = () => runtime.runPromise(Effect.flatMap(NetCrypto, (netCrypto) => netCrypto.accept))

serve({
  listen: async (relays: ReadonlyArray<string>) => {
    const keys = await runtime.runPromise(listen(relays))
    accepted = accept()
    return keys
  },
  /** Milliseconds from nothing to an established connection. */
  connect: async ({ peer, relays }: { readonly peer: Keys; readonly relays: ReadonlyArray<string> }) => {
    const started = nowMs()
    connection = await runtime.runPromise(
      Effect.gen(function*() {
        yield* hold(relays)
        const netCrypto = yield* NetCrypto
        return yield* netCrypto.connect({
          identityKey: key(peer.identityKey),
          dhtKey: key(peer.dhtKey),
          relays: relays.map(relay)
        })
      })
    )
    return nowMs() - started
  },
  accepted: async () => {
    connection = await accepted
  },
  /** Waits for another connection, after the first has ended. */
  acceptAgain: async () => {
    connection = await accept()
  },
  flood: (size: number) => Traffic.flood(current(), size),
  floodMessages: (size: number) => Traffic.floodMessages(current(), size),
  paced: (input: Parameters<typeof Traffic.paced>[1]) => Traffic.paced(current(), input),
  sink: () => {
    sink = Traffic.sink(current())
  },
  echo: () => Traffic.echo(current()),
  ping: (input: Parameters<typeof Traffic.ping>[1]) => Traffic.ping(current(), input),
  mark: () => ({ ...usage(), ...sink?.seen() }),
  gaps: () => sink?.gaps() ?? [],
  /** Bytes that went out through each relay so far. */
  sentThrough: async () => {
    const statuses = await runtime.runPromise(Effect.flatMap(ConnectionRegistry, (registry) => registry.relays))
    return statuses.map(({ relay, sentBytes }) => ({ relay: formatRelayAddress(relay), sentBytes }))
  },
  stats: () => current().stats(),
  close: async () => {
    await runtime.dispose()
    runtime = makeRuntime()
    connection = undefined
    sink = undefined
  }
})
