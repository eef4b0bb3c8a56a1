/** Goodput through a stock tox-bootstrapd, whose socket buffers are what the operating system gives it. */
import { execFileSync } from "node:child_process"
import { existsSync } from "node:fs"
import { delimiter, join } from "node:path"
import type { CryptoName } from "./boundCiphers.ts"
import { sleep, withChildren } from "./children.ts"
import { packetSize } from "./goodput.ts"
import { connect, type SinkMark, startNode } from "./nodes.ts"

const root = join(import.meta.dirname, "../..")
const reference = join(root, "test/interop/reference")
/** Below 32768, so that no outgoing connection can have taken it. */
const port = 21_801

export interface Stock {
  readonly rate: number
  readonly longestGap: number
  readonly displaced: number
}

/** Why there is no stock relay here; undefined when there is one. */
export const missing = (): string | undefined => {
  const onPath = (process.env["PATH"] ?? "").split(delimiter)
  if (!onPath.some((folder) => existsSync(join(folder, "tox-bootstrapd")))) return "tox-bootstrapd is not installed"
  try {
    execFileSync("sh", [join(reference, "build.sh")], { stdio: ["ignore", "ignore", "pipe"] })
    return undefined
  } catch {
    return "the reference programs cannot be built here (gcc, libtoxcore-dev)"
  }
}

const script = (command: string, ...args: ReadonlyArray<string>): string =>
  execFileSync("bash", [join(reference, "relay.sh"), command, ...args], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, CTOX_RCVBUF: "0" }
  })

/** One trial of `seconds`. The relay ends with it, and with the driver. */
export const measureStock = (crypto: CryptoName, seconds: number): Promise<Stock> =>
  withChildren(async (add) => {
    const folder = join(root, ".tmp/relays/bench")
    const { relay } = JSON.parse(script("start", String(port), folder)) as { readonly relay: string }
    const stop = () => script("kill", folder)
    process.once("exit", stop)
    try {
      const pair = { callee: add(startNode(crypto)), caller: add(startNode(crypto)) }
      await connect(pair, [relay])
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
      process.off("exit", stop)
      stop()
    }
  })
