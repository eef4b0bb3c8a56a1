/**
 * `causeway demo`: three relays as processes of their own, two nodes in this one, a transfer between them, and the relay that
 * carries it killed in the middle. It needs nothing but this machine and leaves nothing behind.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { equalBytes, toHex } from "../schema/Bytes.ts"
import { formatHostPort } from "../schema/RelayAddress.ts"
import { Causeway } from "../services/Causeway.ts"
import { ConnectionRegistry } from "../services/ConnectionRegistry.ts"
import { Entropy } from "../services/Entropy.ts"
import { Identity } from "../services/Identity.ts"
import { ToxCrypto } from "../services/ToxCrypto.ts"
import * as Progress from "./demoProgress.ts"
import * as DemoRelays from "./demoRelays.ts"
import * as DemoTransfer from "./demoTransfer.ts"
import { CommandFailed } from "./failure.ts"
import * as NodeLayer from "./nodeLayer.ts"
import * as Output from "./output.ts"
import * as Relays from "./relays.ts"

export interface Input {
  readonly size: number
  readonly json: boolean
}

/** How often the transfer is looked at, milliseconds; also what "carries it now" means. */
const sampleInterval = 100
/** The part that must have arrived before the relay is killed. */
const killAfter = 0.4
/** How long the nodes may take to find each other. */
const connectTimeout = "20 seconds"
/** How long nothing may arrive before the transfer counts as failed, in samples: a minute. */
const stalledSamples = 600
/** How long the transfer waits for the peer to be online on all relays, in samples. */
const readySamples = 30

type Node = Context.Context<NodeLayer.Node>

/** A node of its own: with a memo map of its own, or both would share one registry and one set of relay connections. */
const startNode = Effect.gen(function*() {
  const scope = yield* Effect.scope
  return yield* Layer.buildWithMemoMap(
    NodeLayer.layer(undefined, { direct: Option.none(), policy: Option.some("relayed") }),
    Layer.makeMemoMapUnsafe(),
    scope
  )
})

/** The bytes that each relay has carried for this node, in the order of `relays`. A relay that is gone keeps its last figure. */
const makeCarried = (node: Node, relays: ReadonlyArray<DemoRelays.RelayProcess>) => {
  const figures = relays.map(() => 0)
  return Effect.map(Context.get(node, ConnectionRegistry).relays, (statuses) => {
    for (const status of statuses) {
      const at = relays.findIndex((relay) => equalBytes(relay.address.publicKey, status.relay.publicKey))
      if (at >= 0) figures[at] = Math.max(figures[at]!, status.sentBytes)
    }
    return [...figures]
  })
}

const indexOfGreatest = (values: ReadonlyArray<number>): number => values.indexOf(Math.max(...values))

/** The two nodes, connected over all relays. */
const connectNodes = Effect.fnUntraced(function*(relays: ReadonlyArray<DemoRelays.RelayProcess>) {
  const addresses = relays.map((relay) => relay.address)
  const [sender, receiver] = yield* Effect.all([startNode, startNode])
  for (const node of [sender, receiver]) {
    yield* Effect.forEach(addresses, Context.get(node, ConnectionRegistry).addRelay, { discard: true })
  }
  for (const node of [sender, receiver]) {
    yield* Effect.timeoutOption(Context.get(node, ConnectionRegistry).awaitRelay, connectTimeout)
    yield* Effect.provideContext(Relays.settle, node)
  }
  const from = Context.get(sender, Identity)
  const to = Context.get(receiver, Identity)
  yield* Context.get(receiver, Causeway).setAcceptPolicy((key) => equalBytes(key, from.identity.publicKey))
  const call = Context.get(sender, Causeway).connect({
    identityKey: to.identity.publicKey,
    dhtKey: to.dht.publicKey,
    relays: addresses
  })
  const [outgoing, incoming] = yield* Effect.all([call, Context.get(receiver, Causeway).accept], { concurrency: 2 })
    .pipe(
      Effect.timeoutOrElse({
        duration: connectTimeout,
        orElse: () => Effect.fail(new CommandFailed({ detail: "the two nodes did not find each other within 20 s" }))
      })
    )
  const [sending, receiving] = yield* Effect.all([
    outgoing.openBytes("demo"),
    Effect.flatMap(incoming.accept, (offer) => offer.bytes)
  ], { concurrency: 2 })
  return { sender, sending, receiving }
})

/** Waits until the peer is online on every relay, for a short time at most: the transfer works without. */
const awaitAllRelays = Effect.fnUntraced(function*(node: Node, count: number) {
  for (let samples = 0; samples < readySamples; samples++) {
    const statuses = yield* Context.get(node, ConnectionRegistry).relays
    if (statuses.filter((status) => status.online > 0).length >= count) return
    yield* Effect.sleep(sampleInterval)
  }
})

/** Looks at the transfer until it is over, shows it, and kills the relay that carries it when enough has arrived. */
const watch = Effect.fnUntraced(function*(
  transfer: DemoTransfer.Transfer,
  carried: Effect.Effect<ReadonlyArray<number>>,
  relays: ReadonlyArray<DemoRelays.RelayProcess>,
  progress: Progress.Progress
) {
  const clock = yield* Clock.Clock
  const dead = new Set<number>()
  let before = yield* carried
  let [receivedBefore, timeBefore, still] = [transfer.receivedBytes, clock.monotonicTimeNanosUnsafe(), 0]
  while (true) {
    yield* Effect.sleep(sampleInterval)
    const [now, total] = [clock.monotonicTimeNanosUnsafe(), yield* carried]
    const received = transfer.receivedBytes
    const seconds = Number(now - timeBefore) / 1e9
    const moved = total.map((bytes, at) => bytes - before[at]!)
    progress.update({
      received,
      size: transfer.size,
      rate: (received - receivedBefore) / 1e6 / seconds,
      relayRates: moved.map((bytes, at) => dead.has(at) ? undefined : bytes / 1e6 / seconds)
    })
    still = received === receivedBefore ? still + 1 : 0
    if (still >= stalledSamples) return yield* new CommandFailed({ detail: "nothing has arrived for a minute" })
    if (dead.size === 0 && received > transfer.size * killAfter) {
      const victim = indexOfGreatest(moved.some((bytes) => bytes > 0) ? moved : total)
      dead.add(victim)
      yield* relays[victim]!.kill
      progress.happened(`killed relay ${victim + 1}, which carried the data (process ${relays[victim]!.pid}, SIGKILL)`)
      yield* Deferred.succeed(transfer.killed, undefined)
    }
    ;[before, receivedBefore, timeBefore] = [total, received, now]
  }
})

const summary = (
  result: {
    readonly longestGapMs: number
    readonly throughputMBps: number
    readonly bytesPerRelay: ReadonlyArray<number>
  },
  size: number
): string => {
  const shares = result.bytesPerRelay.map((bytes, at) => `relay ${at + 1} carried ${Output.humanBytes(bytes)}`).join(
    ", "
  )
  return `${Output.humanBytes(size)} arrived complete (SHA-256 equal at both ends), ${result.throughputMBps} MB/s\n` +
    `${shares}; one relay was killed in the middle, and the longest pause was ${result.longestGapMs} ms`
}

const demonstrate = Effect.fnUntraced(function*(
  input: Input,
  output: Output.Output
): Effect.fn.Return<void, unknown, Scope.Scope> {
  const progress = Progress.make(process.stderr)
  yield* Effect.addFinalizer(() => Effect.sync(progress.end))
  const relays = yield* Effect.all([DemoRelays.start, DemoRelays.start, DemoRelays.start], { concurrency: 3 })
  const { receiving, sender, sending } = yield* connectNodes(relays)
  for (const [at, relay] of relays.entries()) {
    progress.happened(`relay ${at + 1} is process ${relay.pid}, ${formatHostPort(relay.address)}`)
  }
  const { identity } = Context.get(sender, Identity)
  progress.happened(
    `node ${toHex(identity.publicKey).slice(0, 8)} sends ${Output.humanBytes(input.size)} to its peer, ` +
      `with ${Context.get(sender, ToxCrypto).implementation}`
  )
  yield* awaitAllRelays(sender, relays.length)

  const transfer = new DemoTransfer.Transfer(input.size)
  const carried = makeCarried(sender, relays)
  const clock = yield* Clock.Clock
  const started = clock.monotonicTimeNanosUnsafe()
  const both = Effect.all([
    DemoTransfer.send(sending, transfer, Context.get(sender, Entropy)),
    DemoTransfer.receive(receiving, transfer)
  ], { concurrency: 2, discard: true })
  yield* Effect.raceFirst(both, watch(transfer, carried, relays, progress))
  const seconds = Number(clock.monotonicTimeNanosUnsafe() - started) / 1e9
  progress.end()

  const result = {
    bytes: transfer.receivedBytes,
    bytesPerRelay: yield* carried,
    sha256Match: transfer.matches(),
    relaysKilled: Deferred.isDoneUnsafe(transfer.killed) ? 1 : 0,
    longestGapMs: Output.rounded(transfer.longestGap, 1),
    throughputMBps: Output.rounded(transfer.receivedBytes / 1e6 / seconds, 2)
  }
  const isGood = result.sha256Match && result.relaysKilled === 1
  yield* output.event({ event: "done", ...result }, isGood ? summary(result, input.size) : undefined)
  if (!result.sha256Match) {
    return yield* new CommandFailed({ detail: "the bytes that arrived are not those that were sent" })
  }
  if (!isGood) {
    return yield* new CommandFailed({ detail: "the transfer was over before a relay was killed; give a larger --size" })
  }
})

export const run = (input: Input) =>
  Effect.scoped(demonstrate(input, Output.make({ json: input.json, events: "stdout" })))
