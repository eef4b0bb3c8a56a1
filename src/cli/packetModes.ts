/**
 * The four things `causeway packets` does with one net_crypto connection: flood, ping, sink and echo. Each reports its results; none
 * opens or closes the connection, and none prints.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { NetCryptoConnection, NetCryptoHandlers } from "../services/NetCrypto.ts"
import type { NetCryptoError } from "../services/NetCryptoError.ts"
import { PacketCheck, percentile } from "./PacketCheck.ts"
import * as Payload from "./testPayload.ts"

/** What to send. */
export interface Traffic {
  readonly count: number
  /** Bytes of a whole packet, id byte included. */
  readonly size: number
  readonly lossy: boolean
}

/** What came of it; undefined where this mode cannot measure it. Rates count payload bytes, times are milliseconds. */
export interface Result {
  readonly packets: number
  /** Nothing missing, doubled, damaged or out of order. */
  readonly inOrder: boolean
  /** Whether the run counts as a success: lossy packets may be missing and out of order. */
  readonly fine: boolean
  readonly megabytesPerSecond: number | undefined
  readonly p50: number | undefined
  readonly p99: number | undefined
  readonly longestGap: number | undefined
}

/** Packets handed over at once: enough to keep the send buffer busy, little enough to notice an interruption soon. */
const batchSize = 64
/** How long a lossy sender waits when nothing can be sent now. */
const lossyPause = "1 millis"
/** How long a lossy ping may take before it counts as lost. */
const lossyPingTimeout = "2 seconds"
/** How long a sink waits for stragglers: the packet that ends a lossy flood is lossless and may overtake. */
const stragglerTimeout = "300 millis"

const ignore: NetCryptoHandlers = {
  onLossless: () => undefined,
  onLossy: () => undefined,
  onWritable: () => undefined,
  onClosed: () => undefined
}

/** Microseconds for the stamp. On Node the monotonic clock is CLOCK_MONOTONIC, which the layout asks for. */
const micros = (clock: Clock.Clock): bigint => clock.monotonicTimeNanosUnsafe() / 1000n

/** Sends packet by packet, waiting while none can be sent. Fails when the connection ends. */
const sendLossy = Effect.fnUntraced(function*(connection: NetCryptoConnection, packet: Uint8Array) {
  while (!connection.sendLossy(packet)) yield* Effect.sleep(lossyPause)
})

const untilClosed = <A>(
  connection: NetCryptoConnection,
  effect: Effect.Effect<A, NetCryptoError>
): Effect.Effect<A, NetCryptoError> => Effect.raceFirst(effect, Effect.flatMap(connection.closed, Effect.fail))

/** Sends `count` packets and the final one, and waits until all of them have been acknowledged. Ignores what comes back. */
export const flood = Effect.fnUntraced(function*(
  connection: NetCryptoConnection,
  traffic: Traffic
): Effect.fn.Return<Result, NetCryptoError> {
  const clock = yield* Clock.Clock
  connection.handle(ignore)
  const started = clock.monotonicTimeNanosUnsafe()
  const id = traffic.lossy ? Payload.lossyId : Payload.losslessId
  const send = Effect.gen(function*() {
    for (let next = 0; next < traffic.count; next += batchSize) {
      const batch: Array<Uint8Array> = []
      for (let sequence = next; sequence < Math.min(next + batchSize, traffic.count); sequence++) {
        batch.push(Payload.encode(id, sequence, traffic.size, micros(clock)))
      }
      if (!traffic.lossy) yield* connection.sendAll(batch)
      else {
        yield* Effect.forEach(batch, (packet) => sendLossy(connection, packet), { discard: true })
        // Lossy packets know no back-pressure of their own: let what was sent leave, and what arrived be read.
        yield* Effect.sleep(lossyPause)
      }
    }
    yield* connection.sendAll([Payload.encodeFinal(traffic.count)])
    yield* connection.drained
  })
  yield* untilClosed(connection, send)
  const nanos = Number(clock.monotonicTimeNanosUnsafe() - started)
  return {
    packets: traffic.count,
    inOrder: true,
    fine: true,
    megabytesPerSecond: traffic.count * traffic.size * 1e3 / nanos,
    p50: undefined,
    p99: undefined,
    longestGap: undefined
  }
})

/** Sends `count` packets, each after the echo of the one before, and measures the round trips. */
export const ping = Effect.fnUntraced(function*(
  connection: NetCryptoConnection,
  traffic: Traffic
): Effect.fn.Return<Result, NetCryptoError> {
  const clock = yield* Clock.Clock
  const id = traffic.lossy ? Payload.lossyId : Payload.losslessId
  const check = new PacketCheck({ ordered: !traffic.lossy, first: 0 })
  const roundTrips: Array<number> = []
  let awaited: { readonly sequence: number; readonly reply: Deferred.Deferred<bigint> } | undefined
  const onPacket = (packet: Uint8Array) => {
    const now = clock.monotonicTimeNanosUnsafe()
    if (packet[0] !== id || awaited === undefined || Payload.sequenceOf(packet) !== awaited.sequence) return
    check.add(packet, now)
    const { reply } = awaited
    // First, because completing it may run the sender, which awaits the next one.
    awaited = undefined
    Deferred.doneUnsafe(reply, Effect.succeed(now))
  }
  connection.handle({ ...ignore, onLossless: onPacket, onLossy: onPacket })
  const exchange = Effect.gen(function*() {
    for (let sequence = 0; sequence < traffic.count; sequence++) {
      const reply = yield* Deferred.make<bigint>()
      awaited = { sequence, reply }
      const sent = clock.monotonicTimeNanosUnsafe()
      const packet = Payload.encode(id, sequence, traffic.size, micros(clock))
      if (traffic.lossy) yield* sendLossy(connection, packet)
      else yield* connection.sendAll([packet])
      const answered = traffic.lossy
        ? yield* Effect.timeoutOption(Deferred.await(reply), lossyPingTimeout)
        : Option.some(yield* Deferred.await(reply))
      if (Option.isSome(answered)) roundTrips.push(Number(answered.value - sent) / 1e6)
    }
  })
  yield* untilClosed(connection, exchange)
  return {
    packets: check.packets,
    inOrder: check.inOrder && check.packets === traffic.count,
    fine: check.isFine(traffic.count) && check.packets > 0,
    megabytesPerSecond: check.megabytesPerSecond,
    p50: percentile(roundTrips, 0.5),
    p99: percentile(roundTrips, 0.99),
    longestGap: check.longestGap
  }
})

/** A receiving mode on one connection. */
export interface Receiver {
  /** The result of each flood, when its last packet has arrived. Fails when the connection ends. */
  readonly next: Effect.Effect<Result, NetCryptoError>
  /** What arrived since the last result. */
  readonly soFar: () => Result
}

/** The bookkeeping that sink and echo share: one check per flood, a result when its final packet arrives. */
class Account {
  readonly #kind: { readonly ordered: boolean; readonly first: number | undefined }
  #check: PacketCheck
  #final: number | undefined

  constructor(options: { readonly lossy: boolean; readonly echo: boolean }) {
    this.#kind = { ordered: !options.lossy, first: options.echo ? undefined : 0 }
    this.#check = new PacketCheck(this.#kind)
  }

  /** Whether the final packet has arrived. */
  get isFinal(): boolean {
    return this.#final !== undefined
  }

  add(packet: Uint8Array, now: bigint): void {
    if (packet[0] === Payload.finalId) this.#final = Payload.sequenceOf(packet) ?? 0
    else if (packet[0] === Payload.losslessId || packet[0] === Payload.lossyId) this.#check.add(packet, now)
  }

  result(): Result {
    const expected = this.#final ?? this.#check.packets
    return {
      packets: this.#check.packets,
      inOrder: this.#check.inOrder && this.#check.packets === expected,
      fine: this.#check.isFine(expected),
      megabytesPerSecond: this.#check.megabytesPerSecond,
      p50: undefined,
      p99: undefined,
      longestGap: this.#check.longestGap
    }
  }

  /** The result, and a fresh account. */
  take(): Result {
    const result = this.result()
    this.#check = new PacketCheck(this.#kind)
    this.#final = undefined
    return result
  }
}

/**
 * Receives floods and checks them. With `echo` every packet is also sent back; while the way back is full nothing more is taken, so
 * that the sender is held back instead of this process growing.
 */
export const receive = Effect.fnUntraced(function*(
  connection: NetCryptoConnection,
  options: { readonly lossy: boolean; readonly echo: boolean }
): Effect.fn.Return<Receiver> {
  const clock = yield* Clock.Clock
  const account = new Account(options)
  const backlog: Array<Uint8Array> = []
  const results: Array<Result> = []
  let arrived = Deferred.makeUnsafe<void>()
  const flush = () => {
    let sent = 0
    while (sent < backlog.length && connection.trySend(backlog[sent]!)) sent++
    backlog.splice(0, sent)
    connection.hold(backlog.length > 0)
  }
  const count = (packet: Uint8Array) => {
    account.add(packet, clock.monotonicTimeNanosUnsafe())
    if (!account.isFinal) return
    // At once, because the next packet may belong to the next flood; lossy ones may still be on their way.
    if (!options.lossy) results.push(account.take())
    Deferred.doneUnsafe(arrived, Effect.void)
  }
  connection.handle({
    onLossless: (packet) => {
      count(packet)
      if (!options.echo || (backlog.length === 0 && connection.trySend(packet))) return
      backlog.push(packet)
      connection.hold(true)
    },
    onLossy: (packet) => {
      count(packet)
      if (options.echo) connection.sendLossy(packet)
    },
    onWritable: flush,
    onClosed: () => undefined
  })
  const take = Effect.sync(() => {
    arrived = Deferred.makeUnsafe<void>()
    return results.shift() ?? account.take()
  })
  const next = Effect.gen(function*() {
    if (results.length === 0) yield* Deferred.await(arrived)
    if (options.lossy) yield* Effect.sleep(stragglerTimeout)
    if (options.echo) yield* connection.drained
    return yield* take
  })
  const ended = Effect.flatMap(
    connection.closed,
    // A sender closes as soon as everything is acknowledged: what has arrived completely still counts.
    (error) => results.length > 0 || account.isFinal ? take : Effect.fail(error)
  )
  return { next: Effect.suspend(() => Effect.raceFirst(next, ended)), soFar: () => account.result() }
})
