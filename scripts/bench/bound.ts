/** Measures the upper bound: the most that two layers of encryption over a relay can carry here, without any protocol. */
import { join } from "node:path"
import type { CryptoName } from "./boundCiphers.ts"
import { sleep, start, withChildren } from "./children.ts"
import type { Usage } from "./childSide.ts"
import { sum } from "./statistics.ts"

/** How long a stream of data runs before it is measured, and how long it is measured, milliseconds. */
export interface Span {
  readonly warm: number
  readonly measured: number
}

type BoundMark = Usage & { readonly bytes: number }

const module = join(import.meta.dirname, "boundProcess.ts")

export interface Bound {
  /** Payload megabytes per second that reach the target. */
  readonly rate: number
  /** Seconds of CPU time for a gigabyte of payload, all three processes together. */
  readonly cpu: number
}

export const measureBound = (crypto: CryptoName, span: Span): Promise<Bound> =>
  withChildren(async (add) => {
    const role = (name: string) => add(start(module, [name, crypto]))
    const [target, relay, source] = [role("target"), role("relay"), role("source")] as const
    const targetPort = await target.call<number>("start")
    const relayPort = await relay.call<number>("start", targetPort)
    await source.call("start", relayPort)
    await sleep(span.warm)
    const mark = async () => {
      const marks = await Promise.all([target, relay, source].map((child) => child.call<BoundMark>("mark")))
      return { bytes: marks[0]!.bytes, at: marks[0]!.at, cpu: sum(marks.map(({ cpu }) => cpu)) }
    }
    const first = await mark()
    await sleep(span.measured)
    const last = await mark()
    const megabytes = (last.bytes - first.bytes) / 1e6
    return { rate: megabytes * 1e3 / (last.at - first.at), cpu: (last.cpu - first.cpu) * 1e3 / megabytes }
  })
