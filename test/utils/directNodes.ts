/**
 * Two nodes with `DirectLinks` in the network inside the process: `greater` and `lower` by their identity keys, at 10.0.0.1 and 10.0.0.2.
 */
import { assert } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as DirectLinksLive from "../../src/layers/DirectLinksLive.ts"
import * as ToxCryptoWasm from "../../src/layers/ToxCryptoWasm.ts"
import { derive, type DirectKeys, pskIdentityOf, pskOf } from "../../src/protocol/direct/directKeys.ts"
import { type PublicKey, toHex } from "../../src/schema/Bytes.ts"
import { DirectHello, directRoles } from "../../src/schema/DirectPacket.ts"
import type { IpEndpoint } from "../../src/schema/IpEndpoint.ts"
import type { DirectError } from "../../src/services/DirectError.ts"
import { type DirectLink, DirectLinks } from "../../src/services/DirectLinks.ts"
import { type DirectNumbers, DirectSettings } from "../../src/services/DirectSettings.ts"
import { type DirectStream, DirectTransport } from "../../src/services/DirectTransport.ts"
import { Entropy } from "../../src/services/Entropy.ts"
import { generate, Identity, type IdentityKeys } from "../../src/services/Identity.ts"
import { ToxCrypto } from "../../src/services/ToxCrypto.ts"
import * as DirectTransportMemory from "../../src/testing/DirectTransportMemory.ts"
import * as EntropySeeded from "../../src/testing/EntropySeeded.ts"
import { MemoryNetwork } from "../../src/testing/MemoryNetwork.ts"
import * as RelayTransportMemory from "../../src/testing/RelayTransportMemory.ts"

export const port = 4_000

export interface DirectNode {
  readonly machine: string
  readonly keys: IdentityKeys
  readonly key: PublicKey
  readonly links: DirectLinks["Service"]
  readonly transport: DirectTransport["Service"]
  /** Where it listens. */
  readonly endpoint: IpEndpoint
  /** What it has rejected so far. */
  readonly rejections: Array<DirectError>
  /** Ends the node. */
  readonly end: Effect.Effect<void>
}

export interface DirectNodeOptions {
  readonly machine: string
  readonly seed: number
  readonly keys?: IdentityKeys
  readonly listens?: boolean
  /** Real sockets, say; port 0 then. */
  readonly transport?: Layer.Layer<DirectTransport>
  readonly numbers?: Partial<DirectNumbers>
}

/** Settings of the tests: the machines have private addresses. */
const settings = (numbers: Partial<DirectNumbers> = {}): DirectNumbers => ({
  ...DirectSettings.defaultValue(),
  allowPrivate: true,
  ...numbers
})

/** Identities of two seeds, the greater first. */
export const identities = Effect.gen(function*() {
  const make = (seed: number) => Effect.provideService(generate, Entropy, EntropySeeded.make(seed))
  const [one, other] = [yield* make(1), yield* make(2)]
  return toHex(one.identity.publicKey) > toHex(other.identity.publicKey)
    ? { greater: one, lower: other }
    : { greater: other, lower: one }
})

export const makeNode = Effect.fnUntraced(function*(options: DirectNodeOptions & { readonly keys: IdentityKeys }) {
  const { keys, listens = true, machine, numbers, seed, transport } = options
  const scope = yield* Scope.fork(yield* Effect.scope)
  const network = yield* MemoryNetwork
  const crypto = yield* ToxCrypto
  const layer = DirectLinksLive.layer(listens ? { listen: { host: machine, port: transport ? 0 : port } } : {}).pipe(
    Layer.provideMerge(transport ?? DirectTransportMemory.transportOf(machine)),
    Layer.provide(Layer.succeed(MemoryNetwork, network)),
    Layer.provide(Layer.succeed(Identity, keys)),
    Layer.provide(Layer.succeed(ToxCrypto, crypto)),
    Layer.provide(EntropySeeded.layer(seed)),
    Layer.provide(Layer.succeed(DirectSettings, settings(numbers)))
  )
  const built = yield* Layer.buildWithScope(layer, scope)
  const links = Context.get(built, DirectLinks)
  const [endpoint = { host: machine, port }] = yield* links.endpoints
  const rejections: Array<DirectError> = []
  yield* links.rejections.pipe(
    Stream.runForEach((error) => Effect.sync(() => rejections.push(error))),
    Effect.forkIn(scope, { startImmediately: true })
  )
  const node: DirectNode = {
    machine,
    keys,
    key: keys.identity.publicKey,
    links,
    transport: Context.get(built, DirectTransport),
    endpoint,
    rejections,
    end: Scope.close(scope, Exit.void)
  }
  return node
})

/** The tags of what a node has rejected. */
export const tagsOf = (node: DirectNode): ReadonlyArray<string> => node.rejections.map(({ reason }) => reason._tag)

/** Two nodes that could meet. */
export const pair = Effect.fnUntraced(function*(
  options: { readonly greater?: Partial<DirectNodeOptions>; readonly lower?: Partial<DirectNodeOptions> } = {}
) {
  const keys = yield* identities
  const greater = yield* makeNode({ machine: "10.0.0.1", seed: 11, keys: keys.greater, ...options.greater })
  const lower = yield* makeNode({ machine: "10.0.0.2", seed: 12, keys: keys.lower, ...options.lower })
  return { greater, lower }
})

/** What both nodes share: for tests that call by hand. */
export const sharedKeys = (one: DirectNode, other: DirectNode): Effect.Effect<DirectKeys, never, ToxCrypto> =>
  Effect.map(ToxCrypto, (crypto) => {
    const secret = crypto.sharedSecret(one.key, other.keys.identity.secretKey)
    if (secret === undefined) throw new Error("unusable key")
    return derive(secret, one.key, other.key)
  })

/** How `dialler` calls itself for an attempt, and the key. */
export const secretOf = (keys: DirectKeys, attempt: Uint8Array, dialler: PublicKey) => ({
  pskIdentity: pskIdentityOf(keys, attempt, dialler),
  psk: pskOf(keys, attempt)
})

/** What has come from a stream, and whether it has ended. */
export const watch = (stream: DirectStream) => {
  const seen = { bytes: [] as Array<number>, closed: undefined as string | undefined }
  stream.handle({
    onBytes: (bytes) => seen.bytes.push(...bytes),
    onWritable: () => {},
    onClosed: (error) => {
      seen.closed = error.kind
    }
  })
  return seen
}

/** The greater side begins at once on every stream, as sessions do. */
export const begin = (link: DirectLink): void => {
  for (const [index, stream] of link.streams.entries()) stream.write([Uint8Array.of(0xb0 + index)])
}

/** The network, the cryptography, and a scope. */
export const inNetwork = <A, E, R>(body: Effect.Effect<A, E, R>) =>
  Effect.provide(Effect.scoped(body), [RelayTransportMemory.network(), ToxCryptoWasm.layer])

/** Lets fibers that have just been forked come as far as they can without time: their first sleep begins now. */
export const settle: Effect.Effect<void> = TestClock.adjust(0)

/** Calls by hand: what came of it, while the scope lasts. */
export const callByHand = Effect.fnUntraced(function*(
  from: DirectNode,
  to: DirectNode,
  secret: { readonly pskIdentity: string; readonly psk: Uint8Array },
  hello?: Uint8Array
) {
  const stream = yield* from.transport.connect(to.endpoint, secret)
  const seen = watch(stream)
  if (hello !== undefined) stream.write([hello])
  yield* TestClock.adjust(1)
  return { stream, seen }
})

/** A hello as `dialler` would say it; the fields of a bad one differ. */
export const helloOf = (
  dialler: DirectNode,
  attempt: Uint8Array,
  fields: Partial<Omit<DirectHello, "_tag">> = {}
): Uint8Array =>
  DirectHello.encode(
    DirectHello.make({
      identityKey: dialler.key,
      attempt,
      role: directRoles.dialler,
      streamId: 0,
      streams: 1,
      ...fields
    })
  )

/** The number of an attempt, made of one byte. */
export const attemptOf = (byte: number): Uint8Array => new Uint8Array(16).fill(byte)

/** Both expect an attempt that `greater` announced. */
export const expectBoth = Effect.fnUntraced(function*(greater: DirectNode, lower: DirectNode, attempt: Uint8Array) {
  yield* greater.links.expect({ identityKey: lower.key, attempt, announcedBy: "us" })
  yield* lower.links.expect({ identityKey: greater.key, attempt, announcedBy: "peer" })
})

/** Begins to meet the peer, which `announcedBy` says has announced the attempt or not. */
export const meet = (
  node: DirectNode,
  peer: DirectNode,
  attempt: Uint8Array,
  announcedBy: "us" | "peer",
  endpoints: ReadonlyArray<IpEndpoint> = [peer.endpoint]
) =>
  node.links.meet({ identityKey: peer.key, attempt, endpoints, announcedBy }).pipe(
    Effect.forkScoped({ startImmediately: true })
  )

/** The same for the greater, which uses the link as soon as it is there: the lower gets it then. */
export const meetAndBegin = (
  greater: DirectNode,
  lower: DirectNode,
  attempt: Uint8Array,
  endpoints: ReadonlyArray<IpEndpoint> = [lower.endpoint]
) =>
  greater.links.meet({ identityKey: lower.key, attempt, endpoints, announcedBy: "us" }).pipe(
    Effect.tap((link) => Effect.sync(() => begin(link))),
    Effect.forkScoped({ startImmediately: true })
  )

/** Both meet for an attempt that `greater` announced, at the same time. */
export const meetBoth = Effect.fnUntraced(function*(
  greater: DirectNode,
  lower: DirectNode,
  attempt: Uint8Array,
  endpoints: { readonly ofGreater?: ReadonlyArray<IpEndpoint>; readonly ofLower?: ReadonlyArray<IpEndpoint> } = {}
) {
  yield* expectBoth(greater, lower, attempt)
  const lowers = yield* meet(lower, greater, attempt, "peer", endpoints.ofGreater)
  const greaters = yield* meetAndBegin(greater, lower, attempt, endpoints.ofLower)
  return { greater: greaters, lower: lowers }
})

/** How many connections there are in the network. */
export const openConnections = Effect.map(MemoryNetwork, (network) => network.connections().length)

/** Both have the same streams: what one writes on a stream comes out at the other's stream of the same number, both ways. */
export const assertJoined = Effect.fnUntraced(function*(greater: DirectLink, lower: DirectLink) {
  assert.strictEqual(greater.streams.length, lower.streams.length)
  const [atGreater, atLower] = [greater.streams.map(watch), lower.streams.map(watch)]
  for (const [index, stream] of lower.streams.entries()) stream.write([Uint8Array.of(index)])
  for (const [index, stream] of greater.streams.entries()) stream.write([Uint8Array.of(index)])
  yield* TestClock.adjust(2_000)
  for (const index of greater.streams.keys()) {
    assert.deepStrictEqual(atGreater[index]!.bytes, [index])
    assert.deepStrictEqual(atLower[index]!.bytes, [0xb0 + index, index])
    assert.deepStrictEqual([atGreater[index]!.closed, atLower[index]!.closed], [undefined, undefined])
    assert.notStrictEqual(greater.roles[index], lower.roles[index])
  }
})
