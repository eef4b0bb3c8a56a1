/**
 * Sessions through one relay: how much arrives beside raw net_crypto, how soon a new session carries its first byte, what an idle one
 * costs, and what a reader that stops does to the others.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import { join } from "node:path"
import { formatRelayAddress, parseRelayAddress } from "../../src/schema/RelayAddress.ts"
import * as FaultProxy from "../../test/utils/FaultProxy.ts"
import type { Span } from "./bound.ts"
import type { CryptoName } from "./boundCiphers.ts"
import { type Child, sleep, start, withChildren } from "./children.ts"
import { connect, type Pair, type RelayMark, type SinkMark, startRelay, thisTree } from "./nodes.ts"
import type { FirstByte, SessionTraffic } from "./sessionProcess.ts"
import { median, percentile } from "./statistics.ts"

const startSessions = (crypto: CryptoName) => start(join(thisTree, "sessionProcess.ts"), [crypto])

const startPair = (add: (child: Child) => Child, crypto: CryptoName): Pair => ({
  callee: add(startSessions(crypto)),
  caller: add(startSessions(crypto))
})

export interface SessionGoodput {
  /** Payload megabytes per second. */
  readonly rate: number
  readonly displaced: number
  /** Seconds of CPU time for a gigabyte of payload, all three processes together. */
  readonly cpu: number
}

/** One session that sends as fast as it can. */
export const measureSessionGoodput = (
  crypto: CryptoName,
  span: Span,
  traffic: SessionTraffic
): Promise<SessionGoodput> =>
  withChildren(async (add) => {
    const relay = await startRelay(add, crypto)
    const pair = startPair(add, crypto)
    await connect(pair, [relay.address])
    await pair.caller.call("flood", traffic)
    await sleep(span.warm)
    const mark = () =>
      Promise.all([
        pair.callee.call<SinkMark>("mark"),
        relay.call<RelayMark>("mark"),
        pair.caller.call<SinkMark>("mark")
      ])
    const [firstSeen, firstRelay, firstSender] = await mark()
    await sleep(span.measured)
    const [seen, relayed, sender] = await mark()
    const megabytes = (seen.bytes - firstSeen.bytes) / 1e6
    const cpu = seen.cpu - firstSeen.cpu + relayed.cpu - firstRelay.cpu + sender.cpu - firstSender.cpu
    return {
      rate: megabytes * 1e3 / (seen.at - firstSeen.at),
      displaced: seen.displaced,
      cpu: cpu * 1e3 / megabytes
    }
  })

/** How long each byte takes on the caller's line, in each direction: long enough that the programs' own time hardly counts. */
export const lineDelay = 20

export interface FirstBytes {
  /** Milliseconds, medians, from `openBytes`: until the first byte was at the peer, and until its answer was back. */
  readonly there: number
  readonly echoed: number
  /** A round trip between the two ends' sessions, milliseconds. */
  readonly roundTrip: number
}

/** New sessions, one after the other, over a line with a delay. */
export const measureFirstBytes = (crypto: CryptoName, count: number): Promise<FirstBytes> =>
  withChildren(async (add) => {
    const relay = await startRelay(add, crypto)
    const address = Result.getOrThrow(parseRelayAddress(relay.address))
    const scope = Effect.runSync(Scope.make())
    try {
      const proxy = await Effect.runPromise(Scope.provide(FaultProxy.make({ target: address }), scope))
      proxy.set("both", { delay: lineDelay })
      const pair = startPair(add, crypto)
      const near = formatRelayAddress({ ...address, host: proxy.host, port: proxy.port })
      const peer = await pair.callee.call("listen", [relay.address])
      await pair.caller.call("connect", { peer, relays: [near] })
      await pair.callee.call("accepted")
      const roundTrips = await pair.caller.call<ReadonlyArray<number>>("pings", count)
      const firstBytes = await pair.caller.call<ReadonlyArray<FirstByte>>("firstBytes", count)
      return {
        there: median(firstBytes.map(({ there }) => there)),
        echoed: median(firstBytes.map(({ echoed }) => echoed)),
        roundTrip: median(roundTrips)
      }
    } finally {
      await Effect.runPromise(Scope.close(scope, Exit.void))
    }
  })

/** Bytes of memory for each of `count` idle sessions, at the end that opened them and at the other. */
export const measureIdle = (
  crypto: CryptoName,
  count: number
): Promise<{ readonly opener: number; readonly acceptor: number }> =>
  withChildren(async (add) => {
    const relay = await startRelay(add, crypto)
    const pair = startPair(add, crypto)
    await connect(pair, [relay.address])
    // Compiled code and whatever else is made once is not what a session costs.
    await pair.caller.call("idle", 500)
    const before = await pair.callee.call<number>("memory")
    const opener = await pair.caller.call<number>("idle", count, 60_000)
    const after = await pair.callee.call<number>("memory")
    return { opener, acceptor: (after - before) / count }
  })

const echoes = { sessions: 16, rounds: 500 }
/** A write that has waited this long, milliseconds, waits for the reader. */
const patience = 250

export interface Stalled {
  /** The 99th percentile of the other sessions' round trips, milliseconds: with every reader reading, and beside one that does not. */
  readonly clear: number
  readonly stalled: number
}

/** Other sessions with and without a session whose reader has stopped, in turn over the same link. */
export const measureStalled = (crypto: CryptoName, rounds: number): Promise<ReadonlyArray<Stalled>> =>
  withChildren(async (add) => {
    const relay = await startRelay(add, crypto)
    const pair = startPair(add, crypto)
    await connect(pair, [relay.address])
    const p99 = async () => percentile(await pair.caller.call<ReadonlyArray<number>>("echoes", echoes), 0.99)
    for (let i = 0; i < 5; i++) await p99()
    const results: Array<Stalled> = []
    for (let i = 0; i < rounds; i++) {
      const before = await p99()
      await pair.caller.call("stall", patience)
      const stalled = await p99()
      await pair.caller.call("release")
      // What drifts during a round is on both sides of the comparison.
      results.push({ stalled, clear: (before + await p99()) / 2 })
    }
    return results
  })
