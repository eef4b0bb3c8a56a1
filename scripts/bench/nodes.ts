/** Relays and nodes of ours, as the rows of the benchmark start and combine them. */
import { join } from "node:path"
import type { CryptoName } from "./boundCiphers.ts"
import * as Children from "./children.ts"
import type { Usage } from "./childSide.ts"
import type { Keys } from "./nodeProcess.ts"
import type { Seen } from "./traffic.ts"

/** Which code is measured: the folder that holds the benchmark's modules, beside whose parent `src` is. */
export const thisTree = import.meta.dirname

export interface Relay extends Children.Child {
  readonly address: string
}

export type RelayMark = Usage & {
  readonly forwardedBytes: number
  readonly forwardedPackets: number
  readonly droppedPackets: number
}
export type SinkMark = Usage & Seen

export const startRelay = async (
  add: (child: Children.Child) => Children.Child,
  crypto: CryptoName,
  tree: string = thisTree
): Promise<Relay> => {
  const child = add(Children.start(join(tree, "relayProcess.ts"), [crypto]))
  return { ...child, address: await child.call<string>("start") }
}

export const startNode = (crypto: CryptoName, tree: string = thisTree): Children.Child =>
  Children.start(join(tree, "nodeProcess.ts"), [crypto])

export interface Pair {
  readonly caller: Children.Child
  readonly callee: Children.Child
}

/**
 * Fresh nodes in two processes, connected over `relays`; the callee may know them by other addresses. Milliseconds: how long the caller
 * took, from nothing.
 */
export const connect = async (
  { caller, callee }: Pair,
  relays: ReadonlyArray<string>,
  calleeRelays: ReadonlyArray<string> = relays
): Promise<number> => {
  const peer = await callee.call<Keys>("listen", calleeRelays)
  const milliseconds = await caller.call<number>("connect", { peer, relays })
  await callee.call("accepted")
  return milliseconds
}
