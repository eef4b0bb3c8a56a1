/**
 * All relays, three tox-bootstrapd, are down for a minute: how soon the data flows when they are back, and whether everybody who dials
 * them comes at once. Such an outage outlives a net_crypto connection, so the data comes over a new one.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import { join } from "node:path"
import { parseRelayAddress } from "../../src/schema/RelayAddress.ts"
import * as FaultProxy from "../../test/utils/FaultProxy.ts"
import type { CryptoName } from "./boundCiphers.ts"
import * as Children from "./children.ts"
import { nowMs } from "./childSide.ts"
import { stockPorts } from "./failingRelays.ts"
import { packetSize } from "./goodput.ts"
import type { Keys } from "./nodeProcess.ts"
import { type SinkMark, startNode, thisTree } from "./nodes.ts"
import * as StockRelay from "./stockRelay.ts"

export const outageSeconds = 60
/** Nodes beside the two that exchange data. */
export const crowd = 20
/** The old connection has ended by then: its timeout is 32 s. */
const calledAgainAfter = 45_000
/** How long dials are counted when the relays are back: longer than the longest pause between two. */
const counted = 6_000

export interface Outage {
  /** Milliseconds from the moment in which the relays were started again to the first packet at the receiver. */
  readonly back: number
  /** The same to the last of all connections to relays. */
  readonly allBack: number
  readonly displaced: number
  /** When relays were dialled after their return, milliseconds, sorted. */
  readonly dials: ReadonlyArray<number>
}

/** Looks every few milliseconds. */
const until = async (what: string, limit: number, condition: () => Promise<boolean>): Promise<void> => {
  const started = nowMs()
  while (!(await condition())) {
    if (nowMs() - started > limit) throw new Error(`not within ${limit} ms: ${what}`)
    await Children.sleep(5)
  }
}

/** One trial with fresh processes. */
export const measureOutage = (crypto: CryptoName): Promise<Outage> =>
  Children.withChildren(async (add) => {
    const relays = stockPorts.map(StockRelay.start)
    const scope = Effect.runSync(Scope.make())
    try {
      const proxies = await Promise.all(relays.map(({ address }) => {
        const target = Result.getOrThrow(parseRelayAddress(address))
        return Effect.runPromise(Scope.provide(FaultProxy.make({ target, now: nowMs }), scope))
      }))
      const addresses = proxies.map(({ host, port }, i) =>
        `${host}:${port}:${relays[i]?.address.split(":").at(-1) ?? ""}`
      )
      const others = add(Children.start(join(thisTree, "crowdProcess.ts"), [crypto]))
      const connections = () => others.call<number>("confirmed")
      const allConnected = async () => await connections() === crowd * relays.length
      await others.call("start", { count: crowd, relays: addresses })
      await until("all nodes are connected", 10_000, allConnected)

      const callee = add(startNode(crypto))
      const caller = add(startNode(crypto))
      const pace = { size: packetSize, perSecond: 1_000 }
      const packets = async () => (await callee.call<SinkMark>("mark")).packets
      const call = { peer: await callee.call<Keys>("listen", addresses), relays: addresses }
      await caller.call("connect", call)
      await callee.call("accepted")
      await callee.call("sink")
      await caller.call("paced", pace)
      await until("data flows", 5_000, async () => await packets() > 1_000)

      for (const relay of relays) relay.signal("SIGKILL")
      await Children.sleep(calledAgainAfter)
      const accepting = callee.call("acceptAgain", undefined, outageSeconds * 1_000)
      const calling = caller.call("connect", call, outageSeconds * 1_000)
      await Children.sleep(outageSeconds * 1_000 - calledAgainAfter)

      const started = nowMs()
      const restarted = Promise.all(relays.map((relay) => relay.restart()))
      await Promise.all([restarted, accepting, calling])
      await callee.call("sink")
      await caller.call("paced", pace)
      await until("data flows again", 10_000, async () => await packets() > 0)
      const back = nowMs() - started
      await until("all nodes are connected again", 10_000, allConnected)
      const allBack = nowMs() - started
      await Children.sleep(Math.max(0, counted - (nowMs() - started)))
      const { displaced } = await callee.call<SinkMark>("mark")
      const dials = proxies.flatMap((proxy) => proxy.dials().map((at) => at - started)).filter((at) => at >= 0)
      return { back, allBack, displaced, dials: dials.toSorted((a, b) => a - b) }
    } finally {
      await Effect.runPromise(Scope.close(scope, Exit.void))
      for (const relay of relays) relay.end()
    }
  })

/** The largest share of the sorted times that lies within `span`. */
export const busiest = (times: ReadonlyArray<number>, span: number): number =>
  Math.max(0, ...times.map((from) => times.filter((at) => at >= from && at < from + span).length)) / times.length
