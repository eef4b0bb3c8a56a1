/**
 * What enough worlds together must have seen: a simulation that never exercises something says nothing about it. Names are those of `Trace`.
 */
import { actions } from "./actions.ts"

export const faults: ReadonlyArray<string> = actions.map(({ name }) => name)

export const transitions: ReadonlyArray<string> = [
  "RelayConnected",
  "RelayLost",
  "PeerOnline",
  "PeerOffline",
  "CarrierChanged",
  "established",
  "ended ClosedHere",
  "ended PeerClosed",
  "ended PeerRestarted",
  "ended PeerTimedOut",
  "call failed PeerUnreachable",
  "sent",
  "received",
  "lossy sent",
  "lossy received",
  "send buffer full",
  "relay stopped asleep",
  "relay dropped",
  "relay duplicated",
  "relay reordered",
  "relay delayed",
  "relay lies"
]

export const recoveries: ReadonlyArray<string> = [
  "resent",
  "data moved",
  "writable again",
  "released",
  "thawed",
  "partition healed",
  "relay back",
  "relay honest again",
  "node back",
  "relay started again",
  "established again",
  "settled"
]
