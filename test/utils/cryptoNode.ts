/** A net_crypto node on a `FakeWire`: its keys follow from two small numbers, its randomness from a seed. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as NetCryptoLive from "../../src/layers/NetCryptoLive.ts"
import { Entropy } from "../../src/services/Entropy.ts"
import { Identity } from "../../src/services/Identity.ts"
import { NetCrypto, type NetCryptoConnection, type PeerAddress } from "../../src/services/NetCrypto.ts"
import { NetCryptoBridge } from "../../src/services/NetCryptoBridge.ts"
import type { NetCryptoError } from "../../src/services/NetCryptoError.ts"
import { type NetCryptoNumbers, NetCryptoSettings } from "../../src/services/NetCryptoSettings.ts"
import { ToxCrypto } from "../../src/services/ToxCrypto.ts"
import * as EntropySeeded from "../../src/testing/EntropySeeded.ts"
import type { FakeWire } from "./FakeWire.ts"
import { keyPairFrom, plainCrypto } from "./plainCrypto.ts"

export interface NodeOptions extends Partial<NetCryptoNumbers> {
  readonly seed?: number
  /** Whether everybody may call. */
  readonly accepts?: boolean
}

/** A node whose identity and DHT secret keys are 32 consecutive values from these two. It stops with the current scope. */
export const node = Effect.fnUntraced(function*(wire: FakeWire, identity: number, dht: number, options?: NodeOptions) {
  const { accepts = true, seed = 1, ...numbers } = options ?? {}
  const keys = { identity: keyPairFrom(identity), dht: keyPairFrom(dht) }
  const scope = yield* Scope.fork(yield* Effect.scope)
  const at = wire.attach(keys.dht.publicKey)
  const context = yield* Layer.fresh(NetCryptoLive.layer).pipe(
    Layer.provide(Layer.succeed(Identity, keys)),
    Layer.provide(Layer.succeed(Entropy, EntropySeeded.make(seed * 65_536 + identity * 256 + dht))),
    Layer.provide(Layer.succeed(ToxCrypto, plainCrypto)),
    Layer.provide(Layer.succeed(NetCryptoBridge, at.bridge)),
    Layer.provide(Layer.succeed(NetCryptoSettings, { ...(yield* NetCryptoSettings), ...numbers })),
    Layer.buildWithScope(scope)
  )
  const netCrypto = Context.get(context, NetCrypto)
  yield* netCrypto.setAcceptPolicy(() => accepts)
  const address: PeerAddress = {
    identityKey: keys.identity.publicKey,
    dhtKey: keys.dht.publicKey,
    relays: wire.relays
  }
  return {
    netCrypto,
    keys,
    address,
    at,
    /** Ends as a program ends. */
    stop: Scope.close(scope, Exit.void),
    /** Ends without a word to anybody. */
    crash: Effect.suspend(() => {
      wire.detach(at)
      return Scope.close(scope, Exit.void)
    })
  }
})

export type Node = Effect.Success<ReturnType<typeof node>>

/** One end of a connection with everything it has received. */
export interface End {
  readonly connection: NetCryptoConnection
  readonly lossless: Array<Uint8Array>
  readonly lossy: Array<Uint8Array>
  readonly errors: Array<NetCryptoError>
  writable: number
}

/** Registers a receiver that collects. */
export const collect = (connection: NetCryptoConnection): End => {
  const end: End = { connection, lossless: [], lossy: [], errors: [], writable: 0 }
  connection.handle({
    onLossless: (payload) => end.lossless.push(payload),
    onLossy: (payload) => end.lossy.push(payload),
    onWritable: () => end.writable++,
    onClosed: (error) => end.errors.push(error)
  })
  return end
}

export const forkNow = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.forkScoped(effect, { startImmediately: true })

/** Lets time pass in steps until the fiber is done; fails the test when it takes longer than `limit` milliseconds. */
export const within = Effect.fnUntraced(function*<A, E>(fiber: Fiber.Fiber<A, E>, limit: number, step = 10) {
  for (let passed = 0; fiber.pollUnsafe() === undefined; passed += step) {
    if (passed >= limit) return yield* Effect.die(new Error(`not done after ${limit} ms`))
    yield* TestClock.adjust(step)
  }
  return yield* Fiber.join(fiber)
})

/** `caller` calls, `callee` accepts. Both ends collect. */
export const join = Effect.fnUntraced(function*(caller: Node, callee: Node, limit = 9_000) {
  const accepting = yield* forkNow(callee.netCrypto.accept)
  const calling = yield* forkNow(caller.netCrypto.connect(callee.address))
  const a = collect(yield* within(calling, limit))
  const b = collect(yield* within(accepting, limit))
  return { a, b }
})

/** A lossless payload that carries a number. */
export const numbered = (number: number, size = 8): Uint8Array => {
  const payload = new Uint8Array(Math.max(5, size))
  payload[0] = 160
  new DataView(payload.buffer).setUint32(1, number)
  return payload
}

export const numberOf = (payload: Uint8Array): number => new DataView(payload.buffer, payload.byteOffset).getUint32(1)
