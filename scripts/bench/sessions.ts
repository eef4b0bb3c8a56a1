/** Sessions through one relay: how much arrives beside raw net_crypto, and how soon a new session carries its first byte. */
import { join } from "node:path"
import type { Span } from "./bound.ts"
import type { CryptoName } from "./boundCiphers.ts"
import { sleep, start, withChildren } from "./children.ts"
import { connect, type SinkMark, startRelay, thisTree } from "./nodes.ts"
import { median } from "./statistics.ts"

const startSessions = (crypto: CryptoName, tree: string = thisTree) => start(join(tree, "sessionProcess.ts"), [crypto])

export interface SessionGoodput {
  /** Payload megabytes per second. */
  readonly rate: number
  readonly displaced: number
  /** Seconds of CPU time of both ends for a gigabyte of payload. */
  readonly cpu: number
}

/** One session that sends as fast as it can: writes of `size` bytes, or values of that size. */
export const measureSessionGoodput = (
  crypto: CryptoName,
  span: Span,
  traffic: { readonly kind: "bytes" | "values"; readonly size: number }
): Promise<SessionGoodput> =>
  withChildren(async (add) => {
    const relay = await startRelay(add, crypto)
    const pair = { callee: add(startSessions(crypto)), caller: add(startSessions(crypto)) }
    await connect(pair, [relay.address])
    await pair.caller.call("flood", traffic)
    await sleep(span.warm)
    const mark = () => Promise.all([pair.callee.call<SinkMark>("mark"), pair.caller.call<SinkMark>("mark")])
    const [firstSeen, firstSender] = await mark()
    await sleep(span.measured)
    const [seen, sender] = await mark()
    const megabytes = (seen.bytes - firstSeen.bytes) / 1e6
    return {
      rate: megabytes * 1e3 / (seen.at - firstSeen.at),
      displaced: seen.displaced,
      cpu: (seen.cpu - firstSeen.cpu + sender.cpu - firstSender.cpu) * 1e3 / megabytes
    }
  })

/** Milliseconds, medians: from `openBytes` to the first byte echoed, and a round trip of the link. */
export const measureFirstByte = (
  crypto: CryptoName,
  count: number
): Promise<{ readonly firstByte: number; readonly roundTrip: number }> =>
  withChildren(async (add) => {
    const relay = await startRelay(add, crypto)
    const pair = { callee: add(startSessions(crypto)), caller: add(startSessions(crypto)) }
    await connect(pair, [relay.address])
    await pair.caller.call("pings", count)
    const roundTrips = await pair.caller.call<ReadonlyArray<number>>("pings", count)
    const firstBytes = await pair.caller.call<ReadonlyArray<number>>("firstBytes", count)
    return { firstByte: median(firstBytes), roundTrip: median(roundTrips) }
  })
