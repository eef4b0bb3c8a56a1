/** Direct links with sessions beside bare TLS and bare TCP: how much arrives, and how long a small request takes. */
import { join } from "node:path"
import type { Span } from "./bound.ts"
import { type Child, sleep, start, withChildren } from "./children.ts"
import type { Usage } from "./childSide.ts"
import type { Member } from "./directNode.ts"
import type { DirectEchoes } from "./directShared.ts"
import { percentile } from "./statistics.ts"

/** Sessions over a direct link of so many streams, or as many bare sockets. */
export interface DirectVariant {
  readonly kind: "direct" | "tls" | "tcp"
  readonly streams: number
}

type Mark = Usage & { readonly bytes: number }
interface Ends {
  readonly caller: Child
  readonly callee: Child
}

const child = (name: string, args: ReadonlyArray<string>) => start(join(import.meta.dirname, name), args)

/** Two connected processes. */
const connect = async (add: (child: Child) => Child, { kind, streams }: DirectVariant): Promise<Ends> => {
  const count = String(streams)
  const make = () => add(kind === "direct" ? child("directNode.ts", [count]) : child("directRaw.ts", [kind, count]))
  const ends = { callee: make(), caller: make() }
  if (kind !== "direct") {
    await ends.caller.call("connect", await ends.callee.call<number>("listen"))
  } else {
    const [callee, caller] = [await ends.callee.call<Member>("listen"), await ends.caller.call<Member>("listen")]
    await Promise.all([ends.callee.call("meet", caller), ends.caller.call("meet", callee)])
  }
  return ends
}

export interface DirectGoodput {
  /** Payload megabytes per second. */
  readonly rate: number
  /** Seconds of CPU time for a gigabyte, both processes together. */
  readonly cpu: number
}

/** Writes of 64 KiB as fast as they are taken. */
export const measureGoodput = (variant: DirectVariant, span: Span): Promise<DirectGoodput> =>
  withChildren(async (add) => {
    const { callee, caller } = await connect(add, variant)
    await caller.call("flood", { size: 64 * 1024 })
    await sleep(span.warm)
    const mark = () => Promise.all([callee.call<Mark>("mark"), caller.call<Mark>("mark")])
    const [firstSeen, firstSender] = await mark()
    await sleep(span.measured)
    const [seen, sender] = await mark()
    const megabytes = (seen.bytes - firstSeen.bytes) / 1e6
    return {
      rate: megabytes * 1e3 / (seen.at - firstSeen.at),
      cpu: (seen.cpu - firstSeen.cpu + sender.cpu - firstSender.cpu) * 1e3 / megabytes
    }
  })

/** Milliseconds, the median of `echoes.count` round trips; with `nagle` after TCP_NODELAY was taken off at both ends. */
export const measureEcho = (variant: DirectVariant, echoes: DirectEchoes, nagle = false): Promise<number> =>
  withChildren(async (add) => {
    const { callee, caller } = await connect(add, variant)
    await callee.call("answer", echoes.size)
    if (nagle) {
      for (const end of [callee, caller]) {
        if (await end.call<number>("letNagle") === 0) throw new Error("no socket was found to take TCP_NODELAY off")
      }
    }
    return percentile(await caller.call<ReadonlyArray<number>>("echoes", echoes, 60_000), 0.5)
  })
