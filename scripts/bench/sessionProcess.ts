/**
 * A whole node of ours in a process of its own, up to sessions, driven over IPC. One node, one peer, any number of sessions.
 *
 *     node sessionProcess.ts native|wasm
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as V8 from "node:v8"
import { runInNewContext } from "node:vm"
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
import type { ByteSession } from "../../src/services/Session.ts"
import { SessionSettings } from "../../src/services/SessionSettings.ts"
import { nowMs, serve, usage } from "./childSide.ts"
import { cryptoLayer } from "./cryptoLayer.ts"
import type { Keys } from "./nodeProcess.ts"
import { type Arrived, names, serveSessions } from "./sessionServer.ts"

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

const arrived: Arrived = { bytes: 0, displaced: 0 }

V8.setFlagsFromString("--expose-gc")
const collectGarbage = runInNewContext("gc") as () => void

/** Bytes of the heap and of buffers outside it, after everything that nobody holds has gone. */
const memory = (): number => {
  collectGarbage()
  collectGarbage()
  const { arrayBuffers, heapUsed } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

/** What a flood consists of: writes of `size` bytes, or values of that size. */
export interface SessionTraffic {
  readonly kind: "bytes" | "values"
  readonly size: number
}

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

/** Opens one session after the other and sends a byte. Milliseconds: until it was at the peer, and until the peer's answer. */
const firstByte = Effect.gen(function*() {
  const begun = nowMs()
  const session = yield* current().openBytes(names.first, { acceptance: "assumed" })
  yield* session.write(Uint8Array.of(1))
  const [answer] = yield* session.read
  const echoed = nowMs()
  const there = new DataView(answer.buffer, answer.byteOffset).getFloat64(0, true)
  return { there: there - begun, echoed: echoed - begun }
})

export type FirstByte = Effect.Success<typeof firstByte>

/** Opens sessions that stay idle. Bytes of memory for each, at this end. */
const openIdle = Effect.fnUntraced(function*(count: number) {
  const before = memory()
  yield* Effect.forEach(Array.from({ length: count }), () => current().openBytes(names.unread), { concurrency: 256 })
  yield* Effect.sleep("500 millis")
  return (memory() - before) / count
})

const echoSessions: Array<ByteSession> = []

/** Milliseconds of `rounds` round trips of 64 bytes in each of `sessions` sessions, all at once. */
const echoes = Effect.fnUntraced(function*(input: { readonly sessions: number; readonly rounds: number }) {
  while (echoSessions.length < input.sessions) echoSessions.push(yield* current().openBytes(names.echo))
  const message = new Uint8Array(64).fill(7)
  const times: Array<number> = []
  const one = Effect.fnUntraced(function*(session: ByteSession) {
    for (let i = 0; i < input.rounds; i++) {
      const sent = nowMs()
      yield* session.write(message)
      for (let left = message.length; left > 0;) for (const chunk of yield* session.read) left -= chunk.length
      times.push(nowMs() - sent)
    }
  })
  yield* Effect.forEach(echoSessions, one, { concurrency: "unbounded", discard: true })
  return times
})

let unread: ByteSession | undefined

/** Writes into a session that nobody reads until a write has waited for `patience` milliseconds. Bytes that were taken. */
const stall = Effect.fnUntraced(function*(patience: number) {
  const session = yield* current().openBytes(names.unread)
  unread = session
  const chunk = new Uint8Array(16 * 1024)
  while (Option.isSome(yield* Effect.timeoutOption(session.write(chunk), patience)));
  return session.stats().bytesOut
})

serve({
  listen: async (relays: ReadonlyArray<string>) => {
    const keys = await run(listen(relays))
    accepted = run(Effect.flatMap(Causeway, (causeway) => causeway.accept))
    return keys
  },
  connect: async ({ peer: keys, relays }: { readonly peer: Keys; readonly relays: ReadonlyArray<string> }) => {
    const begun = nowMs()
    await run(hold(relays))
    peer = await run(Effect.flatMap(Causeway, (causeway) =>
      causeway.connect({
        identityKey: key(keys.identityKey),
        dhtKey: key(keys.dhtKey),
        relays: relays.map(relay)
      })))
    return nowMs() - begun
  },
  accepted: async () => {
    peer = await accepted
    void run(Effect.ignore(serveSessions(current(), arrived)))
  },
  /** Sends for ever: writes of `size` bytes, or values of that size. */
  flood: async ({ kind, size }: SessionTraffic) => {
    if (kind === "bytes") {
      const session = await run(current().openBytes(names.bytes))
      const chunk = new Uint8Array(size).fill(7)
      void run(Effect.ignore(Effect.forever(session.write(chunk))))
      return
    }
    const session = await run(current().openValues(names.values))
    const values = Array.from({ length: 256 }, (_, i) => {
      const bytes = new Uint8Array(size).fill(7)
      bytes[0] = i
      return Value.Bytes.make({ bytes })
    })
    void run(Effect.ignore(Effect.forever(session.sendAll(values))))
  },
  firstBytes: (count: number) => run(Effect.replicateEffect(Effect.scoped(firstByte), count)),
  pings: (count: number) => run(Effect.replicateEffect(Effect.suspend(() => current().ping), count)),
  echoes: (input: Parameters<typeof echoes>[0]) => run(echoes(input)),
  stall: (patience: number) => run(stall(patience)),
  release: () => run(unread?.reset(0, "") ?? Effect.void),
  idle: (count: number) => run(openIdle(count)),
  memory,
  mark: () => ({ ...usage(), ...arrived, longestGap: 0, packets: 0 }),
  counts: () => current().counts()
})
