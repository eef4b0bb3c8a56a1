/** Round trips of small lossless packets through one relay, one at a time. */
import type { CryptoName } from "./boundCiphers.ts"
import { withChildren } from "./children.ts"
import { connect, startNode, startRelay } from "./nodes.ts"
import { percentile } from "./statistics.ts"

export interface Echo {
  readonly p50: number
  readonly p99: number
}

/** Milliseconds of `count` round trips of 64 bytes. */
export const measureEcho = (crypto: CryptoName, count: number, tree?: string): Promise<Echo> =>
  withChildren(async (add) => {
    const relay = await startRelay(add, crypto, tree)
    const pair = { callee: add(startNode(crypto, tree)), caller: add(startNode(crypto, tree)) }
    await connect(pair, [relay.address])
    await pair.callee.call("echo")
    const input = { size: 64, warm: count / 4, count }
    const roundTrips = await pair.caller.call<ReadonlyArray<number>>("ping", input, 60_000)
    return { p50: percentile(roundTrips, 0.5), p99: percentile(roundTrips, 0.99) }
  })
