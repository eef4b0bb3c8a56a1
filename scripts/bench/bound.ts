/** Measures the upper bound: the most that two layers of encryption over a relay can carry here, without any protocol. */
import { join } from "node:path"
import type { CryptoName } from "./boundCiphers.ts"
import { sleep, start, withChildren } from "./children.ts"
import type { Usage } from "./childSide.ts"

/** How long a stream of data runs before it is measured, and how long it is measured, milliseconds. */
export interface Span {
  readonly warm: number
  readonly measured: number
}

const module = join(import.meta.dirname, "boundProcess.ts")

/** Payload megabytes per second that reach the target. */
export const measureBound = (crypto: CryptoName, span: Span): Promise<number> =>
  withChildren(async (add) => {
    const [target, relay, source] = ["target", "relay", "source"].map((role) => add(start(module, [role, crypto])))
    const targetPort = await target!.call<number>("start")
    const relayPort = await relay!.call<number>("start", targetPort)
    await source!.call("start", relayPort)
    await sleep(span.warm)
    const first = await target!.call<Usage & { readonly bytes: number }>("mark")
    await sleep(span.measured)
    const last = await target!.call<Usage & { readonly bytes: number }>("mark")
    return (last.bytes - first.bytes) / 1e3 / (last.at - first.at)
  })
