/**
 * A whole node of ours in a process of its own, up to sessions, driven over IPC. One node, one peer, any number of sessions.
 *
 *     node sessionProcess.ts native|wasm
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as CausewayLive from "../../src/layers/CausewayLive.ts"
import * as ConnectionRegistryLive from "../../src/layers/ConnectionRegistryLive.ts"
import * as EntropyLive from "../../src/layers/EntropyLive.ts"
import * as IdentityFresh from "../../src/layers/IdentityFresh.ts"
import * as NetCryptoBridgeLive from "../../src/layers/NetCryptoBridgeLive.ts"
import * as NetCryptoLive from "../../src/layers/NetCryptoLive.ts"
import * as RelayClientLive from "../../src/layers/RelayClientLive.ts"
import * as RelayTransportNode from "../../src/layers/RelayTransportNode.ts"
import { fromHex, PublicKey, toHex } from "../../src/schema/Bytes.ts"
import { parseRelayAddress } from "../../src/schema/RelayAddress.ts"
import * as Value from "../../src/schema/SessionValue.ts"
import { Causeway, type Peer } from "../../src/services/Causeway.ts"
import { ConnectionRegistry } from "../../src/services/ConnectionRegistry.ts"
import { Identity } from "../../src/services/Identity.ts"
import { SessionSettings } from "../../src/services/SessionSettings.ts"
import { nowMs, serve, usage } from "./childSide.ts"
import { cryptoLayer } from "./cryptoLayer.ts"
import type { Keys } from "./nodeProcess.ts"

const platform = Layer.mergeAll(EntropyLive.layer, cryptoLayer(process.argv[2]), RelayTransportNode.layer)
const node = CausewayLive.layer.pipe(
  Layer.provideMerge(NetCryptoLive.layer),
  Layer.provideMerge(NetCryptoBridgeLive.layer),
  Layer.provideMerge(ConnectionRegistryLive.layer),
  Layer.provideMerge(RelayClientLive.layer),
  Layer.provideMerge(IdentityFresh.layer),
  Layer.provideMerge(platform),
  Layer.provide(Layer.effect(
    SessionSettings,
    Effect.map(SessionSettings, (numbers) => ({
      ...numbers,
      maxIncomingSessions: 20_000
    }))
  ))
)
const runtime = ManagedRuntime.make(node)
const scope = Scope.makeUnsafe()
const run = <A, E>(effect: Effect.Effect<A, E, ManagedRuntime.ManagedRuntime.Services<typeof runtime> | Scope.Scope>) =>
  runtime.runPromise(Scope.provide(effect, scope))

const relay = (text: string) => Result.getOrThrow(parseRelayAddress(text))
const key = (hex: string) => PublicKey.make(fromHex(hex) ?? new Uint8Array(0))

let accepted: Promise<Peer> | undefined
let peer: Peer | undefined
const current = (): Peer => {
  if (peer === undefined) throw new Error("there is no peer")
  return peer
}

/** What has arrived. */
let bytes = 0
let displaced = 0

const hold = (relays: ReadonlyArray<string>) =>
  Effect.flatMap(
    ConnectionRegistry,
    (registry) => Effect.forEach(relays.map(relay), registry.addRelay, { discard: true })
  )

const listen = (relays: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const registry = yield* ConnectionRegistry
    const causeway = yield* Causeway
    yield* causeway.setAcceptPolicy(() => true)
    yield* hold(relays)
    yield* registry.awaitRelay
    const { dht, identity } = yield* Identity
    return { identityKey: toHex(identity.publicKey), dhtKey: toHex(dht.publicKey) } satisfies Keys
  })

/** Serves sessions by name: `bytes` and `values` count what arrives, `echo` sends it back. */
const serveSessions = Effect.gen(function*() {
  const peer = current()
  while (true) {
    const offer = yield* peer.accept
    const served = Effect.gen(function*() {
      if (offer.name === "values") {
        const session = yield* offer.values()
        let expected = 0
        while (true) {
          for (const value of yield* session.receive) {
            if (value._tag !== "Bytes") continue
            bytes += value.bytes.length
            if (value.bytes[0] !== expected) displaced++
            expected = (expected + 1) & 0xff
          }
        }
      }
      const session = yield* offer.bytes
      while (true) {
        for (const chunk of yield* session.read) {
          bytes += chunk.length
          if (offer.name === "echo") yield* session.write(chunk)
        }
      }
    })
    yield* Effect.forkScoped(Effect.ignore(Effect.scoped(served)), { startImmediately: true })
  }
})

serve({
  listen: async (relays: ReadonlyArray<string>) => {
    const keys = await run(listen(relays))
    accepted = run(Effect.flatMap(Causeway, (causeway) => causeway.accept))
    return keys
  },
  connect: async ({ peer: keys, relays }: { readonly peer: Keys; readonly relays: ReadonlyArray<string> }) => {
    await run(hold(relays))
    peer = await run(Effect.flatMap(Causeway, (causeway) =>
      causeway.connect({
        identityKey: key(keys.identityKey),
        dhtKey: key(keys.dhtKey),
        relays: relays.map(relay)
      })))
  },
  accepted: async () => {
    peer = await accepted
    void run(Effect.ignore(serveSessions))
  },
  /** Sends for ever: writes of `size` bytes, or values of that size. */
  flood: async ({ kind, size }: { readonly kind: "bytes" | "values"; readonly size: number }) => {
    if (kind === "bytes") {
      const session = await run(current().openBytes("bytes"))
      const chunk = new Uint8Array(size).fill(7)
      void run(Effect.ignore(Effect.forever(session.write(chunk))))
      return
    }
    const session = await run(current().openValues("values"))
    const values = Array.from({ length: 256 }, (_, i) => {
      const bytes = new Uint8Array(size).fill(7)
      bytes[0] = i
      return Value.Bytes.make({ bytes })
    })
    void run(Effect.ignore(Effect.forever(session.sendAll(values))))
  },
  /** Milliseconds from opening a session to the first byte back. */
  firstBytes: (count: number) =>
    run(Effect.gen(function*() {
      const times: Array<number> = []
      for (let i = 0; i < count; i++) {
        const begun = nowMs()
        yield* Effect.scoped(Effect.gen(function*() {
          const session = yield* current().openBytes("echo")
          yield* session.write(Uint8Array.of(1))
          yield* session.read
          times.push(nowMs() - begun)
        }))
      }
      return times
    })),
  pings: (count: number) =>
    run(Effect.gen(function*() {
      const times: Array<number> = []
      for (let i = 0; i < count; i++) times.push(yield* current().ping)
      return times
    })),
  /** Opens sessions that stay idle. Bytes of heap for each, at this end. */
  idle: (count: number) =>
    run(Effect.gen(function*() {
      globalThis.gc?.()
      const before = process.memoryUsage().heapUsed
      const sessions = yield* Effect.forEach(Array.from({ length: count }, (_, i) => i), () =>
        current().openBytes("idle"), {
        concurrency: 256
      })
      yield* Effect.sleep("300 millis")
      globalThis.gc?.()
      return { each: (process.memoryUsage().heapUsed - before) / sessions.length, count: sessions.length }
    })),
  mark: () => ({ ...usage(), bytes, displaced, longestGap: 0, packets: 0, counts: current().counts() })
})
