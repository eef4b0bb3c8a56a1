/** net_crypto at full speed through one relay: how much arrives, and what the relay needs for it. */
import type { Span } from "./bound.ts"
import type { CryptoName } from "./boundCiphers.ts"
import { sleep, withChildren } from "./children.ts"
import { connect, type RelayMark, type SinkMark, startNode, startRelay } from "./nodes.ts"

export const packetSize = 1_300

export interface Goodput {
  /** Payload megabytes per second. */
  readonly rate: number
  readonly longestGap: number
  readonly displaced: number
  /** Seconds of CPU time for a gigabyte of payload, all three processes together. */
  readonly cpu: number
  /** Seconds of CPU time the relay spent per gigabyte of payload; its memory at the end, megabytes. */
  readonly relayCpu: number
  readonly relayRss: number
}

export interface GoodputOptions {
  /** The checkout whose nodes run, when it is not this one. */
  readonly tree?: string | undefined
  /** Messages of so many bytes, cut into packets as they are sent, instead of packets that were made beforehand. */
  readonly messages?: number
}

/** Through a relay of ours, in three processes. */
export const measureGoodput = (
  crypto: CryptoName,
  span: Span,
  { messages, tree }: GoodputOptions = {}
): Promise<Goodput> =>
  withChildren(async (add) => {
    const relay = await startRelay(add, crypto, tree)
    const pair = { callee: add(startNode(crypto, tree)), caller: add(startNode(crypto, tree)) }
    await connect(pair, [relay.address])
    await pair.callee.call("sink")
    if (messages === undefined) await pair.caller.call("flood", packetSize)
    else await pair.caller.call("floodMessages", messages)
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
    const cpu = seen.cpu - firstSeen.cpu + relayed.cpu - firstRelay.cpu + sender.cpu - firstSender.cpu
    const megabytes = (seen.bytes - firstSeen.bytes) / 1e6
    return {
      rate: megabytes * 1e3 / (seen.at - firstSeen.at),
      longestGap: seen.longestGap,
      displaced: seen.displaced,
      cpu: cpu * 1e3 / megabytes,
      relayCpu: (relayed.cpu - firstRelay.cpu) * 1e3 / megabytes,
      relayRss: relayed.rss
    }
  })
