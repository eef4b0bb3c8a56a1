/** How long the data stops when the relay that carries it dies without a word. */
import type { CryptoName } from "./boundCiphers.ts"
import { sleep, withChildren } from "./children.ts"
import { packetSize } from "./goodput.ts"
import { connect, type Relay, type SinkMark, startNode, startRelay } from "./nodes.ts"

export interface Failover {
  /** The longest time without a packet at the receiver from just before the kill on, milliseconds. */
  readonly gap: number
  /** Packets that were missing, doubled or out of order. */
  readonly displaced: number
}

type Sent = ReadonlyArray<{ readonly relay: string; readonly sentBytes: number }>

/** The relay through which most bytes went between two looks. */
const carrier = (relays: ReadonlyArray<Relay>, before: Sent, after: Sent): Relay => {
  const grown = after.map(({ relay, sentBytes }) => ({
    relay,
    bytes: sentBytes - (before.find((other) => other.relay === relay)?.sentBytes ?? 0)
  }))
  const busiest = grown.toSorted((a, b) => b.bytes - a.bytes)[0]
  const found = relays.find(({ address }) => address === busiest?.relay)
  if (found === undefined || busiest?.bytes === 0) throw new Error("no relay carries the data")
  return found
}

/** One trial with fresh processes: three relays, a flood, SIGKILL of the relay that carries it. */
export const measureFailover = (crypto: CryptoName): Promise<Failover> =>
  withChildren(async (add) => {
    const relays = await Promise.all([1, 2, 3].map(() => startRelay(add, crypto)))
    const pair = { callee: add(startNode(crypto)), caller: add(startNode(crypto)) }
    await connect(pair, relays.map(({ address }) => address))
    await pair.callee.call("sink")
    await pair.caller.call("flood", packetSize)
    await sleep(800)
    const before = await pair.caller.call<Sent>("sentThrough")
    await sleep(200)
    const after = await pair.caller.call<Sent>("sentThrough")
    await pair.callee.call<SinkMark>("mark")
    await carrier(relays, before, after).kill()
    await sleep(1_500)
    const { displaced, longestGap, packets } = await pair.callee.call<SinkMark>("mark")
    await sleep(300)
    const later = await pair.callee.call<SinkMark>("mark")
    if (later.packets === packets) return { gap: Number.POSITIVE_INFINITY, displaced }
    return { gap: longestGap, displaced: later.displaced }
  })
