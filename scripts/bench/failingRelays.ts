/** Relays of either kind that can be made to fail, behind one face. */
import type { CryptoName } from "./boundCiphers.ts"
import type { Child } from "./children.ts"
import { startRelay } from "./nodes.ts"
import * as StockRelay from "./stockRelay.ts"

export const relayKinds = ["ours", "stock"] as const
/** `stock`: an unmodified tox-bootstrapd with the operating system's socket buffers. */
export type RelayKind = (typeof relayKinds)[number]

export interface FailingRelay {
  readonly address: string
  /** SIGKILL resets its connections; SIGSTOP leaves them open and unanswered until SIGCONT. */
  readonly signal: (signal: NodeJS.Signals) => void
  readonly end: () => void
}

/** Of the three stock relays. */
export const stockPorts = [21_701, 21_702, 21_703] as const

const ours = async (add: (child: Child) => Child, crypto: CryptoName): Promise<FailingRelay> => {
  const { address, pid } = await startRelay(add, crypto)
  return { address, signal: (signal) => void process.kill(pid, signal), end: () => undefined }
}

/** Runs `body` with three relays of a kind, which end with it. Processes of ours are given to `add`. */
export const withRelays = async <A>(
  kind: RelayKind,
  add: (child: Child) => Child,
  crypto: CryptoName,
  body: (relays: ReadonlyArray<FailingRelay>) => Promise<A>
): Promise<A> => {
  const relays: Array<FailingRelay> = []
  try {
    if (kind === "stock") { for (const port of stockPorts) relays.push(StockRelay.start(port)) }
    else relays.push(...await Promise.all(stockPorts.map(() => ours(add, crypto))))
    return await body(relays)
  } finally {
    for (const relay of relays) relay.end()
  }
}
