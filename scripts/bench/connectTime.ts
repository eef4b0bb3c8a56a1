/** How long two nodes that did not exist before take to an established connection. */
import type { CryptoName } from "./boundCiphers.ts"
import { withChildren } from "./children.ts"
import { connect, startNode, startRelay } from "./nodes.ts"

/**
 * Milliseconds of each trial, from before the caller's node is built (identity, dial, relay handshake, routing, cookie, handshake)
 * to its established connection. The callee is fresh too and waits at the relay. The processes are warm after the first trials,
 * which are not counted.
 */
export const measureConnectTimes = (crypto: CryptoName, trials: number): Promise<ReadonlyArray<number>> =>
  withChildren(async (add) => {
    const relay = await startRelay(add, crypto)
    const pair = { callee: add(startNode(crypto)), caller: add(startNode(crypto)) }
    const times: Array<number> = []
    const warm = 3
    for (let trial = 0; trial < warm + trials; trial++) {
      const milliseconds = await connect(pair, [relay.address])
      if (trial >= warm) times.push(milliseconds)
      await pair.caller.call("close")
      await pair.callee.call("close")
    }
    return times
  })
