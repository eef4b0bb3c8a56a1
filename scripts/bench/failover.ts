/** How long the data stops when the relay that carries it fails without a word. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import { parseRelayAddress } from "../../src/schema/RelayAddress.ts"
import * as FaultProxy from "../../test/utils/FaultProxy.ts"
import type { CryptoName } from "./boundCiphers.ts"
import { sleep, withChildren } from "./children.ts"
import { nowMs } from "./childSide.ts"
import { type FailingRelay, type RelayKind, withRelays } from "./failingRelays.ts"
import { packetSize } from "./goodput.ts"
import { connect, type SinkMark, startNode } from "./nodes.ts"
import type { Gap } from "./traffic.ts"

export const faults = ["kill", "stop", "freeze"] as const
/**
 * What happens to the relay that carries the data. `kill`: SIGKILL. `stop`: SIGSTOP. `freeze`: it runs, but the receiver's connection to
 * it moves no byte any more, in either direction, and stays open.
 */
export type Fault = (typeof faults)[number]

export const traffics = ["flood", "paced"] as const
/** `flood`: as fast as packets are taken. `paced`: 1000 packets a second, which leave the machine idle most of the time. */
export type Traffic = (typeof traffics)[number]

export interface FailoverOptions {
  readonly crypto: CryptoName
  readonly relays: RelayKind
  readonly fault: Fault
  readonly traffic: Traffic
}

export interface Failover {
  /** The longest time without a packet at the receiver that had begun, or began, within 100 ms of the fault; milliseconds. */
  readonly gap: number
  /** The longest one in the half second before: what relay and machine do to the flow without any fault. */
  readonly gapBefore: number
  /** The longest one that began later, while the fault lasted: what the relay that took over does. */
  readonly gapAfter: number
  /** Packets that were missing, doubled or out of order, also after what had been held up was let go. */
  readonly displaced: number
}

type Sent = ReadonlyArray<{ readonly relay: string; readonly sentBytes: number }>

/** A relay, and the receiver's way to it. */
interface Way {
  readonly relay: FailingRelay
  readonly proxy: FaultProxy.FaultProxy | undefined
}

/** How long the receiver is watched before the fault, while it lasts, and after its end; milliseconds. */
const watchedBefore = 500
const watched = { kill: 1_500, stop: 2_500, freeze: 2_500 }
const watchedAfter = 500
/** A gap that begins so long after the fault has another cause. */
const causedWithin = 100
const pace = 1_000

/** The way through which most bytes went between two looks. */
const carrier = (ways: ReadonlyArray<Way>, before: Sent, after: Sent): Way => {
  const grown = after.map(({ relay, sentBytes }) => ({
    relay,
    bytes: sentBytes - (before.find((other) => other.relay === relay)?.sentBytes ?? 0)
  }))
  const busiest = grown.toSorted((a, b) => b.bytes - a.bytes)[0]
  const found = ways.find(({ relay }) => relay.address === busiest?.relay)
  if (found === undefined || busiest?.bytes === 0) throw new Error("no relay carries the data")
  return found
}

const begin = ({ proxy, relay }: Way, fault: Fault): void => {
  if (fault === "freeze") proxy?.set("both", { frozen: true })
  else relay.signal(fault === "kill" ? "SIGKILL" : "SIGSTOP")
}

/** What was held up arrives now, and nobody may take it for something new. */
const end = ({ proxy, relay }: Way, fault: Fault): void => {
  if (fault === "freeze") proxy?.set("both", { frozen: false })
  if (fault === "stop") relay.signal("SIGCONT")
}

const addressOf = (relay: FailingRelay) => Result.getOrThrow(parseRelayAddress(relay.address))

/** The receiver's address of a relay. */
const seen = ({ proxy, relay }: Way): string =>
  proxy === undefined ? relay.address : `${proxy.host}:${proxy.port}:${relay.address.split(":").at(-1) ?? ""}`

/** One trial with fresh processes: three relays, traffic, the fault on the relay that carries it. */
export const measureFailover = ({ crypto, fault, relays: kind, traffic }: FailoverOptions): Promise<Failover> =>
  withChildren((add) =>
    withRelays(kind, add, crypto, async (relays) => {
      const scope = Effect.runSync(Scope.make())
      const open = (relay: FailingRelay) =>
        Effect.runPromise(Scope.provide(FaultProxy.make({ target: addressOf(relay) }), scope))
      try {
        const ways = await Promise.all(
          relays.map(async (relay): Promise<Way> => ({
            relay,
            proxy: fault === "freeze" ? await open(relay) : undefined
          }))
        )
        const pair = { callee: add(startNode(crypto)), caller: add(startNode(crypto)) }
        await connect(pair, relays.map(({ address }) => address), ways.map(seen))
        await pair.callee.call("sink")
        await pair.caller.call(traffic, traffic === "flood" ? packetSize : { size: packetSize, perSecond: pace })
        await sleep(800)
        const before = await pair.caller.call<Sent>("sentThrough")
        await sleep(200)
        const broken = carrier(ways, before, await pair.caller.call<Sent>("sentThrough"))
        const at = nowMs()
        begin(broken, fault)
        await sleep(watched[fault])
        const gaps = await pair.callee.call<ReadonlyArray<Gap>>("gaps")
        end(broken, fault)
        await sleep(watchedAfter)
        const { displaced } = await pair.callee.call<SinkMark>("mark")
        const longest = (isMeant: (begin: number, end: number) => boolean) =>
          Math.max(0, ...gaps.map((gap) => isMeant(gap.at - at, gap.at + gap.length - at) ? gap.length : 0))
        return {
          // One that has not ended while it was watched has no length.
          gap: (gaps.at(-1)?.at ?? at) < at + causedWithin
            ? Number.POSITIVE_INFINITY
            : longest((begin, end) => end >= 0 && begin < causedWithin),
          gapBefore: longest((begin, end) => begin >= -watchedBefore && end < 0),
          gapAfter: longest((begin) => begin >= causedWithin),
          displaced
        }
      } finally {
        await Effect.runPromise(Scope.close(scope, Exit.void))
      }
    })
  )
