/** Goodput through a stock tox-bootstrapd. */
import type { CryptoName } from "./boundCiphers.ts"
import { sleep, withChildren } from "./children.ts"
import { packetSize } from "./goodput.ts"
import { connect, type SinkMark, startNode } from "./nodes.ts"
import * as StockRelay from "./stockRelay.ts"

const port = 21_801

export interface Stock {
  readonly rate: number
  readonly longestGap: number
  readonly displaced: number
}

/** One trial of `seconds`. */
export const measureStock = (crypto: CryptoName, seconds: number): Promise<Stock> =>
  withChildren(async (add) => {
    const relay = StockRelay.start(port)
    try {
      const pair = { callee: add(startNode(crypto)), caller: add(startNode(crypto)) }
      await connect(pair, [relay.address])
      await pair.callee.call("sink")
      await pair.caller.call("flood", packetSize)
      await sleep(1_000)
      const first = await pair.callee.call<SinkMark>("mark")
      await sleep(seconds * 1_000)
      const last = await pair.callee.call<SinkMark>("mark")
      return {
        rate: (last.bytes - first.bytes) / 1e3 / (last.at - first.at),
        longestGap: last.longestGap,
        displaced: last.displaced
      }
    } finally {
      relay.end()
    }
  })
